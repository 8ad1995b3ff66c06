#![expect(clippy::format_collect, reason = "short is worth more here than fast")]

use std::collections::BTreeSet;

use super::due::Changes;
use super::due::Occasion;
use super::judge::next;
use super::*;
use crate::domain::checks::Checks;
use crate::domain::checks::Gate;
use crate::domain::checks::Stages;
use crate::snapshot;

fn gate(name: &str) -> Gate {
    Gate { name: name.to_owned(), command: vec!["true".to_owned()], ..Gate::default() }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn run(end: End) -> Run {
    Run { end, tests: None }
}

fn tests(passed: &[&str], failed: &[&str]) -> Tests {
    let set = |list: &[&str]| -> BTreeSet<String> { names(list).into_iter().collect() };
    Tests { passed: set(passed), failed: set(failed) }
}

fn red(passed: &[&str], failed: &[&str]) -> Run {
    Run { end: End::Exited(1), tests: Some(tests(passed, failed)) }
}

const OK: End = End::Exited(0);
const BAD: End = End::Exited(101);

fn verdict(gate: &Gate, runs: &[Run], base: Option<&Run>) -> (GateVerdict, New, Vec<String>) {
    match next(gate, runs, base, true) {
        Next::Done(judged) => (judged.verdict, judged.new, judged.known),
        other @ (Next::Run | Next::RunBase) => panic!("expected a verdict, got {other:?}"),
    }
}

#[test]
fn a_gate_is_run_and_what_passes_has_passed() {
    let gate = gate("test");
    assert_eq!(next(&gate, &[], None, true), Next::Run);
    assert_eq!(verdict(&gate, &[run(OK)], None), (GateVerdict::Passed, New::Nothing, vec![]));
    // Whatever its report says: the command knows which of its tests may fail.
    let allowed = Run { end: OK, tests: Some(tests(&[], &["a"])) };
    assert_eq!(verdict(&gate, &[allowed], None).0, GateVerdict::Passed);
}

#[test]
fn what_fails_is_compared_with_the_base_first_and_then_run_again() {
    let gate = gate("test");
    let bad = run(BAD);
    assert_eq!(next(&gate, std::slice::from_ref(&bad), None, true), Next::RunBase);
    let base = run(OK);
    assert_eq!(next(&gate, std::slice::from_ref(&bad), Some(&base), true), Next::Run);
    let twice = [bad.clone(), bad.clone()];
    assert_eq!(verdict(&gate, &twice, Some(&base)), (GateVerdict::Failed, New::Whole, vec![]));
    let flaky = [bad.clone(), run(OK)];
    assert_eq!(verdict(&gate, &flaky, Some(&base)).0, GateVerdict::Flaky);
    let never = Gate { retries: 0, ..gate };
    assert_eq!(verdict(&never, &[bad], Some(&base)).0, GateVerdict::Failed);
}

#[test]
fn without_a_baseline_every_failure_is_new() {
    let gate = Gate { baseline: false, retries: 0, ..gate("test") };
    let base = run(BAD);
    assert_eq!(verdict(&gate, &[run(BAD)], Some(&base)).0, GateVerdict::Failed);
    // A ticket that is at its base, and a project without commits.
    let gate = Gate { retries: 0, ..super::tests::gate("test") };
    let decided = next(&gate, &[run(BAD)], None, false);
    assert!(matches!(decided, Next::Done(Judged { verdict: GateVerdict::Failed, .. })));
}

#[test]
fn what_fails_on_the_base_too_is_known() {
    let gate = gate("test");
    for base in [run(BAD), run(End::Exited(1)), run(End::Signalled(9)), run(End::TimedOut)] {
        let found = verdict(&gate, &[run(BAD)], Some(&base));
        assert_eq!(found, (GateVerdict::KnownFailure, New::Nothing, vec![]), "{base:?}");
    }
    // It could not be run on the base: that says nothing.
    let found = next(&gate, &[run(BAD)], Some(&run(End::NotStarted)), true);
    assert_eq!(found, Next::Run);
}

#[test]
fn a_run_that_reaches_its_time_limit_is_not_repeated() {
    let gate = gate("test");
    let found = verdict(&gate, &[run(End::TimedOut)], Some(&run(OK)));
    assert_eq!(found, (GateVerdict::TimedOut, New::Whole, vec![]));
    let found = verdict(&gate, &[run(End::TimedOut)], Some(&run(BAD)));
    assert_eq!(found.0, GateVerdict::TimedOut, "the base fails, but it ends");
    let found = verdict(&gate, &[run(End::TimedOut)], Some(&run(End::TimedOut)));
    assert_eq!(found.0, GateVerdict::KnownFailure);
}

#[test]
fn a_command_that_cannot_be_started_is_an_error() {
    let found = verdict(&gate("test"), &[run(End::NotStarted)], None);
    assert_eq!(found, (GateVerdict::Error, New::Whole, vec![]));
}

#[test]
fn single_tests_are_compared_where_both_runs_have_a_report() {
    let gate = Gate { retries: 0, junit: "junit.xml".to_owned(), ..gate("test") };
    let base = red(&["a", "b"], &["old"]);
    let same = verdict(&gate, &[red(&["a", "b"], &["old"])], Some(&base));
    assert_eq!(same, (GateVerdict::KnownFailure, New::Nothing, names(&["old"])));
    let more = verdict(&gate, &[red(&["a"], &["b", "old"])], Some(&base));
    let new = New::Tests { failed: names(&["b"]), missing: vec![] };
    assert_eq!(more, (GateVerdict::Failed, new, names(&["old"])));
    let fixed = verdict(&gate, &[red(&["a", "old"], &["new"])], Some(&base));
    let new = New::Tests { failed: names(&["new"]), missing: vec![] };
    assert_eq!(fixed, (GateVerdict::Failed, new, vec![]));
}

#[test]
fn a_run_that_stops_early_is_not_forgiven() {
    let gate = Gate { retries: 0, ..gate("test") };
    let base = red(&["a", "b"], &["old"]);
    let found = verdict(&gate, &[red(&["a"], &["old"])], Some(&base));
    let new = New::Tests { failed: vec![], missing: names(&["b"]) };
    assert_eq!(found, (GateVerdict::Failed, new, names(&["old"])));
    // A test that was renamed is still as many tests.
    let found = verdict(&gate, &[red(&["a", "c"], &["old"])], Some(&base));
    assert_eq!(found.0, GateVerdict::KnownFailure);
    // No report at all: the command broke before its tests.
    let found = verdict(&gate, &[run(BAD)], Some(&base));
    assert_eq!((found.0, found.1), (GateVerdict::Failed, New::Whole));
    // The base passes, and this run fails for a reason that its report does not have.
    let green = Run { end: OK, tests: Some(tests(&["a"], &["old"])) };
    let found = verdict(&gate, &[red(&["a"], &["old"])], Some(&green));
    assert_eq!((found.0, found.1), (GateVerdict::Failed, New::Whole));
}

#[test]
fn gates_are_due_by_stage_and_by_changed_files() {
    let rust = Gate { when_changed: names(&["**/*.rs", "Cargo.lock"]), ..gate("rust") };
    let review = Gate { stages: Stages::Named(names(&["review"])), ..gate("review") };
    let never = Gate { stages: Stages::Named(vec![]), ..gate("never") };
    let checks = Checks { gates: vec![gate("all"), rust, review, never], ..Checks::default() };
    let due = |occasion, changes| {
        let due = due::due(&checks, occasion, changes);
        due.into_iter().map(|gate| gate.name.clone()).collect::<Vec<_>>()
    };
    let files = names(&["web/src/main.rs", "docs/index.md"]);
    let at = |prefix| Changes::Files { files: &files, prefix };
    let implement = Occasion::Stage { stage: "implement", moved: true };
    assert_eq!(due(implement, at("")), ["all", "rust"]);
    assert_eq!(due(implement, at("web/")), ["all", "rust"]);
    assert_eq!(due(implement, at("docs/")), ["all"]);
    assert_eq!(due(implement, Changes::Unknown), ["all", "rust"]);
    let review = Occasion::Stage { stage: "review", moved: false };
    assert_eq!(due(review, at("")), ["review"]);
    assert_eq!(
        due(Occasion::Stage { stage: "review", moved: true }, at("")),
        ["all", "rust", "review"]
    );
    assert_eq!(due(Occasion::Landing { plan: &["implement"] }, at("")), ["all", "rust"]);
    assert_eq!(
        due(Occasion::Landing { plan: &["implement", "review"] }, at("")),
        ["all", "rust", "review"]
    );
    assert_eq!(due(Occasion::Asked, at("docs/")), ["all", "rust", "review", "never"]);
    let lock = names(&["Cargo.lock", "web/Cargo.lock"]);
    assert_eq!(due(implement, Changes::Files { files: &lock[..1], prefix: "" }), ["all", "rust"]);
    assert_eq!(due(implement, Changes::Files { files: &lock[1..], prefix: "" }), ["all"]);
}

#[test]
fn changes_of_protected_files_need_agreement() {
    let tests = Gate { protected: names(&["tests/**"]), ..gate("test") };
    let checks = Checks { gates: vec![gate("lint"), tests], ..Checks::default() };
    let files = names(&["web/tests/a.rs", "web/src/a.rs", "web/.vibe-ensemble.toml", "tests/b.rs"]);
    let found = protected::touched(&checks, &files, "web/");
    let found: Vec<&str> = found.iter().map(|one| one.file.as_str()).collect();
    assert_eq!(found, ["web/tests/a.rs", "web/.vibe-ensemble.toml"]);
    assert_eq!(protected::touched(&Checks::default(), &names(&["src/a.rs"]), ""), []);
    // The file counts even when no gate is set: it may be what adds one, or removes the last.
    assert_eq!(
        protected::touched(&Checks::default(), &names(&[".vibe-ensemble.toml"]), "").len(),
        1
    );
    let many: Vec<String> = (0..8).map(|n| format!("tests/{n}.rs")).collect();
    let mut words = vec![protected::reason(&protected::touched(&checks, &files, "web/"))];
    words.push(protected::reason(&protected::touched(&checks, &many, "")));
    words.push(protected::reason(&protected::touched(&checks, &names(&["tests/\u{1b}[2J"]), "")));
    snapshot::holds("judging-protected", &words.join("\n"));
}

#[test]
fn the_same_failure_has_the_same_mark() {
    let whole = Judged { verdict: GateVerdict::Failed, new: New::Whole, known: vec![] };
    let mark = |output: &str| recurrence::mark("test", &whole, BAD, output);
    let first = "thread 'a' (1234) panicked at src/lib.rs:12:5\nat 0x7ffe12345678\ntest result: FAILED in 1.23s\n";
    let again = "thread 'a' (98) panicked at src/lib.rs:12:5\nat 0x55aa00112233\n\ntest result: FAILED in 0.98s\n";
    assert_eq!(mark(first), mark(again));
    assert_ne!(mark(first), mark(&first.replace(":12:5", ":13:5")));
    assert_ne!(mark(first), recurrence::mark("lint", &whole, BAD, first));
    assert_ne!(mark(first), recurrence::mark("test", &whole, End::Exited(2), first));
    assert_ne!(mark("error: expected 2 found 3"), mark("error: expected 2 found 4"));
    assert_eq!(mark("2026-11-29T10:00:01Z error: x"), mark("2026-11-29T10:07:59Z error: x"));
    assert_eq!(mark("pid 12 died"), mark("pid 13 died"));
    let of = |failed: &[&str]| Judged {
        new: New::Tests { failed: names(failed), missing: vec![] },
        ..whole.clone()
    };
    let a = recurrence::mark("test", &of(&["a"]), BAD, "one output");
    assert_eq!(a, recurrence::mark("test", &of(&["a"]), BAD, "another output"));
    assert_ne!(a, recurrence::mark("test", &of(&["b"]), BAD, "one output"));
}

const PYTEST: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="0" failures="1" tests="4">
<testcase classname="tests.test_cart" name="test_add" time="0.01"/>
<testcase classname="tests.test_cart" name="test_empty[&lt;0&gt;]"><failure message="assert 1 == 2">x</failure></testcase>
<testcase classname="tests.test_cart" name="test_later"><skipped/></testcase>
<testcase classname="tests.test_cart" name="test_setup"><error message="e"/></testcase>
<testcase name="bare"><flakyFailure message="once"/><system-out>a &amp; b</system-out></testcase>
</testsuite></testsuites>"#;

#[test]
fn a_report_is_read() {
    let read = junit::read(PYTEST.as_bytes()).unwrap();
    let expected = tests(
        &["tests.test_cart::test_add", "pytest::bare"],
        &["tests.test_cart::test_empty[<0>]", "tests.test_cart::test_setup"],
    );
    assert_eq!(read, expected);
}

#[test]
fn a_test_that_fails_once_in_a_report_has_failed() {
    let twice = r#"<testsuite name="s"><testcase name="a"><failure/></testcase><testcase name="a"/></testsuite>"#;
    assert_eq!(junit::read(twice.as_bytes()).unwrap(), tests(&[], &["s::a"]));
}

#[test]
fn a_hostile_report_is_no_report() {
    use junit::Unreadable;
    let deep = "<a>".repeat(1000);
    let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>"#;
    let many: String = (0..200_001).map(|n| format!("<testcase name=\"{n}\"/>")).collect();
    let cases: [(&[u8], Unreadable); 8] = [
        (b"", Unreadable::Empty),
        (b"not xml", Unreadable::Empty),
        (b"<testsuite></testsuite>", Unreadable::Empty),
        (b"<testsuite><testcase name=\"a\"/>", Unreadable::Invalid),
        (b"<testsuite><testcase name=\"a\"></testsuite></testcase>", Unreadable::Invalid),
        (deep.as_bytes(), Unreadable::TooDeep),
        (bomb.as_bytes(), Unreadable::Invalid),
        (many.as_bytes(), Unreadable::TooMany),
    ];
    for (content, why) in cases {
        let start = String::from_utf8_lossy(&content[..content.len().min(40)]).into_owned();
        assert_eq!(junit::read(content), Err(why), "{start}");
    }
    assert_eq!(junit::read(&vec![b' '; junit::MOST_BYTES + 1]), Err(Unreadable::TooLong));
    let hidden = "<testsuite><testcase name=\"a\u{202e}&#27;[2J\"/></testsuite>";
    let read = junit::read(hidden.as_bytes()).unwrap();
    assert_eq!(read.passed.first().map(String::as_str), Some("a\u{fffd}\u{fffd}[2J"));
}
