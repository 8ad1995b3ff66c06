//! The plan of a round of checks: which gates run, at which commit, as git found out.

use sqlx::SqliteConnection;

use super::check_begin;
use super::check_conclude;
use super::hold;
use super::land;
use super::prepare;
use crate::domain::checks::Checks;
use crate::domain::gates::kind::Phase;
use crate::domain::gates::kind::Step;
use crate::domain::gates::offline::Unkept;
use crate::domain::hold::Hold;
use crate::domain::id::ProjectKey;
use crate::domain::id::TicketId;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::time::Timestamp;
use crate::domain::worktree::Head;
use crate::store::db::error::Result;
use crate::store::db::store::Rules;
use crate::store::db::store::Store;
use crate::store::rows::checking;
use crate::store::rows::checking::Checking;
use crate::store::rows::checking::NewChecking;
use crate::store::rows::checks;
use crate::store::rows::event::By;
use crate::store::rows::ticket;
use crate::store::rows::waiver;

const PLANNED: faults::Points = faults::points!("server.check_planned");

/// What git found out for a round of checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// The commit that is judged; `None` where attempts share a directory.
    pub commit: Option<String>,
    /// The accepted commit, if it is new.
    pub head: Option<Head>,
    /// The gates that are due, in their order.
    pub gates: Vec<String>,
}

impl Store {
    /// Stores which gates are due. Without one, what waited for them continues at once.
    pub async fn checks_planned(
        &self,
        id: TicketId,
        planned: Planned,
        now: Timestamp,
    ) -> Result<()> {
        let rules = self.rules();
        self.writer
            .at(PLANNED)
            .write(move |connection| Box::pin(plan(connection, id, planned, rules, now)))
            .await
    }

    /// Puts a ticket whose checks cannot begin on hold.
    pub async fn checks_refused(&self, id: TicketId, why: Hold, now: Timestamp) -> Result<()> {
        self.writer
            .at(PLANNED)
            .write(move |connection| Box::pin(refuse(connection, id, why, now)))
            .await
    }

    /// Puts the tickets of a project on hold whose next gate must have no network.
    pub async fn offline_refused(
        &self,
        project: ProjectKey,
        why: Unkept,
        now: Timestamp,
    ) -> Result<()> {
        self.writer
            .at(PLANNED)
            .write(move |connection| Box::pin(refuse_offline(connection, project, why, now)))
            .await
    }

    /// Begins to judge what the merge of a completed ticket would bring: the commit `merged`, made from `onto`, which is
    /// the base branch.
    pub async fn judge_landing(
        &self,
        id: TicketId,
        merged: String,
        onto: String,
        now: Timestamp,
    ) -> Result<()> {
        self.writer
            .at(PLANNED)
            .write(move |connection| Box::pin(begin_landing(connection, id, merged, onto, now)))
            .await
    }

    /// The checks of a ticket, with the settings that count for them.
    pub async fn checking(&self, id: TicketId) -> Result<Option<(Ticket, Checking, Checks)>> {
        let mut snapshot = self.readers.begin().await?;
        let Some(checking) = checking::find(&mut snapshot, id).await? else { return Ok(None) };
        let ticket = ticket::load(&mut snapshot, id).await?;
        if ticket.state != TicketState::Running {
            return Ok(None);
        }
        let settings = checks::of_ticket(&mut snapshot, id).await?;
        Ok(Some((ticket, checking, settings)))
    }
}

async fn plan(
    connection: &mut SqliteConnection,
    id: TicketId,
    planned: Planned,
    rules: Rules,
    now: Timestamp,
) -> Result<()> {
    let Some(found) = checking::find(connection, id).await? else { return Ok(()) };
    if found.step != Step::Plan {
        return Ok(());
    }
    if let Some(head) = &planned.head {
        prepare::set_head(connection, id, head, /* ready */ false).await?;
    }
    // A round that was interrupted at this very commit continues.
    let goes_on = found.commit == planned.commit && !found.gates.is_empty();
    if !goes_on {
        sqlx::query("UPDATE checking SET commit_id = ?2 WHERE ticket_id = ?1 AND step = 'plan'")
            .bind(id.key())
            .bind(planned.commit.as_deref())
            .execute(&mut *connection)
            .await?;
        sqlx::query("DELETE FROM checking_gate WHERE ticket_id = ?1")
            .bind(id.key())
            .execute(&mut *connection)
            .await?;
        let waived = waiver::of_ticket(connection, id).await?;
        let is_waived = |gate: &&String| !waived.iter().any(|waiver| waiver.gate == **gate);
        let due: Vec<&String> = planned.gates.iter().filter(is_waived).collect();
        let settings = checks::of_ticket(connection, id).await?;
        for (position, gate) in due.into_iter().enumerate() {
            let again = found.phase == Phase::Asked;
            let passed = if again {
                None
            } else {
                passed(connection, id, gate, &planned, &settings).await?
            };
            let (verdict, attempt) = passed.unzip();
            sqlx::query(
                "INSERT INTO checking_gate (ticket_id, position, gate, verdict, attempt_id, has_network)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .bind(id.key())
            .bind(i64::try_from(position).unwrap_or(i64::MAX))
            .bind(gate)
            .bind(verdict)
            .bind(attempt)
            .bind(settings.gate(gate).is_none_or(|gate| gate.network))
            .execute(&mut *connection)
            .await?;
        }
    }
    let was_on_base = sqlx::query(
        "UPDATE checking_gate SET on_base = 0 WHERE ticket_id = ?1 AND on_base = 1 AND verdict IS NULL",
    )
    .bind(id.key())
    .execute(&mut *connection)
    .await?;
    if was_on_base.rows_affected() > 0 {
        checking::step(connection, id, &[Step::Plan], Step::Base).await?;
        return Ok(());
    }
    let ticket = ticket::load(connection, id).await?;
    check_conclude::go_on(connection, &ticket, rules, now).await
}

/// The verdict with which a gate has let this very commit pass before, and the attempt that found it.
async fn passed(
    connection: &mut SqliteConnection,
    id: TicketId,
    gate: &str,
    planned: &Planned,
    settings: &Checks,
) -> Result<Option<(String, i64)>> {
    let Some((commit, gate)) = planned.commit.as_ref().zip(settings.gate(gate)) else {
        return Ok(None);
    };
    let passed = sqlx::query_as(
        "SELECT verdict, attempt_id FROM attempt
          WHERE ticket_id = ?1 AND kind = 'gate' AND gate = ?2 AND commit_id = ?3 AND commands = ?4 AND is_base = 0
            AND verdict IN ('passed', 'flaky', 'known_failure')
          ORDER BY attempt_id DESC LIMIT 1",
    )
    .bind(id.key())
    .bind(&gate.name)
    .bind(commit)
    .bind(serde_json::json!([gate.command]).to_string())
    .fetch_optional(connection)
    .await?;
    Ok(passed)
}

async fn refuse(
    connection: &mut SqliteConnection,
    id: TicketId,
    why: Hold,
    now: Timestamp,
) -> Result<()> {
    if !checking::step(connection, id, &[Step::Plan, Step::Base, Step::Due], Step::Held).await? {
        return Ok(());
    }
    land::end(connection, id, None).await?;
    let found = ticket::load(connection, id).await?;
    hold::at_its_stage(connection, &found, By::Coordinator, &why, now).await
}

async fn refuse_offline(
    connection: &mut SqliteConnection,
    project: ProjectKey,
    why: Unkept,
    now: Timestamp,
) -> Result<()> {
    let due: Vec<i64> = sqlx::query_scalar(
        "SELECT c.ticket_id
           FROM checking_due c
          CROSS JOIN ticket t ON t.ticket_id = c.ticket_id
          WHERE c.has_network = 0 AND t.state = 'running' AND t.project_id = ?1
          ORDER BY c.since, c.ticket_id",
    )
    .bind(project.0)
    .fetch_all(&mut *connection)
    .await?;
    for id in due.into_iter().map(TicketId::from_key) {
        let Some(checking) = checking::find(connection, id).await? else { continue };
        let Some(next) = checking.next() else { continue };
        refuse(connection, id, why.hold(&next.gate), now).await?;
    }
    Ok(())
}

async fn begin_landing(
    connection: &mut SqliteConnection,
    id: TicketId,
    merged: String,
    onto: String,
    now: Timestamp,
) -> Result<()> {
    let is_landing: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM worktree k JOIN ticket t ON t.ticket_id = k.ticket_id
                         WHERE k.ticket_id = ?1 AND k.landing = 1 AND t.state = 'running')",
    )
    .bind(id.key())
    .fetch_one(&mut *connection)
    .await?;
    if !is_landing {
        return Ok(());
    }
    check_begin::run(connection, id, now).await?;
    let new = NewChecking {
        phase: Phase::Landing,
        step: Step::Plan,
        commit: Some(&merged),
        onto: Some(&onto),
        attempt: None,
        result: None,
        hold: None,
    };
    checking::begin(connection, id, new, now).await
}
