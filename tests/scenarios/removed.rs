//! Files of the server and of its workers that somebody removes, replaces or exchanges while they are in use.

use std::fs;
use std::path::Path;

use e2e::bed::Bed;
use e2e::bed::pid;
use e2e::eventually::eventually;
use e2e::fake::Call;
use nix::sys::signal::Signal;
use serde_json::json;

use super::copies::removed;
use super::copies::start_on;
use super::identity::completed_by_its_agent;
use super::identity::go;
use super::identity::waiting;

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
    eventually("the server makes the directory again", || {
        std::future::ready(if attempts.is_dir() { Ok(()) } else { Err("a file".to_owned()) })
    })
    .await;
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

#[e2e::scenario]
async fn a_file_in_the_place_of_a_directory_of_the_server_stops_no_ticket() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let state = bed.server.state_dir();
    for name in ["attempts", "workers", "worktrees", "server"] {
        let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
        let run = bed.called(&ticket, "build", 1).await;
        fs::rename(state.join(name), state.join(format!("{name}.away"))).unwrap();
        fs::write(state.join(name), "a file").unwrap();
        fs::write(run.cwd.join("go"), "").unwrap();
        let done = bed.completed(&ticket).await;
        assert_eq!(done["attempts"].as_array().map(Vec::len), Some(1), "{name}: {done}");
        fs::remove_file(run.cwd.join("go")).unwrap();
        let next = bed.ticket("shop", &["build"], "").await;
        let done = bed.completed(&next).await;
        assert_eq!(done["attempts_used"], 0, "{name}: {done}");
        let kept = state.join(format!("{name}.aside.1"));
        let kept = eventually("the file is moved aside", || {
            std::future::ready(fs::read_to_string(&kept).map_err(|error| error.to_string()))
        });
        assert_eq!(kept.await, "a file", "{name}");
    }
}
