//! From what the store knows of a ticket to its view on the wire.

use crate::domain::advice::Reader;
use crate::domain::comment::Comment;
use crate::domain::text::shortened;
use crate::domain::ticket::Ticket;
use crate::domain::waiting::waiting;
use crate::mcp::page::List;
use crate::mcp::tools::projects::LISTED_CHARS;
use crate::store::TicketDetail;
use crate::wire::attempt::AttemptView;
use crate::wire::ticket::ShownComment;
use crate::wire::ticket::TicketDetailView;
use crate::wire::ticket::TicketView;

impl TicketView {
    /// The ticket as lists show it, with its description cut.
    pub(crate) fn listed(ticket: Ticket) -> Self {
        let view = Self::from(ticket);
        Self { description: shortened(&view.description, LISTED_CHARS), ..view }
    }
}

impl TicketDetailView {
    /// The ticket with the words of its wait for `reader`.
    pub(crate) fn of(detail: TicketDetail, reader: Reader) -> Self {
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
            waiting_cause: wait.as_ref().map(|wait| wait.cause.name().to_owned()),
            waiting_until: wait.as_ref().and_then(|wait| wait.until).map(|until| until.to_string()),
            waiting_for: wait.map(|wait| wait.told(reader)),
            ticket: detail.ticket.into(),
            gates: Vec::new(),
            copied: None,
            attempts: detail.attempts.into_iter().map(AttemptView::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::attempt::Attempt;
    use crate::domain::attempt::AttemptState;
    use crate::domain::attempt::Ended;
    use crate::domain::attempt::Outcome;
    use crate::domain::attempt::Progress;
    use crate::domain::attempt::Spent;
    use crate::domain::gates::kind::AttemptKind;
    use crate::domain::hold::Hold;
    use crate::domain::hold::HoldKind;
    use crate::domain::id::AttemptId;
    use crate::domain::id::ProjectKey;
    use crate::domain::id::TicketId;
    use crate::domain::id::WorkerId;
    use crate::domain::limits::Limit;
    use crate::domain::outcome::Failure;
    use crate::domain::text::Name;
    use crate::domain::ticket::Plan;
    use crate::domain::ticket::PlannedWords;
    use crate::domain::ticket::Priority;
    use crate::domain::ticket::TicketState;
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
            gate_failures: 0,
            gate_message: None,
            work: None,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(7),
        }
    }

    #[test]
    fn a_ticket_has_the_fields_of_the_contract_and_absent_ones_are_null() {
        let view =
            TicketView::listed(ticket(TicketState::OnHold(Hold::new(HoldKind::Question, "asks"))));
        let description = format!("{}…", "d".repeat(500));
        assert_eq!(
            serde_json::to_value(view).unwrap(),
            json!({
                "ticket_id": "T-42", "project": "p", "title": "Build", "description": description,
                "state": "on_hold", "resolution": null, "hold_reason": "asks", "hold_kind": "question", "execution_plan": ["impl", "test"],
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
            kind: AttemptKind::Agent,
            check: None,
        };
        assert_eq!(
            serde_json::to_value(AttemptView::from(attempt)).unwrap(),
            json!({
                "attempt_id": "A-17", "ticket_id": "T-42", "stage": "impl", "worker_id": "W-7", "state": "ended",
                "suspect": false, "trouble": null, "progress": {"message": "Half of it.", "percent": 50, "at": "1970-01-01T00:00:00.005Z"},
                "outcome": "failed", "failure": "no_result", "detail": "it ended without a result", "exit_code": 1,
                "signal": null, "claude_session_id": "s", "num_turns": 3, "cost_usd": null, "assumed_usd": 0.75, "input_tokens": null,
                "output_tokens": null, "cached_tokens": null, "peak_memory_bytes": null, "budget_usd": 2.0,
                "asks_outcome": false, "kind": "agent", "gate": null, "commands": null, "commit": null, "verdict": null,
                "on_base": false, "note": null, "granted_at": "1970-01-01T00:00:00.001Z", "started_at": null,
                "ended_at": "1970-01-01T00:00:00.009Z",
            })
        );
    }
}
