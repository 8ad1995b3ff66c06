//! `gates`: the gates of a ticket and what each found; `gate`: `list`, `run`, `waive`.

use clap::Args;
use clap::Subcommand;
use serde_json::json;

use crate::cli::act;
use crate::cli::act::Act;
use crate::cli::act::Given;
use crate::cli::act::Place;
use crate::cli::act::Text;
use crate::cli::client;
use crate::cli::connection::Connection;
use crate::cli::output;
use crate::cli::output::cell;
use crate::cli::terminal::Cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Display;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
use crate::cli::terminal::Tone;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::gate::GateView;
use crate::wire::ticket::TicketDetailView;
use crate::wire::ticket::TicketView;

#[derive(Debug, Args)]
pub struct Gates {
    /// The ticket, such as T-42
    #[arg(value_name = "TICKET")]
    pub ticket: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub display: Display,
    #[command(flatten)]
    pub connection: Connection,
}

#[derive(Debug, Args)]
pub struct GateNoun {
    #[command(subcommand)]
    pub command: GateCommand,
}

#[derive(Debug, Subcommand)]
pub enum GateCommand {
    /// List the gates of a ticket, as `gates` does
    #[command(visible_alias = "ls")]
    List(Gates),
    /// Run the gates of a ticket that is on hold
    ///
    /// If its stage was completed and all of them pass, the ticket moves on.
    Run(Given<RunGates>),
    /// Let a ticket pass a gate, whatever the gate finds
    ///
    /// The reason is recorded. A ticket that waits for nothing else moves on.
    Waive(Given<WaiveGate>),
}

const TICKET: Place = Place::required("ticket_id", "TICKET");

pub struct RunGates;
impl Act for RunGates {
    const TOOL: &'static str = "run_gates";
    const PLACES: &'static [Place] = &[TICKET];
}

pub struct WaiveGate;
impl Act for WaiveGate {
    const TOOL: &'static str = "waive_gate";
    const PLACES: &'static [Place] =
        &[TICKET, Place::required("gate", "GATE"), Place::optional("reason", "REASON")];
    const TEXT: Option<Text> =
        Some(Text { field: "reason", required: true, asks: "Why may this ticket pass the gate?" });
}

pub async fn gate(command: GateNoun, environment: &Environment) -> anyhow::Result<Exit> {
    match command.command {
        GateCommand::List(command) => list(&command, environment).await,
        GateCommand::Run(command) => {
            act::carry_out(&command, environment, |client, answer| {
                let ticket: TicketView = client.read("run_gates", answer.clone())?;
                let id = cell(&ticket.ticket_id);
                Ok(format!(
                    "The gates of {id} run. `vibe-ensemble gates {id}` shows what they find."
                ))
            })
            .await
        }
        GateCommand::Waive(command) => {
            let name = cell(command.text("gate"));
            act::carry_out(&command, environment, |client, answer| {
                let ticket: TicketView = client.read("waive_gate", answer.clone())?;
                let (id, state) = (cell(&ticket.ticket_id), cell(&ticket.state));
                Ok(format!("{id} may pass the gate {name}. It is {state} now."))
            })
            .await
        }
    }
}

pub async fn list(command: &Gates, environment: &Environment) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let asked = json!({"ticket_id": command.ticket});
    let detail: TicketDetailView = client.ask("get_ticket", asked).await?;
    if command.json {
        output::json(&json!({"ticket_id": detail.ticket.ticket_id, "gates": detail.gates}))?;
        return Ok(Exit::Ok);
    }
    let screen = Screen::of(&command.display, environment);
    screen.show(&page(&detail, &screen))?;
    Ok(Exit::Ok)
}

fn page(detail: &TicketDetailView, screen: &Screen) -> Page {
    let mut page = Page::new();
    let id = &detail.ticket.ticket_id;
    if detail.gates.is_empty() {
        page.line(format!(
            "{id} has no gates. They are in .vibe-ensemble.toml of its project; `vibe-ensemble check-project --help` says more."
        ));
        return page;
    }
    page.table(table(&detail.gates));
    for gate in detail.gates.iter().filter(|gate| gate.note.is_some() || gate.waived.is_some()) {
        page.gap();
        if let Some(note) = &gate.note {
            page.line(format!("{}: {note}", gate.gate));
        }
        if let Some(waived) = &gate.waived {
            page.line(format!(
                "{} was waived by {}, {}: {}",
                gate.gate,
                waived.author,
                screen.at(&waived.at),
                waived.reason
            ));
        }
    }
    for gate in &detail.gates {
        if let (Some(output), Some(attempt)) = (&gate.output, &gate.attempt_id) {
            page.heading(format!("{} in {attempt}", gate.gate));
            page.text(output, 2);
            page.line(format!("`vibe-ensemble logs {attempt}` prints all of it."));
        }
    }
    page
}

/// The gates of a ticket as a table.
fn table(gates: &[GateView]) -> Table {
    let mut table = Table::new([
        Column::new("GATE").least(8),
        Column::new("VERDICT"),
        Column::new("COMMIT").rank(2),
        Column::new("ATTEMPT").rank(1),
        Column::new("COMMAND").rank(3).least(16).sparse(),
    ]);
    for gate in gates {
        let commit = gate.commit.as_deref().unwrap_or_default();
        table.row([
            (&gate.gate).into(),
            verdict(gate),
            Cell::new(commit.get(..12).unwrap_or(commit)),
            Cell::new(gate.attempt_id.clone().unwrap_or_default()),
            Cell::new(gate.command.join(" ")),
        ]);
    }
    table
}

fn verdict(gate: &GateView) -> Cell {
    let verdict = match (&gate.verdict, &gate.attempt_id) {
        (Some(verdict), _) => verdict.as_str(),
        (None, Some(_)) => "running",
        (None, None) => "",
    };
    let tone = match verdict {
        "passed" | "known_failure" | "flaky" => Tone::Good,
        "failed" | "timed_out" | "error" => Tone::Bad,
        _ => Tone::Faint,
    };
    let waived = if gate.waived.is_some() { " (waived)" } else { "" };
    Cell::new(format!("{verdict}{waived}")).tone(tone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::gate::WaivedView;

    #[test]
    fn the_page_is_the_reviewed_one() {
        let gate = |name: &str, verdict: Option<&str>| GateView {
            gate: name.into(),
            command: vec!["cargo".into(), name.into()],
            verdict: verdict.map(str::to_owned),
            commit: verdict.map(|_| "1a2b3c4d5e6f7a8b9c0d".into()),
            attempt_id: verdict.map(|_| "A-18".into()),
            ..GateView::default()
        };
        let detail = TicketDetailView {
            ticket: TicketView { ticket_id: "T-42".into(), ..TicketView::default() },
            gates: vec![
                gate("fmt", Some("passed")),
                GateView {
                    output: Some("test cart ... FAILED\n\u{1b}[2J\n".into()),
                    ..gate("test", Some("failed"))
                },
                GateView {
                    waived: Some(WaivedView {
                        reason: "The linter has a bug.".into(),
                        author: "coordinator".into(),
                        at: "2026-11-29T10:00:00.000Z".into(),
                    }),
                    note: Some("It changed 1 file, which was put back.".into()),
                    ..gate("clippy", Some("timed_out"))
                },
                gate("doc", None),
            ],
            ..TicketDetailView::default()
        };
        let mut texts: Vec<String> = [Screen::pipe(), Screen::of_columns(50)]
            .map(|screen| screen.lines(&page(&detail, &screen)).join("\n"))
            .into();
        let none = TicketDetailView { gates: vec![], ..detail };
        let screen = Screen::of_columns(80);
        texts.push(screen.lines(&page(&none, &screen)).join("\n"));
        crate::snapshot::holds("table-gates", &texts.join("\n\n"));
    }
}
