//! The options of a command, made from the schema of its tool, and what was given for them.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;

use clap::Arg;
use clap::ArgMatches;
use clap::Args;
use clap::Command;
use clap::FromArgMatches;
use clap::value_parser;
use serde_json::Map;
use serde_json::Value;

use crate::cli::act::command::Act;
use crate::cli::act::field;
use crate::cli::act::field::Kind;
use crate::cli::connection::Connection;
use crate::cli::terminal::Display;
use crate::mcp;
use crate::mcp::LONG_TEXTS;

/// What was typed for a command.
pub struct Given<A> {
    /// Values by field. A long text may be `-`, and JSON is the text it is.
    pub fields: BTreeMap<String, Value>,
    /// Files to read a field from.
    pub files: BTreeMap<String, PathBuf>,
    pub json: bool,
    pub display: Display,
    pub connection: Connection,
    pub(super) kind: PhantomData<fn() -> A>,
}

impl<A> std::fmt::Debug for Given<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl<A> Given<A> {
    /// A string that was given for a field.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The fields of the command's tool.
fn properties<A: Act>() -> (Map<String, Value>, Vec<String>) {
    let mut schema = mcp::arguments_of(A::TOOL).unwrap_or_default();
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let required = required.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let Some(Value::Object(properties)) = schema.remove("properties") else {
        return (Map::new(), required);
    };
    (properties, required)
}

/// Whether a field may be too long for a command line.
pub(super) fn is_long(field: &str, kind: &Kind) -> bool {
    *kind == Kind::Json || (*kind == Kind::Text && LONG_TEXTS.contains(&field))
}

/// The option of a field.
pub(super) fn option_of<A: Act>(field: &str) -> String {
    let named = A::NAMED.iter().find(|(name, _)| *name == field);
    named.map_or_else(|| field.replace('_', "-"), |(_, names)| names[0].to_owned())
}

impl<A: Act> Args for Given<A> {
    fn augment_args(command: Command) -> Command {
        // Only the command that is called, or asked for its help, needs the schemas.
        command.defer(options::<A>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn options<A: Act>(command: Command) -> Command {
    let (properties, required) = properties::<A>();
    let mut command = command;
    for (index, place) in A::PLACES.iter().enumerate() {
        let kind = Kind::of(place.field, &properties[place.field]);
        let argument = Arg::new(place.field).index(index + 1).required(!place.optional);
        let argument = describe::<A>(argument, &properties, place.field);
        // Such a string may begin with a dash, and `-` is standard input.
        let argument = argument.allow_hyphen_values(is_long(place.field, &kind));
        command = command.arg(kind.shape(place.field, argument).value_name(place.name));
    }
    for (field, schema) in &properties {
        let is_place = A::PLACES.iter().any(|place| place.field == field);
        if A::OWN.contains(&field.as_str()) || field == "cursor" {
            continue;
        }
        let kind = Kind::of(field, schema);
        let is_text = A::TEXT.is_some_and(|text| text.field == field);
        if !is_place {
            let names = A::NAMED.iter().find(|(name, _)| name == field).map_or(&[][..], |it| it.1);
            let found = A::FOUND.contains(&field.as_str()) || is_text;
            let argument = Arg::new(field.clone())
                .long(option_of::<A>(field))
                .visible_aliases(names.iter().skip(1).copied())
                .required(required.contains(field) && !found)
                .allow_hyphen_values(is_long(field, &kind));
            let argument = kind.shape(field, argument);
            command = command.arg(describe::<A>(argument, &properties, field));
        }
        if is_long(field, &kind) {
            command = command.arg(file_of::<A>(field, is_text));
        }
    }
    let json = Arg::new("json").long("json").action(clap::ArgAction::SetTrue).help("Print JSON");
    let command = command.arg(json);
    Connection::augment_args(if A::SHOWS { Display::augment_args(command) } else { command })
}

/// The option that names a file to read a field from.
fn file_of<A: Act>(field: &str, is_text: bool) -> Arg {
    let option =
        if is_text { "file".to_owned() } else { format!("{}-file", option_of::<A>(field)) };
    let words = field.replace('_', " ");
    // The name that it has in the commands that have no other text.
    let other = is_text.then(|| format!("{}-file", option_of::<A>(field)));
    Arg::new(format!("{field} from a file"))
        .long(option)
        .visible_aliases(other)
        .value_name("FILE")
        .conflicts_with(field.to_owned())
        .value_parser(value_parser!(PathBuf))
        .help(format!("Read the {words} from this file; - is standard input"))
}

fn describe<A: Act>(argument: Arg, properties: &Map<String, Value>, field: &str) -> Arg {
    if let Some((_, help)) = A::HELP.iter().find(|(name, _)| *name == field) {
        return argument.help(*help);
    }
    let (first, whole) = field::help(properties, field);
    argument.help(first).long_help(whole)
}

impl<A: Act> FromArgMatches for Given<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (mut fields, mut files) = (BTreeMap::new(), BTreeMap::new());
        for (field, schema) in properties::<A>().0 {
            if A::OWN.contains(&field.as_str()) || field == "cursor" {
                continue;
            }
            let kind = Kind::of(&field, &schema);
            if let Some(value) = kind.value(&field, matches) {
                fields.insert(field.clone(), value);
            }
            if is_long(&field, &kind)
                && let Some(file) = matches.get_one::<PathBuf>(&format!("{field} from a file"))
            {
                files.insert(field, file.clone());
            }
        }
        let connection = Connection::from_arg_matches(matches)?;
        let display =
            if A::SHOWS { Display::from_arg_matches(matches)? } else { Display::default() };
        let json = matches.get_flag("json");
        Ok(Self { fields, files, json, display, connection, kind: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
