//! The gates of a ticket: what each found, and what can be done about it.

use maud::Markup;
use maud::html;
use serde_json::json;

use crate::domain::text::shell_word;
use crate::web::parts::action::Act;
use crate::web::parts::action::button;
use crate::web::parts::action::menu;
use crate::web::parts::values;
use crate::web::text::Hostile;
use crate::web::text::terminal;
use crate::web::visit::Visit;
use crate::wire::gate::GateView;
use crate::wire::gate::is_red;
use crate::wire::ticket::TicketDetailView;

/// A list of gates, each with its verdict; what stands in the way is open, with the end of its output.
pub(crate) fn panel(visit: &Visit, detail: &TicketDetailView) -> Markup {
    let ticket = &detail.ticket;
    let is_open = ticket.state != "closed";
    let run = Act::calling("run_gates", "Run gates", json!({"ticket_id": ticket.ticket_id}));
    html! {
        header .panel-head {
            h2 { "Gates" } span .count { (detail.gates.len()) }
            @if ticket.state == "on_hold" { (button(visit, &run.icon("refresh"))) }
        }
        ul .gates { @for gate in &detail.gates { li .gate {
            (one(gate))
            @if is_open && gate.waived.is_none() && stands_in_the_way(gate) { (menu(visit, "Waive", vec![waive(&ticket.ticket_id, gate)])) }
        } } }
        p .muted { code .command { "vibe-ensemble gates " (ticket.ticket_id) } }
    }
}

fn one(gate: &GateView) -> Markup {
    html! {
        div .gate-head {
            b { (Hostile(&gate.gate)) } " " (values::verdict(gate.verdict.as_deref(), gate.attempt_id.is_some()))
            @if let Some(waived) = &gate.waived { " " span .chip.chip-warn title=(waived.reason) { "Waived by " (Hostile(&waived.author)) } }
            @if let Some(attempt) = &gate.attempt_id { " " (values::attempt_id(attempt)) }
            @if let Some(seconds) = gate.wall_seconds { " " span .muted { (values::lasting(millis(seconds))) } }
            @if let Some(peak) = gate.peak_memory_bytes { " " span .muted { (values::bytes(peak)) } }
            @if let Some(commit) = &gate.commit { " " span .muted.mono { "at " (commit.get(..12).unwrap_or(commit)) } }
        }
        p .mono.muted.hostile { (Hostile(&line(&gate.command))) }
        @if let Some(note) = &gate.note { p .hostile { (Hostile(note)) } }
        @if let Some(waived) = &gate.waived { p .hostile { "Waived: " (Hostile(&waived.reason)) } }
        @if let Some(output) = &gate.output {
            details open[stands_in_the_way(gate) && gate.waived.is_none()] {
                summary { "End of its output" }
                pre .hostile { (Hostile(&terminal(output))) }
            }
        }
    }
}

fn waive(ticket: &str, gate: &GateView) -> Act {
    let arguments = json!({"ticket_id": ticket, "gate": gate.gate});
    Act::calling("waive_gate", format!("Let {ticket} pass {}", gate.gate), arguments)
        .asks("reason", "Why may this ticket pass the gate?", 3, true)
        .danger()
}

pub(crate) fn stands_in_the_way(gate: &GateView) -> bool {
    is_red(gate.verdict.as_deref())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a run of a gate lasts less than its time limit"
)]
fn millis(seconds: f64) -> i64 {
    (seconds * 1_000.0) as i64
}

/// A command as a shell would take it, on one line.
pub(crate) fn line(command: &[String]) -> String {
    let words: Vec<String> = command.iter().map(|word| shell_word(word)).collect();
    values::line(&words.join(" "), 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_red_gate_is_open_with_its_output_and_hostile_text_is_inert() {
        let gate = GateView {
            gate: "test".into(),
            command: vec!["sh".into(), "-c".into(), "<script>alert(1)</script>".into()],
            verdict: Some("failed".into()),
            output: Some("\u{1b}[31mFAILED\u{1b}[0m <img src=x> \u{202e}".into()),
            attempt_id: Some("A-18".into()),
            ..GateView::default()
        };
        let shown = one(&gate).into_string();
        assert!(shown.contains("<details open"), "{shown}");
        assert!(shown.contains("FAILED &lt;img"), "{shown}");
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}'), "{shown}");
        let green = GateView { verdict: Some("flaky".into()), ..gate };
        assert!(!one(&green).into_string().contains("<details open"));
        let never = GateView { gate: "doc".into(), ..GateView::default() };
        assert!(one(&never).into_string().contains("pending"));
    }
}
