#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "short is worth more here than fast"
)]

use serde_json::json;

use super::*;
use crate::snapshot;

const WHOLE: &str = r#"
[worktree]
copy = [".env", "config/*.local.toml"]
setup = [["npm", "ci"]]
setup_timeout_seconds = 600
cleanup = [["docker", "compose", "down"]]
ports = 10

[[gate]]
name = "test"
command = ["cargo", "test"]
stages = ["implement"]
when_changed = ["**/*.rs", "Cargo.lock"]
timeout_seconds = 60
retries = 0
baseline = false
junit = "target/junit.xml"
protected = ["tests/**"]
network = false
env = { CARGO_TARGET_DIR = "/var/cache/shop" }
directory = "crates/web/"

[[gate]]
name = "lint"
command = ["cargo", "clippy"]
"#;

fn parsed(text: &str) -> file::File {
    file::parse(text.as_bytes()).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn words(problems: &Problems) -> String {
    problems.0.iter().map(|problem| format!("  {problem}\n")).collect()
}

#[test]
fn every_key_of_the_file_is_read() {
    let file = parsed(WHOLE);
    let checks = Tables::default().over(file.tables);
    let [test, lint] = checks.gates.as_slice() else { panic!("{checks:?}") };
    assert_eq!(checks.worktree.copy, [".env", "config/*.local.toml"]);
    assert_eq!(checks.worktree.setup, [["npm", "ci"]]);
    assert_eq!(checks.worktree.setup_timeout_seconds, 600);
    assert_eq!(checks.worktree.cleanup, [["docker", "compose", "down"]]);
    assert_eq!(checks.worktree.ports, 10);
    let expected = Gate {
        name: "test".into(),
        command: vec!["cargo".into(), "test".into()],
        stages: Stages::Named(vec!["implement".into()]),
        when_changed: vec!["**/*.rs".into(), "Cargo.lock".into()],
        timeout_seconds: 60,
        retries: 0,
        baseline: false,
        junit: "target/junit.xml".into(),
        protected: vec!["tests/**".into()],
        network: false,
        env: [("CARGO_TARGET_DIR".to_owned(), "/var/cache/shop".to_owned())].into(),
        directory: "crates/web".into(),
    };
    assert_eq!(*test, expected);
    let expected = Gate {
        name: "lint".into(),
        command: vec!["cargo".into(), "clippy".into()],
        ..Gate::default()
    };
    assert_eq!(*lint, expected);
    assert_eq!(lint.junit(), None);
}

#[test]
fn each_key_knows_its_place() {
    let file = parsed(WHOLE);
    assert_eq!(file.places["worktree.ports"], Position { line: 7, column: 1 });
    assert_eq!(file.places["gate.test.retries"], Position { line: 15, column: 1 });
    assert_eq!(file.places["gate.lint.command"], Position { line: 25, column: 1 });
    assert_eq!(file.places.get("gate.lint.retries"), None);
}

#[test]
fn an_empty_file_sets_nothing() {
    for text in ["", "# nothing yet\n", "[worktree]\n"] {
        assert!(parsed(text).tables.is_empty(), "{text:?}");
    }
    assert_eq!(Tables::default().over(Tables::default()), Checks::default());
}

#[test]
fn what_counts_survives_being_kept() {
    let checks = Tables::default().over(parsed(WHOLE).tables);
    let kept = serde_json::to_string(&checks).unwrap();
    assert_eq!(serde_json::from_str::<Checks>(&kept).unwrap(), checks);
    // What a later version adds has its default until then.
    let older = r#"{"gates":[{"name":"test","command":["true"]}]}"#;
    let older: Checks = serde_json::from_str(older).unwrap();
    assert_eq!(older.gates[0].timeout_seconds, 900);
}

#[test]
fn what_the_coordinator_sets_wins_key_by_key() {
    let file = parsed(WHOLE).tables;
    let set = Tables {
        worktree: json::worktree(&json!({"ports": 3, "setup": null})).unwrap(),
        gates: json::gates(&json!([
            {"name": "lint", "timeout_seconds": 30},
            {"name": "docs", "command": ["mdbook", "test"]},
            {"name": "test", "stages": []},
        ]))
        .unwrap(),
    };
    let checks = set.over(file);
    assert_eq!(checks.worktree.ports, 3);
    assert_eq!(checks.worktree.setup, [["npm", "ci"]]);
    let names: Vec<&str> = checks.gates.iter().map(|gate| gate.name.as_str()).collect();
    assert_eq!(names, ["test", "lint", "docs"]);
    assert_eq!(checks.gates[0].stages, Stages::Named(Vec::new()));
    assert_eq!(checks.gates[0].timeout_seconds, 60);
    assert_eq!(checks.gates[1].timeout_seconds, 30);
    assert_eq!(checks.gates[1].command, ["cargo", "clippy"]);
}

#[test]
fn only_what_was_set_is_kept() {
    let set = json::worktree(&json!({"ports": 3, "copy": null})).unwrap();
    assert_eq!(serde_json::to_value(&set).unwrap(), json!({"ports": 3}));
    let set = json::gates(&json!([{"name": "lint", "retries": 0}])).unwrap();
    assert_eq!(serde_json::to_value(&set).unwrap(), json!([{"name": "lint", "retries": 0}]));
}

#[test]
fn what_is_wrong_says_where_and_what_is_allowed() {
    let gate = |more: &str| format!("[[gate]]\nname = \"test\"\ncommand = [\"true\"]\n{more}\n");
    let long = "x".repeat(1001);
    let cases: Vec<(&str, String)> = vec![
        ("syntax", "[worktree\nports = 1".into()),
        ("syntax of a value", "[worktree]\nports = ten".into()),
        ("a key twice", "[worktree]\nports = 1\nports = 2".into()),
        ("an unknown table", "[worktre]\nports = 1".into()),
        ("an unknown table far from any", "[database]\nurl = 1".into()),
        ("an unknown key", "[worktree]\nport = 1".into()),
        ("an unknown key far from any", "[worktree]\nfavourite_colour = 1".into()),
        ("a table that is none", "worktree = 3".into()),
        ("one gate in single brackets", "[gate]\nname = \"test\"".into()),
        ("a gate that is no table", "gate = [\"cargo test\"]".into()),
        ("a gate without name and command", "[[gate]]\nretries = 1".into()),
        ("an unknown key of a gate", gate("retires = 2")),
        ("two gates of one name", gate("") + &gate("")),
        ("too many gates", (0..51).map(|n| gate("").replace("test", &format!("t{n}"))).collect()),
        ("a bad name", "[[gate]]\nname = \"my test\"\ncommand = [\"true\"]".into()),
        ("a line for a shell", "[[gate]]\nname = \"test\"\ncommand = \"cargo test\"".into()),
        ("an empty command", "[[gate]]\nname = \"test\"\ncommand = []".into()),
        (
            "a command without a program",
            "[[gate]]\nname = \"test\"\ncommand = [\"\", \"x\"]".into(),
        ),
        (
            "an argument that is no string",
            "[[gate]]\nname = \"test\"\ncommand = [\"make\", 3]".into(),
        ),
        ("a command with NUL", "[[gate]]\nname = \"test\"\ncommand = [\"a\\u0000b\"]".into()),
        (
            "a command that is too long",
            format!("[[gate]]\nname = \"test\"\ncommand = [\"true\", \"{}\"]", "x".repeat(40_000)),
        ),
        ("a setup of strings", "[worktree]\nsetup = [\"npm\", \"ci\"]".into()),
        ("a setup for a shell", "[worktree]\nsetup = \"npm ci\"".into()),
        ("an empty command of a setup", "[worktree]\nsetup = [[\"npm\", \"ci\"], []]".into()),
        ("no time at all", gate("timeout_seconds = 0")),
        ("more than a day", "[worktree]\nsetup_timeout_seconds = 86401".into()),
        ("a time with a fraction", gate("timeout_seconds = 1.5")),
        ("a number in quotes", gate("retries = \"2\"")),
        ("too many retries", gate("retries = 6")),
        ("too many ports", "[worktree]\nports = 101".into()),
        ("a number that is too large", "[worktree]\nports = 99999999999999999999".into()),
        ("a word for true", gate("baseline = \"yes\"")),
        ("a date", gate("network = 2026-01-01")),
        ("a stage that is no name", gate("stages = [\"implement\", \"../x\"]")),
        ("no glob", gate("when_changed = []")),
        ("a glob that is none", gate("when_changed = [\"**/*.rs\", \"src/[a\"]")),
        ("a glob that leaves", gate("when_changed = [\"../**\"]")),
        ("an absolute glob", gate("protected = [\"/etc/**\"]")),
        ("a path that leaves", gate("junit = \"../junit.xml\"")),
        ("an absolute path", gate("directory = \"/tmp\"")),
        ("a path into git", gate("directory = \".git/hooks\"")),
        ("a path that is too long", gate(&format!("junit = \"{long}\""))),
        ("an empty path", gate("junit = \"\"")),
        ("a pattern that leaves", "[worktree]\ncopy = [\".env\", \"../secrets\"]".into()),
        ("a pattern of nothing", "[worktree]\ncopy = [\"/\"]".into()),
        ("a pattern that is a comment", "[worktree]\ncopy = [\"# .env\"]".into()),
        ("one pattern as a string", "[worktree]\ncopy = \".env\"".into()),
        ("our own variable", gate("env = { VIBE_ENSEMBLE_PORT = \"1\" }")),
        ("a variable with a bad name", gate("env = { \"A B\" = \"1\" }")),
        ("a variable that is no string", gate("env = { DEBUG = 1 }")),
        ("variables as a list", gate("env = [\"A=1\"]")),
        (
            "several at once",
            "[worktree]\nports = -1\n\n[[gate]]\nname = \"test\"\ncomand = [\"true\"]\n".into(),
        ),
        ("what a terminal acts on", gate("\"\\u001b[2J\" = 1")),
    ];
    let mut all = String::new();
    for (case, text) in cases {
        let problems = file::parse(text.as_bytes()).expect_err(case);
        all += &format!("{case}\n{}", words(&problems));
    }
    let latin = file::parse(b"# \xfc\n").expect_err("not UTF-8");
    all += &format!("not in UTF-8\n{}", words(&latin));
    let huge = vec![b'#'; file::MOST_BYTES + 1];
    all += &format!("too long\n{}", words(&file::parse(&huge).expect_err("too long")));
    snapshot::holds("checks-file-errors", &all);
}

#[test]
fn what_is_wrong_with_a_call_names_its_field() {
    let mut all = String::new();
    for given in [
        json!({"port": 1}),
        json!({"ports": 1.5}),
        json!([1]),
        json!({"setup": [["npm", "ci"], "make"]}),
    ] {
        all += &words(&json::worktree(&given).expect_err("a wrong table"));
    }
    for given in [
        json!({"name": "test"}),
        json!([{"command": ["true"]}]),
        json!([{"name": "a"}, {"name": "a"}]),
        json!([{"name": "a", "retires": 1}]),
        json!([{"name": "a", "env": {"A": null}}]),
        json!(["test"]),
    ] {
        all += &words(&json::gates(&given).expect_err("wrong gates"));
    }
    let alone =
        Tables { gates: json::gates(&json!([{"name": "a"}])).unwrap(), ..Tables::default() };
    all += &words(&alone.over(Tables::default()).complete().expect_err("a gate without a command"));
    snapshot::holds("checks-call-errors", &all);
}

#[test]
fn secrets_are_in_no_message() {
    let file = r#"
        [[gate]]
        name = "test"
        command = ["true"]
        env = { TOKEN = "hunter2", DEBUG = 1 }
    "#;
    let words = words(&file::parse(file.as_bytes()).expect_err("a number"));
    assert!(!words.contains("hunter2"), "{words}");
    let call = json!([{"name": "a", "env": "TOKEN=hunter2"}]);
    let wrong = format!("{:?}", json::gates(&call));
    assert!(!wrong.contains("hunter2"), "{wrong}");
}

#[test]
fn a_hostile_file_has_a_clear_end() {
    let nested = format!("x = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(file::parse(nested.as_bytes()).is_err());
    let keys: String = (0..10_000).map(|n| format!("k{n} = 1\n")).collect();
    let problems = file::parse(keys.as_bytes()).expect_err("no such keys");
    assert_eq!(problems.0.len(), Problems::MOST);
}
