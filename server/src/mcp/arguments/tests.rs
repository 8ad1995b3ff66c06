//! Arguments as clients write them.

use serde_json::json;

use super::*;
use crate::domain::advice::Reader;
use crate::mcp::reply;

fn accepted() -> Accepted {
    let schema = json!({
        "type": "object",
        "required": ["title", "execution_plan"],
        "properties": {
            "title": {"type": "string"},
            "priority": {"type": "string", "enum": ["low", "high"]},
            "limit": {"type": "integer", "minimum": 1, "maximum": 200},
            "budget": {"type": "number"},
            "force": {"type": "boolean"},
            "rules": {"type": "string", "minLength": 0},
            "settings": {"type": "object"},
            "seqs": {"type": "array", "items": {"type": "integer"}},
            "execution_plan": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        },
    });
    Accepted::from_schema(schema.as_object().unwrap()).unwrap()
}

fn told(given: &Value) -> String {
    let given = given.as_object().unwrap().clone();
    match accepted().check(given) {
        Ok(_) => "good".to_owned(),
        Err(wrong) => reply::wrong_arguments("create_ticket", &wrong, Reader::Model),
    }
}

#[test]
fn good_arguments_pass_and_nulls_are_left_out() {
    let given = json!({"title": "a", "execution_plan": ["b"], "limit": 200, "force": null});
    let kept = accepted().check(given.as_object().unwrap().clone()).unwrap();
    assert_eq!(Value::Object(kept), json!({"title": "a", "execution_plan": ["b"], "limit": 200}));
}

/// What the tool gets of one argument, when it is taken.
fn taken(field: &str, value: Value) -> Option<Value> {
    let mut given = json!({"title": "a", "execution_plan": ["b"]});
    given[field] = value;
    let kept = accepted().check(given.as_object().unwrap().clone()).ok()?;
    Some(kept.get(field).cloned().unwrap_or_default())
}

#[test]
fn what_can_mean_only_one_thing_is_taken_for_it() {
    for (field, given, meant) in [
        ("limit", json!(5.0), json!(5)),
        ("limit", json!(2e2), json!(200)),
        ("limit", json!("5"), json!(5)),
        ("limit", json!(" 5.0 "), json!(5)),
        ("budget", json!("0.5"), json!(0.5)),
        ("budget", json!(3), json!(3)),
        ("force", json!("true"), json!(true)),
        ("force", json!("False"), json!(false)),
        ("execution_plan", json!("[\"a\", \"b\"]"), json!(["a", "b"])),
        ("execution_plan", json!("a"), json!(["a"])),
        ("seqs", json!("[1, 2.0]"), json!([1, 2])),
        ("seqs", json!([1.0, "2"]), json!([1, 2])),
        ("seqs", json!(7.0), json!([7])),
        ("seqs", json!("7"), json!([7])),
        ("settings", json!("{\"a\": 1.0}"), json!({"a": 1.0})),
        ("rules", json!(""), json!("")),
    ] {
        assert_eq!(taken(field, given.clone()), Some(meant), "{field}: {given}");
    }
}

#[test]
fn an_empty_text_or_null_leaves_an_optional_field_out_and_no_other() {
    for field in ["priority", "limit", "budget", "force", "settings", "seqs"] {
        for nothing in [json!(null), json!("")] {
            assert_eq!(taken(field, nothing.clone()), Some(Value::Null), "{field}: {nothing}");
        }
    }
    assert_eq!(taken("limit", json!("null")), Some(Value::Null));
    for nothing in [json!(null), json!("")] {
        assert_eq!(taken("execution_plan", nothing), None, "it is required");
    }
    assert_eq!(taken("title", json!("")), Some(json!("")), "the tool says what is wrong with it");
}

#[test]
fn what_could_mean_several_things_is_refused() {
    for (field, given) in [
        ("limit", json!(1.5)),
        ("limit", json!("all")),
        ("limit", json!("5 6")),
        ("limit", json!("0x5")),
        ("limit", json!(true)),
        ("limit", json!([5])),
        ("limit", json!("201")),
        ("seqs", json!(9_007_199_254_740_994.0)),
        ("seqs", json!(1e300)),
        ("seqs", json!([null])),
        ("seqs", json!("1, 2")),
        ("force", json!("yes")),
        ("force", json!(1)),
        ("execution_plan", json!("a, b")),
        ("execution_plan", json!("a b")),
        ("execution_plan", json!("[\"a\"")),
        ("execution_plan", json!(7)),
        ("execution_plan", json!({"0": "a"})),
        ("settings", json!("[]")),
        ("settings", json!("a")),
        ("priority", json!("HIGH")),
        ("title", json!(7)),
    ] {
        assert_eq!(taken(field, given.clone()), None, "{field}: {given}");
    }
}

#[test]
fn every_wrong_field_is_named_with_what_was_given_and_what_is_allowed() {
    assert_eq!(
        told(&json!({"titel": "a", "priority": "hgh", "limit": 201, "execution_plan": "b, c"})),
        "create_ticket was not called: its arguments are wrong.\n\
         - There is no field titel. Did you mean title?\n\
         - execution_plan cannot be \"b, c\"; it must be a list of 1 to 2 strings.\n\
         - limit cannot be \"201\"; it must be a whole number from 1 to 200.\n\
         - priority cannot be \"hgh\"; it must be one of low, high.\n\
         - title is missing; it must be a string.\n\
         Correct them and call create_ticket again."
    );
}

#[test]
fn wrong_types_are_named_down_to_the_item() {
    let wrong = |given: Value| told(&given).lines().nth(1).unwrap_or_default().to_owned();
    let base = |field: &str, value: Value| {
        let mut given = json!({"title": "a", "execution_plan": ["b"]});
        given[field] = value;
        wrong(given)
    };
    assert_eq!(base("title", json!(7)), "- title cannot be \"7\"; it must be a string.");
    assert_eq!(
        base("limit", json!(1.5)),
        "- limit cannot be \"1.5\"; it must be a whole number from 1 to 200."
    );
    assert_eq!(base("force", json!("yes")), "- force cannot be \"yes\"; it must be true or false.");
    assert_eq!(
        base("execution_plan", json!(["a", 2])),
        "- execution_plan[1] cannot be \"2\"; it must be a string."
    );
    assert_eq!(
        base("execution_plan", json!([])),
        "- execution_plan cannot be \"[]\"; it must be a list of 1 to 2 strings."
    );
    assert_eq!(
        base("colour", json!("red")),
        "- There is no field colour. The fields are: budget, execution_plan, force, limit, priority, rules, seqs, settings, title."
    );
}
