//! What an option takes: from a value as given to the value the program works with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;
use tracing_subscriber::EnvFilter;

use super::environment::PREFIX;
use super::given::Given;
use super::given::Source;

/// Who may talk to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Requests carry the coordinator's token.
    Token,
    /// Anyone who can reach the port. Only on a loopback address.
    None,
}

/// How workers are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launcher {
    /// `Unit` if systemd started the server and the worker socket exists, else `Plain`.
    Auto,
    /// Each worker in its own systemd unit.
    Unit,
    /// Each worker as a detached process.
    Plain,
}

/// Checks one kind of value.
pub(super) struct Rule<T> {
    /// Ends the sentence "use …".
    pub(super) allowed: String,
    pub(super) parse: Box<Parse<T>>,
}

type Parse<T> = dyn Fn(&Given, &Source) -> Option<T>;

impl<T> Rule<T> {
    fn new(
        allowed: impl Into<String>,
        parse: impl Fn(&Given, &Source) -> Option<T> + 'static,
    ) -> Self {
        Self { allowed: allowed.into(), parse: Box::new(parse) }
    }
}

pub(super) fn address() -> Rule<SocketAddr> {
    let allowed = "an IP address and a port, such as 127.0.0.1:3276 or [::1]:0";
    Rule::new(allowed, |given, _| text(given)?.parse().ok())
}

/// A whole number, also as text, which is all that a variable or a flag can give.
pub(super) fn number<T: TryFrom<i64> + 'static>(range: RangeInclusive<i64>) -> Rule<T> {
    let allowed = format!("a whole number from {} to {}", range.start(), range.end());
    Rule::new(allowed, move |given, source| {
        let number = match (given, source) {
            (Given::Integer(number), _) => *number,
            (Given::Text(digits), Source::Variable(_) | Source::Flag(_)) => digits.parse().ok()?,
            _ => return None,
        };
        range.contains(&number).then_some(number).and_then(|n| T::try_from(n).ok())
    })
}

/// Dollars, not negative.
pub(super) fn dollars() -> Rule<f64> {
    let allowed = "a number of dollars from 0 to 1000000, such as 25 or 7.5";
    Rule::new(allowed, |given, source| {
        let usd: f64 = match (given, source) {
            (Given::Integer(whole), _) => whole.to_string().parse().ok()?,
            (Given::Fraction(digits), _)
            | (Given::Text(digits), Source::Variable(_) | Source::Flag(_)) => {
                digits.parse().ok()?
            }
            _ => return None,
        };
        (0.0..=1_000_000.0).contains(&usd).then_some(usd)
    })
}

/// A directory. A relative path is valid only where a user types it in a directory of their own: in a flag or a
/// variable.
pub(super) fn directory() -> Rule<PathBuf> {
    let allowed = "a directory; in the configuration file, an absolute path";
    Rule::new(allowed, |given, source| absolute(text(given)?, source))
}

/// A file, as [`directory`]. Whether it exists is checked when it is read.
pub(super) fn file() -> Rule<PathBuf> {
    let allowed = "the path of a file; in the configuration file, an absolute path";
    Rule::new(allowed, |given, source| absolute(text(given)?, source))
}

/// A program: a name to be looked up in `PATH`, or a path.
pub(super) fn program() -> Rule<PathBuf> {
    let allowed =
        "the name or the path of a program; in the configuration file, a name or an absolute path";
    Rule::new(allowed, |given, source| {
        let given = text(given)?;
        if given.contains('/') { absolute(given, source) } else { Some(PathBuf::from(given)) }
    })
}

/// The path of an existing program, or nothing.
pub(super) fn installed_program() -> Rule<Option<PathBuf>> {
    let allowed =
        "the path of an existing program, or \"\" to look beside this program and in PATH";
    Rule::new(allowed, |given, source| {
        if *given == Given::Text(String::new()) {
            return Some(None);
        }
        absolute(text(given)?, source).filter(|path| path.is_file()).map(Some)
    })
}

pub(super) fn choice<T: Copy + 'static>(choices: &'static [(&'static str, T)]) -> Rule<T> {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    Rule::new(format!("one of {}", names.join(", ")), |given, _| {
        let given = text(given)?;
        choices.iter().find(|(name, _)| *name == given).map(|(_, choice)| *choice)
    })
}

pub(super) fn filter() -> Rule<String> {
    let allowed = "a level (error, warn, info, debug, trace) or directives such as info,sqlx=warn";
    Rule::new(allowed, |given, _| {
        let given = text(given)?;
        EnvFilter::try_new(given).ok().map(|_| given.to_owned())
    })
}

/// Names of variables a worker may inherit.
pub(super) fn names() -> Rule<Vec<String>> {
    let allowed =
        "names of variables, such as CARGO_HOME or AWS_*, none of them matching VIBE_ENSEMBLE_*";
    Rule::new(allowed, |given, source| {
        let names: Vec<String> = match (given, source) {
            (Given::List(items), _) => items.clone(),
            (Given::Text(list), Source::Variable(_) | Source::Flag(_)) => {
                list.split(',').map(str::trim).filter(|n| !n.is_empty()).map(Into::into).collect()
            }
            _ => return None,
        };
        names.iter().all(|name| passable(name)).then_some(names)
    })
}

/// Names of hosts, each with or without a port.
pub(super) fn hosts() -> Rule<Vec<String>> {
    let allowed =
        "names of hosts, each with or without a port, such as build.example or localhost:8080";
    Rule::new(allowed, |given, source| {
        let hosts: Vec<String> = match (given, source) {
            (Given::List(items), _) => items.clone(),
            (Given::Text(list), Source::Variable(_) | Source::Flag(_)) => {
                list.split(',').map(str::trim).filter(|n| !n.is_empty()).map(Into::into).collect()
            }
            _ => return None,
        };
        hosts.iter().all(|host| is_host(host)).then_some(hosts)
    })
}

/// A name or an address as a `Host` header has it.
pub(super) fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let named = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        }
    };
    named && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Variables and their values.
pub(super) fn variables() -> Rule<BTreeMap<String, String>> {
    let allowed =
        "a table of variables whose values are strings, none of them named VIBE_ENSEMBLE_*";
    Rule::new(allowed, |given, _| {
        let Given::Table(rows) = given else { return None };
        let good = |(name, value): (&String, &String)| {
            is_name(name) && !name.starts_with(PREFIX) && !value.contains('\0')
        };
        rows.iter().all(good).then(|| rows.clone())
    })
}

pub(super) fn text(given: &Given) -> Option<&str> {
    let Given::Text(text) = given else { return None };
    (!text.is_empty() && !text.contains('\0')).then_some(text)
}

pub(super) fn absolute(given: &str, source: &Source) -> Option<PathBuf> {
    let path = Path::new(given);
    if path.is_relative() && matches!(source, Source::File { .. }) {
        return None;
    }
    std::path::absolute(path).ok()
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A name, or the beginning of one and `*`, that lets no variable of ours through: one of them is the token.
fn passable(name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => {
            is_name(beginning) && !PREFIX.starts_with(beginning) && !beginning.starts_with(PREFIX)
        }
        None => is_name(name) && !name.starts_with(PREFIX),
    }
}

/// How a checked value is shown by `check-config`.
pub(super) trait Show {
    fn show(&self) -> Value;
}

impl Show for SocketAddr {
    fn show(&self) -> Value {
        self.to_string().into()
    }
}

impl Show for PathBuf {
    fn show(&self) -> Value {
        self.to_string_lossy().into()
    }
}

impl Show for Option<PathBuf> {
    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, Show::show)
    }
}

impl Show for u32 {
    fn show(&self) -> Value {
        (*self).into()
    }
}

impl Show for f64 {
    fn show(&self) -> Value {
        (*self).into()
    }
}

impl Show for u64 {
    fn show(&self) -> Value {
        (*self).into()
    }
}

impl Show for String {
    fn show(&self) -> Value {
        self.as_str().into()
    }
}

impl Show for Vec<String> {
    fn show(&self) -> Value {
        self.as_slice().into()
    }
}

/// Names only: the values may be secrets.
impl Show for BTreeMap<String, String> {
    fn show(&self) -> Value {
        self.keys().map(|name| (name.clone(), Value::from("(set)"))).collect()
    }
}

pub(super) const AUTHS: &[(&str, Auth)] = &[("token", Auth::Token), ("none", Auth::None)];
pub(super) const LAUNCHERS: &[(&str, Launcher)] =
    &[("auto", Launcher::Auto), ("unit", Launcher::Unit), ("plain", Launcher::Plain)];

impl Show for Auth {
    fn show(&self) -> Value {
        name_in(AUTHS, *self).into()
    }
}

impl Show for Launcher {
    fn show(&self) -> Value {
        name_in(LAUNCHERS, *self).into()
    }
}

fn name_in<T: Copy + PartialEq>(choices: &[(&'static str, T)], chosen: T) -> &'static str {
    choices.iter().find(|(_, choice)| *choice == chosen).map_or("", |(name, _)| name)
}
