//! The commented example file, made from the table.

use std::fmt::Write as _;

use super::notify;
use super::options::OPTIONS;
use super::options::TakesEffect;
use super::options::Unset;

const HEAD: &str = "\
# Configuration of vibe-ensemble.
#
# Each line shows an option with its default. You can also set an option with an environment variable
# (VIBE_ENSEMBLE_MAX_WORKERS) or a flag of `vibe-ensemble serve` (--max-workers). A flag takes precedence over a variable,
# and a variable over this file. `vibe-ensemble check-config` prints the effective values.
#
# Generated from server/src/config/options.rs; a test keeps it equal.
";

/// The text of `packaging/config.example.toml`.
#[must_use]
pub fn example() -> String {
    let mut text = HEAD.to_owned();
    for option in OPTIONS {
        text.push('\n');
        for line in option.doc {
            push(&mut text, format_args!("# {}\n", line.trim()));
        }
        if option.takes_effect == TakesEffect::Restart {
            text.push_str("# Takes effect after a restart.\n");
        }
        match option.unset {
            Unset::Value(value) => push(&mut text, format_args!("#{} = {value}\n", option.name)),
            Unset::Place(words) => {
                push(&mut text, format_args!("# Default: {words}.\n#{} = \"…\"\n", option.name));
            }
        }
    }
    text.push_str(notify::EXAMPLE);
    text
}

fn push(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    text.write_fmt(words).unwrap_or_default();
}
