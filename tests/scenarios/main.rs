//! Scenarios: each test is one promise to a user, tested with the real server, real shims and an
//! agent that obeys a script.
//!
//! All of them are in one binary, because linking costs more than running. The tests are
//! independent: each has its own server, on its own state, and ends every process that it started.
//!
//! A test is marked `#[e2e::scenario]` instead of `#[tokio::test]`, and names with `needs(Claude)`
//! and the like what it requires; if that is missing, the test is reported as ignored, with the
//! reason.

mod acting;
mod activation;
mod attacks;
mod backup;
mod bad_input;
mod bill;
mod browser;
mod catalogue;
mod child;
mod classes;
mod cleanup;
mod client_habits;
mod clocks;
mod closed;
mod command_line;
mod connect;
mod coordinator;
mod copies;
mod crash;
mod dashboard;
mod dependencies;
mod directories;
mod disk;
mod events;
mod failures;
mod fence;
mod following;
mod gates;
mod gates_compared;
mod hostile_gates;
mod http;
mod identity;
mod inbox;
mod limits;
mod listeners;
mod lists;
mod many_gates;
mod meddling;
mod mounts;
mod neighbours;
mod notification_recipes;
mod notifications;
mod notify;
mod official;
mod offline_gates;
mod old_shim;
mod outcomes;
mod overdue;
mod passing;
mod pauses;
mod pipeline;
mod pipes;
mod planning;
mod plants;
mod plugin;
mod printed_json;
mod project_settings;
mod projects;
mod protocol;
mod queues;
mod real_claude;
mod real_gates;
mod removed;
mod repositories;
mod results;
mod retention;
mod runtime;
mod scale;
mod secrecy;
mod setting_up;
mod shortages;
mod signals;
mod slots;
mod slow_clients;
mod starts;
mod stopped_shims;
mod stopping;
mod stuck;
mod taking;
mod templates;
mod terminals;
mod tickets;
mod tokens;
mod trees;
mod unchanged;
mod undying;
mod units;
mod waiting;
mod waking;
mod workers;
mod worktrees;

fn main() -> std::process::ExitCode {
    e2e::harness::main()
}

/// The built-in attributes would compile here, and such a test would silently never run.
#[e2e::scenario]
fn every_test_is_a_scenario() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let lost = text
            .lines()
            .find(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
        assert_eq!(lost, None, "{} has a test without #[e2e::scenario]", path.display());
    }
}
