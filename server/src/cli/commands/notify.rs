//! `notify`: `list`, `test`, `resume`.

use clap::Args;
use clap::Subcommand;

use crate::cli::act;
use crate::cli::act::Act;
use crate::cli::act::Given;
use crate::cli::act::Place;
use crate::cli::output::cell;
use crate::cli::terminal::Cell;
use crate::cli::terminal::Column;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Table;
use crate::cli::terminal::Tone;
use crate::config::Environment;
use crate::exit::Exit;
use crate::wire::notifier::NotifierView;
use crate::wire::notifier::Notifiers;

#[derive(Debug, Args)]
pub struct Notify {
    #[command(subcommand)]
    pub command: NotifyCommand,
}

#[derive(Debug, Subcommand)]
pub enum NotifyCommand {
    /// List the notifiers, with the reason when messages do not arrive
    #[command(visible_alias = "ls")]
    List(Given<ListNotifiers>),
    /// Send a message through a notifier, to see whether it arrives
    ///
    /// Sends it at once, in its quiet hours too. Exits with 1 when it does not arrive. Messages that wait are not touched.
    Test(Given<TestNotifier>),
    /// Have a notifier try again now that is paused or waits
    ///
    /// It continues with the event at which it stopped.
    Resume(Given<ResumeNotifier>),
}

const NAME: Place = Place::required("notifier", "NAME");

pub struct ListNotifiers;
impl Act for ListNotifiers {
    const TOOL: &'static str = "list_notifiers";
    const PLACES: &'static [Place] = &[];
    const SHOWS: bool = true;
}

pub struct TestNotifier;
impl Act for TestNotifier {
    const TOOL: &'static str = "test_notifier";
    const PLACES: &'static [Place] = &[NAME];
}

pub struct ResumeNotifier;
impl Act for ResumeNotifier {
    const TOOL: &'static str = "resume_notifier";
    const PLACES: &'static [Place] = &[NAME];
}

pub async fn run(command: Notify, environment: &Environment) -> anyhow::Result<Exit> {
    match command.command {
        NotifyCommand::List(command) => {
            act::present(&command, environment, |client, answer, screen| {
                let found: Notifiers = client.read("list_notifiers", answer.clone())?;
                Ok(page(&found.notifiers, screen))
            })
            .await
        }
        NotifyCommand::Test(command) => act::carry_out(&command, environment, |client, answer| {
            let notifier: NotifierView = client.read("test_notifier", answer.clone())?;
            let waits = if notifier.state == "paused" {
                let name = cell(&notifier.name);
                format!(
                    " It is still paused; `vibe-ensemble notify resume {name}` sends what waits."
                )
            } else {
                String::new()
            };
            Ok(format!("The message arrived through {}.{waits}", cell(&notifier.name)))
        })
        .await,
        NotifyCommand::Resume(command) => {
            act::carry_out(&command, environment, |client, answer| {
                let notifier: NotifierView = client.read("resume_notifier", answer.clone())?;
                Ok(format!("{} tries again now.", cell(&notifier.name)))
            })
            .await
        }
    }
}

fn page(notifiers: &[NotifierView], screen: &Screen) -> Page {
    let mut page = Page::new();
    if notifiers.is_empty() {
        page.line("There is no notifier. They are tables [[notify]] in the configuration file.");
        return page;
    }
    let mut table = Table::new([
        Column::new("NAME").least(8),
        Column::new("STATE"),
        Column::new("DELIVERED").rank(1),
        Column::new("TARGET").rank(2).least(12),
        Column::new("EVENTS").rank(3).least(16),
    ]);
    for notifier in notifiers {
        let delivered = notifier.delivered_at.as_deref().map(|at| screen.at(at));
        table.row([
            (&notifier.name).into(),
            state(&notifier.state),
            Cell::new(delivered.unwrap_or_default()),
            Cell::new(notifier.target.clone()),
            Cell::new(notifier.events.join(", ")),
        ]);
    }
    page.table(table);
    for notifier in notifiers {
        let Some(error) = &notifier.error else { continue };
        page.gap();
        let next = match &notifier.next_try_at {
            Some(at) => format!("It tries again at {}.", screen.at(at)),
            None => format!("`vibe-ensemble notify resume {}` has it try again.", notifier.name),
        };
        page.line(format!("{}: {}. {next}", notifier.name, error.trim_end_matches('.')));
    }
    page
}

fn state(state: &str) -> Cell {
    let tone = match state {
        "active" => Tone::Good,
        "failing" | "paused" => Tone::Bad,
        _ => Tone::Faint,
    };
    Cell::new(state).tone(tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_the_reviewed_one() {
        let notifier = |name: &str, state: &str| NotifierView {
            name: name.into(),
            state: state.into(),
            target: "https://hooks.example".into(),
            events: vec!["ticket_on_hold".into(), "budget_warning".into()],
            delivered_at: Some("2026-11-29T10:00:00.000Z".into()),
            ..NotifierView::default()
        };
        let all = [
            notifier("phone", "active"),
            NotifierView {
                error: Some("it answered 503 Service Unavailable".into()),
                next_try_at: Some("2026-11-29T10:02:00.000Z".into()),
                ..notifier("chat", "failing")
            },
            NotifierView {
                error: Some("mail ended with exit status: 1: no\u{1b}[2J route".into()),
                target: "mail".into(),
                delivered_at: None,
                ..notifier("mail", "paused")
            },
        ];
        let mut texts: Vec<String> = [Screen::pipe(), Screen::of_columns(50)]
            .map(|screen| screen.lines(&page(&all, &screen)).join("\n"))
            .into();
        let screen = Screen::of_columns(80);
        texts.push(screen.lines(&page(&[], &screen)).join("\n"));
        crate::snapshot::holds("table-notifiers", &texts.join("\n\n"));
    }
}
