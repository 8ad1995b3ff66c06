//! The configuration file: found, parsed, every key checked against the table.

use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;

use toml::de::DeTable;

use super::environment::Environment;
use super::given::Given;
use super::given::Source;
use super::layers::Layer;
use super::notify;
use super::options::OPTIONS;
use super::problem::Fault;
use super::problem::Problem;
use crate::domain::nearest::nearest;
use crate::domain::notify::Notifier;

/// What a file says.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) options: Layer,
    /// `[[notify]]`, with the line of the first one.
    pub(super) notifiers: Option<(Vec<Notifier>, Source)>,
}

/// Where a package puts the file.
pub(super) const SYSTEM: &str = "/etc/vibe-ensemble/config.toml";

/// The first default location that has a file.
pub(super) fn find(environment: &Environment, system: &Path) -> Option<PathBuf> {
    let home = environment.directory("HOME").map(|home| home.join(".config"));
    let user = environment.directory("XDG_CONFIG_HOME").or(home);
    let user = user.map(|config| config.join("vibe-ensemble/config.toml"));
    // `exists` would take a directory that must not be read for an absent one; that is right here: a user who may not
    // read the system's file runs a server of their own.
    [Some(system.to_owned()), user].into_iter().flatten().find(|path| path.exists())
}

/// Reads a file that must exist.
pub(super) fn read(path: &Path, problems: &mut Vec<Problem>) -> Contents {
    let whole = |message: String| Problem {
        option: None,
        source: Source::File { path: path.to_owned(), line: 1 },
        message,
        fault: Fault::Named,
    };
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text, problems),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            problems.push(whole("this file does not exist; give another with --config".to_owned()));
            Contents::default()
        }
        Err(error) => {
            problems.push(whole(format!("could not read the file: {error}")));
            Contents::default()
        }
    }
}

fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Contents {
    let at = |offset: usize| Source::File { path: path.to_owned(), line: line_of(text, offset) };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let source = at(error.span().map_or(0, |span| span.start));
        let message = error.message().to_owned();
        problems.push(Problem { option: None, source, message, fault: Fault::Value });
    }
    let mut contents = Contents::default();
    for (key, value) in table.get_ref() {
        let source = at(key.span().start);
        let name = key.get_ref().as_ref();
        if let Some(option) = OPTIONS.iter().find(|option| option.name == name) {
            contents.options.insert(option.name, (Given::from_toml(value.get_ref()), source));
        } else if name == notify::KEY {
            let notifiers = notify::read(value.get_ref(), &source, &at, problems);
            contents.notifiers = Some((notifiers, source));
        } else {
            let known = OPTIONS.iter().map(|option| option.name).chain([notify::KEY]);
            let known = nearest(name, known);
            let message = format!(
                "the option {name:?} does not exist; did you mean {:?}?",
                known.unwrap_or("")
            );
            problems.push(Problem { option: None, source, message, fault: Fault::Value });
        }
    }
    contents
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
