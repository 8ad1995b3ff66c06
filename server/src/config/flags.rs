//! The options as flags of the command line, made from the table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Arg;
use clap::ArgMatches;
use clap::Command;
use clap::value_parser;

use super::options::OPTIONS;
use super::options::Opt;
use super::options::Unset;

/// What the command line says about the configuration. As `clap::Args` it offers every option of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// Values by option, as typed.
    pub given: BTreeMap<&'static str, String>,
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("Configuration file")
            .long_help(
                "Configuration file. Default: /etc/vibe-ensemble/config.toml, else \
                 $XDG_CONFIG_HOME/vibe-ensemble/config.toml, else none.\n\nEnvironment variable: VIBE_ENSEMBLE_CONFIG.",
            );
        command.arg(config).args(OPTIONS.iter().filter(|o| !o.is_file_only()).map(arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let offered = OPTIONS.iter().filter(|option| !option.is_file_only());
        let given = offered
            .filter_map(|o| Some((o.name, matches.get_one::<String>(o.name)?.clone())))
            .collect();
        Ok(Self { config: matches.get_one("config").cloned(), given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The part of the help that an option stands in.
fn heading(name: &str) -> &'static str {
    const WHERE: [&str; 6] =
        ["listen", "state_dir", "runtime_dir", "templates_dir", "shim", "agent_command"];
    if WHERE.contains(&name) {
        return "Where things are";
    }
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has(&["auth", "token", "env_", "allowed", "session"]) {
        "Access and environment"
    } else if has(&["keep", "retention", "retain"]) {
        "What is kept, and how long"
    } else if has(&["max_", "usd", "reserve", "free"]) {
        "Limits"
    } else if has(&["_ms", "seconds", "minutes", "hours"]) {
        "Timings"
    } else {
        "Everything else"
    }
}

/// [`Flags`] whose help is one screen: every option of `serve` is taken, and only where the server is gets shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BriefFlags(pub Flags);

impl clap::Args for BriefFlags {
    fn augment_args(command: Command) -> Command {
        const SHOWN: [&str; 5] = ["config", "state_dir", "runtime_dir", "listen", "agent_command"];
        let command = Flags::augment_args(command);
        let hidden: Vec<&str> = OPTIONS
            .iter()
            .filter(|option| !option.is_file_only() && !SHOWN.contains(&option.name))
            .map(|option| option.name)
            .collect();
        hidden.into_iter().fold(command, |command, name| command.mut_arg(name, |arg| arg.hide(true)))
            .after_help("Takes every other option of `vibe-ensemble serve` too; `vibe-ensemble serve --help` lists them.")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for BriefFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Flags::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

fn arg(option: &Opt) -> Arg {
    let lines: Vec<&str> = option.doc.iter().map(|line| line.trim()).collect();
    let default = match option.unset {
        Unset::Value("\"\"" | "[]") => String::new(),
        Unset::Value(value) => format!(" [default: {}]", value.trim_matches('"').replace('_', "")),
        Unset::Place(words) => format!("\n\nDefault: {words}."),
    };
    let short = lines[0].trim_end_matches('.').to_owned();
    let short = match option.unset {
        Unset::Value(_) => format!("{short}{default}"),
        Unset::Place(_) => short,
    };
    let long =
        format!("{}{default}\n\nEnvironment variable: {}.", lines.join(" "), option.variable());
    Arg::new(option.name)
        .help_heading(heading(option.name))
        .long(option.flag())
        .value_name(option.value_name)
        .help(short)
        .long_help(long)
}
