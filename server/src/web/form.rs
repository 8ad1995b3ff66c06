//! Large forms, made from the schema of the tool that they call, and what is sent by any form, as arguments of its tool.

use maud::Markup;
use maud::html;
use serde_json::Map;
use serde_json::Number;
use serde_json::Value;

use crate::mcp::LONG_TEXTS;
use crate::web::query::Query;
use crate::web::text::Hostile;
use crate::web::visit::Visit;

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    OneOf(Vec<String>),
    Text,
    Long,
    Whole,
    Number,
    Truth,
    Texts,
    Numbers,
    Json,
}

impl Kind {
    fn of(name: &str, schema: &Value) -> Self {
        match schema["type"].as_str() {
            Some("string") => match schema["enum"].as_array() {
                Some(names) => {
                    Self::OneOf(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                }
                None if LONG_TEXTS.contains(&name) => Self::Long,
                None => Self::Text,
            },
            Some("integer") => Self::Whole,
            Some("number") => Self::Number,
            Some("boolean") => Self::Truth,
            Some("array") => match schema["items"]["type"].as_str() {
                Some("integer") => Self::Numbers,
                Some("string") => Self::Texts,
                Some(_) | None => Self::Json,
            },
            Some(_) | None => Self::Json,
        }
    }
}

/// What a form sends that is no argument.
const OWN: [&str; 2] = ["csrf", "back"];

/// The arguments that a form sends: what is empty is absent. A value that is not what its field holds is passed as it was
/// typed, so that the tool says what it takes.
pub(crate) fn arguments(schema: &Map<String, Value>, form: &Query) -> Map<String, Value> {
    let none = Map::new();
    let fields = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let mut arguments = Map::new();
    for (name, value) in form.pairs() {
        if OWN.contains(&name) || name.starts_with('_') || arguments.contains_key(name) {
            continue;
        }
        let kind = fields.get(name).map_or(Kind::Text, |schema| Kind::of(name, schema));
        // A field that says so is emptied by an empty text.
        let empties = form.get("_clear").is_some() && kind == Kind::Long;
        if value.trim().is_empty() && !empties {
            continue;
        }
        let value = match kind {
            Kind::OneOf(_) | Kind::Text => value.into(),
            // Browsers end lines with two characters.
            Kind::Long => value.replace("\r\n", "\n").into(),
            Kind::Whole => value.trim().parse::<i64>().map_or_else(|_| value.into(), Value::from),
            Kind::Number => number(value),
            Kind::Truth => match value {
                "true" | "on" => true.into(),
                "false" => false.into(),
                other => other.into(),
            },
            Kind::Texts => form.all(name).flat_map(items).map(Value::from).collect(),
            Kind::Numbers => form.all(name).flat_map(items).map(|item| number(&item)).collect(),
            Kind::Json => serde_json::from_str(value).unwrap_or_else(|_| value.into()),
        };
        arguments.insert(name.to_owned(), value);
    }
    arguments
}

fn number(text: &str) -> Value {
    let whole = text.trim().parse::<i64>().ok().map(Value::from);
    let real = || text.trim().parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number);
    whole.or_else(real).unwrap_or_else(|| text.into())
}

/// One item a line. Commas part items, too, where none is in parentheses: `Bash(git log:*, git show:*)` is one.
fn items(text: &str) -> Vec<String> {
    let (mut found, mut item, mut depth) = (Vec::new(), String::new(), 0_u32);
    for c in text.chars() {
        match c {
            '\n' | '\r' => {
                depth = 0;
                found.push(std::mem::take(&mut item));
            }
            ',' if depth == 0 => found.push(std::mem::take(&mut item)),
            c => {
                match c {
                    '(' => depth += 1,
                    ')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                item.push(c);
            }
        }
    }
    found.push(item);
    let found = found.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
    found.map(str::to_owned).collect()
}

/// A form of every argument of a tool.
pub(crate) struct Fields<'f> {
    pub(crate) tool: &'f str,
    pub(crate) schema: &'f Map<String, Value>,
    /// What is in the fields at first.
    pub(crate) values: &'f Map<String, Value>,
    /// Fields that are sent and not shown.
    pub(crate) fixed: &'f [(&'f str, String)],
    /// Those that come first; the others are behind "More".
    pub(crate) first: &'f [&'f str],
    pub(crate) button: &'f str,
    /// Where to go afterwards.
    pub(crate) back: &'f str,
    /// An emptied field removes what was in it.
    pub(crate) clears: bool,
}

/// Arguments that mean nothing to a person.
const HIDDEN: [&str; 3] = ["idempotency_key", "cursor", "limit"];

pub(crate) fn fields(visit: &Visit, form: &Fields<'_>) -> Markup {
    let none = Map::new();
    let all = form.schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required: Vec<&str> = form
        .schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let is_shown = |name: &&str| {
        all.contains_key(*name)
            && !HIDDEN.contains(name)
            && !form.fixed.iter().any(|(fixed, _)| fixed == name)
    };
    let first: Vec<&str> = form.first.iter().copied().filter(is_shown).collect();
    let rest: Vec<&str> = all
        .keys()
        .map(String::as_str)
        .filter(is_shown)
        .filter(|name| !first.contains(name))
        .collect();
    let may = visit.visitor.may_change();
    let show =
        |name: &str| field(name, &all[name], form.values.get(name), required.contains(&name), may);
    html! {
        form .fields.action method="post" action={ "/do/" (form.tool) } {
            input type="hidden" name="csrf" value=(visit.visitor.csrf);
            input type="hidden" name="back" value=(form.back);
            @if form.clears { input type="hidden" name="_clear" value="1"; }
            @for (name, value) in form.fixed { input type="hidden" name=(name) value=(value); }
            @for name in first { (show(name)) }
            @if !rest.is_empty() {
                details .more { summary { "More" } @for name in rest { (show(name)) } }
            }
            p .form-actions {
                button .btn.btn-primary disabled[!may] title=[(!may).then_some("This session is read-only.")] { (form.button) }
                " " a .btn.btn-quiet href=(form.back) { "Cancel" }
            }
        }
    }
}

fn field(name: &str, schema: &Value, value: Option<&Value>, required: bool, may: bool) -> Markup {
    let kind = Kind::of(name, schema);
    let hint = schema["description"].as_str().unwrap_or_default().replace('`', "");
    let text = value.map(shown).unwrap_or_default();
    let label = label_of(name);
    html! {
        label .field {
            span .label { (label) @if required { span .required title="Required" { " *" } } }
            @match &kind {
                Kind::OneOf(names) => select name=(name) required[required] disabled[!may] {
                    @if !required { option value="" { "Default" } }
                    @for option in names { option value=(option) selected[*option == text] { (option) } }
                },
                Kind::Truth => select name=(name) disabled[!may] {
                    option value="" { "Default" }
                    option value="true" selected[text == "true"] { "Yes" }
                    option value="false" selected[text == "false"] { "No" }
                },
                Kind::Long => textarea name=(name) rows="6" required[required] disabled[!may] { (leading(&text)) },
                Kind::Texts | Kind::Numbers => textarea name=(name) rows="3" placeholder="One a line" required[required] disabled[!may] { (leading(&text)) },
                Kind::Json => textarea .mono name=(name) rows="3" placeholder="JSON" required[required] disabled[!may] { (leading(&text)) },
                Kind::Whole => input type="number" step="1" name=(name) value=(text) required[required] disabled[!may];,
                Kind::Number => input type="number" step="any" name=(name) value=(text) required[required] disabled[!may];,
                Kind::Text => input type="text" name=(name) value=(text) required[required] disabled[!may];,
            }
            span .hint { (Hostile(&hint)) }
            span .error data-for=(name) {}
        }
    }
}

/// Browsers drop the first line end of a `textarea`.
fn leading(text: &str) -> String {
    if text.starts_with('\n') { format!("\n{text}") } else { text.to_owned() }
}

fn label_of(name: &str) -> String {
    let words = name.replace('_', " ").replace(" usd", " (dollars)");
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_becomes_the_arguments_that_its_tool_takes() {
        let schema = json!({"properties": {
            "title": {"type": "string"}, "description": {"type": "string"}, "plan": {"type": "array", "items": {"type": "string"}},
            "count": {"type": "integer"}, "usd": {"type": "number"}, "force": {"type": "boolean"}, "settings": {"type": "object"},
        }});
        let form = Query::parse(
            "csrf=x&back=%2F&title=a+b&description=one%0D%0Atwo&plan=plan%0Abuild%2Ctest&count=3&usd=2.5&force=on&settings=%7B%22a%22%3A1%7D&empty=&other=1",
        );
        let arguments = arguments(schema.as_object().unwrap(), &form);
        assert_eq!(
            Value::Object(arguments),
            json!({"title": "a b", "description": "one\ntwo", "plan": ["plan", "build", "test"], "count": 3, "usd": 2.5,
                   "force": true, "settings": {"a": 1}, "other": "1"})
        );
    }

    #[test]
    fn what_is_not_what_a_field_holds_is_left_to_the_tool_and_an_empty_text_may_clear() {
        let schema =
            json!({"properties": {"count": {"type": "integer"}, "rules": {"type": "string"}}});
        let schema = schema.as_object().unwrap();
        let read = |form: &str| Value::Object(arguments(schema, &Query::parse(form)));
        assert_eq!(read("count=many&rules="), json!({"count": "many"}));
        assert_eq!(read("_clear=1&rules=&count="), json!({"rules": ""}));
    }

    #[test]
    fn items_are_parted_by_lines_and_by_commas_outside_parentheses() {
        assert_eq!(
            items("Read, Bash(git log:*, git show:*)\r\nEdit\n"),
            ["Read", "Bash(git log:*, git show:*)", "Edit"]
        );
    }
}
