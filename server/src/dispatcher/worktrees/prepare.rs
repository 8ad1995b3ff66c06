//! Before a ticket is granted: makes its worktree, or brings it to its accepted commit.

use std::path::Path;

use super::checks;
use super::tend::Worktrees;
use super::trouble::Trouble;
use crate::domain::checks::kept;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::TicketId;
use crate::domain::text::clause;
use crate::domain::ticket::Ticket;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;
use crate::git;
use crate::git::Repository;
use crate::git::listed;
use crate::git::merge::Conflict;
use crate::git::refs::Author;
use crate::git::stand::Place;
use crate::store::Beginning;
use crate::store::Begun;
use crate::store::Result;
use crate::store::Unprepared;

impl Worktrees {
    /// Brings a queued ticket's worktree to its accepted commit, and makes the ticket grantable.
    pub(super) async fn prepare(&self, id: TicketId) -> std::result::Result<(), Trouble> {
        let Some(found) = self.store.unprepared_ticket(id).await? else { return Ok(()) };
        let Some(work) = &found.ticket.work else { return self.begin(&found).await };
        let repository = self.hold_in_turn(id, Path::new(&work.repository)).await?;
        let Some(found) = self.store.unprepared_ticket(id).await? else { return Ok(()) };
        self.put_in_order(&repository, &found).await
    }

    /// The same for a ticket without a worktree.
    async fn begin(&self, found: &Unprepared) -> std::result::Result<(), Trouble> {
        let id = found.ticket.id;
        let path = &found.project.path;
        let ground = match git::look(Path::new(path)).await? {
            Ok(ground) => ground,
            Err(why) => {
                return Err(refused(
                    HoldKind::Configuration,
                    format!(
                        "it cannot have a worktree: {}. Fix that, or set isolation of the project to shared; then resume \
                     the ticket",
                        clause(why.said())
                    ),
                ));
            }
        };
        let repository = self.hold_in_turn(id, &ground.repository).await?;
        if let Some(in_the_way) = repository.leaves_no_room().await? {
            return Err(refused(
                HoldKind::Configuration,
                format!("it cannot have a branch: {in_the_way}. Then resume the ticket"),
            ));
        }
        let common = text(&ground.repository)?;
        let results: Vec<(String, String)> = found
            .results
            .iter()
            .filter(|(repository, _, _)| *repository == common)
            .map(|(_, ticket, commit)| (ticket.to_string(), commit.clone()))
            .collect();
        let base = match repository.together(&ground.head, &results).await? {
            Ok(base) => base,
            Err(Conflict { with, files }) => {
                let files = listed(&files);
                return Err(refused(
                    HoldKind::Conflict,
                    format!(
                        "the result of {with}, from which it begins, conflicts in {files} with what was there before. Merge \
                     them manually in the project, then resume the ticket"
                    ),
                ));
            }
        };
        let kept = self.settings_at(&repository, &found.project, &base, &ground.prefix).await?;
        let place = self.directory.join(found.project.name.as_str());
        let (branch, path) = repository.free_names(id, &place).await?;
        let work = Worktree {
            repository: common,
            path: text(&path)?,
            prefix: ground.prefix,
            branch,
            base_branch: ground.branch,
            base_commit: base.clone(),
            head: Head { commit: base, stat: DiffStat::default() },
            owed: None,
            landing: false,
            merged_commit: None,
            removed: false,
            set_up: false,
            directory: None,
        };
        let new = Beginning { work, kept, busy_ports: checks::busy_ports() };
        match self.store.begin_worktree(id, new).await? {
            Begun::Yes => {}
            Begun::NoLonger => return Ok(()),
            Begun::NoPorts(count) => return Err(Trouble::Refused(kept::without_ports(count))),
        }
        let Some(found) = self.store.unprepared_ticket(id).await? else { return Ok(()) };
        self.put_in_order(&repository, &found).await
    }

    async fn put_in_order(
        &self,
        repository: &Repository,
        found: &Unprepared,
    ) -> std::result::Result<(), Trouble> {
        let ticket = &found.ticket;
        let Some(work) = &ticket.work else { return Ok(()) };
        let work = &self.at_home(ticket.id, work).await?;
        if !Path::new(&work.path).is_dir() {
            self.store.worktree_gone(ticket.id).await?;
        }
        faults::point!("server.worktree.before_made");
        let place =
            if found.last.is_some() || work.owed.is_some() { Place::Used } else { Place::New };
        // What follows stands it up as well, where anything does.
        if work.owed.is_none() && ticket.resume.is_some() {
            repository.stand_up(work, place).await?;
        }
        faults::point!("server.worktree.after_made");
        let mut head = None;
        if work.owed.is_some() {
            head = self.accept_or_do_again(repository, ticket, work).await?;
        } else if ticket.resume.is_none() {
            if let Some((attempt, stage)) = &found.last {
                let author = Author { ticket: ticket.id, stage: stage.clone(), attempt: *attempt };
                repository.put_aside(work, &author).await?;
            }
            faults::point!("server.worktree.before_put_back");
            repository.put_back(work, place).await?;
            faults::point!("server.worktree.after_put_back");
        }
        if ticket.resume.is_none() {
            self.copy_ignored(repository, &found.project, ticket, work).await?;
            faults::point!("server.worktree.after_copied");
        }
        // Otherwise an agent continues its session, with the files that it left.
        let directory = git::directory_at(Path::new(&work.path))?;
        self.store.worktree_ready(ticket.id, head, directory, self.clock.now()).await?;
        Ok(())
    }

    /// The same if work is owed. Work that cannot be accepted as it is is put aside if its stage
    /// will be repeated; any other stage builds on it.
    async fn accept_or_do_again(
        &self,
        repository: &Repository,
        ticket: &Ticket,
        work: &Worktree,
    ) -> std::result::Result<Option<Head>, Trouble> {
        let error = match self.accept_owed(repository, ticket, work).await {
            Err(Trouble::Git(error)) if error.is_of_the_work() => error,
            done => return done,
        };
        let Some(author) = self.author_of_owed(ticket, work).await? else { return Ok(None) };
        if ticket.current_stage().as_str() != author.stage {
            return Err(Trouble::Git(error));
        }
        let kept = repository.put_aside(work, &author).await?;
        tracing::info!(ticket = %ticket.id, kept, "the work of a stage could not be accepted and is put aside; the stage will be done again");
        repository.put_back(work, Place::Used).await?;
        self.store.give_up_owed(ticket.id, author.attempt).await?;
        Ok(None)
    }

    pub(super) async fn author_of_owed(
        &self,
        ticket: &Ticket,
        work: &Worktree,
    ) -> Result<Option<Author>> {
        let Some(owed) = work.owed else { return Ok(None) };
        let attempt = self.store.attempt(owed).await?;
        Ok(attempt.map(|attempt| Author {
            ticket: ticket.id,
            stage: attempt.stage.to_string(),
            attempt: owed,
        }))
    }

    /// Commits the accepted work of an attempt that could not be committed earlier.
    pub(super) async fn accept_owed(
        &self,
        repository: &Repository,
        ticket: &Ticket,
        work: &Worktree,
    ) -> std::result::Result<Option<Head>, Trouble> {
        let Some(author) = self.author_of_owed(ticket, work).await? else { return Ok(None) };
        Ok(Some(repository.accept(work, &author).await?))
    }
}

/// Paths are stored and granted as text.
fn text(path: &Path) -> std::result::Result<String, Trouble> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        let why = format!("{} is not UTF-8, and paths have to be", path.display());
        refused(HoldKind::Configuration, why)
    })
}

fn refused(kind: HoldKind, why: String) -> Trouble {
    Trouble::Refused(Hold::new(kind, why))
}
