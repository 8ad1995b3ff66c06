//! One field of a tool as an argument of a command, and its value as JSON.

use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::builder::PossibleValuesParser;
use clap::builder::ValueParser;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::cli::ids;
use crate::cli::ids::Noun;
use crate::cli::whole;

/// Fields that are true when their option is there.
const SWITCHES: [&str; 3] = ["force", "all", "include_processed"];

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    OneOf(Vec<String>),
    /// One id, which may be typed in lower case or as its number.
    Id(Noun),
    Text,
    Whole {
        least: i64,
        most: i64,
    },
    Number,
    Truth,
    Switch,
    Texts,
    Numbers,
    Json,
}

impl Kind {
    /// Reads it from the schema of the field. What is not known is JSON.
    pub(super) fn of(field: &str, schema: &Value) -> Self {
        let bound = |name: &str, otherwise| schema[name].as_i64().unwrap_or(otherwise);
        match schema["type"].as_str() {
            Some("string") => match schema["enum"].as_array() {
                Some(names) => {
                    Self::OneOf(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                }
                None => Noun::of_field(field).map_or(Self::Text, Self::Id),
            },
            Some("integer") => {
                Self::Whole { least: bound("minimum", i64::MIN), most: bound("maximum", i64::MAX) }
            }
            Some("number") => Self::Number,
            Some("boolean") if SWITCHES.contains(&field) => Self::Switch,
            Some("boolean") => Self::Truth,
            Some("array") => match schema["items"]["type"].as_str() {
                Some("integer") => Self::Numbers,
                Some("string") => Self::Texts,
                Some(_) | None => Self::Json,
            },
            Some(_) | None => Self::Json,
        }
    }

    /// Makes an argument take a value of this kind.
    pub(super) fn shape(&self, field: &str, argument: Arg) -> Arg {
        let argument = match self {
            Self::OneOf(names) => {
                argument.value_parser(PossibleValuesParser::new(names.clone())).value_name("NAME")
            }
            Self::Id(noun) => argument.value_parser(ids::parser(*noun)).value_name(noun.name()),
            Self::Text => argument.value_name("TEXT"),
            Self::Whole { least, most } => argument
                .value_parser(whole(*least, *most))
                .allow_negative_numbers(true)
                .value_name("N"),
            Self::Number => argument
                .value_parser(whole::fraction)
                .allow_negative_numbers(true)
                .value_name(if field.contains("usd") { "DOLLARS" } else { "NUMBER" }),
            Self::Truth => argument
                .value_parser(PossibleValuesParser::new(["true", "false"]))
                .value_name("BOOL"),
            Self::Switch => argument,
            Self::Texts => argument.value_name("LIST"),
            Self::Numbers => argument
                .value_parser(whole(i64::MIN, i64::MAX))
                .value_delimiter(',')
                .value_name("NUMBERS"),
            Self::Json => argument.value_name("JSON"),
        };
        argument.action(match self {
            Self::Switch => ArgAction::SetTrue,
            Self::Texts | Self::Numbers => ArgAction::Append,
            Self::OneOf(_)
            | Self::Id(_)
            | Self::Text
            | Self::Whole { .. }
            | Self::Number
            | Self::Truth
            | Self::Json => ArgAction::Set,
        })
    }

    /// What was given; `None` if nothing was. JSON is returned as the text it is.
    pub(super) fn value(&self, field: &str, matches: &ArgMatches) -> Option<Value> {
        match self {
            Self::OneOf(_) | Self::Id(_) | Self::Text | Self::Json => {
                matches.get_one::<String>(field).map(|text| json!(text))
            }
            Self::Whole { .. } => matches.get_one::<i64>(field).map(|number| json!(number)),
            Self::Number => matches.get_one::<f64>(field).map(|number| json!(number)),
            Self::Truth => matches.get_one::<String>(field).map(|text| json!(text == "true")),
            Self::Switch => matches.get_flag(field).then_some(Value::Bool(true)),
            Self::Texts => {
                let given = matches.get_many::<String>(field)?;
                Some(given.flat_map(|text| items(text)).collect())
            }
            Self::Numbers => {
                Some(matches.get_many::<i64>(field)?.map(|number| json!(number)).collect())
            }
        }
    }
}

/// The parser of a whole number, which names the bounds that there are.
fn whole(least: i64, most: i64) -> ValueParser {
    match (least, most) {
        (i64::MIN, i64::MAX) => ValueParser::from(|typed: &str| {
            typed.trim().parse::<i64>().map_err(|_| "it must be a whole number")
        }),
        (least, i64::MAX) => ValueParser::from(whole::at_least(least)),
        (least, most) => ValueParser::from(whole::within(least, most)),
    }
}

/// The parts between commas. Those in parentheses belong to one part, as in `Bash(git log:*, git show:*)`.
fn items(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0_u32);
    for c in text.chars() {
        match c {
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            c => {
                depth = match c {
                    '(' => depth + 1,
                    ')' => depth.saturating_sub(1),
                    _ => depth,
                };
                part.push(c);
            }
        }
    }
    parts.push(part);
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

/// What the schema says about a field, as help: the first sentence, and everything.
pub(super) fn help(properties: &Map<String, Value>, field: &str) -> (String, String) {
    let whole = properties[field]["description"].as_str().unwrap_or_default().replace('`', "");
    let first = match whole.find(". ") {
        Some(end) => &whole[..end],
        None => whole.trim_end_matches('.'),
    };
    (first.to_owned(), whole.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_parted_at_commas_outside_parentheses() {
        assert_eq!(items("plan, implement,,review"), ["plan", "implement", "review"]);
        assert_eq!(
            items("Read,Bash(git log:*, git show:*)"),
            ["Read", "Bash(git log:*, git show:*)"]
        );
        assert!(items(" ").is_empty());
    }
}
