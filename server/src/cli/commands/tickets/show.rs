//! Everything about one ticket.

use serde_json::json;

use super::result::Work;
use crate::cli::client::Client;
use crate::cli::output;
use crate::cli::terminal::Cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Line;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
use crate::cli::terminal::Tone;
use crate::cli::terminal::lasted;
use crate::cli::terminal::read_time;
use crate::domain::text;
use crate::domain::waiting::ON_HOLD;
use crate::exit::Exit;
use crate::git;
use crate::wire::attempt::AttemptView;
use crate::wire::gate::GateView;
use crate::wire::ticket::DiffStatView;
use crate::wire::ticket::ShownComment;
use crate::wire::ticket::TicketDetailView;
use crate::wire::ticket::TicketView;

/// The columns that git may use for the list of changed files.
const STAT: usize = 76;

/// Prints everything about one ticket.
pub async fn show_one(
    ticket: &str,
    json: bool,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    let ticket = client.call("get_ticket", json!({"ticket_id": ticket})).await?;
    if json {
        output::json(&ticket)?;
        return Ok(Exit::Ok);
    }
    let detail: TicketDetailView = client.read("get_ticket", ticket)?;
    let work = match detail.ticket.resolution {
        Some(_) => Work::of(&detail.ticket, client).await?,
        None => None,
    };
    // Where the repository cannot be read, the lines that look at it still say where it is.
    let stat = match &work {
        Some(work) if !work.is_empty() => {
            work.difference(git::Shown::Files(STAT)).await.unwrap_or_default()
        }
        Some(_) | None => String::new(),
    };
    let result = work.map(|work| (work, stat));
    screen.show(&page(&detail, result.as_ref(), screen))?;
    Ok(Exit::Ok)
}

fn page(detail: &TicketDetailView, result: Option<&(Work, String)>, screen: &Screen) -> Page {
    let ticket = &detail.ticket;
    let mut page = Page::new();
    let id = Line::new().toned(format!("{}  ", ticket.ticket_id), Tone::Strong);
    let hang = id.columns();
    page.line(id.text(&ticket.title).hang(hang));
    page.field("project", ticket.project.as_str());
    page.field("state", state(ticket));
    page.field("stage", stage(ticket));
    if let Some(reason) = &ticket.hold_reason {
        page.field("on hold", screen.told(reason));
    }
    // It repeats the reason of a hold, and adds what to do.
    if let Some(waiting) = &detail.waiting_for {
        page.field("waits for", screen.told(waiting.strip_prefix(ON_HOLD).unwrap_or(waiting)));
    }
    if ticket.priority != "normal" {
        page.field("priority", ticket.priority.as_str());
    }
    if !ticket.depends_on.is_empty() {
        page.field("depends on", ticket.depends_on.join(", "));
    }
    let stat = ticket.diff_stat.as_ref().filter(|stat| stat.files_changed > 0);
    let changes = stat.map(changes);
    if result.is_none() {
        page.field("branch", ticket.branch.as_deref().unwrap_or_default());
        page.field("changes", changes.as_deref().unwrap_or_default());
        page.field("worktree", ticket.worktree.as_deref().unwrap_or_default());
    }
    page.field("gates", gates(&detail.gates));
    page.field("cost", cost(ticket));
    page.field("created", screen.at(&ticket.created_at));
    page.field("closed", ticket.closed_at.as_ref().map(|at| screen.at(at)).unwrap_or_default());
    if !ticket.description.is_empty() {
        page.heading("Description");
        page.text(&ticket.description, 2);
    }
    attempts(detail, screen, &mut page);
    comments(detail, screen, &mut page);
    if let Some((work, stat)) = result {
        work.add_to(&mut page, changes.as_deref(), stat);
    }
    page
}

/// Each gate with what it found last.
fn gates(gates: &[GateView]) -> String {
    let told = |gate: &GateView| {
        let verdict = match (&gate.verdict, &gate.attempt_id) {
            (Some(verdict), _) => verdict.as_str(),
            (None, Some(_)) => "running",
            (None, None) => "not run",
        };
        let waived = if gate.waived.is_some() { " (waived)" } else { "" };
        format!("{} {verdict}{waived}", gate.gate)
    };
    gates.iter().map(told).collect::<Vec<_>>().join(", ")
}

/// What was special about an attempt.
fn what(detail: &TicketDetailView, attempt: &AttemptView) -> String {
    let verdict = attempt.verdict.as_deref().map(|verdict| format!(": {verdict}"));
    match (attempt.kind.as_str(), &attempt.gate) {
        ("setup", _) => "setup".to_owned(),
        (_, Some(gate)) if attempt.on_base => format!("gate {gate} on the base"),
        (_, Some(gate)) => format!("gate {gate}{}", verdict.unwrap_or_default()),
        (_, None) if attempt.asks_outcome => "asked for its outcome".to_owned(),
        (_, None) if asked(detail, &attempt.attempt_id) => "question".to_owned(),
        (_, None) => String::new(),
    }
}

fn state(ticket: &TicketView) -> Line {
    let name = ticket.resolution.as_ref().unwrap_or(&ticket.state);
    let line = Line::new().toned(name, Tone::of_state(name));
    match &ticket.hold_kind {
        Some(kind) => line.text(format!(" ({kind})")),
        None => line,
    }
}

/// The plan, with the stage that the ticket is at.
fn stage(ticket: &TicketView) -> Line {
    let current = usize::try_from(ticket.stage_index).unwrap_or(0);
    let mut line = Line::new();
    for (index, stage) in ticket.execution_plan.iter().enumerate() {
        if index > 0 {
            line = line.text(" → ");
        }
        line = line.text(stage);
    }
    let stages = ticket.execution_plan.len();
    if ticket.resolution.is_some() || stages < 2 {
        return line;
    }
    let at = Line::new().toned(&ticket.current_stage, Tone::Strong);
    at.text(format!(" ({} of {stages}: ", current + 1)).join(line).text(")")
}

fn attempts(detail: &TicketDetailView, screen: &Screen, page: &mut Page) {
    if detail.attempts.is_empty() {
        return;
    }
    let older = detail.attempts_total - i64::try_from(detail.attempts.len()).unwrap_or(0);
    page.gap();
    if older > 0 {
        page.line(Line::new().toned(format!("{older} older attempts are not shown."), Tone::Faint));
    }
    let mut table = Table::new([
        Column::new("ATTEMPT"),
        Column::new("STAGE").least(8),
        Column::new("OUTCOME"),
        Column::new("FAILURE").rank(1).sparse(),
        Column::new("WHAT").rank(2).sparse(),
        Column::new("TOOK").rank(3).right(),
        Column::new("COST").rank(4).right(),
        Column::new("STARTED").rank(5),
        Column::new("WORKER").rank(6),
    ]);
    for attempt in &detail.attempts {
        let outcome = attempt.outcome.as_ref().unwrap_or(&attempt.state);
        let outcome = if attempt.suspect { "stuck" } else { outcome };
        let outcome = if asked(detail, &attempt.attempt_id) { "blocked" } else { outcome };
        table.row([
            (&attempt.attempt_id).into(),
            (&attempt.stage).into(),
            Cell::state(outcome),
            (&attempt.failure).into(),
            what(detail, attempt).into(),
            took(attempt, screen).into(),
            attempt.cost_usd.map(|usd| format!("${usd:.2}")).unwrap_or_default().into(),
            attempt.started_at.as_ref().map(|at| screen.ago(at)).unwrap_or_default().into(),
            (&attempt.worker_id).into(),
        ]);
    }
    page.table(table);
    let told = detail.attempts.iter().filter_map(|attempt| {
        let said = attempt.detail.as_ref().or(attempt.trouble.as_ref())?;
        (attempt.outcome.as_deref() != Some("succeeded")).then_some((&attempt.attempt_id, said))
    });
    let told: Vec<(&String, &String)> = told.collect();
    if !told.is_empty() {
        page.heading("What went wrong");
        for (attempt, said) in told {
            page.field(attempt, screen.told(said));
        }
    }
}

/// Whether an attempt ended with a question: it did its work, and its ticket waits for an answer all the same.
fn asked(detail: &TicketDetailView, attempt: &str) -> bool {
    detail.comments.iter().any(|shown| {
        shown.comment.kind == "question" && shown.comment.attempt_id.as_deref() == Some(attempt)
    })
}

/// How long an attempt took, or has been running.
fn took(attempt: &AttemptView, screen: &Screen) -> String {
    let started = attempt.started_at.as_deref().and_then(read_time);
    let ended = attempt.ended_at.as_deref().and_then(read_time);
    match (started, ended) {
        (Some(started), Some(ended)) => lasted(ended.since(started)),
        (Some(started), None) => lasted(screen.now().since(started)),
        (None, _) => String::new(),
    }
}

fn comments(detail: &TicketDetailView, screen: &Screen, page: &mut Page) {
    let older = detail.comments_total - i64::try_from(detail.comments.len()).unwrap_or(0);
    if older > 0 {
        page.gap();
        page.line(Line::new().toned(format!("{older} older comments are not shown."), Tone::Faint));
    }
    for ShownComment { comment, cut } in &detail.comments {
        let of_stage = comment.stage.is_some() || comment.attempt_id.is_some();
        let (what, tone) = match (comment.kind.as_str(), of_stage) {
            ("report", _) => ("Report", Tone::Good),
            ("question", _) => ("Question", Tone::Attention),
            (_, true) => ("Remark", Tone::Plain),
            (_, false) => ("Comment", Tone::Pointer),
        };
        let who = match (&comment.attempt_id, of_stage) {
            (Some(attempt), _) => format!(" of the agent {}, {attempt}, ", comment.author),
            (None, true) => format!(" of {}, ", comment.author),
            (None, false) => format!(" by the {}, ", comment.author),
        };
        page.gap();
        page.line(
            Line::new()
                .toned(what, tone)
                .text(who)
                .toned(screen.ago(&comment.created_at), Tone::Faint),
        );
        page.text(&comment.content, 2);
        if *cut {
            let whole = format!(
                "  … cut here; the whole: vibe-ensemble call get_ticket '{{\"ticket_id\":\"{}\",\"comment_id\":\"{}\"}}'",
                comment.ticket_id, comment.comment_id
            );
            page.line(Line::new().toned(whole, Tone::Faint));
        }
    }
}

/// What its agents reported as their cost, and what is assumed for those that ended without a report.
fn cost(ticket: &TicketView) -> String {
    match (ticket.cost_usd, ticket.assumed_usd) {
        (cost, assumed) if assumed < 0.0001 => format!("${cost:.4}"),
        (cost, assumed) => format!("${cost:.4} and ${assumed:.4} assumed"),
    }
}

/// As git words it.
fn changes(stat: &DiffStatView) -> String {
    let DiffStatView { files_changed, insertions, deletions } = stat;
    format!("{}, +{insertions} -{deletions}", text::counted(files_changed, "file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::comment::CommentView;

    fn ticket() -> TicketView {
        TicketView {
            ticket_id: "T-42".into(),
            project: "shop".into(),
            title: "Refuse expired coupons, 期限切れ".into(),
            description: "An expired coupon still lowers the price.\nRefuse it with a reason."
                .into(),
            state: "on_hold".into(),
            hold_reason: Some(
                "Which date counts: that of the order, or that of the payment?".into(),
            ),
            hold_kind: Some("question".into()),
            execution_plan: vec!["implement".into(), "review".into()],
            current_stage: "implement".into(),
            priority: "high".into(),
            cost_usd: 0.5,
            assumed_usd: 0.25,
            branch: Some("vibe-ensemble/T-42".into()),
            diff_stat: Some(DiffStatView { files_changed: 1, insertions: 40, deletions: 2 }),
            created_at: "2026-11-29T05:00:00.000Z".into(),
            ..TicketView::default()
        }
    }

    fn detail() -> TicketDetailView {
        let failed = AttemptView {
            attempt_id: "A-17".into(),
            stage: "implement".into(),
            worker_id: "W-7".into(),
            state: "ended".into(),
            outcome: Some("failed".into()),
            failure: Some("no_result".into()),
            detail: Some(
                "The agent ended its turn without the structured result that the stage asks for."
                    .into(),
            ),
            cost_usd: Some(0.25),
            started_at: Some("2026-11-29T05:00:01.000Z".into()),
            ended_at: Some("2026-11-29T05:01:01.000Z".into()),
            ..AttemptView::default()
        };
        let asked = AttemptView {
            attempt_id: "A-18".into(),
            asks_outcome: true,
            outcome: Some("succeeded".into()),
            failure: None,
            detail: None,
            ..failed.clone()
        };
        let running = AttemptView {
            attempt_id: "A-19".into(),
            state: "running".into(),
            outcome: None,
            failure: None,
            detail: None,
            cost_usd: None,
            ended_at: None,
            ..failed.clone()
        };
        let question = CommentView {
            author: "implement".into(),
            stage: Some("implement".into()),
            attempt_id: Some("A-18".into()),
            kind: "question".into(),
            content: "Which date counts: that of the order, or that of the payment?\n".into(),
            created_at: "2026-11-29T05:01:01.000Z".into(),
            ..CommentView::default()
        };
        let remark = CommentView {
            author: "coordinator".into(),
            kind: "remark".into(),
            stage: None,
            attempt_id: None,
            content: "Ask the shop.".into(),
            ..question.clone()
        };
        let report = CommentView {
            kind: "report".into(),
            content: "I\u{1b}[2J looked.".into(),
            ..question.clone()
        };
        let comments =
            [report, question, remark].map(|comment| ShownComment { comment, cut: false });
        TicketDetailView {
            ticket: ticket(),
            waiting_for: Some("An answer to the question of the stage implement.".into()),
            attempts: vec![failed, asked, running],
            attempts_total: 3,
            comments: comments.into(),
            comments_total: 3,
            ..TicketDetailView::default()
        }
    }

    #[test]
    fn one_ticket_is_shown_as_reviewed() {
        let shown = |screen: Screen| screen.lines(&page(&detail(), None, &screen)).join("\n");
        let of_an_older_server = TicketDetailView::default();
        let screen = Screen::of_columns(80);
        let older = screen.lines(&page(&of_an_older_server, None, &screen)).join("\n");
        let texts = [shown(Screen::pipe()), shown(screen), shown(Screen::of_columns(50)), older];
        crate::snapshot::holds("table-ticket", &texts.join("\n\n=====\n"));
    }

    #[test]
    fn the_result_of_a_closed_ticket_says_how_to_take_it() {
        let closed = TicketView {
            state: "closed".into(),
            resolution: Some("completed".into()),
            hold_reason: None,
            hold_kind: None,
            closed_at: Some("2026-11-29T05:05:00.000Z".into()),
            ..ticket()
        };
        let closed = TicketDetailView { ticket: closed, ..TicketDetailView::default() };
        let kept = Work {
            path: "/srv/my shop".into(),
            branch: Some("vibe-ensemble/T-42".into()),
            base: "a6a1622c0ffee0000000000000000000deadbeef".into(),
            head: "b6a1622c0ffee0000000000000000000deadbeef".into(),
            merged: None,
        };
        let merged = Work {
            merged: Some("c6a1622c0ffee0000000000000000000deadbeef".into()),
            ..kept.clone()
        };
        let stat =
            " src/coupon.rs | 42 ++++++++--\n 1 file changed, 40 insertions(+), 2 deletions(-)\n";
        let screen = Screen::of_columns(80);
        let shown = |work: Work| {
            screen.lines(&page(&closed, Some(&(work, stat.to_owned())), &screen)).join("\n")
        };
        crate::snapshot::holds(
            "table-ticket-result",
            &[kept, merged].map(shown).join("\n\n=====\n"),
        );
    }
}
