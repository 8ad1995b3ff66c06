//! What scripts read: every command that takes `--json` prints what its kept schema says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use e2e::bed::Bed;
use e2e::eventually::eventually;
use e2e::schema;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

use super::terminals::busy_bed;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The values that a command printed, each of which must be as the schema says.
fn valid(name: &str, command: &str, printed: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../server/schemas/{name}.json"));
    let kept =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let kept: Value = serde_json::from_str(&kept).expect("a schema is JSON");
    let values: Result<Vec<Value>, _> =
        serde_json::Deserializer::from_str(printed).into_iter().collect();
    let values = values.unwrap_or_else(|error| panic!("{command}: {error}\n{printed}"));
    assert!(!values.is_empty(), "{command} printed nothing");
    for value in &values {
        assert_eq!(schema::violations(&kept, value), Vec::<String>::new(), "{command}: {value:#}");
        assert_eq!(value["schema_version"], 1, "{command}");
    }
    values
}

/// A session of a user who does everything that the command line can do: the schema, and the command. Each works on what
/// those before it left; `{worker}` is the worker that was named last, `{new}` a directory.
const SESSION: &[(&str, &str)] = &[
    ("tickets", "tickets"),
    ("tickets", "tickets --all"),
    ("tickets", "ticket"),
    ("tickets", "ticket list"),
    ("ticket", "tickets T-1"),
    ("ticket", "ticket show T-2"),
    ("ticket", "ticket show T-3"),
    ("workers", "workers --all"),
    ("workers", "worker"),
    ("workers", "worker list"),
    ("usage", "usage --by attempt"),
    ("usage", "usage"),
    ("why", "why T-2"),
    ("why", "why T-1"),
    ("status", "status"),
    ("diff", "diff T-1"),
    ("event", "events"),
    ("event", "event list"),
    ("marked", "event mark --consumer scripts --up-to-seq 3"),
    ("log-line", "logs T-1"),
    ("inbox", "inbox"),
    ("project", "project create extra {new}"),
    ("projects", "project"),
    ("projects", "project list"),
    ("project-shown", "project show extra"),
    ("project-changed", "project update extra --max-workers 2"),
    ("templates", "type templates"),
    ("templates", "type templates review"),
    ("worker-type-changed", "type create extra build --template implementation --auto-spawn false"),
    ("worker-type-changed", "type update extra build --max-turns 5"),
    ("worker-types", "type list extra"),
    ("worker-type", "type show extra build"),
    ("ticket-changed", "ticket create extra Title --plan build"),
    ("ticket-changed", "ticket update T-6 --priority high"),
    (
        "project-changed",
        "project update extra --gates [{\"name\":\"lint\",\"command\":[\"true\"]}]",
    ),
    ("gates", "gates T-6"),
    ("gates", "gate list T-6"),
    ("ticket-changed", "gate waive T-6 lint Broken"),
    ("comment", "ticket comment T-6 Hello"),
    ("queues", "queue"),
    ("queues", "queue list"),
    ("queue-shown", "queue show extra build"),
    ("queue-emptied", "queue empty extra build"),
    ("ticket-changed", "ticket resume T-6"),
    ("ticket-changed", "ticket complete T-6 Done"),
    ("ticket-changed", "ticket create extra Other --plan build"),
    ("stop", "stop T-7"),
    ("ticket-changed", "gate run T-7"),
    ("ticket-changed", "ticket close T-7"),
    ("workers-spawned", "worker spawn extra build"),
    ("worker-shown", "worker show {worker}"),
    ("workers", "worker list --state busy --project warehouse-of-the-shop"),
    ("worker", "worker stop {worker}"),
    ("ticket-changed", "answer T-2 Both"),
    ("stop", "stop T-3"),
    ("ticket-changed", "resume T-3"),
    ("stop", "stop shop"),
    ("pause", "resume shop --all"),
    ("pause", "pause shop"),
    ("pause", "resume shop"),
    ("worker-type-changed", "type delete extra build --force"),
    ("project", "project delete extra --force"),
    ("connect", "connect {new} --dry-run"),
    ("connect", "connect {new}"),
    ("connect", "disconnect {new}"),
    ("notifiers", "notify list"),
    ("notifier", "notify test phone"),
    ("notifier", "notify resume phone"),
    ("check-config", "check-config"),
    ("check-project", "check-project {new}"),
    ("drain", "drain --no-wait"),
    ("backup", "backup {new}/copy.db"),
];

async fn printed(bed: &Bed, line: &str) -> Output {
    let words: Vec<&str> = line.split(' ').collect();
    bed.server.operate(words[0], &[&words[1..], &["--json"]].concat()).await
}

/// Every command, from the help of the program itself, that takes `--json`.
async fn takers(bed: &Bed) -> BTreeSet<String> {
    let below = |help: &str| -> Vec<String> {
        let list = help.split_once("\nCommands:\n").map_or("", |(_, list)| list);
        let list = list.lines().take_while(|line| !line.is_empty());
        let names = list.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
    };
    let mut left = below(&out(&bed.server.operate("help", &[]).await));
    assert!(left.len() > 20, "{left:?}");
    let mut found = BTreeSet::new();
    while let Some(path) = left.pop() {
        let words: Vec<&str> = path.split(' ').collect();
        let help = out(&bed.server.operate(words[0], &[&words[1..], &["-h"]].concat()).await);
        if help.lines().any(|line| line.trim_start().starts_with("--json ")) {
            found.insert(path.clone());
        }
        left.extend(below(&help).iter().map(|name| format!("{path} {name}")));
    }
    found
}

/// Adds a notifier, named phone, to the configuration of the running server.
pub(super) async fn notifier(bed: &Bed) {
    let directory = bed.server.home().join(".config/vibe-ensemble");
    fs::create_dir_all(&directory).expect("a directory");
    let file = "[[notify]]\nname = \"phone\"\ncommand = [\"true\"]\n";
    fs::write(directory.join("config.toml"), file).expect("writable");
    bed.server.signal(Signal::SIGHUP);
    eventually("the notifier is there", || async {
        let list = bed.client.ok("list_notifiers", json!({})).await;
        if list["notifiers"][0]["name"] == "phone" { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
}

#[e2e::scenario]
async fn every_command_that_takes_json_prints_what_its_kept_schema_says() {
    let mut bed = busy_bed().await;
    let new = bed.server.path("new");
    fs::create_dir(&new).expect("a directory");
    let new = new.to_str().expect("a plain path").to_owned();
    notifier(&bed).await;
    let mut worker = String::new();
    let mut left = takers(&bed).await;
    let ran = |left: &mut BTreeSet<String>, line: &str| {
        left.retain(|path| line != path && !line.starts_with(&format!("{path} ")));
    };
    for (name, line) in SESSION {
        let line = line.replace("{new}", &new).replace("{worker}", &worker);
        let output = printed(&bed, &line).await;
        assert!(output.status.success(), "{line}: {output:?}");
        let values = valid(name, &line, &out(&output));
        if values[0]["workers"][0]["worker_id"].is_string() {
            worker = values[0]["workers"][0]["worker_id"].as_str().expect("an id").to_owned();
        }
        if line == "status" {
            let pauses = values[0]["pauses"].as_array().expect("a list");
            let queue = pauses.iter().find(|pause| pause["scope"] == "queue");
            let reason = &queue.expect("the queue is paused")["reason"];
            assert_eq!(*reason, json!("The reviewers are on holiday."));
            assert_eq!(values[0]["at_work"][0]["ticket_id"], "T-3");
        }
        ran(&mut left, &line);
    }
    // These exit with another code where something is wrong.
    for (name, line) in [("doctor", "doctor"), ("check-config", "check-config --max-workers lots")]
    {
        valid(name, line, &out(&printed(&bed, line).await));
        ran(&mut left, line);
    }
    bed.server.stop().await;
    for (name, line) in [("workers", "workers"), ("restore", "restore {new}/copy.db")] {
        let line = line.replace("{new}", &new);
        let output = printed(&bed, &line).await;
        assert!(output.status.success(), "{line}: {output:?}");
        valid(name, &line, &out(&output));
        ran(&mut left, &line);
    }
    assert!(left.is_empty(), "these take --json, and nothing was printed with it: {left:?}");
}
