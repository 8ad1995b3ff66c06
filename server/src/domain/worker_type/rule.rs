//! Which values a setting may have: for the check of a value and for the schema of its argument.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::domain::agent_files;
use crate::domain::refusal::Refusal;
use crate::domain::text;

/// The tools of a headless worker whose type names none.
pub const DEFAULT_ALLOWED_TOOLS: [&str; 7] =
    ["Bash", "Read", "Edit", "Write", "Glob", "Grep", "NotebookEdit"];
/// Values of claude's `--permission-mode`.
pub const PERMISSION_MODES: [&str; 7] =
    ["acceptEdits", "auto", "bypassPermissions", "default", "dontAsk", "manual", "plan"];
/// The longest limit of time.
pub const WEEK_SECONDS: i64 = 7 * 24 * 3600;

/// What one call may do with an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Set it, or leave it out.
    Create,
    /// Change it, or remove an optional value.
    Update,
}

/// Which values of a type are valid.
pub trait Rule<T> {
    /// Refuses a value that is not valid, by the name of its field.
    fn check(&self, field: &'static str, value: &T) -> Result<(), Refusal>;

    /// The part of the rule that a JSON schema can express, as keywords and their values.
    fn keywords(&self, call: Call) -> Vec<(&'static str, Value)> {
        match call {
            Call::Create | Call::Update => Vec::new(),
        }
    }
}

/// Every value is valid.
#[derive(Clone, Copy, Debug)]
pub struct Anything;

impl<T> Rule<T> for Anything {
    fn check(&self, _field: &'static str, _value: &T) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Text that is not empty.
#[derive(Clone, Copy, Debug)]
pub struct Prompt;

impl Rule<String> for Prompt {
    fn check(&self, field: &'static str, value: &String) -> Result<(), Refusal> {
        text::required(field, value)?;
        Ok(())
    }
}

/// Text that may be empty, which is the default.
#[derive(Clone, Copy, Debug)]
pub struct LongText;

impl Rule<String> for LongText {
    fn check(&self, field: &'static str, value: &String) -> Result<(), Refusal> {
        text::long(field, value)?;
        Ok(())
    }

    fn keywords(&self, call: Call) -> Vec<(&'static str, Value)> {
        removed_by_empty_text(call)
    }
}

/// One argument of claude's command line, which must not look like an option.
#[derive(Clone, Copy, Debug)]
pub struct Argument;

impl Argument {
    fn one(field: &'static str, given: &str) -> Result<(), Refusal> {
        let plain = !given.trim().is_empty() && !given.starts_with('-') && given.len() <= 500;
        if plain && !given.chars().any(char::is_control) {
            return Ok(());
        }
        let allowed = "1 to 500 characters on one line, not beginning with '-'";
        Err(Refusal::invalid(field, given, allowed))
    }
}

impl Rule<Option<String>> for Argument {
    fn check(&self, field: &'static str, value: &Option<String>) -> Result<(), Refusal> {
        value.iter().try_for_each(|given| Self::one(field, given))
    }

    fn keywords(&self, call: Call) -> Vec<(&'static str, Value)> {
        removed_by_empty_text(call)
    }
}

impl Rule<Vec<String>> for Argument {
    fn check(&self, field: &'static str, value: &Vec<String>) -> Result<(), Refusal> {
        value.iter().try_for_each(|given| Self::one(field, given))
    }
}

/// One of these words.
#[derive(Clone, Copy, Debug)]
pub struct OneOf(pub &'static [&'static str]);

impl Rule<String> for OneOf {
    fn check(&self, field: &'static str, value: &String) -> Result<(), Refusal> {
        if self.0.contains(&value.as_str()) {
            return Ok(());
        }
        Err(Refusal::invalid(field, value, format!("one of {}", self.0.join(", "))))
    }

    fn keywords(&self, call: Call) -> Vec<(&'static str, Value)> {
        match call {
            Call::Create | Call::Update => vec![("enum", json!(self.0))],
        }
    }
}

/// A number from the first to the second. If the setting is optional, 0 removes it.
#[derive(Clone, Copy, Debug)]
pub struct Within(pub i64, pub i64);

impl Rule<i64> for Within {
    fn check(&self, field: &'static str, value: &i64) -> Result<(), Refusal> {
        let Self(least, most) = *self;
        if (least..=most).contains(value) {
            return Ok(());
        }
        let allowed = format!("a number from {least} to {most}");
        Err(Refusal::invalid(field, &value.to_string(), allowed))
    }

    fn keywords(&self, call: Call) -> Vec<(&'static str, Value)> {
        match call {
            Call::Create | Call::Update => {
                vec![("minimum", json!(self.0)), ("maximum", json!(self.1))]
            }
        }
    }
}

impl Rule<Option<i64>> for Within {
    fn check(&self, field: &'static str, value: &Option<i64>) -> Result<(), Refusal> {
        value.iter().try_for_each(|value| self.check(field, value))
    }

    fn keywords(&self, call: Call) -> Vec<(&'static str, Value)> {
        let least = match call {
            Call::Create => self.0,
            Call::Update => 0,
        };
        Rule::<i64>::keywords(&Self(least, self.1), call)
    }
}

/// Dollars of one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Dollars;

impl Rule<Option<f64>> for Dollars {
    fn check(&self, field: &'static str, value: &Option<f64>) -> Result<(), Refusal> {
        match value {
            Some(dollars) if !(*dollars > 0.0 && *dollars <= 100_000.0) => {
                let allowed = "dollars, more than 0 and at most 100000";
                Err(Refusal::invalid(field, &dollars.to_string(), allowed))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Entries of claude's `.mcp.json`.
#[derive(Clone, Copy, Debug)]
pub struct McpServers;

impl Rule<Map<String, Value>> for McpServers {
    fn check(&self, field: &'static str, value: &Map<String, Value>) -> Result<(), Refusal> {
        agent_files::check_mcp_servers(field, value)
    }
}

/// A settings file of claude.
#[derive(Clone, Copy, Debug)]
pub struct ClaudeSettings;

impl Rule<Map<String, Value>> for ClaudeSettings {
    fn check(&self, field: &'static str, value: &Map<String, Value>) -> Result<(), Refusal> {
        agent_files::check_settings(field, value)
    }
}

fn removed_by_empty_text(call: Call) -> Vec<(&'static str, Value)> {
    match call {
        Call::Create => Vec::new(),
        Call::Update => vec![("minLength", json!(0))],
    }
}
