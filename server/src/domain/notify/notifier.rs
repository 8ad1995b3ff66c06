//! A notifier, as the configuration describes it.

use std::path::PathBuf;
use std::time::Duration;

use crate::domain::event::EventKind;
use crate::domain::text::Name;

use super::quiet_hours::QuietHours;

/// One consumer of the event log that passes on what it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifier {
    pub name: Name,
    /// The kinds that it passes on.
    pub events: Vec<EventKind>,
    /// Only events of these projects; of every project when there is no list.
    pub projects: Option<Vec<Name>>,
    pub target: Target,
    /// When its messages are held until later.
    pub quiet_hours: Option<QuietHours>,
    /// How long one try may take.
    pub timeout: Duration,
    /// After this many failed tries of one message, it is paused.
    pub max_tries: u32,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A program and its arguments; the message is its standard input.
    Command(Vec<String>),
    Webhook(Webhook),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// `http://` or `https://`, checked.
    pub url: String,
    /// What messages are signed with is in this file.
    pub secret_file: PathBuf,
    /// Certificate authorities that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl Notifier {
    /// The kinds that a notifier without a list of its own passes on: what may need somebody.
    #[must_use]
    pub fn usual_events() -> Vec<EventKind> {
        EventKind::FOR_SOMEBODY.into_iter().chain([EventKind::BudgetWarning]).collect()
    }
}

impl Target {
    /// Where messages go, for people. The path of an address may be a secret, and so may an argument of a command.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Command(argv) => argv.first().cloned().unwrap_or_default(),
            Self::Webhook(Webhook { url, .. }) => {
                let end = url.match_indices(['/', '?']).map(|(at, _)| at).nth(2);
                url[..end.unwrap_or(url.len())].to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_an_address_is_not_shown() {
        let shown = |url: &str| {
            let webhook = Webhook { url: url.to_owned(), secret_file: "/s".into(), ca_file: None };
            Target::Webhook(webhook).shown()
        };
        assert_eq!(shown("https://hooks.example:8443/T0/B0/secret"), "https://hooks.example:8443");
        assert_eq!(shown("http://127.0.0.1:1?key=secret"), "http://127.0.0.1:1");
        assert_eq!(shown("https://hooks.example"), "https://hooks.example");
        let command = Target::Command(vec!["/usr/bin/curl".into(), "secret".into()]);
        assert_eq!(command.shown(), "/usr/bin/curl");
    }
}
