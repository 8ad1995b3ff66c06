//! `[[notify]]` in the file: who is notified of events.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use toml::de::DeTable;
use toml::de::DeValue;

use super::given::Given;
use super::given::Source;
use super::problem::Fault;
use super::problem::Problem;
use super::rule;
use crate::domain::event::EventKind;
use crate::domain::names::Named as _;
use crate::domain::nearest::nearest;
use crate::domain::notify::Notifier;
use crate::domain::notify::QuietHours;
use crate::domain::notify::Target;
use crate::domain::notify::Webhook;
use crate::domain::text::Name;

/// The key of the tables.
pub(super) const KEY: &str = "notify";

const KEYS: [&str; 10] = [
    "name",
    "events",
    "projects",
    "command",
    "url",
    "secret_file",
    "ca_file",
    "quiet_hours",
    "timeout_seconds",
    "max_tries",
];
const TIMEOUT: u32 = 30;
/// `notify test` waits for a try, and a client waits a minute for an answer.
const LONGEST: u32 = 50;
const MAX_TRIES: u32 = 20;

/// The part of the example file about them.
pub(super) const EXAMPLE: &str = "
# Who is notified of events, one table each: by a command, whose standard input is the message, or by a webhook with the
# headers of Standard Webhooks. A message is {\"events\": [...]}, each event as `vibe-ensemble events --json` prints it.
#[[notify]]
# Its name, for `vibe-ensemble notify`.
#name = \"phone\"
# A program and its arguments. It succeeds by exiting with 0.
#command = [\"/usr/local/bin/tell\", \"--urgent\"]
# Which kinds of events. Default: those that may need somebody.
#events = [\"ticket_on_hold\", \"ticket_closed\", \"queue_paused\", \"project_paused\", \"server_paused\", \"budget_warning\"]
# Only events of these projects. Default: of all.
#projects = [\"shop\"]
# Messages wait until these hours are over, in the time zone of the server.
#quiet_hours = \"22:00-07:00\"
# How long a try may take, in seconds.
#timeout_seconds = 30
# After this many failed tries of a message, the notifier is paused, and that is in the inbox.
#max_tries = 20
#[[notify]]
#name = \"hook\"
# Instead of a command: an address, and the file of the secret that signs what is sent there (whsec_ and base64, or at least 24
# characters), which only the user of the server may read.
#url = \"https://hooks.example/vibe-ensemble\"
#secret_file = \"/etc/vibe-ensemble/hook-secret\"
# Certificate authorities for that address, instead of those of the system.
#ca_file = \"/etc/vibe-ensemble/ca.pem\"
";

/// Reads the value of the key. Every mistake is reported with its line.
pub(super) fn read(
    value: &DeValue<'_>,
    source: &Source,
    at: &dyn Fn(usize) -> Source,
    problems: &mut Vec<Problem>,
) -> Vec<Notifier> {
    let DeValue::Array(items) = value else {
        problems.push(problem(
            source.clone(),
            "each notifier is a table that begins with the line [[notify]]",
        ));
        return Vec::new();
    };
    let mut notifiers: Vec<Notifier> = Vec::new();
    for item in items {
        let place = at(item.span().start);
        let DeValue::Table(table) = item.get_ref() else {
            problems.push(problem(
                place,
                "each notifier is a table that begins with the line [[notify]]",
            ));
            continue;
        };
        let mut reader = Reader { at, problems, is_wrong: false };
        let Some(notifier) = reader.table(table, &place) else { continue };
        if notifiers.iter().any(|other| other.name == notifier.name) {
            let message = format!(
                "two notifiers are named {:?}; name them differently",
                notifier.name.as_str()
            );
            problems.push(problem(place, message));
            continue;
        }
        notifiers.push(notifier);
    }
    notifiers
}

/// How `check-config` and the dashboard show them. What may hold a secret is left out.
pub(super) fn show(notifiers: &[Notifier]) -> Value {
    let one = |notifier: &Notifier| {
        let events: Vec<&str> = notifier.events.iter().map(|kind| kind.name()).collect();
        let mut shown = json!({
            "name": notifier.name.as_str(), "to": notifier.target.shown(), "events": events,
            "timeout_seconds": notifier.timeout.as_secs(), "max_tries": notifier.max_tries,
        });
        if let Some(projects) = &notifier.projects {
            shown["projects"] = projects.iter().map(Name::as_str).collect();
        }
        if let Some(hours) = notifier.quiet_hours {
            shown["quiet_hours"] = hours.to_string().into();
        }
        shown
    };
    notifiers.iter().map(one).collect()
}

fn problem(source: Source, message: impl Into<String>) -> Problem {
    Problem { option: Some(KEY), source, message: message.into(), fault: Fault::Value }
}

/// What one table says, as far as it is valid.
#[derive(Default)]
struct Said {
    name: Option<Name>,
    events: Option<Vec<EventKind>>,
    projects: Option<Vec<Name>>,
    command: Option<Vec<String>>,
    url: Option<String>,
    secret_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    quiet_hours: Option<QuietHours>,
    timeout: Option<u32>,
    max_tries: Option<u32>,
}

struct Reader<'a> {
    at: &'a dyn Fn(usize) -> Source,
    problems: &'a mut Vec<Problem>,
    is_wrong: bool,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, place: &Source) -> Option<Notifier> {
        let mut said = Said::default();
        for (key, value) in table {
            let source = (self.at)(key.span().start);
            let given = Given::from_toml(value.get_ref());
            self.field(key.get_ref().as_ref(), &given, &source, &mut said);
        }
        if !table.keys().any(|key| key.get_ref() == "name") {
            self.refuse(place.clone(), "name is missing; give this notifier one");
        }
        let has = |name: &str| table.keys().any(|key| key.get_ref() == name);
        match (has("command"), has("url")) {
            (true, true) => {
                self.refuse(place.clone(), "it has both command and url; give one of them");
            }
            (false, false) => {
                self.refuse(place.clone(), "it has neither command nor url; give one of them");
            }
            (false, true) if !has("secret_file") => {
                self.refuse(place.clone(), "secret_file is missing; name the file of the secret that signs messages to url");
            }
            (true, false) if has("secret_file") || has("ca_file") => {
                self.refuse(
                    place.clone(),
                    "secret_file and ca_file belong to url, and it has a command; remove them",
                );
            }
            (true, false) | (false, true) => {}
        }
        if self.is_wrong {
            return None;
        }
        let target = match (said.command, said.url) {
            (Some(command), _) => Target::Command(command),
            (None, Some(url)) => {
                let (secret_file, ca_file) = (said.secret_file?, said.ca_file);
                Target::Webhook(Webhook { url, secret_file, ca_file })
            }
            (None, None) => return None,
        };
        Some(Notifier {
            name: said.name?,
            events: said.events.unwrap_or_else(Notifier::usual_events),
            projects: said.projects,
            target,
            quiet_hours: said.quiet_hours,
            timeout: Duration::from_secs(u64::from(said.timeout.unwrap_or(TIMEOUT))),
            max_tries: said.max_tries.unwrap_or(MAX_TRIES),
        })
    }

    fn field(&mut self, key: &str, given: &Given, source: &Source, said: &mut Said) {
        match key {
            "name" => {
                let allowed =
                    "1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit";
                said.name =
                    self.value(key, given, source, allowed, |given| named(rule::text(given)?));
            }
            "events" => said.events = self.kinds(given, source),
            "projects" => {
                said.projects =
                    self.value(key, given, source, "a list of names of projects", |given| {
                        list(given)?.iter().map(|name| named(name)).collect()
                    });
            }
            "command" => {
                let allowed = "a list of strings: a program, by its name in PATH or an absolute path, and its arguments";
                said.command =
                    self.value(key, given, source, allowed, |given| command(list(given)?));
            }
            "url" => {
                let allowed = "an address that begins with http:// or https://, without a user, a password or a fragment";
                said.url = self.secret(
                    key,
                    source,
                    allowed,
                    rule::text(given).filter(|url| is_address(url)),
                );
            }
            "secret_file" => said.secret_file = self.file(key, given, source),
            "ca_file" => said.ca_file = self.file(key, given, source),
            "quiet_hours" => {
                said.quiet_hours = self.value(key, given, source, QuietHours::ALLOWED, |given| {
                    QuietHours::parse(rule::text(given)?)
                });
            }
            "timeout_seconds" => said.timeout = self.number(key, given, source, LONGEST),
            "max_tries" => said.max_tries = self.number(key, given, source, 1000),
            _ => {
                let known = nearest(key, KEYS.into_iter()).unwrap_or_default();
                self.refuse(
                    source.clone(),
                    format!("the key {key:?} does not exist; did you mean {known:?}?"),
                );
            }
        }
    }

    fn value<T>(
        &mut self,
        key: &str,
        given: &Given,
        source: &Source,
        allowed: &str,
        parse: impl FnOnce(&Given) -> Option<T>,
    ) -> Option<T> {
        let value = parse(given);
        if value.is_none() {
            self.refuse(
                source.clone(),
                format!("{key} is {given}, which is not valid; use {allowed}"),
            );
        }
        value
    }

    /// Like [`Self::value`], for one that is not repeated.
    fn secret(
        &mut self,
        key: &str,
        source: &Source,
        allowed: &str,
        value: Option<&str>,
    ) -> Option<String> {
        if value.is_none() {
            self.refuse(source.clone(), format!("{key} is not valid; use {allowed}"));
        }
        value.map(str::to_owned)
    }

    fn file(&mut self, key: &str, given: &Given, source: &Source) -> Option<PathBuf> {
        self.value(key, given, source, "the absolute path of a file", |given| {
            rule::absolute(rule::text(given)?, source)
        })
    }

    fn number(&mut self, key: &str, given: &Given, source: &Source, most: u32) -> Option<u32> {
        self.value(key, given, source, &format!("a whole number from 1 to {most}"), |given| {
            let Given::Integer(number) = given else { return None };
            u32::try_from(*number).ok().filter(|number| (1..=most).contains(number))
        })
    }

    fn kinds(&mut self, given: &Given, source: &Source) -> Option<Vec<EventKind>> {
        let names = self.value("events", given, source, "a list of kinds of events", list)?;
        let mut kinds = Vec::new();
        for name in names {
            match EventKind::from_name(&name) {
                Some(kind) if kinds.contains(&kind) => {}
                Some(kind) => kinds.push(kind),
                None => {
                    let known = nearest(&name, EventKind::NAMES.into_iter()).unwrap_or_default();
                    self.refuse(
                        source.clone(),
                        format!(
                            "events: the kind {name:?} does not exist; did you mean {known:?}?"
                        ),
                    );
                }
            }
        }
        Some(kinds)
    }

    fn refuse(&mut self, source: Source, message: impl Into<String>) {
        self.is_wrong = true;
        self.problems.push(problem(source, message));
    }
}

fn named(text: &str) -> Option<Name> {
    Name::parse(KEY, text).ok()
}

/// A list of strings, at least one.
fn list(given: &Given) -> Option<Vec<String>> {
    let Given::List(items) = given else { return None };
    (!items.is_empty() && items.iter().all(|item| !item.contains('\0'))).then(|| items.clone())
}

fn command(argv: Vec<String>) -> Option<Vec<String>> {
    let program = argv.first()?;
    let is_known = !program.is_empty() && (program.starts_with('/') || !program.contains('/'));
    is_known.then_some(argv)
}

/// `scheme://host[:port][/path]`, all of it visible ASCII.
fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else { return false };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    rule::is_host(host) && url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}
