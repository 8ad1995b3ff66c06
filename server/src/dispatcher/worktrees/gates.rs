//! Git's part in checks: the worktree before gates run in it, what they changed there, and one on the base commit.

use std::path::Path;

use super::tend::PAUSES;
use super::tend::Waits;
use super::tend::Worktrees;
use super::trouble::Trouble;
use crate::domain::attempt::Attempt;
use crate::domain::checks::Checks;
use crate::domain::checks::kept;
use crate::domain::gates::kind::AttemptKind;
use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::id::TicketId;
use crate::domain::judging::Tests;
use crate::domain::judging::due::Changes;
use crate::domain::judging::due::Occasion;
use crate::domain::judging::due::due;
use crate::domain::judging::junit;
use crate::domain::text::Name;
use crate::domain::ticket::Ticket;
use crate::domain::waiting::GitStep;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;
use crate::git::Repository;
use crate::git::gates;
use crate::git::refs::Author;
use crate::git::stand::Place;
use crate::store::BaseWait;
use crate::store::Checking;
use crate::store::Planned;
use crate::store::Result;
use crate::telemetry::chain;

/// What an attempt of setup or gate left.
#[derive(Debug, Default)]
pub(in super::super) struct Tidied {
    /// A sentence about what it changed.
    pub(in super::super) note: Option<String>,
    pub(in super::super) tests: Option<Tests>,
    _held: Option<Repository>,
}

impl Worktrees {
    /// Brings a ticket's worktree to the commit that is judged, and finds out which gates are due.
    pub(super) async fn plan_checks(&self, id: TicketId) -> std::result::Result<(), Trouble> {
        let Some((ticket, checking, settings)) = self.planning(id).await? else { return Ok(()) };
        let Some(work) = &ticket.work else {
            return self.plan(&ticket, &checking, &settings, None, None).await;
        };
        let repository = self.hold_in_turn(id, Path::new(&work.repository)).await?;
        let Some((ticket, checking, settings)) = self.planning(id).await? else { return Ok(()) };
        let Some(work) = &ticket.work else { return Ok(()) };
        let work = self.at_home(id, work).await?;
        let head = self.accept_owed(&repository, &ticket, &work).await?;
        let accepted = head.clone().unwrap_or_else(|| work.head.clone());
        let judged = match checking.phase {
            Phase::Landing => checking.commit.clone().unwrap_or_else(|| accepted.commit.clone()),
            Phase::Setup | Phase::Stage | Phase::Asked => accepted.commit.clone(),
        };
        let at =
            Worktree { head: Head { commit: judged.clone(), ..accepted.clone() }, ..work.clone() };
        // No gate of this ticket runs on a base commit now; a worktree for one is left from before a crash.
        repository.discard_base(&gates::base_of(&work, &work.base_commit)).await?;
        // What an attempt left that was cut off.
        if let Some(author) = self.last_author(&ticket).await? {
            let accepted = Worktree { head: accepted, ..work.clone() };
            let kept = repository.put_aside(&accepted, &author).await?;
            if let Some(kept) = kept {
                tracing::info!(ticket = %id, kept, "changes beside what is judged are kept under a ref");
            }
        }
        faults::point!("server.check.before_put_back");
        repository.put_back(&at, Place::Used).await?;
        faults::point!("server.check.after_put_back");
        let base = checking.onto.clone().unwrap_or_else(|| work.base_commit.clone());
        let files = repository.changed_files(&base, &judged).await?;
        let commit = Some(judged);
        self.plan(&ticket, &checking, &settings, Some((commit, head, &work)), files).await
    }

    async fn planning(&self, id: TicketId) -> Result<Option<(Ticket, Checking, Checks)>> {
        let found = self.store.checking(id).await?;
        Ok(found.filter(|(_, checking, _)| checking.step == Step::Plan))
    }

    async fn last_author(&self, ticket: &Ticket) -> Result<Option<Author>> {
        let last = self.store.last_attempt(ticket.id).await?;
        Ok(last.map(|(attempt, stage)| Author { ticket: ticket.id, stage, attempt }))
    }

    async fn plan(
        &self,
        ticket: &Ticket,
        checking: &Checking,
        settings: &Checks,
        work: Option<(Option<String>, Option<Head>, &Worktree)>,
        files: Option<Vec<String>>,
    ) -> std::result::Result<(), Trouble> {
        let stage = ticket.current_stage().as_str();
        let plan: Vec<&str> = ticket.plan.stages().iter().map(Name::as_str).collect();
        let (commit, head, work) = match work {
            Some((commit, head, work)) => (commit, head, Some(work)),
            None => (None, None, None),
        };
        let moved = match (&commit, checking.attempt) {
            (Some(commit), _) => {
                self.store.commit_before(ticket.id).await?.as_ref() != Some(commit)
            }
            (None, _) => true,
        };
        let occasion = match checking.phase {
            Phase::Landing => Occasion::Landing { plan: &plan },
            Phase::Asked => Occasion::Asked,
            Phase::Setup | Phase::Stage => Occasion::Stage { stage, moved },
        };
        let changes = match (&files, work) {
            (Some(files), Some(work)) => Changes::Files { files, prefix: &work.prefix },
            (Some(_) | None, Some(_) | None) => Changes::Unknown,
        };
        let gates: Vec<_> = due(settings, occasion, changes);
        let waived = self.store.waivers(ticket.id).await?;
        let is_waived = |name: &str| waived.iter().any(|waiver| waiver.gate == name);
        let offline = gates.iter().find(|gate| !gate.network && !is_waived(&gate.name));
        if let Some((gate, why)) = offline.zip(self.offline.missing()) {
            return Err(Trouble::Refused(why.hold(&gate.name)));
        }
        let gates = gates.into_iter().map(|gate| gate.name.clone()).collect();
        let planned = Planned { commit, head, gates };
        Ok(self.store.checks_planned(ticket.id, planned, self.clock.now()).await?)
    }

    /// Judges a ticket's gate by what is known of the base commit, or makes a worktree there to find it out.
    pub(super) async fn base_checks(&self, id: TicketId) -> std::result::Result<(), Trouble> {
        let commit = match self.store.judge_by_base(id, self.clock.now()).await? {
            BaseWait::Worktree { commit } => commit,
            BaseWait::Judged | BaseWait::Busy | BaseWait::Nothing => return Ok(()),
        };
        let Some((ticket, _, _)) = self.store.checking(id).await? else { return Ok(()) };
        let Some(work) = &ticket.work else { return Ok(()) };
        let repository = self.hold_in_turn(id, Path::new(&work.repository)).await?;
        faults::point!("server.check.before_base");
        let base = gates::base_of(work, &commit);
        repository.make_base(&base).await?;
        let project = self.store.project(ticket.project_name.as_str()).await?;
        let patterns = self.store.checks_of(ticket.id).await?.worktree.copy;
        let carried = repository.carry(&base, Path::new(&project.path), &patterns).await?;
        carried.map_err(|why| Trouble::Refused(kept::too_much_to_copy(&why.to_string())))?;
        faults::point!("server.check.after_base");
        Ok(self.store.base_ready(id).await?)
    }

    /// Before the end of an attempt of setup or gate is stored: puts back what it changed. What it changed is shown, and
    /// whatever becomes of that, its end is stored. `keeps_base`: a gate runs next where it was on the base commit.
    pub(in super::super) async fn tidy(
        &self,
        attempt: &Attempt,
        keeps_base: bool,
    ) -> Result<Tidied> {
        // Nothing follows a cleanup but the removal of the worktree, which keeps what it left.
        if attempt.kind == AttemptKind::Cleanup {
            return Ok(Tidied::default());
        }
        let Some(found) = self.store.worktree_of(attempt.id).await? else {
            return Ok(Tidied { tests: self.shared_report(attempt).await?, ..Tidied::default() });
        };
        let ticket = found.ticket.id;
        let _in_hand = self.obstacles.begin_git(ticket);
        let (mut pauses, mut waits) = (PAUSES.iter(), Waits::default());
        loop {
            let error = match self.try_tidy(attempt, keeps_base).await {
                Ok(tidied) => return Ok(tidied),
                Err(Trouble::Store(error)) => return Err(error),
                Err(error @ (Trouble::Git(_) | Trouble::Refused(_))) => error,
            };
            if self.passes(&error) {
                self.wait_for_room(ticket, &error, &mut waits).await;
                continue;
            }
            tracing::warn!(attempt = %attempt.id, error = %chain(&error), "what a gate changed could not be put back yet");
            if let Some(pause) = pauses.next().filter(|_| !error.is_lasting()) {
                self.obstacles.set_git(ticket, GitStep::Failed { why: chain(&error) });
                tokio::time::sleep(*pause).await;
                continue;
            }
            // The step that uses the worktree next puts it in order, or says why not.
            let note = format!(
                "What it changed in the worktree could not be put back: {}.",
                chain(&error)
            );
            return Ok(Tidied { note: Some(note), ..Tidied::default() });
        }
    }

    async fn try_tidy(
        &self,
        attempt: &Attempt,
        keeps_base: bool,
    ) -> std::result::Result<Tidied, Trouble> {
        let Some(found) = self.store.worktree_of(attempt.id).await? else {
            return Ok(Tidied::default());
        };
        let repository = self.hold(found.ticket.id, Path::new(&found.work.repository)).await?;
        let Some(found) = self.store.worktree_of(attempt.id).await? else {
            return Ok(Tidied::default());
        };
        let check = attempt.check.clone().unwrap_or_default();
        let commit = check.commit.clone().unwrap_or_else(|| found.work.head.commit.clone());
        if check.is_base {
            let base = gates::base_of(&found.work, &commit);
            let tests = self.report(attempt, &base.cwd()).await?;
            if !keeps_base {
                repository.discard_base(&base).await?;
            }
            return Ok(Tidied { note: None, tests, _held: Some(repository) });
        }
        if !Path::new(&found.work.path).is_dir() {
            self.store.worktree_gone(found.ticket.id).await?;
        }
        let work = self.at_home(found.ticket.id, &found.work).await?;
        let tests = self.report(attempt, &work.cwd()).await?;
        let at = Worktree { head: Head { commit, ..work.head.clone() }, ..work };
        let author = Author { ticket: found.ticket.id, stage: found.stage, attempt: attempt.id };
        faults::point!("server.check.before_tidied");
        let note = repository.tidy(&at, &author).await?;
        faults::point!("server.check.after_tidied");
        Ok(Tidied { note, tests, _held: Some(repository) })
    }

    async fn shared_report(&self, attempt: &Attempt) -> Result<Option<Tests>> {
        let ticket = self.store.find_ticket(attempt.ticket).await?;
        let project = self.store.project(ticket.project_name.as_str()).await?;
        self.report(attempt, &project.path).await
    }

    /// The report of single tests that a gate has written, if it writes one and that can be read.
    async fn report(&self, attempt: &Attempt, directory: &str) -> Result<Option<Tests>> {
        let Some(gate) = attempt.check.as_ref().and_then(|check| check.gate.as_ref()) else {
            return Ok(None);
        };
        let settings = self.store.checks_of(attempt.ticket).await?;
        let Some(path) = settings.gate(gate).and_then(|gate| gate.junit()) else { return Ok(None) };
        let read = gates::read_report(Path::new(directory), path, junit::MOST_BYTES);
        Ok(read.and_then(|text| junit::read(text.as_bytes()).ok()))
    }

    /// Before a gate runs: removes a report that somebody else may have written.
    pub(in super::super) async fn clear_report(
        &self,
        attempt: &Attempt,
        directory: &str,
    ) -> Result<()> {
        let Some(gate) = attempt.check.as_ref().and_then(|check| check.gate.as_ref()) else {
            return Ok(());
        };
        let settings = self.store.checks_of(attempt.ticket).await?;
        let Some(path) = settings.gate(gate).and_then(|gate| gate.junit()) else { return Ok(()) };
        if let Err(error) = gates::remove_report(Path::new(directory), path) {
            tracing::warn!(attempt = %attempt.id, %error, "a report that lies in the place of a gate's own could not be removed");
        }
        Ok(())
    }
}

/// Where the commands of an attempt run.
pub(in super::super) fn directory_of(
    attempt: &Attempt,
    work: Option<&Worktree>,
    project: &str,
) -> String {
    let check = attempt.check.as_ref();
    match (work, check.filter(|check| check.is_base).and_then(|check| check.commit.as_deref())) {
        (Some(work), Some(commit)) => gates::base_of(work, commit).cwd(),
        (Some(work), None) => work.cwd(),
        (None, _) => project.to_owned(),
    }
}
