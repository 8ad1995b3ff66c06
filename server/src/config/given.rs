//! A value as it was given, and where.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use toml::de::DeValue;

/// A value before it is checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    /// From a variable or a flag always; from the file when it is a string.
    Text(String),
    Integer(i64),
    /// A number with a fraction, as its digits.
    Fraction(String),
    List(Vec<String>),
    Table(BTreeMap<String, String>),
    /// A kind of value that no option takes, by name.
    Other(&'static str),
}

impl Given {
    /// What the file holds. Nothing is converted: `"16"` stays text, for the option to refuse or take.
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(digits) => {
                let plain = digits.as_str().replace('_', "");
                i64::from_str_radix(&plain, digits.radix())
                    .map_or(Self::Other("a number too large"), Self::Integer)
            }
            DeValue::Array(items) => items
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .map_or(Self::Other("a list of values that are not all strings"), Self::List),
            DeValue::Table(rows) => rows
                .iter()
                .map(|(key, row)| {
                    Some((key.get_ref().to_string(), row.get_ref().as_str()?.to_owned()))
                })
                .collect::<Option<_>>()
                .map_or(Self::Other("a table of values that are not all strings"), Self::Table),
            DeValue::Float(digits) => Self::Fraction(digits.as_str().replace('_', "")),
            DeValue::Boolean(_) => Self::Other("true or false"),
            DeValue::Datetime(_) => Self::Other("a date"),
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) if text.chars().count() > 100 => {
                write!(f, "{:?}…", text.chars().take(100).collect::<String>())
            }
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Fraction(digits) => f.write_str(digits),
            Self::List(items) => write!(f, "{items:?}"),
            // Values of a table may be secrets.
            Self::Table(rows) => {
                write!(f, "a table of {}", rows.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            Self::Other(kind) => f.write_str(kind),
        }
    }
}

/// Where a value came from, in rising precedence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Built in.
    Default,
    /// Built in, from a variable of the system such as `XDG_STATE_HOME`.
    Place(&'static str),
    File {
        path: PathBuf,
        line: usize,
    },
    Variable(String),
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Place(variable) => write!(f, "default from {variable}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}
