//! Failure classes, each as an agent that fails in this way: its name on the attempt, and its
//! consequence.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use e2e::bed::Bed;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

/// The arguments of an agent identify its session.
const PRELUDE: &str = r#"#!/bin/sh
cat >/dev/null
while [ $# -gt 0 ]; do case "$1" in --session-id|--resume) id=$2;; esac; shift; done
begin() {
  echo '{"type":"system","subtype":"init","session_id":"'"$id"'","claude_code_version":"2.1.330","mcp_servers":'"${1:-[]}"'}'
}
result() {
  echo '{"type":"result","session_id":"'"$id"'","num_turns":1,"total_cost_usd":0.01,'"$1"'}'
}
"#;

/// What happens to a ticket whose stage may have two attempts and fails this way each time.
#[derive(Clone, Copy, Debug)]
enum Leads {
    /// Both attempts are used up; `asked`: after each, its session is asked for the outcome.
    Charged { asked: bool },
    /// It is tried as often, and uses no attempt.
    Strike { asked: bool },
    /// On hold once its session was asked for the outcome; no attempt is used.
    Held,
}

const CLASSES: [(&str, &str, Leads); 9] = [
    (
        "permission_denied",
        r#"begin; result '"subtype":"success","is_error":false,"permission_denials":[{"tool_name":"WebFetch"}]'"#,
        Leads::Held,
    ),
    (
        "mcp_not_connected",
        r#"begin '[{"name":"tracker","status":"failed"}]'; result '"subtype":"success","is_error":false'"#,
        Leads::Strike { asked: true },
    ),
    ("killed_externally", "begin; kill -KILL $$", Leads::Strike { asked: true }),
    ("hang_at_start", "exec sleep 600", Leads::Strike { asked: false }),
    ("crashed", "begin; kill -SEGV $$", Leads::Charged { asked: true }),
    (
        "malformed_result",
        r#"begin; result '"subtype":"success","is_error":false,"structured_output":{"outcome":"maybe"}'"#,
        Leads::Charged { asked: false },
    ),
    (
        "max_turns",
        r#"begin; result '"subtype":"error_max_turns","is_error":true,"terminal_reason":"max_turns"'; exit 1"#,
        Leads::Charged { asked: true },
    ),
    ("no_result", "begin", Leads::Charged { asked: true }),
    (
        "agent_error",
        r#"begin; result '"subtype":"success","is_error":false,"structured_output":{"outcome":"completed","report":"x"}'; exit 7"#,
        Leads::Charged { asked: true },
    ),
];

#[e2e::scenario]
async fn each_class_has_its_name_on_the_attempt_and_its_policy() {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let agent = elsewhere.path().join("agent");
    let of = |(class, script, _): &(&str, &str, Leads)| format!("{class}) {script};;\n");
    let cases: String = CLASSES.iter().map(of).collect();
    let script = format!("{PRELUDE}case \"$VIBE_ENSEMBLE_STAGE\" in\n{cases}esac\n");
    fs::write(&agent, script).unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let setup = Setup { agent: Some(agent), ..Setup::default() };
    let bed = Bed::with(setup.arg("--start-timeout-ms").arg("3000")).await;
    let _repository = bed.repository("shop", &[], json!({})).await;
    let mut tickets = Vec::new();
    for (class, _, leads) in CLASSES {
        bed.worker_type("shop", class, json!({"max_attempts": 2})).await;
        tickets.push((class, leads, bed.ticket("shop", &[class], "Work.").await));
    }
    for (class, leads, ticket) in tickets {
        let held = bed.ticket_is(&ticket, "on_hold").await;
        let attempts = held["attempts"].as_array().unwrap();
        let work: Vec<&Value> = attempts.iter().filter(|a| a["asks_outcome"] == false).collect();
        for attempt in &work {
            assert_eq!(attempt["failure"], class, "{held}");
        }
        let asks = attempts.len() - work.len();
        let seen = (work.len(), held["attempts_used"].as_i64().unwrap(), asks);
        let expected = match leads {
            Leads::Charged { asked } => (2, 2, 2 * usize::from(asked)),
            Leads::Strike { asked } => (2, 0, 2 * usize::from(asked)),
            Leads::Held => (1, 0, 1),
        };
        assert_eq!(seen, expected, "{class} {leads:?}: {held}");
        let why = held["hold_reason"].as_str().unwrap();
        assert!(matches!(leads, Leads::Held) || why.contains(class), "{class}: {why}");
        assert!(held["hold_reason"].as_str().is_some_and(|why| !why.is_empty()), "{held}");
    }
    let kinds: Vec<Value> = bed.events().await.into_iter().map(|e| e["kind"].clone()).collect();
    assert!(!kinds.contains(&json!("queue_paused")), "none of these is the queue's: {kinds:?}");
    bed.nothing_is_left().await;
}
