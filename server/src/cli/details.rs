//! Everything about one thing, for a person: one line per short value, then the long texts.

use serde_json::Map;
use serde_json::Value;

use crate::cli::output;
use crate::cli::terminal::Line;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::cli::terminal::Tone;

/// The longest text that stays on the line of its name.
const SHORT_CHARS: usize = 100;

/// Shows an answer: first the fields that are named, in their order, then the others. What is null or empty is left out.
#[must_use]
pub fn details(answer: &Value, first: &[&str], screen: &Screen) -> Page {
    let empty = Map::new();
    let all = answer.as_object().unwrap_or(&empty);
    let named = first.iter().filter_map(|name| all.get_key_value(*name));
    let others = all.iter().filter(|(name, _)| !first.contains(&name.as_str()));
    let (mut rows, mut blocks) = (Vec::new(), Vec::new());
    for (name, value) in named.chain(others) {
        add(name, &told(value, screen), &mut rows, &mut blocks);
    }
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut page = Page::new();
    for (name, value) in rows {
        let line = Line::new().toned(format!("{name:<width$}  "), Tone::Faint);
        page.line(line.text(value).hang(width + 2));
    }
    for (name, text) in blocks {
        page.heading(format!("{name}:"));
        page.text(&text, 0);
    }
    page
}

/// The value with every instant in it as a person tells it.
fn told(value: &Value, screen: &Screen) -> Value {
    match value {
        Value::String(text) => screen.told(text).into(),
        Value::Array(items) => items.iter().map(|item| told(item, screen)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), told(value, screen))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

type Lines = Vec<(String, String)>;

fn add(name: &str, value: &Value, rows: &mut Lines, blocks: &mut Lines) {
    let words = name.replace('_', " ");
    match value {
        Value::Null => {}
        Value::Bool(it) => rows.push((words, if *it { "yes" } else { "no" }.to_owned())),
        Value::Number(number) => rows.push((words, number.to_string())),
        Value::String(text) if text.trim().is_empty() => {}
        Value::String(text) if text.contains('\n') || text.chars().count() > SHORT_CHARS => {
            blocks.push((words, output::plain(text.trim_end())));
        }
        Value::String(text) => rows.push((words, output::cell(text))),
        Value::Array(items) => {
            let plain: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            match plain {
                Some(texts) if texts.is_empty() => {}
                Some(texts) => {
                    rows.push((words, output::short(&texts.join(", "), usize::from(u16::MAX))));
                }
                None => blocks.push((words, format!("{value:#}"))),
            }
        }
        Value::Object(members) => {
            for (inner, value) in members {
                if value.is_object() || value.is_array() {
                    blocks.push((format!("{words} {inner}"), format!("{value:#}")));
                } else {
                    add(&format!("{name} {inner}"), value, rows, blocks);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_texts_stand_below_and_nothing_empty_is_shown() {
        let answer = json!({
            "name": "shop", "path": "/srv/shop", "rules": "Two\nlines\u{1b}[2J", "patterns": "", "limit": null,
            "created_at": "2026-11-29T05:00:00.000Z", "limits": {"max_workers": 3, "max_budget_usd": null}, "force": true, "tools": ["Read", "Edit"],
        });
        let screen = Screen::pipe();
        assert_eq!(
            screen.lines(&details(&answer, &["path", "name"], &screen)).join("\n"),
            "path                /srv/shop\nname                shop\ncreated at          2026-11-29T05:00:00.000Z\nforce               yes\n\
             limits max workers  3\ntools               Read, Edit\n\nrules:\nTwo\nlines\u{fffd}[2J"
        );
    }
}
