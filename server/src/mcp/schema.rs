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
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(without_null);
    }
    schema
}

/// The schema of a tool's result: what serde writes, so an optional field is present and may be null.
pub(crate) fn of_result<T: JsonSchema>() -> Schema {
    root::<T>(SchemaSettings::draft2020_12().for_serialize())
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
