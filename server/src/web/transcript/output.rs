//! Rows of what a setup or a gate printed: no stream of claude, only text.

use serde_json::Value;
use serde_json::json;

use crate::web::text::terminal;
use crate::web::transcript::file::Line;
use crate::web::transcript::rows;

/// Lines that stand together in one row, which is read as one piece and still drawn only when it is seen.
const LINES: usize = 60;
const BYTES: usize = 4_000;

/// The rows of some lines: a few lines each.
pub(super) fn rows(lines: &[Line]) -> Vec<Value> {
    let mut found = Vec::new();
    let mut rest = lines;
    while let [first, ..] = rest {
        let (mut bytes, mut count) = (0, 0);
        for line in rest.iter().take(LINES) {
            if count > 0 && (bytes + line.text.len() > BYTES || line.is_cut) {
                break;
            }
            bytes += line.text.len();
            count += 1;
        }
        let (together, after) = rest.split_at(count);
        rest = after;
        let texts: Vec<_> =
            together.iter().map(|line| String::from_utf8_lossy(&line.text)).collect();
        let length: u64 = together.iter().map(|line| line.length).sum();
        let mut row = json!({"at": first.at, "line": length, "n": 0, "type": "raw", "error": false, "parent": null});
        rows::put(&mut row, "text", &texts.join("\n"), terminal);
        row["cut"] = (row["cut"] == true || first.is_cut).into();
        found.push(row);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_together_in_rows_of_a_bounded_size_and_none_is_lost() {
        let mut at = 0;
        let mut lines = Vec::new();
        for number in 0..1_000_u64 {
            let text = match number {
                500 => "x".repeat(100_000),
                number if number % 7 == 0 => format!("{{\"type\":\"result\",\"n\":{number}}}"),
                number => format!("\u{1b}[32mok\u{1b}[0m {number} \u{202e}"),
            };
            let length = text.len() as u64 + 1;
            lines.push(Line { at, length, text: text.into_bytes(), is_cut: number == 500 });
            at += length;
        }
        let rows = rows(&lines);
        assert!(rows.len() < 100, "{}", rows.len());
        let mut next = 0;
        for row in &rows {
            assert_eq!((row["type"].as_str(), row["at"].as_u64()), (Some("raw"), Some(next)));
            next += row["line"].as_u64().unwrap();
            let text = row["text"].as_str().unwrap();
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
            assert_eq!(row["cut"] == true, text.starts_with('x'), "{text}");
        }
        assert_eq!(next, at);
        let whole: String =
            rows.iter().filter_map(|row| row["text"].as_str()).collect::<Vec<_>>().join("\n");
        assert!(whole.contains("ok 999 ") && whole.contains("\"n\":7}"), "{whole}");
    }
}
