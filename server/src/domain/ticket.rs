//! A ticket: one piece of work that goes through the stages of its execution plan.

use super::gates::kind::AttemptKind;
use super::hold::Hold;
use super::id::AttemptId;
use super::id::ProjectKey;
use super::id::TicketId;
use super::id::WorkerId;
use super::names::names;
use super::text::Invalid;
use super::text::Name;
use super::time::Timestamp;
use super::worktree::Worktree;

/// The maximum number of stages of a plan.
pub const MAX_STAGES: usize = 32;
/// The maximum number of tickets that one ticket may wait for.
pub const MAX_DEPENDENCIES: usize = 100;

#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    pub id: TicketId,
    pub project: ProjectKey,
    pub project_name: Name,
    pub title: String,
    pub description: String,
    pub priority: Priority,
    pub state: TicketState,
    /// The names of worker types, in order.
    pub plan: Plan,
    /// The current stage; for a closed ticket, the last one.
    pub stage_index: usize,
    /// The tickets that this one waits for, each older than itself.
    pub depends_on: Vec<TicketId>,
    /// Charged attempts of the current stage since it was entered or resumed.
    pub attempts_used: i64,
    /// How often the ticket was sent back, over its whole life.
    pub rework_laps: i64,
    /// Dollars of all its attempts, over its whole life.
    pub cost_usd: f64,
    /// Dollars assumed in addition, for attempts that could not report their cost.
    pub assumed_usd: f64,
    /// The limit of that sum in dollars, if the ticket has its own limit.
    pub max_budget_usd: Option<f64>,
    /// The ticket that this one comes from, through one result or several; `None` when no result asked for it.
    pub root: Option<TicketId>,
    pub planned: PlannedWords,
    /// The claude session that the next attempt continues, after an operator restarted a worker's child.
    pub resume: Option<ResumeHint>,
    /// Where its work is; `None` before it began, and for a ticket that works in the project's directory.
    pub work: Option<Worktree>,
    /// How often the gates of its stage were red since the stage was entered or resumed.
    pub gate_failures: i64,
    /// What was red, for the next attempt.
    pub gate_message: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Ticket {
    /// The worker type of the ticket's current stage.
    #[must_use]
    pub fn current_stage(&self) -> &Name {
        self.plan.stage(self.stage_index)
    }

    /// The ticket whose family it belongs to: the one it comes from, or itself.
    #[must_use]
    pub fn family(&self) -> TicketId {
        self.root.unwrap_or(self.id)
    }
}

/// The state of a ticket. `Closed` is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TicketState {
    /// Waits for other tickets to complete.
    Blocked,
    /// Waits for a time: a backoff or a usage limit.
    Scheduled {
        not_before: Timestamp,
    },
    /// Waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// Waits for the coordinator.
    OnHold(Hold),
    Closed {
        resolution: Resolution,
        at: Timestamp,
    },
}

impl TicketState {
    /// The state's name on the wire and in the database.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Scheduled { .. } => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::OnHold(_) => "on_hold",
            Self::Closed { .. } => "closed",
        }
    }

    /// Every state's name, in the order a ticket usually meets them.
    pub const NAMES: [&str; 6] = ["blocked", "scheduled", "queued", "running", "on_hold", "closed"];
}

names! {
    pub enum Resolution {
        Completed = "completed",
        Cancelled = "cancelled",
    }
}

names! {
    /// Which ticket of a queue goes first. Within one priority, the older ticket does.
    #[derive(Default, PartialOrd, Ord)]
    pub enum Priority {
        Low = "low",
        #[default]
        Normal = "normal",
        High = "high",
        Urgent = "urgent",
    }
}

impl Priority {
    /// The number the database sorts by; higher goes first.
    #[must_use]
    pub const fn rank(self) -> i64 {
        self as i64
    }

    #[must_use]
    pub fn from_rank(rank: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.rank() == rank)
    }
}

/// An execution plan: 1 to 32 stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan(Vec<Name>);

impl Plan {
    /// Checks the length of a plan. The store checks whether its worker types exist.
    pub fn new(stages: Vec<Name>) -> Result<Self, Invalid> {
        if (1..=MAX_STAGES).contains(&stages.len()) {
            return Ok(Self(stages));
        }
        let given = format!("{} stages", stages.len());
        Err(Invalid::new("execution_plan", &given, "1 to 32 worker types of the project"))
    }

    #[must_use]
    pub fn stages(&self) -> &[Name] {
        &self.0
    }

    /// The stage at `index`; the last one for an index past the end, which only a damaged row can have.
    #[must_use]
    pub fn stage(&self, index: usize) -> &Name {
        self.0.get(index).unwrap_or(&self.0[self.0.len() - 1])
    }

    #[must_use]
    pub fn is_last(&self, index: usize) -> bool {
        index + 1 >= self.0.len()
    }

    /// The last occurrence of `stage` strictly before `index`: a plan may name one worker type twice.
    #[must_use]
    pub fn earlier(&self, stage: &str, index: usize) -> Option<usize> {
        self.0.iter().take(index).rposition(|name| name.as_str() == stage)
    }
}

/// Checks how many tickets a ticket waits for and drops duplicates. The store checks whether they
/// exist.
pub fn dependencies<T: PartialEq>(given: Vec<T>) -> Result<Vec<T>, Invalid> {
    if given.len() > MAX_DEPENDENCIES {
        let count = format!("{} tickets", given.len());
        let allowed = format!("at most {MAX_DEPENDENCIES} tickets");
        return Err(Invalid::new("depends_on", &count, allowed));
    }
    let mut kept = Vec::with_capacity(given.len());
    for ticket in given {
        if !kept.contains(&ticket) {
            kept.push(ticket);
        }
    }
    Ok(kept)
}

/// Run the next attempt in this claude session, on this worker if it asks first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeHint {
    pub claude_session_id: String,
    pub worker: WorkerId,
    /// Do no work: ask the session for the outcome that it did not give.
    pub asks_outcome: bool,
}

/// Which texts of a ticket an agent wrote, in the result that asked for it. Texts that the
/// coordinator replaces belong to the coordinator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlannedWords {
    pub title: bool,
    pub description: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTicket {
    pub project: Name,
    pub title: String,
    pub description: String,
    pub plan: Plan,
    pub priority: Priority,
    pub depends_on: Vec<TicketId>,
    pub idempotency_key: Option<String>,
}

/// What `update_ticket` changes; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TicketChange {
    pub title: Option<String>,
    pub description: Option<String>,
    pub priority: Option<Priority>,
    /// The whole plan; the stages that have begun stay as they are.
    pub plan: Option<Plan>,
    /// `Some(None)` restores the limit of the project.
    pub max_budget_usd: Option<Option<f64>>,
}

/// The attempt of a running ticket, for sentences about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveAttempt {
    pub attempt: AttemptId,
    pub worker: WorkerId,
    pub granted_at: Timestamp,
    /// Like [`super::attempt::Attempt::suspect`].
    pub suspect: bool,
    /// Like [`super::attempt::Attempt::trouble`].
    pub trouble: Option<String>,
    pub kind: AttemptKind,
    /// The gate that it runs.
    pub gate: Option<String>,
    /// Whether it runs on the base commit.
    pub is_base: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(stages: &[&str]) -> Plan {
        Plan(stages.iter().map(|s| Name::from_row((*s).to_owned())).collect())
    }

    #[test]
    fn earlier_finds_the_nearest_stage_of_that_name() {
        let plan = plan(&["impl", "test", "impl", "review"]);
        assert_eq!(plan.earlier("impl", 3), Some(2));
        assert_eq!(plan.earlier("impl", 2), Some(0));
        assert_eq!(plan.earlier("review", 3), None);
        assert!(plan.is_last(3) && !plan.is_last(2));
    }

    #[test]
    fn a_plan_has_one_to_thirty_two_stages() {
        assert!(Plan::new(Vec::new()).is_err());
        assert!(Plan::new(vec![Name::from_row("a".into()); 32]).is_ok());
        assert!(Plan::new(vec![Name::from_row("a".into()); 33]).is_err());
    }
}
