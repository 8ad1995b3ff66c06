//! Tickets as they read on the wire.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::hold::HoldKind;
use crate::domain::id::TicketId;
use crate::domain::text::Name;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::waiting::Cause;
use crate::domain::worktree::DiffStat;
use crate::wire::attempt::AttemptView;
use crate::wire::comment::CommentView;
use crate::wire::gate::CopiedView;
use crate::wire::gate::GateView;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct TicketView {
    pub ticket_id: String,
    pub project: String,
    pub title: String,
    pub description: String,
    #[schemars(extend("enum" = TicketState::NAMES))]
    pub state: String,
    /// completed or cancelled, once closed.
    pub resolution: Option<String>,
    /// Why it is on hold, while it is.
    pub hold_reason: Option<String>,
    /// What it waits for, while it is on hold.
    #[schemars(extend("enum" = hold_kinds()))]
    pub hold_kind: Option<String>,
    pub execution_plan: Vec<String>,
    /// Counted from 0.
    pub stage_index: i64,
    pub current_stage: String,
    #[schemars(extend("enum" = Priority::NAMES))]
    pub priority: String,
    pub depends_on: Vec<String>,
    /// Charged attempts of the current stage.
    pub attempts_used: i64,
    pub rework_laps: i64,
    pub cost_usd: f64,
    /// Dollars assumed in addition, for attempts that were stopped before they could report a cost.
    pub assumed_usd: f64,
    /// Its own limit, if any: dollars over its whole life.
    pub max_budget_usd: Option<f64>,
    /// The branch of its work; null before it begins, and where attempts work in the project's directory.
    pub branch: Option<String>,
    /// The commit at which its work begins.
    pub base_commit: Option<String>,
    /// The last accepted commit; its branch is at this commit whenever no attempt is running.
    pub head_commit: Option<String>,
    /// From `base_commit` to `head_commit`.
    pub diff_stat: Option<DiffStatView>,
    /// The directory in which its branch is checked out; null once retention has removed it.
    pub worktree: Option<String>,
    /// The commit of the base branch with its work, once merged.
    pub merged_commit: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    pub closed_at: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct DiffStatView {
    pub files_changed: i64,
    pub insertions: i64,
    pub deletions: i64,
}

impl From<DiffStat> for DiffStatView {
    fn from(stat: DiffStat) -> Self {
        let DiffStat { files_changed, insertions, deletions } = stat;
        Self { files_changed, insertions, deletions }
    }
}

impl From<Ticket> for TicketView {
    fn from(ticket: Ticket) -> Self {
        let state = ticket.state.name().to_owned();
        let current_stage = ticket.current_stage().to_string();
        let (resolution, closed_at, hold) = match ticket.state {
            TicketState::Closed { resolution, at } => {
                (Some(resolution.name().to_owned()), Some(at.to_string()), None)
            }
            TicketState::OnHold(hold) => (None, None, Some(hold)),
            TicketState::Blocked
            | TicketState::Scheduled { .. }
            | TicketState::Queued
            | TicketState::Running => (None, None, None),
        };
        let work = ticket.work.as_ref();
        Self {
            branch: work.map(|work| work.branch.clone()),
            base_commit: work.map(|work| work.base_commit.clone()),
            head_commit: work.map(|work| work.head.commit.clone()),
            diff_stat: work.map(|work| work.head.stat.into()),
            worktree: work.filter(|work| !work.removed).map(|work| work.path.clone()),
            merged_commit: work.and_then(|work| work.merged_commit.clone()),
            ticket_id: ticket.id.to_string(),
            project: ticket.project_name.into_string(),
            title: ticket.title,
            description: ticket.description,
            state,
            resolution,
            hold_kind: hold.as_ref().map(|hold| hold.kind.name().to_owned()),
            hold_reason: hold.map(|hold| hold.reason),
            execution_plan: ticket.plan.stages().iter().map(Name::to_string).collect(),
            stage_index: i64::try_from(ticket.stage_index).unwrap_or(i64::MAX),
            current_stage,
            priority: ticket.priority.name().to_owned(),
            depends_on: ticket.depends_on.iter().map(TicketId::to_string).collect(),
            attempts_used: ticket.attempts_used,
            rework_laps: ticket.rework_laps,
            cost_usd: ticket.cost_usd,
            assumed_usd: ticket.assumed_usd,
            max_budget_usd: ticket.max_budget_usd,
            created_at: ticket.created_at.to_string(),
            updated_at: ticket.updated_at.to_string(),
            closed_at,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct TicketDetailView {
    #[serde(flatten)]
    pub ticket: TicketView,
    /// Why it is not running and what would move it; null once it is closed.
    pub waiting_for: Option<String>,
    /// The same as one word.
    #[schemars(extend("enum" = causes()))]
    pub waiting_cause: Option<String>,
    /// When the wait ends by itself, if known.
    pub waiting_until: Option<String>,
    /// The newest, oldest first.
    pub comments: Vec<ShownComment>,
    /// How many comments there are in all.
    pub comments_total: i64,
    /// Pass it back to read older comments; null if there are none.
    pub comments_cursor: Option<String>,
    /// Its gates, in their order, with what each found last.
    pub gates: Vec<GateView>,
    /// What was copied into its worktree from the project's checkout; null if nothing was to be.
    pub copied: Option<CopiedView>,
    /// The newest, oldest first.
    pub attempts: Vec<AttemptView>,
    pub attempts_total: i64,
    pub attempts_cursor: Option<String>,
}

/// A comment, possibly cut.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct ShownComment {
    #[serde(flatten)]
    pub comment: CommentView,
    /// True if this is only the beginning of a long comment.
    pub cut: bool,
}

/// The kinds as the schema lists them; null for a ticket that is not on hold.
pub(crate) fn hold_kinds() -> Vec<serde_json::Value> {
    let names = HoldKind::NAMES.iter().map(|name| serde_json::Value::from(*name));
    names.chain([serde_json::Value::Null]).collect()
}

/// The causes as the schema lists them; null for a closed ticket.
pub(crate) fn causes() -> Vec<serde_json::Value> {
    let names = Cause::NAMES.iter().map(|name| serde_json::Value::from(*name));
    names.chain([serde_json::Value::Null]).collect()
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(!default)]
pub struct Tickets {
    pub tickets: Vec<TicketView>,
    pub next_cursor: Option<String>,
}
