//! What gates say about single files: lines of their output that name a file and a line of it.

use maud::Markup;
use maud::html;

use crate::web::parts::gates::stands_in_the_way;
use crate::web::text::Hostile;
use crate::web::text::cut;
use crate::web::text::terminal;
use crate::wire::gate::GateView;

/// Findings that are shown of one file.
const MOST: usize = 20;
/// Characters of one finding.
const MOST_CHARS: usize = 300;

/// One line of a gate's output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding<'g> {
    gate: &'g str,
    line: u64,
    text: String,
}

/// What gates that let nothing pass say about a file.
pub(crate) fn about<'g>(gates: &'g [GateView], path: &str) -> Vec<Finding<'g>> {
    let red = gates.iter().filter(|gate| stands_in_the_way(gate));
    red.flat_map(|gate| {
        let lines = gate.output.as_deref().unwrap_or_default().lines();
        lines.filter_map(move |text| {
            let plain = terminal(text);
            let line = line_in(&plain, path)?;
            let text = cut(plain.trim(), MOST_CHARS).0.to_owned();
            Some(Finding { gate: &gate.gate, line, text })
        })
    })
    .take(MOST)
    .collect()
}

/// The line of the file that a message names, as compilers and linters write it: `src/cart.rs:12:5`.
fn line_in(text: &str, path: &str) -> Option<u64> {
    text.match_indices(path).find_map(|(at, _)| {
        let before = text[..at].strip_suffix("./").unwrap_or(&text[..at]);
        let goes_on = |c: char| c.is_alphanumeric() || "/._-".contains(c);
        if before.ends_with(goes_on) {
            return None;
        }
        let after = text[at + path.len()..].strip_prefix(':')?;
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        after[..end].parse().ok()
    })
}

pub(crate) fn list(findings: &[Finding<'_>]) -> Markup {
    html! {
        ul .findings { @for finding in findings { li {
            span .verdict.verdict-failed { (Hostile(finding.gate)) } " " span .muted { "line " (finding.line) } " "
            span .mono.hostile { (Hostile(&finding.text)) }
        } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_where_a_tool_names_the_very_file() {
        for (text, line) in [
            ("src/cart.rs:12:5: unused import", Some(12)),
            ("  --> src/cart.rs:7", Some(7)),
            ("at (./src/cart.rs:3)", Some(3)),
            ("other/src/cart.rs:12", None),
            ("src/cart.rs: no line", None),
            ("src/cart.rs.orig:4", None),
            ("mysrc/cart.rs:4 then src/cart.rs:9", Some(9)),
            ("src/cart.rs:99999999999999999999999", None),
        ] {
            assert_eq!(line_in(text, "src/cart.rs"), line, "{text}");
        }
    }

    #[test]
    fn only_gates_that_let_nothing_pass_have_findings_and_they_are_few() {
        let gate = |verdict: &str, output: String| GateView {
            gate: "lint".into(),
            verdict: Some(verdict.into()),
            output: Some(output),
            ..GateView::default()
        };
        let many = "\u{1b}[31ma.rs:1: bad\u{1b}[0m\n".repeat(500);
        let gates = [gate("failed", many), gate("passed", "a.rs:2: fine\n".into())];
        let found = about(&gates, "a.rs");
        assert_eq!(found.len(), MOST);
        assert_eq!(found[0], Finding { gate: "lint", line: 1, text: "a.rs:1: bad".into() });
        assert!(about(&gates, "b.rs").is_empty());
    }
}
