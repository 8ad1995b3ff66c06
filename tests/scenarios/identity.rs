//! Everything that is reported, adopted or killed proves that it belongs to this server: any
//! process of the same user, such as an agent, can forge, remove, exchange and copy files below the
//! state directory.

use std::fs;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::fake::Call;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

/// A ticket in a project of its own whose first run waits for the file `go`, and that run.
pub(crate) async fn waiting(bed: &Bed, project: &str) -> (String, Call) {
    bed.project(project, &["build"]).await;
    let script = "fake: build#1: wait-for go\nfake: build#1: complete by its agent";
    let ticket = bed.ticket(project, &["build"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    (ticket, call)
}

pub(crate) fn go(call: &Call) {
    fs::write(call.cwd.join("go"), "").expect("the project is ours");
}

/// Completed by its first attempt, according to its agent's report.
pub(crate) async fn completed_by_its_agent(bed: &Bed, ticket: &str) {
    let closed = bed.completed(ticket).await;
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(1), "{closed}");
    assert_eq!(closed["comments"][0]["content"], "by its agent", "{closed}");
}

/// A record as an agent could forge it, which can read all run directories.
fn forged(bed: &Bed, call: &Call, attempt: &str) -> String {
    let run_dir = bed.server.state_dir().join("attempts").join(&call.attempt);
    let grant = fs::read_to_string(run_dir.join("grant.json")).expect("the agent runs");
    let grant: Value = serde_json::from_str(&grant).expect("JSON");
    json!({
        "version": 1, "server_id": grant["server_id"], "attempt_id": attempt, "worker_id": call.worker,
        "build": "0.1.0", "status": {"type": "exited", "code": 0}, "ended_at_ms": 2,
        "result": {"subtype": "success", "structured_output": {"outcome": "completed", "report": "forged"}},
    })
    .to_string()
}

#[e2e::scenario]
async fn a_worker_reports_no_attempt_but_its_own() {
    let bed = Bed::start().await;
    let (victim, run) = waiting(&bed, "shop").await;
    let (ticket, own) = waiting(&bed, "mill").await;
    let record = bed.server.state_dir().join("attempts").join(&own.attempt).join("exit.json");
    fs::write(&record, forged(&bed, &run, &run.attempt)).unwrap();

    go(&own);

    completed_by_its_agent(&bed, &ticket).await;
    let found = bed.get(&victim).await;
    assert_eq!(found["state"], "running", "{found}");
    go(&run);
    completed_by_its_agent(&bed, &victim).await;
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_forged_record_of_a_running_attempt_has_no_effect() {
    let mut bed = Bed::start().await;
    let (ticket, run) = waiting(&bed, "shop").await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");
    let record = bed.server.state_dir().join("attempts").join(&run.attempt).join("exit.json");
    fs::write(&record, forged(&bed, &run, &run.attempt)).unwrap();
    bed.server.kill().await;
    bed.launch().await;

    // Its shim is alive and is adopted, and the agent's result is accepted.
    go(&run);
    completed_by_its_agent(&bed, &ticket).await;
    eventually("the shim ends", || async {
        let runs = Path::new(&format!("/proc/{shim}")).exists();
        if runs { Err("it runs".to_owned()) } else { Ok(()) }
    })
    .await;

    // With its shim killed, the record proves nothing either: the attempt is lost, and its stage is
    // repeated.
    let again = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    let run = bed.called(&again, "build", 1).await;
    let shim = pid(&bed.worker_of(&again).await, "pid");
    let record = bed.server.state_dir().join("attempts").join(&run.attempt).join("exit.json");
    fs::write(&record, forged(&bed, &run, &run.attempt)).unwrap();
    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");
    let found = bed.completed(&again).await;
    assert_eq!(found["attempts"][0]["outcome"], "lost", "{found}");
    assert_eq!(bed.agents.calls_of(&again, "build").len(), 2);
}

#[e2e::scenario]
async fn a_non_file_in_the_place_of_a_record_needs_no_person_when_the_shim_is_killed() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    for attack in ["mkfifo", "mkdir", "ln -s /dev/zero"] {
        let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
        let run = bed.called(&ticket, "build", 1).await;
        let shim = pid(&bed.worker_of(&ticket).await, "pid");
        let record = bed.server.state_dir().join("attempts").join(&run.attempt).join("exit.json");
        // Another ticket's agent can do the same.
        let script = format!("rm -rf {0}; {attack} {0}", record.display());
        let put = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(put.success(), "{attack}");
        assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");
        let found = bed.completed(&ticket).await;
        assert_eq!(found["attempts"][0]["outcome"], "lost", "{attack}: {found}");
    }
}

#[e2e::scenario]
async fn a_record_that_was_signed_for_another_attempt_proves_nothing_and_needs_nobody() {
    let bed = Bed::with(Setup::default().arg("--linger-ms").arg("60000")).await;
    let (first, run) = waiting(&bed, "shop").await;
    go(&run);
    completed_by_its_agent(&bed, &first).await;
    let attempts = bed.server.state_dir().join("attempts");
    let sealed = fs::read_to_string(attempts.join(&run.attempt).join("exit.json")).unwrap();
    // As it was signed, by the same shim while that lives; with the number of the later one, which the signature does not
    // cover; and cut off.
    for change in ["none", "number", "cut"] {
        let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
        let later = bed.called(&ticket, "build", 1).await;
        let shim = pid(&bed.worker_of(&ticket).await, "pid");
        let number = format!("\"{}\"", later.attempt);
        let replayed = match change {
            "none" => sealed.clone(),
            "number" => sealed.replace(&format!("\"{}\"", run.attempt), &number),
            _ => sealed[..sealed.len() - 2].to_owned(),
        };
        let record = attempts.join(&later.attempt).join("exit.json");
        fs::write(&record, &replayed).unwrap();
        assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");

        let found = bed.completed(&ticket).await;
        assert_eq!(found["attempts"][0]["outcome"], "lost", "{change}: {found}");
        assert_ne!(found["comments"][0]["content"], "by its agent", "{change}: {found}");
        assert_eq!(fs::read_to_string(&record).unwrap(), replayed, "it is kept");
    }
    bed.assert_no_overlaps();
}

#[e2e::scenario]
async fn a_record_with_a_wrong_signature_does_not_matter_while_its_worker_is_alive() {
    let mut bed = Bed::start().await;
    let (first, run) = waiting(&bed, "shop").await;
    go(&run);
    completed_by_its_agent(&bed, &first).await;
    let attempts = bed.server.state_dir().join("attempts");
    let sealed = fs::read_to_string(attempts.join(&run.attempt).join("exit.json")).unwrap();
    fs::remove_file(run.cwd.join("go")).expect("it was made");

    // With a link, and for a while without one.
    for restart in [false, true] {
        let script = "fake: build#1: wait-for go\nfake: build#1: complete by its agent";
        let ticket = bed.ticket("shop", &["build"], script).await;
        let run = bed.called(&ticket, "build", 1).await;
        fs::write(attempts.join(&run.attempt).join("exit.json"), &sealed).unwrap();
        if restart {
            bed.server.kill().await;
            bed.launch().await;
        }
        let other = bed.ticket("shop", &["build"], "").await;
        let found = bed.get(&ticket).await;
        assert_eq!(found["attempts"][0]["suspect"], false, "{found}");
        go(&run);
        completed_by_its_agent(&bed, &ticket).await;
        bed.completed(&other).await;
        fs::remove_file(run.cwd.join("go")).expect("it was made");
    }
    bed.nothing_is_left().await;
}

/// Signals the shim, which is the parent of the agent that is the parent of this shell.
fn signals_its_shim(signal: &str) -> String {
    format!("fake: build: run kill -{signal} $(cut -d' ' -f4 /proc/$PPID/stat); sleep 600")
}

#[e2e::scenario]
async fn an_agent_that_ends_its_worker_uses_up_its_attempts() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    for signal in ["TERM", "USR1", "QUIT", "INT"] {
        let ticket = bed.ticket("shop", &["build"], &signals_its_shim(signal)).await;
        let held = bed.ticket_is(&ticket, "on_hold").await;
        let attempts = held["attempts"].as_array().unwrap();
        assert!(attempts.len() <= 6, "three attempts, and a question about each: {held}");
        assert_eq!(held["attempts_used"], 3, "{held}");
        let told = text(&held, "hold_reason");
        let says = format!("it ended its own worker: the signal {signal} from process");
        assert!(told.contains(&says) && told.contains("one of its own"), "{told}");
        assert_eq!(attempts[0]["failure"], "ended_its_worker", "{held}");
    }
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_shim_that_may_write_no_file_any_more_reports_its_result_over_the_link() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    // An agent may set limits of every process of its user's, and so may the shell that starts the
    // server.
    let limit = "fake: build: run prlimit --pid $(cut -d' ' -f4 /proc/$PPID/stat) --fsize=0\n\
                 fake: build: say written\nfake: build: complete by its agent";
    let ticket = bed.ticket("shop", &["build"], limit).await;
    completed_by_its_agent(&bed, &ticket).await;
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_lock_that_a_stranger_takes_when_its_shim_is_killed_keeps_no_ticket() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    let run = bed.called(&ticket, "build", 1).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");
    let state = bed.server.state_dir();
    let run_dir = state.join("attempts").join(&run.attempt);
    // They wait for the locks, as any process of the same user can.
    let mut strangers = Vec::new();
    for lock in [
        state.join("workers").join(format!("{}.lock", run.worker)),
        run_dir.join("shim.lock"),
        run_dir.join("tree.lock"),
    ] {
        let mut flock = std::process::Command::new("flock");
        strangers.push(flock.arg(&lock).args(["sleep", "600"]).env_clear().spawn().unwrap());
    }
    they_wait(&strangers).await;
    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");

    let found = bed.completed(&ticket).await;

    assert_eq!(found["attempts"][0]["outcome"], "lost", "{found}");
    for mut stranger in strangers {
        assert!(stranger.try_wait().unwrap().is_none(), "it is nobody's, and runs on");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
    bed.assert_no_overlaps();
}

#[e2e::scenario]
async fn a_lock_that_a_stranger_waits_for_keeps_no_attempt_from_ending_and_no_server_from_starting()
{
    let mut bed = Bed::start().await;
    let (ticket, run) = waiting(&bed, "shop").await;
    let (other, second) = waiting(&bed, "mill").await;
    let (state, runtime) = (bed.server.state_dir(), bed.server.runtime_dir());
    let mut strangers = Vec::new();
    for lock in [
        state.join("attempts").join(&run.attempt).join("tree.lock"),
        state.join(".lock"),
        state.clone(),
        runtime.join("server.lock"),
        runtime,
    ] {
        let mut flock = std::process::Command::new("flock");
        strangers.push(flock.arg(&lock).args(["sleep", "600"]).env_clear().spawn().unwrap());
    }
    they_wait(&strangers).await;
    go(&run);
    completed_by_its_agent(&bed, &ticket).await;

    bed.server.kill().await;
    bed.launch().await;

    go(&second);
    completed_by_its_agent(&bed, &other).await;
    let again = bed
        .server
        .command("serve")
        .args(["--state-dir", &state.display().to_string(), "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(75), "a second server is still refused: {again:?}");
    for mut stranger in strangers {
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}

/// Waits until these processes wait for the locks that they were started for.
async fn they_wait(strangers: &[std::process::Child]) {
    eventually("they wait for the locks", || {
        let locks = fs::read_to_string("/proc/locks").expect("everybody may read it");
        let waits = |pid: u32| {
            let pid = pid.to_string();
            locks.lines().any(|line| line.contains("->") && line.split(' ').any(|word| word == pid))
        };
        let all = strangers.iter().all(|stranger| waits(stranger.id()));
        std::future::ready(if all { Ok(()) } else { Err(locks) })
    })
    .await;
}
