//! What `status` shows.

use crate::cli::commands::status::shown::Shown;
use crate::cli::pauses;
use crate::cli::terminal::Cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Line;
use crate::cli::terminal::MARK;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
use crate::cli::terminal::Tone;
use crate::cli::terminal::dollars;
use crate::cli::terminal::is_assumed;
use crate::cli::terminal::lasted;
use crate::cli::terminal::read_time;
use crate::cli::waiting;
use crate::wire::inbox::ItemView;
use crate::wire::pause::PauseView;
use crate::wire::project::CountsView;
use crate::wire::status::TodayView;

/// Rows of each part of the screen; of what is more, the number and the command that lists it.
const ROWS: usize = 10;

pub(super) fn of(shown: &Shown, screen: &Screen) -> Page {
    let status = &shown.status;
    let mut page = Page::new();
    match &status.version {
        Some(version) => {
            let (ready, tone) =
                if status.ready { ("ready", Tone::Good) } else { ("not ready", Tone::Bad) };
            let line = Line::new().toned(format!("vibe-ensemble {version}"), Tone::Strong);
            page.line(line.text(format!(" at {}, ", shown.url)).toned(ready, tone));
        }
        None => page.line(format!(
            "The server at {} is of a version that does not report its status; upgrade it to the version of this command.",
            shown.url
        )),
    }
    if status.version.is_some() {
        page.field("tickets", counts(&status.tickets));
    }
    let busy = shown.workers.iter().filter(|worker| worker.state == "busy").count();
    page.field("workers", format!("{} running, {busy} busy", shown.workers.len()));
    if status.version.is_some() {
        page.field("today", today(&status.today));
    }
    if status.disk_low {
        let line = Line::new().toned("nearly full", Tone::Bad);
        page.field("disk", line.text(": nothing new starts until there is free space"));
    }
    if status.draining {
        let line = Line::new().toned("nothing new starts", Tone::Attention);
        page.field("drain", line.text("; `vibe-ensemble drain --off` ends the drain"));
    }
    running(shown, screen, &mut page);
    waiting(shown, screen, &mut page);
    paused(shown, screen, &mut page);
    queues(shown, &mut page);
    page
}

fn counts(tickets: &CountsView) -> Line {
    let CountsView { blocked, scheduled, queued, running, on_hold, closed } = *tickets;
    let by_state = [
        (running, "running"),
        (queued, "queued"),
        (scheduled, "scheduled"),
        (blocked, "blocked"),
        (on_hold, "on hold"),
        (closed, "closed"),
    ];
    let mut line = Line::new();
    for (count, state) in by_state.iter().filter(|(count, _)| *count > 0) {
        let tone = if *state == "on hold" { Tone::Attention } else { Tone::Plain };
        line = if line.is_empty() { line } else { line.text(", ") };
        line = line.toned(format!("{count} {state}"), tone);
    }
    if line.is_empty() { "none".into() } else { line }
}

fn today(today: &TodayView) -> Line {
    let spent = today.cost_usd + today.assumed_usd;
    let of = today.limit_usd.map(|limit| format!(" of ${limit:.2} a day")).unwrap_or_default();
    let tone = match today.limit_usd {
        Some(limit) if spent >= limit => Tone::Bad,
        Some(limit) if spent >= 0.8 * limit => Tone::Attention,
        Some(_) | None => Tone::Plain,
    };
    let line = Line::new().toned(format!("${spent:.2}{of}"), tone);
    if today.assumed_usd < 0.005 {
        return line;
    }
    line.text(format!(", of which ${:.2} is assumed, not reported", today.assumed_usd))
}

fn running(shown: &Shown, screen: &Screen, page: &mut Page) {
    let at_work = &shown.status.at_work;
    if at_work.is_empty() {
        return;
    }
    let mut table = Table::new([
        Column::new("RUNNING"),
        Column::new("STAGE").rank(1).least(10),
        Column::new("PROJECT").rank(3).least(8),
        Column::new("WORKER").rank(4),
        Column::new("FOR").right(),
        Column::new("COST").rank(2).right(),
        Column::new("TITLE").least(20),
    ]);
    for attempt in at_work.iter().take(ROWS) {
        let since = read_time(&attempt.since);
        table.row([
            Cell::new(&attempt.ticket_id).tone(Tone::Good),
            (&attempt.stage).into(),
            (&attempt.project).into(),
            (&attempt.worker_id).into(),
            since.map(|since| lasted(screen.now().since(since))).unwrap_or_default().into(),
            dollars(attempt.cost_usd, attempt.assumed_usd).into(),
            (&attempt.title).into(),
        ]);
    }
    page.gap();
    page.table(table);
    if at_work.iter().take(ROWS).any(|attempt| is_assumed(attempt.assumed_usd)) {
        page.line(Line::new().toned(format!("  {MARK}"), Tone::Faint).hang(2));
    }
    let all = usize::try_from(shown.status.tickets.running).unwrap_or(0).max(at_work.len());
    more(all, ROWS, "vibe-ensemble tickets --state running", page);
}

fn waiting(shown: &Shown, screen: &Screen, page: &mut Page) {
    if shown.waiting.items.is_empty() {
        return;
    }
    page.heading("Waiting for you");
    let total = shown.waiting.total();
    if total > ROWS {
        let counts = waiting::counted(&shown.waiting.counts);
        page.line(Line::new().toned(format!("  {counts}"), Tone::Attention).hang(2));
    }
    for item in shown.waiting.items.iter().take(ROWS) {
        let line = Line::new().toned(format!("  {:<8} ", item.item), Tone::Attention);
        let kind = item.kind.replace('_', " ");
        let line = line.text(format!("{kind}  ")).toned(screen.ago(&item.since), Tone::Faint);
        page.line(line.hang(11));
        page.line(Line::new().text(format!("           {}", screen.told(&item.sentence))).hang(11));
        if let Some(action) = item.actions.first() {
            let line = Line::new().toned(format!("           {}: ", action.label), Tone::Faint);
            page.line(line.toned(&action.command, Tone::Pointer).hang(13));
        }
    }
    more(total, ROWS, "vibe-ensemble inbox", page);
}

const fn is_of_ticket(item: &ItemView) -> bool {
    item.ticket_id.is_some()
}

/// Whether a pause is shown as something that waits for somebody.
fn is_shown(pause: &PauseView, shown: &Shown) -> bool {
    let id = match (&pause.project, &pause.worker_type) {
        (Some(project), Some(kind)) => format!("{project}/{kind}"),
        (Some(project), None) => project.clone(),
        (None, _) => "server".to_owned(),
    };
    shown.waiting.items.iter().take(ROWS).any(|item| !is_of_ticket(item) && item.item == id)
}

fn paused(shown: &Shown, screen: &Screen, page: &mut Page) {
    let pauses = shown.status.pauses.iter();
    let all: Vec<&PauseView> = pauses.filter(|pause| !is_shown(pause, shown)).collect();
    if all.is_empty() {
        return;
    }
    page.heading("Paused");
    for pause in all.iter().take(ROWS) {
        let line = Line::new().text("  ").toned(pauses::what(pause), Tone::Attention);
        let since = format!(", {} ({}): ", screen.ago(&pause.since), pauses::by(pause));
        let until = pause.until.as_ref().map(|until| format!("; ends {}", screen.ago(until)));
        let line = line.text(since).text(screen.told(pause.reason.trim_end_matches('.')));
        page.line(line.text(until.unwrap_or_default()).hang(11));
        page.line(
            Line::new()
                .text("           ")
                .toned(pauses::way_out(pause).replace('`', ""), Tone::Pointer)
                .hang(11),
        );
    }
    more(all.len(), ROWS, "vibe-ensemble status --json", page);
}

fn queues(shown: &Shown, page: &mut Page) {
    let active: Vec<_> = shown
        .queues
        .iter()
        .filter(|queue| queue.depth > 0 || queue.running > 0 || queue.workers > 0 || queue.paused)
        .collect();
    if active.is_empty() {
        return;
    }
    let mut table = Table::new([
        Column::new("QUEUE").least(12),
        Column::new("PROJECT").rank(1).least(10),
        Column::new("WAITING").right(),
        Column::new("RUNNING").right(),
        Column::new("WORKERS").rank(2).right(),
        Column::new("").sparse(),
    ]);
    for queue in active.iter().take(ROWS) {
        table.row([
            (&queue.worker_type).into(),
            (&queue.project).into(),
            queue.depth.into(),
            queue.running.into(),
            format!("{} of {}", queue.workers, queue.max_workers).into(),
            if queue.paused { Cell::state("paused") } else { Cell::default() },
        ]);
    }
    page.gap();
    page.table(table);
    more(active.len(), ROWS, "vibe-ensemble queue list", page);
}

/// Says that there is more of a list, and which command shows it.
fn more(all: usize, shown: usize, command: &str, page: &mut Page) {
    if all > shown {
        let line = Line::new().toned(format!("  and {} more: ", all - shown), Tone::Faint);
        page.line(line.toned(command, Tone::Pointer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::waiting::Waiting;
    use crate::wire::inbox::ActionView;
    use crate::wire::queue::QueueView;
    use crate::wire::status::AtWorkView;
    use crate::wire::status::ServerStatus;
    use crate::wire::worker::WorkerView;

    fn held(number: i64) -> ItemView {
        let action = ActionView {
            label: "Answer it".into(),
            command: format!("vibe-ensemble answer T-{number} 'YOUR ANSWER'"),
            ..ActionView::default()
        };
        ItemView {
            item: format!("T-{number}"),
            kind: "question".into(),
            since: "2026-11-29T05:00:00.000Z".into(),
            project: Some("shop".into()),
            ticket_id: Some(format!("T-{number}")),
            sentence: format!(
                "T-{number} \"Refuse expired coupons\" asks at implement: Which date counts: that of the order, or that \
                 of the payment?"
            ),
            actions: vec![action],
        }
    }

    fn paused_queue() -> ItemView {
        let action = ActionView {
            label: "Fix the cause, then resume it".into(),
            command: "vibe-ensemble resume shop implement".into(),
            ..ActionView::default()
        };
        ItemView {
            item: "shop/implement".into(),
            kind: "queue_paused".into(),
            since: "2026-11-29T05:00:00.000Z".into(),
            project: Some("shop".into()),
            sentence: "The queue implement of shop is paused: could not start claude: no such file or directory.".into(),
            actions: vec![action],
            ..ItemView::default()
        }
    }

    fn full() -> Shown {
        let busy = WorkerView { state: "busy".into(), ..WorkerView::default() };
        let idle = WorkerView { state: "idle".into(), ..WorkerView::default() };
        let at_work = AtWorkView {
            ticket_id: "T-43".into(),
            project: "shop".into(),
            title: "期限切れのクーポンを拒否する and say why it was refused".into(),
            stage: "implement".into(),
            attempt_id: "A-17".into(),
            worker_id: "W-7".into(),
            since: "2026-11-29T05:06:48.000Z".into(),
            cost_usd: 0.87,
            assumed_usd: 0.75,
            ..AtWorkView::default()
        };
        let status = ServerStatus {
            version: Some("1.2.3".into()),
            ready: true,
            disk_low: true,
            draining: true,
            tickets: CountsView { queued: 3, running: 1, on_hold: 1, ..CountsView::default() },
            pauses: vec![
                PauseView {
                    scope: "everything".into(),
                    cause: "usage_limit".into(),
                    reason: "the account has used 95 % of its five hours".into(),
                    since: "2026-11-29T05:00:00.000Z".into(),
                    until: Some("2026-11-29T07:00:00.000Z".into()),
                    ..PauseView::default()
                },
                PauseView {
                    scope: "queue".into(),
                    project: Some("shop".into()),
                    worker_type: Some("implement".into()),
                    cause: "failure".into(),
                    reason: "could not start claude: no such file or directory".into(),
                    since: "2026-11-29T05:00:00.000Z".into(),
                    ..PauseView::default()
                },
            ],
            at_work: vec![at_work],
            today: TodayView { cost_usd: 4.12, assumed_usd: 0.75, limit_usd: Some(20.0) },
        };
        let queue = QueueView {
            project: "shop".into(),
            worker_type: "implement".into(),
            depth: 3,
            running: 1,
            workers: 2,
            max_workers: 4,
            ..QueueView::default()
        };
        let paused = QueueView {
            worker_type: "review".into(),
            paused: true,
            depth: 0,
            running: 0,
            workers: 0,
            ..queue.clone()
        };
        let silent = QueueView { worker_type: "plan".into(), paused: false, ..paused.clone() };
        Shown {
            url: "http://127.0.0.1:3276".into(),
            status,
            queues: vec![queue, paused, silent],
            workers: vec![busy, idle],
            waiting: Waiting { items: vec![held(42), paused_queue()], ..Waiting::default() },
        }
    }

    #[test]
    fn the_screen_is_the_reviewed_one() {
        let shown = |shown: &Shown, screen: Screen| screen.lines(&of(shown, &screen)).join("\n");
        let nothing = Shown {
            url: full().url,
            status: ServerStatus { version: Some("1.2.3".into()), ..ServerStatus::default() },
            ..Shown::default()
        };
        let older = Shown { url: full().url, ..Shown::default() };
        let texts = [
            shown(&full(), Screen::pipe()),
            shown(&full(), Screen::of_columns(120)),
            shown(&full(), Screen::of_columns(80)),
            shown(&nothing, Screen::of_columns(80)),
            shown(&older, Screen::of_columns(80)),
        ];
        crate::snapshot::holds("table-status", &texts.join("\n\n=====\n"));
    }

    #[test]
    fn three_hundred_tickets_on_hold_do_not_flood_the_screen() {
        let mut many = full();
        many.waiting.items = (1..=50).map(held).collect();
        many.waiting.counts = [("question".to_owned(), 102), ("operator".to_owned(), 198)].into();
        many.status.tickets.on_hold = 300;
        many.status.at_work = vec![many.status.at_work[0].clone(); 60];
        many.status.tickets.running = 60;
        let screen = Screen::of_columns(80);
        let lines = screen.lines(&of(&many, &screen));
        assert!(lines.len() < 80, "{} lines", lines.len());
        let text = lines.join("\n");
        assert!(text.contains("and 290 more: vibe-ensemble inbox"), "{text}");
        assert!(text.contains("102 questions, 198 stopped tickets"), "{text}");
        assert!(text.contains("and 50 more: vibe-ensemble tickets --state running"), "{text}");
    }
}
