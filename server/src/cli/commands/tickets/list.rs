//! The list: what is open, newest first.

use serde_json::Value;
use serde_json::json;

use super::options::Tickets;
use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::output;
use crate::cli::queues;
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
use crate::exit::Exit;
use crate::wire::ticket::TicketView;

pub(super) async fn run(
    command: &Tickets,
    client: &Client,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    let mut arguments = client::given([("project", &command.project), ("stage", &command.stage)]);
    if !command.state.is_empty() {
        arguments["state"] = json!(command.state);
    }
    if command.all {
        arguments["all"] = json!(true);
    }
    // One more than is shown tells whether there are more.
    let asked = command.limit.saturating_add(1);
    let mut tickets = client.list("list_tickets", "tickets", arguments, asked).await?;
    let limit = usize::try_from(command.limit).unwrap_or(usize::MAX);
    let more = tickets.len() > limit;
    tickets.truncate(limit);
    if command.json {
        output::json(&json!({"tickets": tickets, "more": more}))?;
        return Ok(Exit::Ok);
    }
    let tickets: Vec<TicketView> = client.read("list_tickets", Value::from(tickets))?;
    let mut page = table(&tickets, screen);
    let hint = more.then(|| {
        let newest = if limit == 1 { "one is".to_owned() } else { format!("{limit} are") };
        format!(
            "Only the newest {newest} shown; see more with --limit {}.",
            limit.saturating_mul(10)
        )
    });
    let unknown = match &command.stage {
        Some(stage) if tickets.is_empty() => {
            queues::unknown(client, command.project.as_deref(), stage).await?
        }
        Some(_) | None => None,
    };
    let hint = hint.or(unknown).or_else(|| nothing(command, tickets.is_empty()));
    let is_marked = tickets.iter().any(|ticket| is_assumed(ticket.assumed_usd));
    // Where the list goes to a program, a hint is none of its lines.
    for hint in hint.into_iter().chain(is_marked.then(|| MARK.to_owned())) {
        if screen.is_terminal() {
            page.line(Line::new().toned(hint, Tone::Faint));
        } else {
            output::note(hint);
        }
    }
    screen.show(&page)?;
    Ok(Exit::Ok)
}

/// What to say under a list with nothing in it.
fn nothing(command: &Tickets, is_empty: bool) -> Option<String> {
    let closed_too = command.all || command.state.iter().any(|state| state == "closed");
    match (is_empty, closed_too) {
        (false, _) => None,
        (true, true) => Some("No ticket matches.".to_owned()),
        (true, false) => {
            let asks =
                command.project.is_some() || command.stage.is_some() || !command.state.is_empty();
            let what = if asks { "No open ticket matches" } else { "No open ticket" };
            Some(format!("{what}; --all lists closed ones too."))
        }
    }
}

fn table(tickets: &[TicketView], screen: &Screen) -> Page {
    let mut table = Table::new([
        Column::new("TICKET"),
        Column::new("STATE"),
        Column::new("PROJECT").rank(3).least(10),
        Column::new("STAGE").rank(2).least(10),
        Column::new("PRIORITY").rank(4).sparse(),
        Column::new("UPDATED").rank(5),
        Column::new("COST").rank(6).right(),
        Column::new("TITLE").least(24),
    ]);
    for ticket in tickets {
        let name = ticket.resolution.as_ref().unwrap_or(&ticket.state);
        let stage = if ticket.resolution.is_some() { "" } else { &ticket.current_stage };
        let priority = if ticket.priority == "normal" { "" } else { &ticket.priority };
        let cost = ticket.cost_usd + ticket.assumed_usd;
        table.row([
            (&ticket.ticket_id).into(),
            Cell::state(name),
            (&ticket.project).into(),
            stage.into(),
            priority.into(),
            screen.ago(&ticket.updated_at).into(),
            if cost > 0.0 { dollars(cost, ticket.assumed_usd).into() } else { Cell::default() },
            (&ticket.title).into(),
        ]);
    }
    let mut page = Page::new();
    if !tickets.is_empty() {
        page.table(table);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_reviewed_one() {
        let held = TicketView {
            ticket_id: "T-42".into(),
            project: "shop".into(),
            title: "Refuse expired coupons".into(),
            state: "on_hold".into(),
            current_stage: "implement".into(),
            priority: "high".into(),
            cost_usd: 0.5,
            updated_at: "2026-11-29T05:06:00.000Z".into(),
            ..TicketView::default()
        };
        let closed = TicketView {
            ticket_id: "T-7".into(),
            title: "A title\nover lines, \u{1b}[31mwith colours, in 漢字, and longer than most screens are wide, however wide"
                .into(),
            state: "closed".into(),
            resolution: Some("completed".into()),
            priority: "normal".into(),
            cost_usd: 0.0,
            assumed_usd: 0.75,
            ..held.clone()
        };
        let shown = |screen: Screen| {
            screen.lines(&table(&[held.clone(), closed.clone()], &screen)).join("\n")
        };
        let screens = [
            Screen::pipe(),
            Screen::of_columns(120),
            Screen::of_columns(80),
            Screen::of_columns(50),
        ];
        crate::snapshot::holds("table-tickets", &screens.map(shown).join("\n\n"));
    }
}
