//! Tickets, attempts and comments as they read on the wire.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::attempt::Attempt;
use crate::domain::attempt::AttemptState;
use crate::domain::attempt::Ended;
use crate::domain::attempt::Progress;
use crate::domain::comment::Comment;
use crate::domain::comment::CommentKind;
use crate::domain::id::TicketId;
use crate::domain::outcome::Failure;
use crate::domain::text::Name;
use crate::domain::ticket::Priority;
use crate::domain::ticket::Ticket;
use crate::domain::ticket::TicketState;
use crate::domain::waiting::Cause;
use crate::domain::waiting::waiting;
use crate::domain::worktree::DiffStat;
use crate::mcp::page::List;
use crate::mcp::tools::projects::LISTED_CHARS;
use crate::mcp::transcript::shortened;
use crate::store::TicketDetail;

#[derive(Serialize, JsonSchema)]
pub(crate) struct TicketView {
    ticket_id: String,
    project: String,
    title: String,
    description: String,
    #[schemars(extend("enum" = TicketState::NAMES))]
    state: &'static str,
    /// completed or cancelled, once it is closed.
    resolution: Option<&'static str>,
    /// Why it is on hold, while it is.
    hold_reason: Option<String>,
    execution_plan: Vec<String>,
    /// Counted from 0.
    stage_index: i64,
    current_stage: String,
    #[schemars(extend("enum" = Priority::NAMES))]
    priority: &'static str,
    depends_on: Vec<String>,
    /// Charged attempts of the current stage.
    attempts_used: i64,
    rework_laps: i64,
    cost_usd: f64,
    /// Dollars it is counted with on top, for attempts that were stopped before they could say what they cost.
    assumed_usd: f64,
    /// Dollars it may cost over its whole life, when it has a limit of its own.
    max_budget_usd: Option<f64>,
    /// The branch of its work; null before it began, and where attempts work in the project's directory.
    branch: Option<String>,
    /// Where its own work begins.
    base_commit: Option<String>,
    /// The last commit that was accepted; its branch is there whenever no attempt runs.
    head_commit: Option<String>,
    /// From `base_commit` to `head_commit`.
    diff_stat: Option<DiffStatView>,
    /// The directory its branch is checked out in; null once retention removed it.
    worktree: Option<String>,
    /// The commit of the base branch that has its work, once it was merged.
    merged_commit: Option<String>,
    created_at: String,
    updated_at: String,
    closed_at: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct DiffStatView {
    files_changed: i64,
    insertions: i64,
    deletions: i64,
}

impl From<DiffStat> for DiffStatView {
    fn from(stat: DiffStat) -> Self {
        let DiffStat { files_changed, insertions, deletions } = stat;
        Self { files_changed, insertions, deletions }
    }
}

impl TicketView {
    /// The ticket as a list shows it, its description cut.
    pub(crate) fn listed(ticket: Ticket) -> Self {
        let view = Self::from(ticket);
        Self { description: shortened(&view.description, LISTED_CHARS), ..view }
    }
}

impl From<Ticket> for TicketView {
    fn from(ticket: Ticket) -> Self {
        let state = ticket.state.name();
        let current_stage = ticket.current_stage().to_string();
        let (resolution, closed_at, hold_reason) = match ticket.state {
            TicketState::Closed { resolution, at } => {
                (Some(resolution.name()), Some(at.to_string()), None)
            }
            TicketState::OnHold { reason } => (None, None, Some(reason)),
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
            hold_reason,
            execution_plan: ticket.plan.stages().iter().map(Name::to_string).collect(),
            stage_index: i64::try_from(ticket.stage_index).unwrap_or(i64::MAX),
            current_stage,
            priority: ticket.priority.name(),
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

/// How far an agent says it is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ProgressView {
    message: String,
    /// From 0 to 100, when it gave a number.
    percent: Option<i64>,
    at: String,
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        let Progress { said, percent, at } = progress;
        Self { message: said, percent, at: at.to_string() }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct AttemptView {
    attempt_id: String,
    ticket_id: String,
    stage: String,
    worker_id: String,
    /// granted, running or ended.
    state: &'static str,
    /// True while it is stuck: its shim is dead, and what it left contradicts itself or its processes cannot be ended.
    suspect: bool,
    /// What keeps its shim from ending it: processes that do not die, a record that cannot be written.
    trouble: Option<String>,
    /// What its agent said last on how far it is; null until it says something.
    progress: Option<ProgressView>,
    /// succeeded, failed, `timed_out`, cancelled, interrupted or lost, once it has ended.
    outcome: Option<&'static str>,
    /// The class of failure, for every outcome but succeeded.
    failure: Option<&'static str>,
    /// What went wrong, in one sentence.
    detail: Option<String>,
    exit_code: Option<i64>,
    signal: Option<i64>,
    claude_session_id: String,
    num_turns: Option<i64>,
    cost_usd: Option<f64>,
    /// Dollars it is counted with because it ended without saying what it cost; 0 once a later attempt of its session
    /// has paid for it.
    assumed_usd: Option<f64>,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    /// The part of the input tokens that the prompt cache had or took.
    cached_tokens: Option<i64>,
    /// Most memory its processes held.
    peak_memory_bytes: Option<i64>,
    /// Dollars it was told it may spend.
    budget_usd: Option<f64>,
    /// True when it only asked an earlier attempt's session for the outcome.
    asks_outcome: bool,
    granted_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        let state = attempt.state.name();
        let ended = match attempt.state {
            AttemptState::Granted | AttemptState::Running => None,
            AttemptState::Ended(ended) => Some(ended),
        };
        let of = |field: fn(&Ended) -> Option<i64>| ended.as_ref().and_then(field);
        Self {
            attempt_id: attempt.id.to_string(),
            ticket_id: attempt.ticket.to_string(),
            stage: attempt.stage.into_string(),
            worker_id: attempt.worker.to_string(),
            state,
            suspect: attempt.suspect,
            trouble: attempt.trouble,
            progress: attempt.progress.map(ProgressView::from),
            outcome: ended.as_ref().map(|ended| ended.outcome.name()),
            failure: ended.as_ref().and_then(|ended| ended.failure).map(Failure::name),
            exit_code: of(|ended| ended.exit_code.map(i64::from)),
            signal: of(|ended| ended.signal.map(i64::from)),
            ended_at: ended.as_ref().map(|ended| ended.at.to_string()),
            detail: ended.map(|ended| ended.detail).filter(|detail| !detail.is_empty()),
            claude_session_id: attempt.claude_session_id,
            num_turns: attempt.spent.num_turns,
            cost_usd: attempt.spent.cost_usd,
            assumed_usd: attempt.assumed_usd,
            input_tokens: attempt.spent.input_tokens,
            output_tokens: attempt.spent.output_tokens,
            cached_tokens: attempt.spent.cached_tokens,
            peak_memory_bytes: attempt.spent.peak_memory_bytes,
            budget_usd: attempt.budget.map(|(usd, _)| usd),
            asks_outcome: attempt.asks_outcome,
            granted_at: attempt.granted_at.to_string(),
            started_at: attempt.started_at.map(|at| at.to_string()),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct CommentView {
    comment_id: String,
    ticket_id: String,
    /// coordinator, or the worker type of the stage that reports.
    author: String,
    stage: Option<String>,
    attempt_id: Option<String>,
    /// A stage's report, the question it ended with, or a remark made at any time.
    #[schemars(extend("enum" = CommentKind::NAMES))]
    kind: &'static str,
    content: String,
    created_at: String,
}

impl From<Comment> for CommentView {
    fn from(comment: Comment) -> Self {
        Self {
            comment_id: comment.id.to_string(),
            ticket_id: comment.ticket.to_string(),
            author: comment.author,
            stage: comment.stage.map(Name::into_string),
            attempt_id: comment.attempt.map(|attempt| attempt.to_string()),
            kind: comment.kind.name(),
            content: comment.content,
            created_at: comment.created_at.to_string(),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct TicketDetailView {
    #[serde(flatten)]
    ticket: TicketView,
    /// Why it is not running and what would move it; null once it is closed.
    waiting_for: Option<String>,
    /// The same as one word.
    #[schemars(extend("enum" = causes()))]
    waiting_cause: Option<&'static str>,
    /// When it ends by itself, if that is known.
    waiting_until: Option<String>,
    /// The newest, oldest first.
    comments: Vec<ShownComment>,
    /// How many it has, with those that are not shown.
    comments_total: i64,
    /// Where the older comments are, when there are some; null otherwise.
    comments_cursor: Option<String>,
    /// The newest, oldest first.
    attempts: Vec<AttemptView>,
    attempts_total: i64,
    attempts_cursor: Option<String>,
}

/// A comment as an answer with many shows it.
#[derive(Serialize, JsonSchema)]
struct ShownComment {
    #[serde(flatten)]
    comment: CommentView,
    /// True when this is only the beginning of a long one.
    cut: bool,
}

impl From<TicketDetail> for TicketDetailView {
    fn from(detail: TicketDetail) -> Self {
        let wait = waiting(&detail.ticket, &detail.surroundings);
        let comment = |comment: Comment| ShownComment {
            cut: detail.cut.contains(&comment.id),
            comment: comment.into(),
        };
        Self {
            comments: detail.comments.into_iter().map(comment).collect(),
            comments_total: detail.comments_total,
            comments_cursor: detail.comments_before.map(|id| List::Comments.write(id.key())),
            attempts_total: detail.attempts_total,
            attempts_cursor: detail.attempts_before.map(|id| List::Attempts.write(id.key())),
            waiting_cause: wait.as_ref().map(|wait| wait.cause.name()),
            waiting_until: wait.as_ref().and_then(|wait| wait.until).map(|until| until.to_string()),
            waiting_for: wait.map(|wait| wait.sentence),
            ticket: detail.ticket.into(),
            attempts: detail.attempts.into_iter().map(AttemptView::from).collect(),
        }
    }
}

/// The causes as the schema lists them: a closed ticket has none.
pub(crate) fn causes() -> Vec<serde_json::Value> {
    let names = Cause::NAMES.iter().map(|name| serde_json::Value::from(*name));
    names.chain([serde_json::Value::Null]).collect()
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Tickets {
    pub(crate) tickets: Vec<TicketView>,
    pub(crate) next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::attempt::Outcome;
    use crate::domain::attempt::Spent;
    use crate::domain::id::AttemptId;
    use crate::domain::id::ProjectKey;
    use crate::domain::id::WorkerId;
    use crate::domain::limits::Limit;
    use crate::domain::ticket::Plan;
    use crate::domain::ticket::PlannedWords;
    use crate::domain::time::Timestamp;

    fn name(text: &str) -> Name {
        Name::from_row(text.to_owned())
    }

    fn ticket(state: TicketState) -> Ticket {
        Ticket {
            id: TicketId::from_key(42),
            project: ProjectKey(1),
            project_name: name("p"),
            title: "Build".to_owned(),
            description: "d".repeat(600),
            priority: Priority::High,
            state,
            plan: Plan::new(vec![name("impl"), name("test")]).unwrap(),
            stage_index: 1,
            depends_on: vec![TicketId::from_key(41)],
            attempts_used: 1,
            rework_laps: 0,
            cost_usd: 0.5,
            assumed_usd: 0.25,
            max_budget_usd: None,
            root: None,
            planned: PlannedWords::default(),
            resume: None,
            work: None,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(7),
        }
    }

    #[test]
    fn a_ticket_has_the_fields_of_the_contract_and_absent_ones_are_null() {
        let view = TicketView::listed(ticket(TicketState::OnHold { reason: "asks".to_owned() }));
        let description = format!("{}…", "d".repeat(500));
        assert_eq!(
            serde_json::to_value(view).unwrap(),
            json!({
                "ticket_id": "T-42", "project": "p", "title": "Build", "description": description,
                "state": "on_hold", "resolution": null, "hold_reason": "asks", "execution_plan": ["impl", "test"],
                "stage_index": 1, "current_stage": "test", "priority": "high", "depends_on": ["T-41"],
                "attempts_used": 1, "rework_laps": 0, "cost_usd": 0.5, "assumed_usd": 0.25, "max_budget_usd": null, "branch": null, "base_commit": null,
                "head_commit": null, "diff_stat": null, "worktree": null, "merged_commit": null, "created_at": "1970-01-01T00:00:00.000Z",
                "updated_at": "1970-01-01T00:00:00.007Z", "closed_at": null,
            })
        );
    }

    #[test]
    fn an_ended_attempt_says_how_it_ended() {
        let ended = Ended {
            at: Timestamp::from_millis(9),
            outcome: Outcome::Failed,
            failure: Some(Failure::NoResult),
            detail: "it ended without a result".to_owned(),
            exit_code: Some(1),
            signal: None,
        };
        let attempt = Attempt {
            id: AttemptId::from_key(17),
            ticket: TicketId::from_key(42),
            stage_index: 0,
            stage: name("impl"),
            worker: WorkerId::from_key(7),
            state: AttemptState::Ended(ended),
            claude_session_id: "s".to_owned(),
            resumed: false,
            asks_outcome: false,
            budget: Some((2.0, Limit::Ticket)),
            limit_reached: None,
            cut_short: None,
            stop: None,
            granted_at: Timestamp::from_millis(1),
            started_at: None,
            suspect: false,
            overdue: false,
            trouble: None,
            may_create_tickets: false,
            timeout_seconds: Some(3600),
            progress: Some(Progress {
                said: "Half of it.".to_owned(),
                percent: Some(50),
                at: Timestamp::from_millis(5),
            }),
            spent: Spent { num_turns: Some(3), ..Spent::default() },
            model: String::new(),
            assumed_usd: Some(0.75),
        };
        assert_eq!(
            serde_json::to_value(AttemptView::from(attempt)).unwrap(),
            json!({
                "attempt_id": "A-17", "ticket_id": "T-42", "stage": "impl", "worker_id": "W-7", "state": "ended",
                "suspect": false, "trouble": null, "progress": {"message": "Half of it.", "percent": 50, "at": "1970-01-01T00:00:00.005Z"},
                "outcome": "failed", "failure": "no_result", "detail": "it ended without a result", "exit_code": 1,
                "signal": null, "claude_session_id": "s", "num_turns": 3, "cost_usd": null, "assumed_usd": 0.75, "input_tokens": null,
                "output_tokens": null, "cached_tokens": null, "peak_memory_bytes": null, "budget_usd": 2.0,
                "asks_outcome": false, "granted_at": "1970-01-01T00:00:00.001Z", "started_at": null,
                "ended_at": "1970-01-01T00:00:00.009Z",
            })
        );
    }
}
