//! Other ways in which clients write a value, if it can mean only one thing.
//!
//! Clients whose numbers are doubles cannot write `5` for an integer, only `5.0`; clients that fill in forms write
//! everything as a string, and lists and objects as JSON in a string. A model whose call is refused for that cannot
//! correct it.
//!
//! Invariant: nothing is guessed. A value that could mean two things stays as it is, for the check to refuse.

use serde_json::Value;

/// The largest whole number up to which doubles hold each one exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The whole number that a value stands for: a double without a fraction, or a string with a number.
pub(crate) fn whole(value: &Value) -> Option<Value> {
    if let Some(number) = unquoted(value, Value::is_number) {
        return Some(whole(&number).unwrap_or(number));
    }
    let number = value.as_f64().filter(|_| !value.is_i64() && !value.is_u64())?;
    if number.fract() != 0.0 || number.abs() > EXACT {
        return None;
    }
    // Printed without a fraction, and so exactly.
    format!("{number:.0}").parse::<i64>().ok().map(Value::from)
}

/// The value of the JSON in a string, if it is of the wanted kind.
pub(crate) fn unquoted(value: &Value, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
    let text = value.as_str()?;
    serde_json::from_str(text).ok().filter(wanted)
}

/// True or false as a string, in Python's spelling too.
pub(crate) fn truth(value: &Value) -> Option<Value> {
    let text = value.as_str()?.trim();
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    (is("true") || is("false")).then(|| Value::Bool(is("true")))
}

/// A list of the one item that was given in place of it. `of_texts`: whether the items are strings.
///
/// A string with a character that separates items in some notation may be one item or several.
pub(crate) fn only(value: &Value, of_texts: bool) -> Option<Value> {
    let one = match value {
        Value::String(text) => {
            let parts = |c: char| c.is_whitespace() || ",;|[]{}()\"'".contains(c);
            let is_one = !text.is_empty() && !text.contains(parts);
            is_one.then(|| value.clone())
        }
        Value::Number(_) if !of_texts => Some(value.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }?;
    Some(Value::Array(vec![one]))
}
