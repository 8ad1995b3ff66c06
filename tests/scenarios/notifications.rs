//! Notifications: every event arrives, in order, whatever happens to the server and to the receivers.

use std::collections::BTreeMap;
use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use e2e::bed::Bed;
use e2e::eventually::eventually;
use e2e::eventually::eventually_within;
use e2e::receiver::Received;
use e2e::receiver::Receiver;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use super::terminals::out;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Waits between tries are seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// A configuration file, and what its notifiers need beside it.
pub(super) struct Told {
    directory: TempDir,
}

impl Told {
    pub(super) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("ve-told-").tempdir().expect("writable");
        let told = Self { directory };
        fs::write(told.path("secret"), SECRET).expect("writable");
        fs::set_permissions(told.path("secret"), Permissions::from_mode(0o600)).expect("ours");
        told.configure("");
        told
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the configuration. `DIR` in it is this directory.
    pub(super) fn configure(&self, text: &str) {
        let directory = self.directory.path().display().to_string();
        fs::write(self.path("config.toml"), text.replace("DIR", &directory)).expect("writable");
    }

    pub(super) fn setup(&self) -> Setup {
        let file = self.path("config.toml").display().to_string();
        Setup::default().env("VIBE_ENSEMBLE_CONFIG", file).env("TZ", "UTC")
    }

    /// A server with this configuration, and a project in which nothing starts by itself.
    async fn start(&self, text: &str) -> Bed {
        self.configure(text);
        let bed = Bed::with(self.setup()).await;
        quiet_project(&bed).await;
        bed
    }

    /// The messages that a command appended to a file, one per line.
    fn lines(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }
}

pub(super) async fn quiet_project(bed: &Bed) {
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
}

/// A notifier that appends each message to a file, as one line.
fn appending(name: &str, more: &str) -> String {
    format!(
        "[[notify]]\nname = \"{name}\"\ncommand = [\"sh\", \"-c\", \"cat >> DIR/{name} && echo >> DIR/{name}\"]\n{more}\n"
    )
}

/// A notifier that posts to this address.
fn posting(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[notify]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_file = \"DIR/secret\"\n{more}\n"
    )
}

/// The numbers of the events of these kinds, oldest first.
async fn logged(bed: &Bed, kinds: &[&str]) -> Vec<i64> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let asked =
            json!({"kinds": kinds, "after": after, "include_processed": true, "limit": 200});
        let page = bed.client.ok("list_events", asked).await;
        let events = page["events"].as_array().expect("a list");
        let Some(last) = events.last() else { return all };
        after = last["seq"].as_i64().expect("a number");
        all.extend(events.iter().filter_map(|event| event["seq"].as_i64()));
    }
}

pub(super) async fn notifier(bed: &Bed, name: &str) -> Value {
    let list = bed.client.ok("list_notifiers", json!({})).await;
    let found = list["notifiers"].as_array().expect("a list").iter().find(|it| it["name"] == name);
    found.cloned().unwrap_or_default()
}

/// Waits until the notifier is in this state, as every change of the configuration takes a moment.
pub(super) async fn is(bed: &Bed, name: &str, state: &str) -> Value {
    eventually_within(PATIENCE, &format!("{name} is {state}"), || async {
        let found = notifier(bed, name).await;
        if found["state"] == state { Ok(found) } else { Err(found.to_string()) }
    })
    .await
}

/// Waits until the notifier is configured, and knows where it begins.
pub(super) async fn begun(bed: &Bed, name: &str) {
    eventually(&format!("{name} begins"), || async {
        let found = notifier(bed, name).await;
        if found["delivered_up_to"].is_null() { Err(found.to_string()) } else { Ok(()) }
    })
    .await;
}

async fn create_and_close(bed: &Bed) {
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.client.ok("close_ticket", json!({"ticket_id": ticket})).await;
}

/// The numbers in the order in which they came first.
fn first_of_each(all: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let mut found = Vec::new();
    for seq in all {
        if !found.contains(&seq) {
            found.push(seq);
        }
    }
    found
}

#[e2e::scenario]
async fn a_receiver_that_fails_half_of_the_time_sees_every_event_in_order_while_the_server_is_killed()
 {
    const KINDS: [&str; 2] = ["ticket_created", "ticket_closed"];
    let receiver = Receiver::start(|number| if number % 2 == 0 { 503 } else { 200 }).await;
    let told = Told::new();
    let config = posting("hook", &receiver.url, "events = [\"ticket_created\", \"ticket_closed\"]");
    let mut bed = told.start(&config).await;
    begun(&bed, "hook").await;
    for round in 1..=5 {
        for _ in 0..4 {
            create_and_close(&bed).await;
        }
        // Sometimes before the answer is known, sometimes after it.
        eventually_within(PATIENCE, "something is sent", || {
            let sent = receiver.requests().len();
            std::future::ready(if sent >= round * 2 - 1 { Ok(()) } else { Err(sent.to_string()) })
        })
        .await;
        bed.server.kill().await;
        bed.launch().await;
    }
    create_and_close(&bed).await;
    let logged = logged(&bed, &KINDS).await;
    assert_eq!(logged.len(), 42);
    eventually_within(PATIENCE, "every event has arrived", || {
        let arrived = first_of_each(receiver.accepted().iter().flat_map(Received::events));
        let missing = logged.len() - arrived.len();
        std::future::ready(if missing == 0 {
            Ok(())
        } else {
            Err(format!("{missing} are missing"))
        })
    })
    .await;
    let accepted = receiver.accepted();
    let arrived = first_of_each(accepted.iter().flat_map(Received::events));
    assert_eq!(arrived, logged, "in their order");
    let mut bodies: BTreeMap<String, String> = BTreeMap::new();
    let mut again = 0;
    for received in receiver.requests() {
        let id = received.header("webhook-id").to_owned();
        assert!(id.starts_with("msg_"), "{id}");
        assert!(received.header("webhook-signature").starts_with("v1,"));
        let before = bodies.insert(id, received.body.clone());
        again += usize::from(before.is_some());
        assert!(
            before.is_none_or(|before| before == received.body),
            "another body for the same id"
        );
    }
    assert!(again >= 3, "each failure is followed by the same message, but {again} were");
}

#[e2e::scenario]
async fn a_flood_of_events_becomes_a_few_messages() {
    let told = Told::new();
    let bed =
        told.start(&appending("flood", "events = [\"ticket_created\", \"ticket_closed\"]")).await;
    begun(&bed, "flood").await;
    for _ in 0..150 {
        create_and_close(&bed).await;
    }
    let logged = logged(&bed, &["ticket_created", "ticket_closed"]).await;
    assert_eq!(logged.len(), 300);
    let messages = eventually_within(PATIENCE, "all of them arrived", || {
        let messages = told.lines("flood");
        let events: usize =
            messages.iter().filter_map(|message| Some(message["events"].as_array()?.len())).sum();
        std::future::ready(if events >= 300 { Ok(messages) } else { Err(events.to_string()) })
    })
    .await;
    let arrived: Vec<i64> = messages
        .iter()
        .flat_map(|message| message["events"].as_array().expect("a list"))
        .filter_map(|event| event["seq"].as_i64())
        .collect();
    assert_eq!(arrived, logged, "each once, in their order");
    assert!(messages.len() <= 60, "{} messages", messages.len());
}

#[e2e::scenario]
async fn messages_wait_until_quiet_hours_are_over_and_a_test_does_not() {
    let told = Told::new();
    let bed = told.start("").await;
    let minute = (bed.wall_seconds() / 60) % 1440;
    let at = |minute: u64| format!("{:02}:{:02}", minute % 1440 / 60, minute % 60);
    let hours = format!("{}-{}", at(minute + 1440 - 60), at(minute + 120));
    let events = "events = [\"ticket_created\"]";
    told.configure(&appending("phone", &format!("{events}\nquiet_hours = \"{hours}\"")));
    bed.server.signal(Signal::SIGHUP);
    begun(&bed, "phone").await;
    let quiet = is(&bed, "phone", "quiet").await;
    assert_eq!(quiet["quiet_hours"], hours);
    bed.ticket("shop", &["build"], "").await;
    let tested = bed.server.operate("notify", &["test", "phone"]).await;
    assert!(out(&tested).contains("The message arrived through phone."), "{tested:?}");
    let messages = told.lines("phone");
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(messages[0]["events"][0]["kind"], "test");
    // The hours are over.
    told.configure(&appending("phone", events));
    bed.server.signal(Signal::SIGHUP);
    let messages = eventually("what waited arrives", || {
        let messages = told.lines("phone");
        std::future::ready(if messages.len() == 2 {
            Ok(messages)
        } else {
            Err(format!("{messages:?}"))
        })
    })
    .await;
    assert_eq!(messages[1]["events"][0]["kind"], "ticket_created");
}

#[e2e::scenario]
async fn a_notifier_that_fails_too_often_waits_in_the_inbox_and_delivers_what_waited_when_it_is_resumed()
 {
    let told = Told::new();
    let config = "[[notify]]\nname = \"phone\"\nevents = [\"ticket_created\"]\nmax_tries = 2\n\
                  command = [\"sh\", \"-c\", \"test -e DIR/works || { printf 'no \\\\033[2Jroute' >&2; exit 7; }; cat >> DIR/phone; echo >> DIR/phone\"]\n";
    let bed = told.start(config).await;
    begun(&bed, "phone").await;
    for _ in 0..3 {
        bed.ticket("shop", &["build"], "").await;
    }
    let paused = is(&bed, "phone", "paused").await;
    assert_eq!(paused["tries"], 2, "{paused}");
    let error = paused["error"].as_str().expect("a reason");
    assert!(error.contains("exit status: 7") && error.contains("route"), "{error}");
    assert!(!error.contains('\u{1b}'), "{error}");
    let inbox = bed.client.ok("list_inbox", json!({"kinds": ["notification"]})).await;
    let item = &inbox["items"][0];
    assert_eq!(item["item"], "notify:phone", "{inbox}");
    assert!(
        item["sentence"].as_str().is_some_and(|words| words.contains("exit status: 7")),
        "{item}"
    );
    let doctor = bed.server.operate("doctor", &[]).await;
    // It also misses claude here.
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("phone is paused"), "{doctor:?}");
    let status = bed.server.operate("status", &[]).await;
    assert!(out(&status).contains("The notifier phone is paused"), "{status:?}");
    let tested = bed.server.operate("notify", &["test", "phone"]).await;
    assert_eq!(tested.status.code(), Some(1), "{tested:?}");

    fs::write(told.path("works"), "").expect("writable");
    bed.ticket("shop", &["build"], "").await;
    let command = item["actions"][0]["command"].as_str().expect("a step");
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    assert_eq!(words, ["notify", "resume", "phone"]);
    let resumed = bed.server.operate(words[0], &words[1..]).await;
    assert!(resumed.status.success(), "{resumed:?}");
    let logged = logged(&bed, &["ticket_created"]).await;
    eventually_within(PATIENCE, "what waited arrives", || {
        let events = told.lines("phone");
        let arrived: Vec<i64> = events
            .iter()
            .flat_map(|message| message["events"].as_array().cloned().unwrap_or_default())
            .filter_map(|event| event["seq"].as_i64())
            .collect();
        std::future::ready(if arrived == logged { Ok(()) } else { Err(format!("{arrived:?}")) })
    })
    .await;
    is(&bed, "phone", "active").await;
    let inbox = bed.client.ok("list_inbox", json!({"kinds": ["notification"]})).await;
    assert_eq!(inbox["items"], json!([]));
}

#[e2e::scenario]
async fn a_command_that_hangs_is_ended_with_what_it_started() {
    let told = Told::new();
    let config = "[[notify]]\nname = \"slow\"\nevents = [\"ticket_created\"]\ntimeout_seconds = 1\n\
                  command = [\"sh\", \"-c\", \"sleep 1000 & echo $! $$ > DIR/pids; wait\"]\n";
    let bed = told.start(config).await;
    begun(&bed, "slow").await;
    bed.ticket("shop", &["build"], "").await;
    let failing = is(&bed, "slow", "failing").await;
    assert!(
        failing["error"].as_str().is_some_and(|why| why.contains("longer than 1 s")),
        "{failing}"
    );
    let pids = fs::read_to_string(told.path("pids")).expect("it ran");
    for pid in pids.split_whitespace() {
        let pid = Pid::from_raw(pid.parse().expect("a number"));
        eventually(&format!("{pid} is gone"), || {
            let is_gone = kill(pid, None).is_err() || is_dead(pid);
            std::future::ready(if is_gone { Ok(()) } else { Err("it is there".to_owned()) })
        })
        .await;
    }
}

/// Whether the process has ended and nobody has waited for it yet.
fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')) || stat.is_empty()
}

#[e2e::scenario]
async fn a_reload_adds_and_removes_a_notifier_and_one_that_comes_back_has_missed_nothing() {
    let told = Told::new();
    let bed = told.start("").await;
    assert_eq!(bed.client.ok("list_notifiers", json!({})).await["notifiers"], json!([]));
    bed.ticket("shop", &["build"], "").await;
    let config = appending("late", "events = [\"ticket_created\"]\nprojects = [\"shop\"]");
    told.configure(&config);
    bed.server.signal(Signal::SIGHUP);
    begun(&bed, "late").await;
    let arrived = async |wanted: &[&str]| {
        eventually_within(PATIENCE, &format!("{wanted:?} arrive"), || {
            let tickets: Vec<String> = told
                .lines("late")
                .iter()
                .flat_map(|message| message["events"].as_array().cloned().unwrap_or_default())
                .filter_map(|event| Some(event["ticket_id"].as_str()?.to_owned()))
                .collect();
            std::future::ready(if tickets == wanted { Ok(()) } else { Err(format!("{tickets:?}")) })
        })
        .await;
    };
    bed.ticket("shop", &["build"], "").await;
    arrived(&["T-2"]).await;
    told.configure("");
    bed.server.signal(Signal::SIGHUP);
    eventually("it is gone", || async {
        let list = bed.client.ok("list_notifiers", json!({})).await;
        if list["notifiers"] == json!([]) { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
    bed.ticket("shop", &["build"], "").await;
    // A file that is not valid changes nothing.
    told.configure("[[notify]]\nname = \"late\"\n");
    let checked = bed.server.operate("check-config", &[]).await;
    assert_eq!(checked.status.code(), Some(78));
    let words = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(words.contains("config.toml:1): it has neither command nor url"), "{words}");
    told.configure(&config);
    bed.server.signal(Signal::SIGHUP);
    arrived(&["T-2", "T-3"]).await;
}

#[e2e::scenario]
async fn what_an_agent_says_arrives_as_the_text_that_it_is() {
    let question = "Is \"}]} right? $(touch pwned) `id` <!channel> \u{1b}[2J\u{202e}";
    let receiver = Receiver::start(|_| 204).await;
    let told = Told::new();
    let bed = told.start(&posting("hook", &receiver.url, "")).await;
    begun(&bed, "hook").await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let blocked = json!({"ticket_id": ticket, "stage": "build", "outcome": "blocked", "report": "r", "question": question});
    bed.client.ok("complete_ticket_stage", blocked).await;
    let first = eventually("it arrives", || {
        let requests = receiver.requests();
        std::future::ready(requests.first().cloned().ok_or_else(|| "nothing".to_owned()))
    })
    .await;
    let body: Value = serde_json::from_str(&first.body).expect("JSON");
    let event = &body["events"][0];
    assert_eq!(event["kind"], "ticket_on_hold", "by default, what may need somebody: {body}");
    assert_eq!((&event["hold_kind"], &event["ticket_id"]), (&json!("question"), &json!(ticket)));
    let summary = event["summary"].as_str().expect("a summary");
    assert!(summary.contains("Is \"}]} right? $(touch pwned)"), "{summary}");
}

#[e2e::scenario]
async fn a_limit_that_is_nearly_spent_is_told() {
    let told = Told::new();
    let bed = told.start(&appending("phone", "events = [\"budget_warning\"]")).await;
    begun(&bed, "phone").await;
    // A stage of the scripted agent costs a cent.
    bed.worker_type("shop", "plan", json!({})).await;
    bed.client.ok("update_project", json!({"project": "shop", "max_budget_usd": 0.012})).await;
    bed.ticket("shop", &["plan", "build"], "").await;
    let messages = eventually("the warning arrives", || {
        let messages = told.lines("phone");
        std::future::ready(if messages.is_empty() {
            Err("nothing yet".to_owned())
        } else {
            Ok(messages)
        })
    })
    .await;
    let summary = messages[0]["events"][0]["summary"].as_str().expect("a summary");
    assert!(summary.contains("% of a limit: the project may cost $0.01"), "{summary}");
}
