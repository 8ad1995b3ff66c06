//! Everything that is reported, adopted or killed proves that it belongs to this server: any
//! process of the same user, such as an agent, can forge, remove, exchange and copy files below the
//! state directory.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::process::Stdio;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::bed::text;
use e2e::eventually::eventually;
use e2e::fake::Call;
use nix::sys::signal::Signal;
use serde_json::Value;
use serde_json::json;

/// A ticket in a project of its own whose first run waits for the file `go`, and that run.
async fn waiting(bed: &Bed, project: &str) -> (String, Call) {
    bed.project(project, &["build"]).await;
    let script = "fake: build#1: wait-for go\nfake: build#1: complete by its agent";
    let ticket = bed.ticket(project, &["build"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    (ticket, call)
}

fn go(call: &Call) {
    fs::write(call.cwd.join("go"), "").expect("the project is ours");
}

/// Completed by its first attempt, according to its agent's report.
async fn completed_by_its_agent(bed: &Bed, ticket: &str) {
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
async fn a_record_of_an_earlier_attempt_is_not_taken_for_a_later_ones() {
    let bed = Bed::start().await;
    let (first, run) = waiting(&bed, "shop").await;
    go(&run);
    completed_by_its_agent(&bed, &first).await;
    let attempts = bed.server.state_dir().join("attempts");
    let sealed = fs::read_to_string(attempts.join(&run.attempt).join("exit.json")).unwrap();

    let again = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    let later = bed.called(&again, "build", 1).await;
    let shim = pid(&bed.worker_of(&again).await, "pid");
    // With its signature unchanged but another number, which the signature does not cover.
    let replayed =
        sealed.replace(&format!("\"{}\"", run.attempt), &format!("\"{}\"", later.attempt));
    fs::write(attempts.join(&later.attempt).join("exit.json"), replayed).unwrap();
    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");

    let stuck = eventually("the attempt is stuck", || async {
        let found = bed.get(&again).await;
        if found["attempts"][0]["suspect"] == true { Ok(found) } else { Err(found.to_string()) }
    })
    .await;
    // It blocks nobody else.
    bed.project("desk", &["build"]).await;
    let other = bed.ticket("desk", &["build"], "").await;
    bed.completed(&other).await;
    // The step that it names settles it.
    let why = text(&stuck, "waiting_for");
    assert!(why.contains("stop_worker") && why.contains("close_ticket"), "{why}");
    bed.client.ok("close_ticket", json!({"ticket_id": again})).await;
    bed.nothing_is_left().await;
    let left = attempts.join(&later.attempt).join("exit.json");
    assert!(left.exists(), "what proves nothing is kept");
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

#[e2e::scenario]
async fn missing_lock_files_do_not_prove_a_worker_dead() {
    for replaced in [false, true] {
        let mut bed = Bed::start().await;
        let mut runs = Vec::new();
        for project in ["one", "two", "three"] {
            runs.push(waiting(&bed, project).await);
        }
        // Frozen shims cannot dial, so only the evidence can decide.
        let workers = bed.client.ok("list_workers", json!({})).await;
        let shims: Vec<i32> = workers["workers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|worker| pid(worker, "pid"))
            .collect();
        bed.server.kill().await;
        for shim in &shims {
            assert!(bed.server.send(*shim, Signal::SIGSTOP), "the shim was there");
        }
        remove_locks(&bed.server.state_dir(), replaced);
        bed.launch().await;

        // By the end of a whole ticket the server has looked often.
        bed.project("other", &["build"]).await;
        let other = bed.ticket("other", &["build"], "").await;
        bed.completed(&other).await;
        for (ticket, _) in &runs {
            let found = bed.get(ticket).await;
            assert_eq!(found["state"], "running", "{found}");
        }
        for shim in shims {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), Signal::SIGCONT)
                .expect("a running shim");
        }
        for (ticket, run) in runs {
            go(&run);
            completed_by_its_agent(&bed, &ticket).await;
        }
        bed.assert_no_overlaps();
    }
}

/// Removes every lock file below a directory, or replaces each with another.
fn remove_locks(below: &Path, replace: bool) {
    for entry in fs::read_dir(below).expect("our own directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_locks(&path, replace);
        } else if path.extension().is_some_and(|end| end == "lock") {
            fs::remove_file(&path).expect("our own file");
            if replace {
                fs::write(&path, "").expect("our own directory");
            }
        }
    }
}

#[e2e::scenario]
async fn a_worker_that_died_without_its_lock_file_is_known_to_be_dead() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build#1: sleep 600").await;
    bed.called(&ticket, "build", 1).await;
    let shim = pid(&bed.worker_of(&ticket).await, "pid");
    assert!(bed.server.send(shim, Signal::SIGSTOP), "the shim was there");
    remove_locks(&bed.server.state_dir(), false);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), Signal::SIGKILL)
        .expect("it is frozen");

    let closed = bed.completed(&ticket).await;

    assert_eq!(closed["attempts"][0]["outcome"], "lost", "{closed}");
    bed.assert_no_overlaps();
}

/// Starts a server on another state directory; the server must end by itself.
async fn start_on(bed: &Bed, state_dir: &Path) -> Output {
    let mut command = tokio::process::Command::from(bed.server.command("serve"));
    command
        .arg("--state-dir")
        .arg(state_dir)
        .arg("--runtime-dir")
        .arg(bed.server.path("run-of-the-copy"))
        .args(["--listen", "127.0.0.1:0", "--launcher", "plain", "--agent-command"])
        .arg(e2e::binaries::fake_claude())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program can be started")
}

#[e2e::scenario]
async fn a_copy_beside_a_live_original_is_refused_and_changes_nothing() {
    let mut bed = Bed::start().await;
    let (ticket, run) = waiting(&bed, "shop").await;
    let (restored, copied) = (bed.server.path("restored"), bed.server.path("copied"));
    fs::create_dir(&restored).unwrap();
    let backup = restored.join("vibe-ensemble.db").display().to_string();
    assert!(bed.server.operate("backup", &[&backup]).await.status.success());
    let state = bed.server.state_dir();
    let cp = std::process::Command::new("cp").arg("-a").arg(&state).arg(&copied).status().unwrap();
    assert!(cp.success());

    // While the original's server runs, and while only its workers run.
    for server in ["runs", "worker"] {
        for copy in [&restored, &copied] {
            let output = start_on(&bed, copy).await;
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(75), "{words}");
            assert!(words.contains("is a copy of the one in") && words.contains(server), "{words}");
            let alive = bed.server.descendants();
            assert!(alive.iter().any(|process| process.pid == run.pid), "{alive:?}");
        }
        if server == "runs" {
            bed.server.kill().await;
        }
    }
    bed.launch().await;
    go(&run);
    completed_by_its_agent(&bed, &ticket).await;
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_copy_of_a_state_directory_whose_original_is_gone_resumes_its_tickets() {
    let mut bed = Bed::start().await;
    let (ticket, run) = waiting(&bed, "shop").await;
    let worker = bed.worker_of(&ticket).await;
    bed.server.kill().await;
    assert!(bed.server.send(pid(&worker, "pid"), Signal::SIGKILL), "the shim was there");
    eventually("the agent is gone", || async {
        let left = bed.server.descendants();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    let state = bed.server.state_dir();
    let away = bed.server.path("away");
    fs::rename(&state, &away).unwrap();
    let cp = std::process::Command::new("cp").arg("-a").arg(&away).arg(&state).status().unwrap();
    assert!(cp.success());

    bed.launch().await;

    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"][0]["outcome"], "lost", "{closed}");
    assert_ne!(text(&closed["attempts"][1], "attempt_id"), run.attempt);
    bed.assert_no_overlaps();
}

/// Removes a directory while somebody may be writing into it.
async fn removed(directory: &Path) {
    eventually("it is removed", || {
        std::future::ready(fs::remove_dir_all(directory).map_err(|error| error.to_string()))
    })
    .await;
}

#[e2e::scenario]
async fn a_server_restores_its_removed_files_and_lets_no_second_server_in() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let runtime = bed.server.runtime_dir();
    fs::remove_file(bed.server.state_dir().join(".lock")).unwrap();
    removed(&runtime).await;

    let second = start_on(&bed, &bed.server.state_dir()).await;
    assert_eq!(second.status.code(), Some(75), "{}", String::from_utf8_lossy(&second.stderr));
    eventually("everything is back", || {
        let missing = ["http.addr", "server.lock", "shim.sock"]
            .into_iter()
            .find(|name| !runtime.join(name).exists());
        std::future::ready(missing.map_or(Ok(()), |name| Err(name.to_owned())))
    })
    .await;
    let status = bed.server.operate("status", &[]).await;
    assert!(status.status.success(), "{status:?}");
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn a_server_restores_its_replaced_files() {
    let bed = Bed::start().await;
    let (ticket, run) = waiting(&bed, "shop").await;
    bed.project("mill", &["build"]).await;
    let (runtime, state) = (bed.server.runtime_dir(), bed.server.state_dir());
    let names =
        ["http.addr", "server.lock", "shim.sock"].map(|name| runtime.join(name)).into_iter();
    let names: Vec<_> = names.chain([state.join(".lock")]).collect();
    let was = |path: &Path| fs::symlink_metadata(path).map(|found| found.file_type());
    let kinds: Vec<_> = names.iter().map(|path| was(path).expect("it is there")).collect();
    for attack in ["mkdir -p %/below", "mkfifo %", "ln -s /dev/zero %", "echo 127.0.0.1:1 >%"] {
        for path in &names {
            let path = path.display().to_string();
            let script = format!("rm -rf {path}; {}", attack.replace('%', &path));
            let made = std::process::Command::new("sh").args(["-c", &script]).status().unwrap();
            assert!(made.success(), "{script}");
        }
        eventually(&format!("all is back after {attack}"), || {
            let other = names
                .iter()
                .zip(&kinds)
                .find(|(path, kind)| !was(path).is_ok_and(|now| now == **kind));
            std::future::ready(match other {
                Some((path, _)) => Err(path.display().to_string()),
                // It is a file by now: reading a pipe would wait forever.
                None => match fs::read_to_string(&names[0]).unwrap_or_default() {
                    address if address != bed.server.address() => Err(address),
                    _ => Ok(()),
                },
            })
        })
        .await;
        // A new worker finds the socket, a client the server, and a second server the first.
        let next = bed.ticket("mill", &["build"], "").await;
        bed.completed(&next).await;
        let status = bed.server.operate("status", &[]).await;
        assert!(status.status.success(), "{attack}: {status:?}");
        let second = start_on(&bed, &state).await;
        assert_eq!(second.status.code(), Some(75), "{}", String::from_utf8_lossy(&second.stderr));
    }
    assert!(runtime.join("http.addr.aside.1/below").is_dir(), "nothing is lost by it");
    go(&run);
    completed_by_its_agent(&bed, &ticket).await;
}

#[e2e::scenario]
async fn a_run_directory_that_is_gone_costs_no_result() {
    let mut bed = Bed::start().await;
    let (ticket, run) = waiting(&bed, "shop").await;
    let attempts = bed.server.state_dir().join("attempts");
    removed(&attempts.join(&run.attempt)).await;
    go(&run);
    completed_by_its_agent(&bed, &ticket).await;

    // All of them, with something else in their place: there is nowhere to write it, so the link
    // must suffice.
    let (ticket, run) = waiting(&bed, "mill").await;
    removed(&attempts).await;
    fs::write(&attempts, "").unwrap();
    go(&run);
    completed_by_its_agent(&bed, &ticket).await;
    fs::remove_file(&attempts).unwrap();
    bed.nothing_is_left().await;

    // A later server finds what a shim sealed in a directory that it had to recreate.
    let (ticket, run) = waiting(&bed, "forge").await;
    bed.server.kill().await;
    removed(&attempts).await;
    go(&run);
    let record = attempts.join(&run.attempt).join("exit.json");
    eventually("the record is sealed", || {
        std::future::ready(if record.exists() { Ok(()) } else { Err("no exit.json".to_owned()) })
    })
    .await;
    bed.launch().await;
    completed_by_its_agent(&bed, &ticket).await;
}

#[e2e::scenario]
async fn swapped_run_directories_kill_no_process() {
    let bed = Bed::start().await;
    let (one, first) = waiting(&bed, "one").await;
    bed.project("two", &["build"]).await;
    let two = bed.ticket("two", &["build"], "fake: build#1: sleep 600").await;
    let second = bed.called(&two, "build", 1).await;
    let attempts = bed.server.state_dir().join("attempts");
    let at = |call: &Call| attempts.join(&call.attempt);
    fs::rename(at(&first), attempts.join("aside")).unwrap();
    fs::rename(at(&second), at(&first)).unwrap();
    fs::rename(attempts.join("aside"), at(&second)).unwrap();

    // The second ticket's directory shows that somebody holds its lock: the first ticket's process
    // tree.
    let shim = pid(&bed.worker_of(&two).await, "pid");
    assert!(bed.server.send(shim, Signal::SIGKILL), "the shim was there");
    eventually("its agent is gone", || async {
        let alive = bed.server.descendants();
        let runs = alive.iter().any(|process| process.pid == second.pid);
        if runs { Err(format!("{alive:?}")) } else { Ok(()) }
    })
    .await;
    bed.project("other", &["build"]).await;
    let other = bed.ticket("other", &["build"], "").await;
    bed.completed(&other).await;
    let alive = bed.server.descendants();
    assert!(alive.iter().any(|process| process.pid == first.pid), "{alive:?}");
    go(&first);
    completed_by_its_agent(&bed, &one).await;
    bed.completed(&two).await;
}

#[e2e::scenario]
async fn workers_find_a_server_that_has_another_runtime_directory() {
    let mut bed = Bed::start().await;
    let (ticket, run) = waiting(&bed, "shop").await;
    let (stopped, _) = waiting(&bed, "mill").await;
    bed.server.kill().await;
    bed.server.move_runtime_dir("run-of-another-session");
    bed.launch().await;

    let worker = bed.worker_of(&stopped).await;
    bed.client.ok("stop_worker", json!({"worker_id": worker["worker_id"], "mode": "cancel"})).await;
    let held = bed.ticket_is(&stopped, "on_hold").await;
    assert_eq!(held["attempts"][0]["outcome"], "cancelled", "{held}");
    go(&run);
    completed_by_its_agent(&bed, &ticket).await;
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
