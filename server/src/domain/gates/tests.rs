use super::message;
use super::round::Counts;
use super::round::Decision;
use super::round::Found;
use super::round::decide;
use crate::domain::judging::GateVerdict;
use crate::snapshot;

fn found(gate: &str, verdict: GateVerdict, mark: &str) -> Found {
    Found {
        gate: gate.to_owned(),
        verdict,
        waived: false,
        command: "cargo test --workspace".to_owned(),
        how: "exited with 101".to_owned(),
        new_failures: Vec::new(),
        tail: "$ cargo test --workspace\nrunning 3 tests\ntest adds ... FAILED\n".to_owned(),
        attempt: "A-18".to_owned(),
        note: None,
        mark: mark.to_owned(),
    }
}

fn counts(failures: i64, last: Option<&str>) -> Counts<'_> {
    Counts { failures, max_failures: 3, last }
}

fn held(decision: Decision) -> String {
    match decision {
        Decision::Hold { why } => why,
        Decision::Pass | Decision::Tell { .. } => panic!("{decision:?}"),
    }
}

#[test]
fn nothing_red_passes() {
    use GateVerdict::Failed;
    use GateVerdict::Flaky;
    use GateVerdict::KnownFailure;
    use GateVerdict::Passed;
    assert_eq!(decide(&[], counts(0, None)), Decision::Pass);
    let green = [Passed, Flaky, KnownFailure].map(|verdict| found("test", verdict, "a"));
    assert_eq!(decide(&green, counts(2, Some("a"))), Decision::Pass);
    let waived = Found { waived: true, ..found("lint", Failed, "b") };
    assert_eq!(decide(&[waived], counts(2, None)), Decision::Pass);
}

#[test]
fn a_red_gate_is_told_until_it_is_the_same_again_or_too_often() {
    let red = [found("test", GateVerdict::Failed, "a"), found("lint", GateVerdict::TimedOut, "b")];
    let told = Decision::Tell { fingerprint: "a\nb".to_owned() };
    assert_eq!(decide(&red, counts(0, None)), told);
    assert_eq!(decide(&red, counts(1, Some("a"))), told);
    let words = [
        held(decide(&red, counts(1, Some("a\nb")))),
        held(decide(&red[..1], counts(2, Some("x")))),
        held(decide(&red[1..], Counts { max_failures: 1, ..counts(0, None) })),
        held(decide(&[found("test", GateVerdict::Error, "e"), red[1].clone()], counts(0, None))),
    ];
    snapshot::holds("gate-holds", &words.join("\n"));
}

#[test]
fn the_messages_about_red_gates_are_the_reviewed_ones() {
    let tests = Found {
        new_failures: (1..=52).map(|n| format!("shop::basket::test_{n}")).collect(),
        note: Some("It changed Cargo.lock; that was undone and is kept as refs/x.".to_owned()),
        ..found("test", GateVerdict::Failed, "a")
    };
    let passed = found("build", GateVerdict::Passed, "");
    let silent = Found {
        tail: String::new(),
        command: "./lint".to_owned(),
        how: "did not end in time".to_owned(),
        ..found("lint", GateVerdict::TimedOut, "b")
    };
    let round = [passed, tests, silent];
    let text = format!("{}\n\n---\n{}\n", message::red(&round), message::evidence(&round));
    snapshot::holds("gate-messages", &text);
}

#[test]
fn the_end_of_an_output_begins_with_a_whole_line() {
    assert_eq!(message::end_of("one\ntwo\nthree\n", 100), "one\ntwo\nthree");
    assert_eq!(message::end_of("one\ntwo\nthree\n", 7), "three");
    assert_eq!(message::end_of("äöü", 3), "ü");
    let argv = ["sh", "-c", "exit 1", ""].map(str::to_owned);
    assert_eq!(message::shown(&argv), "sh -c \"exit 1\" \"\"");
}
