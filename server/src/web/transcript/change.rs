//! What an agent's editing tools do, as a difference.

use serde_json::Value;
use serde_json::json;

use crate::web::text::cut;
use crate::web::text::safe;

/// Lines of one change that are shown.
const MOST_LINES: usize = 400;
/// Characters of one line.
const MOST_CHARS: usize = 1_000;
/// Lines around a change.
const AROUND: usize = 3;

/// The change that a call makes; `None` if its input is not what the tool takes.
pub(super) fn of(tool: &str, input: &Value) -> Option<Value> {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (file, hunks) = match tool {
        "Write" => (text(input, "file_path"), vec![hunk("", input["content"].as_str()?)]),
        "Edit" => (
            text(input, "file_path"),
            vec![hunk(input["old_string"].as_str()?, input["new_string"].as_str()?)],
        ),
        "MultiEdit" => {
            let edits = input["edits"].as_array()?;
            let hunks = edits
                .iter()
                .map(|edit| hunk(&text(edit, "old_string"), &text(edit, "new_string")))
                .collect();
            (text(input, "file_path"), hunks)
        }
        "NotebookEdit" => {
            (text(input, "notebook_path"), vec![hunk("", input["new_source"].as_str()?)])
        }
        _ => return None,
    };
    Some(json!({"as": "diff", "file": safe(&file), "hunks": hunks}))
}

fn hunk(old: &str, new: &str) -> Value {
    let lines = lines(old, new);
    let hidden = lines.len().saturating_sub(MOST_LINES);
    let shown: Vec<Value> = lines
        .iter()
        .take(MOST_LINES)
        .map(|(mark, line)| json!([mark, safe(cut(line, MOST_CHARS).0)]))
        .collect();
    json!({"old": 1, "new": 1, "lines": shown, "hidden": hidden})
}

/// The lines that go and come, with those around them. What is the same at the beginning and at the end is left out.
fn lines<'t>(old: &'t str, new: &'t str) -> Vec<(&'static str, &'t str)> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let before = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let rest = old.len().min(new.len()) - before;
    let after = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take(rest)
        .take_while(|(one, other)| one == other)
        .count();
    let mut found = Vec::new();
    found.extend(old[before.saturating_sub(AROUND)..before].iter().map(|line| (" ", *line)));
    found.extend(old[before..old.len() - after].iter().map(|line| ("-", *line)));
    found.extend(new[before..new.len() - after].iter().map(|line| ("+", *line)));
    found.extend(old[old.len() - after..].iter().take(AROUND).map(|line| (" ", *line)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_shown_with_a_little_around_it() {
        assert_eq!(
            lines("a\nb\nc\nd\ne", "a\nb\nX\nd\ne"),
            [(" ", "a"), (" ", "b"), ("-", "c"), ("+", "X"), (" ", "d"), (" ", "e")]
        );
        assert_eq!(lines("", "a\nb"), [("+", "a"), ("+", "b")]);
        assert_eq!(lines("a\na", "a"), [(" ", "a"), ("-", "a")]);
        assert_eq!(lines("same", "same"), [(" ", "same")]);
    }

    #[test]
    fn calls_of_editing_tools_are_differences_and_odd_ones_are_not() {
        let edit =
            of("Edit", &json!({"file_path": "src/a.rs", "old_string": "a", "new_string": "b"}))
                .unwrap();
        assert_eq!(edit["hunks"][0]["lines"], json!([["-", "a"], ["+", "b"]]));
        assert_eq!(
            (edit["file"].as_str(), of("Edit", &json!({})), of("Bash", &json!({}))),
            (Some("src/a.rs"), None, None)
        );
        let many = "x\n".repeat(1_000);
        let write = of("Write", &json!({"file_path": "a", "content": many})).unwrap();
        assert_eq!(write["hunks"][0]["hidden"], 600);
    }
}
