//! What somebody may have meant by a command that does not exist, such as `create` or `close T-42`.

use clap::Command;
use clap::builder::StyledStr;
use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::error::ErrorKind;

/// The nouns whose verbs are looked through, the commonest first.
const NOUNS: [&str; 6] = ["ticket", "project", "type", "worker", "queue", "event"];

/// Words of other tools, and what they are called here.
const WORDS: [(&str, &str); 12] = [
    ("ps", "worker list"),
    ("top", "workers"),
    ("kill", "stop"),
    ("cancel", "ticket close"),
    ("reply", "answer"),
    ("run", "serve"),
    ("start", "serve"),
    ("init", "connect"),
    ("log", "logs"),
    ("ls", "tickets"),
    ("cost", "usage"),
    ("unpause", "resume"),
];

/// Gives an error about an unknown command the commands that may have been meant. `typed` is what followed the program's
/// name.
#[must_use]
pub fn helped(mut error: clap::Error, cli: &Command, typed: &[String]) -> clap::Error {
    if error.kind() == ErrorKind::UnknownArgument {
        return without_the_tip_of_values(error);
    }
    if error.kind() == ErrorKind::InvalidValue
        && matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(of)) if of == "<SHELL>")
    {
        // A shell with a name like another's is not that shell.
        error.remove(ContextKind::SuggestedValue);
        return error;
    }
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand).cloned()
    else {
        return error;
    };
    let meant = meant(cli, &word, typed);
    if meant.is_empty() {
        return error;
    }
    let tips = meant.iter().map(|command| StyledStr::from(format!("use `{command}`"))).collect();
    error.remove(ContextKind::SuggestedSubcommand);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    error
}

/// An option that a command does not have was meant as an option: ids and names never begin with a dash, and texts may without
/// `--`. The tip how to pass it as a value would only lead astray.
fn without_the_tip_of_values(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::StyledStrs(tips)) = error.remove(ContextKind::Suggested) else {
        return error;
    };
    let others = tips.into_iter().filter(|tip| !tip.to_string().starts_with("to pass "));
    let others: Vec<StyledStr> = others.collect();
    if !others.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(others));
    }
    error
}

/// Whole command lines.
pub(super) fn meant(cli: &Command, word: &str, typed: &[String]) -> Vec<String> {
    // Only a word that stands first can be a command of its own.
    if typed.first().map(String::as_str) != Some(word) {
        return Vec::new();
    }
    let rest = typed.iter().skip(1).take(3).fold(String::new(), |rest, word| rest + " " + word);
    let whole = |command: &str| format!("vibe-ensemble {command}{rest}");
    if let Some((_, command)) = WORDS.iter().find(|(other, _)| *other == word)
        && exists(cli, command)
    {
        return vec![whole(command)];
    }
    let of_nouns = NOUNS.iter().map(|noun| format!("{noun} {word}"));
    let found: Vec<String> = of_nouns.filter(|command| exists(cli, command)).collect();
    if !found.is_empty() {
        return found.iter().map(|command| whole(command)).collect();
    }
    let shown = cli.get_subcommands().filter(|command| !command.is_hide_set());
    let near = |name: &str| strsim::jaro_winkler(name, word);
    let mut names: Vec<&str> =
        shown.map(Command::get_name).filter(|name| near(name) > 0.8).collect();
    names.sort_by(|a, b| near(b).total_cmp(&near(a)));
    names.iter().take(2).map(|name| whole(name)).collect()
}

/// Whether there is a command with this path.
fn exists(cli: &Command, path: &str) -> bool {
    path.split(' ').try_fold(cli, |command, name| command.find_subcommand(name)).is_some()
}
