//! JSON schemas of the tools, made from their types once at start.
//!
//! Schemars describes Rust's numbers and options; models and clients that check schemas need plainer ones.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Map;
use serde_json::Value;

/// A schema as MCP carries it.
pub(crate) type Schema = Map<String, Value>;

/// The schema of a tool's arguments.
pub(crate) fn of_arguments<T: JsonSchema>() -> Schema {
    let mut schema = root::<T>(SchemaSettings::draft2020_12());
    // A tool without arguments has none, which some clients miss.
    let properties = schema.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(properties) = properties {
        properties.values_mut().for_each(without_null);
    }
    schema
}

/// The schema of a tool's result. A field that may be null may also be missing: models are not given nulls to read.
pub(crate) fn of_result<T: JsonSchema>() -> Schema {
    let mut schema = Value::Object(root::<T>(SchemaSettings::draft2020_12().for_serialize()));
    null_is_optional(&mut schema);
    match schema {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Schema::new()
        }
    }
}

/// The arguments of a tool that every session pays for: without the bounds of values and long lists of them, which the
/// server names when it refuses one, and which the tools that are searched for list for the same settings.
pub(crate) fn brief(schema: &Schema) -> Schema {
    const CHECKED: [&str; 7] = [
        "additionalProperties",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
    ];
    const MOST_VALUES: usize = 6;
    let is_long = |keyword: &str, value: &Value| {
        keyword == "enum" && value.as_array().is_some_and(|values| values.len() > MOST_VALUES)
    };
    let mut schema = schema.clone();
    schema
        .retain(|keyword, value| !CHECKED.contains(&keyword.as_str()) && !is_long(keyword, value));
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(make_brief);
    }
    if let Some(items) = schema.get_mut("items") {
        make_brief(items);
    }
    schema
}

fn make_brief(schema: &mut Value) {
    if let Value::Object(object) = schema {
        *object = brief(object);
    }
}

/// Requires no field that may be null.
fn null_is_optional(schema: &mut Value) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let nullable: Vec<String> = properties
            .iter()
            .filter(|(_, property)| may_be_null(property))
            .map(|(name, _)| name.clone())
            .collect();
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.retain(|name| !nullable.iter().any(|other| name == other));
        }
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(null_is_optional),
        Value::Array(items) => items.iter_mut().for_each(null_is_optional),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn may_be_null(property: &Value) -> bool {
    let is_null = |schema: &Value| schema["type"] == "null" || may_be_null(schema);
    let types = property["type"].as_array();
    types.is_some_and(|types| types.iter().any(|name| name == "null"))
        || property["anyOf"].as_array().is_some_and(|any| any.iter().any(is_null))
}

/// Removes the nulls that a schema names a field for. What it does not describe, such as somebody's settings, stays as it
/// is: a null in it has a meaning of its own.
pub(crate) fn remove_nulls(value: &mut Value, schema: &Value) {
    let described = schema["anyOf"].as_array().into_iter().flatten();
    let schema = described.chain([schema]).find(|one| {
        one.get("properties").is_some_and(Value::is_object) || one.get("items").is_some()
    });
    let Some(schema) = schema else { return };
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| {
                !(field.is_null() && schema["properties"].get(name.as_str()).is_some())
            });
            for (name, field) in fields {
                remove_nulls(field, &schema["properties"][name.as_str()]);
            }
        }
        Value::Array(items) => {
            for item in items {
                remove_nulls(item, &schema["items"]);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn root<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    let settings = settings.with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let Value::Object(mut object) = schema.to_value() else {
        // Only `true` and `false` are schemas without being objects, and no struct has such a schema.
        return Schema::new();
    };
    object.remove("title");
    object.remove("description");
    let mut value = Value::Object(object);
    tidy(&mut value);
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Schema::new()
        }
    }
}

/// Drops number formats, about which Claude Code warns, and joins the lines of doc comments.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("format").is_some_and(Value::is_string) {
                object.remove("format");
            }
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Marks an optional field only by leaving it out of `required`. Null is still accepted as left out.
fn without_null(property: &mut Value) {
    let Value::Object(property) = property else { return };
    property.remove("default");
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_mut_slice() {
            let only = only.take();
            property.insert("type".to_owned(), only);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(serde::Serialize, JsonSchema)]
    struct Inner {
        name: String,
        until: Option<String>,
    }

    #[derive(serde::Serialize, JsonSchema)]
    struct Outer {
        first: Option<Inner>,
        all: Vec<Inner>,
        free: Map<String, Value>,
        count: Option<i64>,
    }

    #[test]
    fn a_brief_schema_has_the_same_fields_and_no_bounds() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["maximum"],
            "properties": {
                "maximum": {"type": "integer", "minimum": 1, "maximum": 9, "description": "A field of that name."},
                "all": {"type": "array", "maxItems": 3, "items": {"type": "string", "minLength": 1, "enum": ["a"]}},
            },
        });
        let Value::Object(schema) = schema else { unreachable!("it is an object") };
        assert_eq!(
            Value::Object(brief(&schema)),
            json!({
                "type": "object", "required": ["maximum"],
                "properties": {
                    "maximum": {"type": "integer", "description": "A field of that name."},
                    "all": {"type": "array", "items": {"type": "string", "enum": ["a"]}},
                },
            })
        );
    }

    #[test]
    fn nulls_go_where_a_field_says_nothing_by_them_and_stay_where_they_are_somebodys() {
        let schema = Value::Object(of_result::<Outer>());
        assert_eq!(schema["required"], json!(["all", "free"]));
        assert_eq!(schema["properties"]["all"]["items"]["required"], json!(["name"]));
        let inner = |until| Inner { name: "a".to_owned(), until };
        let outer = Outer {
            first: Some(inner(None)),
            all: vec![inner(None), inner(Some("now".to_owned()))],
            free: Map::from_iter([("until".to_owned(), Value::Null)]),
            count: None,
        };
        let mut value = serde_json::to_value(outer).unwrap();
        remove_nulls(&mut value, &schema);
        assert_eq!(
            value,
            json!({"first": {"name": "a"}, "all": [{"name": "a"}, {"name": "a", "until": "now"}], "free": {"until": null}})
        );
    }
}
