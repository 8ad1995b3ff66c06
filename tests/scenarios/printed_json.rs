//! What `--json` prints: scripts read it, so it matches the kept schemas.

use std::fs;
use std::path::Path;

use e2e::schema;
use serde_json::Value;

use super::terminals::busy_bed;
use super::terminals::out;

#[e2e::scenario]
async fn json_output_matches_the_kept_schemas() {
    let bed = busy_bed().await;
    let backup = bed.server.path("copy.db");
    let backup = backup.to_str().expect("a plain path");
    let commands: [(&str, &str, &[&str]); 17] = [
        ("tickets", "tickets", &[]),
        ("tickets", "tickets", &["--all"]),
        ("ticket", "tickets", &["T-1"]),
        ("ticket", "tickets", &["T-2"]),
        ("ticket", "tickets", &["T-3"]),
        ("workers", "workers", &["--all"]),
        ("usage", "usage", &["--by", "attempt"]),
        ("usage", "usage", &[]),
        ("why", "why", &["T-2"]),
        ("why", "why", &["T-1"]),
        ("status", "status", &[]),
        ("diff", "diff", &["T-1"]),
        ("event", "events", &[]),
        ("log-line", "logs", &["T-1"]),
        ("pause", "pause", &["shop"]),
        ("pause", "resume", &["shop"]),
        ("backup", "backup", &[backup]),
    ];
    for (name, command, arguments) in commands {
        let printed = out(&bed.server.operate(command, &[arguments, &["--json"]].concat()).await);
        valid(name, command, &printed);
    }
    // It exits with 1 on a machine that lacks something.
    let doctor = bed.server.operate("doctor", &["--json"]).await;
    valid("doctor", "doctor", &String::from_utf8_lossy(&doctor.stdout));
    let drain = out(&bed.server.operate("drain", &["--no-wait", "--json"]).await);
    valid("drain", "drain", &drain);
    let status = out(&bed.server.operate("status", &["--json"]).await);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let queue =
        status["pauses"].as_array().expect("a list").iter().find(|pause| pause["scope"] == "queue");
    assert_eq!(queue.expect("the queue is paused")["reason"], "The reviewers are on holiday.");
    assert_eq!(status["at_work"][0]["ticket_id"], "T-3");
}

fn valid(name: &str, command: &str, printed: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../server/schemas/{name}.json"));
    let kept =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let kept: Value = serde_json::from_str(&kept).expect("a schema is JSON");
    let values: Result<Vec<Value>, _> =
        serde_json::Deserializer::from_str(printed).into_iter().collect();
    let values = values.unwrap_or_else(|error| panic!("{command}: {error}\n{printed}"));
    assert!(!values.is_empty(), "{command} printed nothing");
    for value in values {
        assert_eq!(schema::violations(&kept, &value), Vec::<String>::new(), "{command}: {value:#}");
        assert_eq!(value["schema_version"], 1, "{command}");
    }
}
