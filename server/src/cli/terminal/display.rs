//! The options that say how output is shown; every command has them by the same names.

use clap::Args;
use clap::ValueEnum;

use crate::config::Environment;

/// When to use colour.
#[expect(clippy::doc_markdown, reason = "clap prints these comments as they are")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR or TERM=dumb is set; CLICOLOR_FORCE asks for it anywhere.
    #[default]
    Auto,
    /// Always, also in a pipe or a file.
    Always,
    /// Never.
    Never,
}

impl ColorWhen {
    /// The environment as if it asked for this: everything that writes colour asks the environment.
    #[must_use]
    pub fn applied(self, environment: &Environment) -> Environment {
        match self {
            Self::Auto => environment.clone(),
            Self::Always => environment.without("NO_COLOR").with("CLICOLOR_FORCE", "1"),
            Self::Never => environment.with("NO_COLOR", "1"),
        }
    }
}

// How output is shown, for commands that print tables or long texts.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct Display {
    /// Show times in UTC, to the second, instead of local and relative ones
    #[arg(long)]
    pub utc: bool,
    /// Do not use a pager for what is longer than the screen
    #[arg(long)]
    pub no_pager: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::takes_colour;

    #[test]
    fn the_option_wins_over_the_environment_in_both_directions() {
        let forbidden = Environment::from_pairs([("NO_COLOR", "1")]);
        let forced = Environment::from_pairs([("CLICOLOR_FORCE", "1")]);
        for environment in [&forbidden, &forced] {
            assert!(takes_colour(&ColorWhen::Always.applied(environment), false));
            assert!(!takes_colour(&ColorWhen::Never.applied(environment), true));
        }
        assert!(!takes_colour(&ColorWhen::Auto.applied(&forbidden), true));
        assert!(takes_colour(&ColorWhen::Auto.applied(&forced), false));
        assert!(takes_colour(&Environment::default(), true));
        assert!(!takes_colour(&Environment::default(), false));
        assert!(!takes_colour(&Environment::from_pairs([("TERM", "dumb")]), true));
        assert!(!takes_colour(&Environment::from_pairs([("CLICOLOR", "0")]), true));
        // An empty NO_COLOR is one that is not set.
        assert!(takes_colour(&Environment::from_pairs([("NO_COLOR", "")]), true));
    }
}
