//! What the manual tells operators to type, typed exactly as written.

use crate::operator::Operator;
use crate::say;

const MANUAL: &str = include_str!("../../../../packaging/OPERATING.md");

/// The commands in the manual's code block about the journal: the system's, or a user's.
fn journal_commands(user: bool) -> Vec<&'static str> {
    let fences = MANUAL.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let fence = fences.filter(|fence| fence.starts_with("journalctl")).last();
    let lines = fence.expect("the manual shows how to read the journal").lines();
    let commands = lines.filter_map(|line| line.split("  #").next()).map(str::trim_end);
    commands.filter(|command| command.contains("--user") == user).collect()
}

/// Each command finds at least one record. By then everything that they name has been logged.
pub(crate) fn reads_the_journal(operator: &Operator<'_>) {
    let commands = journal_commands(operator.place.user.is_some());
    assert!(!commands.is_empty(), "the manual has some");
    for command in &commands {
        let found = operator.run(&["sh", "-euc", command]);
        let records = found.lines().filter(|line| !line.starts_with("-- ")).count();
        assert!(records > 0, "{command} finds nothing: {found}");
    }
    say(&format!(
        "journalctl as the manual has it found something each time: {}",
        commands.join(", ")
    ));
}
