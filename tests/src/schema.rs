//! Checks a value against a JSON Schema, as far as the server's schemas go.
//!
//! A full validator brings thirty crates. This one knows `type`, `const`, `enum`, `properties`,
//! `required`, `additionalProperties`, `items`, `anyOf`, `oneOf`, `allOf`, `minimum`, `maximum` and
//! `$ref` into the same document. Annotations are skipped; any other keyword is reported, so
//! nothing is silently unchecked.

use serde_json::Value;

/// Keywords that say nothing about a value's validity.
const ANNOTATIONS: [&str; 13] = [
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "format",
    "deprecated",
    "readOnly",
    "minLength",
    "maxLength",
];

/// Every way in which `value` violates `schema`, each with its place.
#[must_use]
pub fn violations(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "$", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let keywords = match schema {
        Value::Bool(true) => return,
        Value::Object(keywords) => keywords,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return found.push(format!("{at}: forbidden by {schema}"));
        }
    };
    for (keyword, rule) in keywords {
        match keyword.as_str() {
            "type" => {
                let allowed = rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice);
                if !allowed.iter().any(|name| has_type(name.as_str().unwrap_or_default(), value)) {
                    found.push(format!("{at}: {value} is not of type {rule}"));
                }
            }
            "const" if rule != value => found.push(format!("{at}: {value} is not {rule}")),
            "enum" if !rule.as_array().is_some_and(|allowed| allowed.contains(value)) => {
                found.push(format!("{at}: {value} is not one of {rule}"));
            }
            "minimum" if value.as_f64() < rule.as_f64() && value.is_number() => {
                found.push(format!("{at}: {value} is less than {rule}"));
            }
            "maximum" if value.as_f64() > rule.as_f64() => {
                found.push(format!("{at}: {value} is more than {rule}"));
            }
            "const" | "enum" | "minimum" | "maximum" => {}
            "required" => {
                for name in rule.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if value.is_object() && value.get(name).is_none() {
                        found.push(format!("{at}: `{name}` is missing"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in rule.as_object().into_iter().flatten() {
                    if let Some(value) = value.get(name) {
                        check(root, schema, value, &format!("{at}.{name}"), found);
                    }
                }
            }
            "additionalProperties" => {
                let known = keywords.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object().into_iter().flatten() {
                    if !known.is_some_and(|known| known.contains_key(name)) {
                        check(root, rule, value, &format!("{at}.{name}"), found);
                    }
                }
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, value, &format!("{at}[{index}]"), found);
                }
            }
            "allOf" => {
                for schema in rule.as_array().into_iter().flatten() {
                    check(root, schema, value, at, found);
                }
            }
            "anyOf" | "oneOf" => {
                let branches = rule.as_array().map_or(&[][..], Vec::as_slice);
                let tried: Vec<Vec<String>> = branches
                    .iter()
                    .map(|schema| {
                        let mut found = Vec::new();
                        check(root, schema, value, at, &mut found);
                        found
                    })
                    .collect();
                if !tried.iter().any(Vec::is_empty) {
                    found.push(format!("{at}: {value} fits no branch: {tried:?}"));
                }
            }
            "$ref" => {
                let pointer = rule.as_str().and_then(|reference| reference.strip_prefix('#'));
                match pointer.and_then(|pointer| root.pointer(pointer)) {
                    Some(schema) => check(root, schema, value, at, found),
                    None => found.push(format!("{at}: {rule} leads nowhere")),
                }
            }
            annotation if ANNOTATIONS.contains(&annotation) => {}
            unknown => found.push(format!("{at}: the keyword `{unknown}` cannot be checked here")),
        }
    }
}

fn has_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_valid_value_has_no_violations() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["id", "items"],
            "properties": {
                "id": {"type": "string"},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "items": {"type": "array", "items": {"$ref": "#/$defs/n"}},
            },
            "$defs": {"n": {"type": ["integer", "null"], "minimum": 0}},
        });
        let fits = json!({"id": "T-1", "note": null, "items": [1, null]});
        assert_eq!(violations(&schema, &fits), Vec::<String>::new());
    }

    #[test]
    fn each_violation_is_named_with_its_place() {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["id"],
            "properties": {"n": {"type": "integer", "minimum": 0}, "s": {"enum": ["a"]}},
        });
        let found = violations(&schema, &json!({"n": -1, "s": "b", "more": 1}));
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().any(|violation| violation.starts_with("$.n:")));
    }

    #[test]
    fn an_unsupported_keyword_is_reported() {
        assert_eq!(violations(&json!({"patternProperties": {}}), &json!({})).len(), 1);
    }
}
