//! Making the call of a command.

use std::path::Path;

use serde_json::Map;
use serde_json::Value;

use crate::cli::act::command::Act;
use crate::cli::act::field::Kind;
use crate::cli::act::given::Given;
use crate::cli::act::given::is_long;
use crate::cli::act::given::option_of;
use crate::cli::act::long;
use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::cli::client::WrongField;
use crate::cli::failure;
use crate::cli::failure::BadCommandLine;
use crate::config::Environment;
use crate::mcp;

/// Sets a field that the command found out by itself.
pub fn put<A>(given: &mut Given<A>, field: &str, value: impl Into<Value>) {
    given.fields.insert(field.to_owned(), value.into());
}

/// Fetches the long texts, and calls the tool.
///
/// # Errors
///
/// When a string cannot be had, the server cannot be reached, or it refuses.
pub async fn call<A: Act>(
    given: &Given<A>,
    client: &Client,
    environment: &Environment,
) -> anyhow::Result<Value> {
    let arguments = arguments(given, environment)?;
    client.call(A::TOOL, Value::Object(arguments)).await.map_err(worded::<A>)
}

/// An error in the words of the command: wrong arguments by the names that it has for them.
pub(super) fn worded<A: Act>(error: ClientError) -> anyhow::Error {
    failure::reworded(error.into(), said::<A>)
}

/// A wrong value as the command line words it.
fn said<A: Act>(wrong: &WrongField) -> String {
    let name = name_of::<A>(wrong.root());
    match A::ALLOWED.iter().find(|(field, _)| *field == wrong.root()) {
        Some((_, allowed)) if wrong.allowed.is_some() => {
            WrongField { allowed: Some((*allowed).to_owned()), ..wrong.clone() }.said(&name)
        }
        Some(_) | None => wrong.said(&name),
    }
}

/// Refuses a command that changes something and names nothing to change.
///
/// # Errors
///
/// When nothing but the thing itself was given.
pub fn refuse_without_change<A: Act>(given: &Given<A>) -> Result<(), BadCommandLine> {
    let is_place = |field: &String| A::PLACES.iter().any(|place| place.field == field);
    if given.files.is_empty() && given.fields.keys().all(is_place) {
        let words = "there is nothing to change: give at least one option; --help lists them";
        return Err(BadCommandLine::new(words));
    }
    Ok(())
}

/// The ways to give such a string beside an argument.
fn ways(field: &str) -> &'static str {
    if mcp::LONG_TEXTS.contains(&field) {
        ", with --file FILE, or write - to read it from standard input"
    } else {
        ""
    }
}

/// What the command line calls a field.
fn name_of<A: Act>(field: &str) -> String {
    match A::PLACES.iter().find(|place| place.field == field) {
        Some(place) => place.name.to_owned(),
        None => format!("--{}", option_of::<A>(field)),
    }
}

fn arguments<A: Act>(
    given: &Given<A>,
    environment: &Environment,
) -> anyhow::Result<Map<String, Value>> {
    let schema = mcp::arguments_of(A::TOOL).unwrap_or_default();
    let kind = |field: &str| Kind::of(field, &schema["properties"][field]);
    let mut arguments = Map::new();
    for (field, value) in &given.fields {
        let kind = kind(field);
        let value = match value.as_str() {
            Some("-") if is_long(field, &kind) => long::read(Path::new("-"))?.into(),
            Some(_) | None => value.clone(),
        };
        arguments.insert(field.clone(), value);
    }
    for (field, file) in &given.files {
        arguments.insert(field.clone(), long::read(file)?.into());
    }
    if let Some(text) = A::TEXT
        && !arguments.contains_key(text.field)
    {
        match long::edited(text.asks, "", environment)? {
            Some(written) => {
                arguments.insert(text.field.to_owned(), written.into());
            }
            None if text.required => {
                let name = name_of::<A>(text.field);
                let from = ways(text.field);
                return Err(BadCommandLine::new(format!(
                    "no text was given; give it as {name}{from}"
                ))
                .into());
            }
            None => {}
        }
    }
    if let Some(text) = A::TEXT
        && text.required
        && arguments.get(text.field).and_then(Value::as_str).is_some_and(|it| it.trim().is_empty())
    {
        // A variable of a shell that is not set is an empty argument, and no answer.
        return Err(BadCommandLine::new(format!(
            "{} is empty, so nothing was sent; give the text as an argument{}",
            name_of::<A>(text.field),
            ways(text.field)
        ))
        .into());
    }
    for (field, value) in &mut arguments {
        if kind(field) == Kind::Json
            && let Some(text) = value.as_str()
        {
            let option = option_of::<A>(field);
            *value = serde_json::from_str(text).map_err(|error| {
                BadCommandLine::new(format!("--{option} is not valid JSON: {error}"))
            })?;
        }
    }
    Ok(arguments)
}
