//! The table of workers, with a line above it.

use super::worker::All;
use super::worker::Order;
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
use crate::cli::terminal::memory;

/// The line above the table, and the table from its `from`th row on.
pub(super) fn of(all: &All, from: usize, screen: &Screen) -> Page {
    let mut page = Page::new();
    let busy = all.workers.iter().filter(|seen| seen.at_work.is_some()).count();
    let bytes: i64 = all.workers.iter().filter_map(|seen| seen.memory).sum();
    let tickets = &all.status.tickets;
    let today = &all.status.today;
    let limit = today.limit_usd.map(|limit| format!(" of ${limit:.2}")).unwrap_or_default();
    let line = Line::new().toned(format!("{busy} busy"), Tone::Good);
    let line = line.text(format!(
        ", {} idle; {} in use; today ${:.2}{limit}; {} queued, ",
        all.workers.len() - busy,
        memory(bytes),
        today.cost_usd + today.assumed_usd,
        tickets.queued
    ));
    let tone = if tickets.on_hold > 0 { Tone::Attention } else { Tone::Plain };
    page.line(line.toned(format!("{} on hold", tickets.on_hold), tone));
    page.gap();
    if all.workers.is_empty() {
        page.line(Line::new().toned("No worker is running.", Tone::Faint));
        return page;
    }
    let mut table = Table::new([
        Column::new("WORKER"),
        Column::new("STATE").rank(5),
        Column::new("TICKET"),
        Column::new("STAGE").rank(3).least(8),
        Column::new("PROJECT").rank(6).least(8),
        Column::new("FOR").rank(4).right(),
        Column::new("CPU").right(),
        Column::new("MEMORY").rank(1).right(),
        Column::new("COST").rank(2).right(),
        Column::new("LAST ACTION").least(16),
    ]);
    for seen in all.workers.iter().skip(from) {
        let worker = &seen.worker;
        let at_work = seen.at_work.as_ref();
        table.row([
            (&worker.worker_id).into(),
            Cell::state(&worker.state),
            (&worker.ticket_id).into(),
            at_work.map_or(&worker.worker_type, |at_work| &at_work.stage).into(),
            (&worker.project).into(),
            lasted(seen.lasted(screen.now())).into(),
            seen.processor.map(|percent| format!("{percent}%")).unwrap_or_default().into(),
            seen.memory.map(memory).unwrap_or_default().into(),
            at_work.map(|it| dollars(it.cost_usd, it.assumed_usd)).unwrap_or_default().into(),
            Cell::new(&seen.last),
        ]);
    }
    page.table(table);
    page
}

/// What a mark before dollars means, where a row has one.
pub(super) fn mark(all: &All) -> Option<Line> {
    let mut at_work = all.workers.iter().filter_map(|seen| seen.at_work.as_ref());
    let is_marked = at_work.any(|attempt| is_assumed(attempt.assumed_usd));
    is_marked.then(|| Line::new().toned(MARK, Tone::Faint))
}

/// The keys, for the last line of the screen.
pub(super) fn keys(order: Order) -> Line {
    let key = |line: Line, letter: &str, word: &str, on: bool| {
        let tone = if on { Tone::Strong } else { Tone::Faint };
        line.toned(format!("{letter} "), Tone::Pointer).toned(format!("{word}  "), tone)
    };
    let line = Line::new().toned("sort: ", Tone::Faint);
    let line = key(line, "t", "time", order == Order::Time);
    let line = key(line, "c", "processor", order == Order::Processor);
    let line = key(line, "m", "memory", order == Order::Memory);
    let line = key(line, "d", "dollars", order == Order::Cost);
    key(line, "q", "quit", false)
}

#[cfg(test)]
mod tests {
    use super::super::worker::Seen;
    use super::*;
    use crate::wire::project::CountsView;
    use crate::wire::status::AtWorkView;
    use crate::wire::status::ServerStatus;
    use crate::wire::status::TodayView;
    use crate::wire::worker::WorkerView;

    #[test]
    fn the_screen_is_the_reviewed_one() {
        let busy = Seen {
            worker: WorkerView {
                worker_id: "W-7".into(),
                project: "shop".into(),
                worker_type: "implement".into(),
                state: "busy".into(),
                ticket_id: Some("T-42".into()),
                ..WorkerView::default()
            },
            at_work: Some(AtWorkView {
                stage: "implement".into(),
                since: "2026-11-29T05:06:48.000Z".into(),
                cost_usd: 0.12,
                assumed_usd: 0.05,
                ..AtWorkView::default()
            }),
            memory: Some(412 << 20),
            processor: Some(187),
            last: "→ Bash cargo test --workspace -- 期限切れ and then some more words".into(),
        };
        let idle = Seen {
            worker: WorkerView {
                worker_id: "W-8".into(),
                state: "idle".into(),
                started_at: "2026-11-29T05:09:00.000Z".into(),
                ticket_id: None,
                ..busy.worker.clone()
            },
            processor: Some(0),
            ..Seen::default()
        };
        let status = ServerStatus {
            tickets: CountsView { queued: 12, on_hold: 2, ..CountsView::default() },
            today: TodayView { cost_usd: 4.1, assumed_usd: 0.0, limit_usd: Some(20.0) },
            ..ServerStatus::default()
        };
        let all = All { status, workers: vec![busy, idle] };
        let shown = |screen: Screen| {
            let mut page = of(&all, 0, &screen);
            if let Some(mark) = mark(&all) {
                page.line(mark);
            }
            page.line(keys(Order::Memory));
            screen.lines(&page).join("\n")
        };
        let screens = [120, 80, 60, 40].map(Screen::of_columns);
        let none = Screen::of_columns(80);
        let none = none.lines(&of(&All::default(), 0, &none)).join("\n");
        let texts = [&screens.map(shown)[..], &[none]].concat();
        crate::snapshot::holds("table-top", &texts.join("\n\n=====\n"));
    }
}
