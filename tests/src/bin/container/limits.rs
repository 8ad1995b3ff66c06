//! What the limits of workers and of their slice do with a kernel that enforces them: the system's
//! server and a user's, in a guest.

use std::path::Path;

use e2e::binaries;
use e2e::eventually::eventually_slowly;
use serde_json::Value;
use serde_json::json;

use crate::guest::Guest;
use crate::load::Load;
use crate::load::PROJECT;
use crate::machine::Machine;
use crate::operator::Operator;
use crate::operator::SERVER;
use crate::operator::SYSTEM;
use crate::package;
use crate::say;
use crate::users;

const MANUAL: &str = include_str!("../../../../packaging/OPERATING.md");
const WORKER: &str = "vibe-ensemble-worker@.service";
const SLICE: &str = "vibe-ensemble-workers.slice";

pub(crate) async fn story(base: &Path, kernel: &Path, workspace: &Path) {
    let mut guest = Guest::make();
    let version = env!("CARGO_PKG_VERSION");
    let package = "/opt/packages";
    let name = package::build_one(&guest.staged(package), workspace, version);
    std::fs::copy(binaries::fake_claude(), guest.staged("/usr/local/bin/claude"))
        .expect("the agent was built");
    guest.boot(base, kernel).await;
    let machine = Machine::Guest(guest);
    say(&format!(
        "booted: Linux {}, {}, controllers {}",
        machine.run(&["uname", "-r"]),
        machine.run(&["systemctl", "--version"]).lines().next().unwrap_or(""),
        machine.read("/sys/fs/cgroup/cgroup.controllers")
    ));
    machine.run(&["dpkg", "--install", &format!("{package}/{name}")]);
    package::settle(&Operator::of(&machine, SYSTEM));
    say("installed: the package's server runs");
    hold(Operator::of(&machine, SYSTEM)).await;
    hold(users::enable(&machine)).await;
    say("done: the kernel held every worker to its limits, and nothing else was hurt");
}

/// Every limit, for one server's workers.
async fn hold(operator: Operator<'_>) {
    let load = Load::begin(operator).await;
    let fewer = json!({"project": PROJECT, "worker_type": "build", "max_attempts": 2});
    load.client.ok("update_worker_type", fewer).await;
    say(&format!("the workers of {}:", operator.place.user.unwrap_or("the system's server")));
    let neighbour = as_installed(&load).await;
    let system = operator.place.user.is_none();
    if system {
        as_the_manual_says(&load).await;
    }
    memory(&load, &neighbour).await;
    tasks(&load).await;
    if system {
        memory_of_a_part(&load).await;
    }
    processor(&load).await;
    memory_of_the_server(&load).await;
    if system {
        memory_of_all(&load).await;
    }
}

/// A file of the control group of a unit.
fn group(operator: &Operator<'_>, unit: &str, file: &str) -> String {
    let group = operator.property(unit, "ControlGroup");
    assert!(!group.is_empty(), "{unit} has a control group");
    operator.machine.read(&format!("/sys/fs/cgroup{group}/{file}"))
}

/// A ticket whose agent waits at a gate, once it does, with the unit of its worker.
async fn waiting(load: &Load<'_>, gate: &str) -> (String, String) {
    let script = format!("fake: build: wait-for {}", load.gate(gate));
    let ticket = load.ticket(&script).await;
    let runs = |found: &Value| found["attempts"][0]["state"] == "running";
    load.ticket_where(&ticket, "runs", runs).await;
    let (unit, _) = load.unit_of(&ticket).await;
    (ticket, unit)
}

/// The kernel has the limits that the units name. The ticket's agent keeps waiting.
async fn as_installed(load: &Load<'_>) -> String {
    let operator = &load.operator;
    let (ticket, unit) = waiting(load, "neighbour").await;
    let of = |unit: &str, file: &str| group(operator, unit, file);
    assert_eq!(of(&unit, "pids.max"), "4096");
    assert_eq!(of(SLICE, "pids.max"), "16384");
    let memory = |unit: &str, file: &str| of(unit, file).parse::<u64>().expect("a limit in bytes");
    let (one, high, all) =
        (memory(&unit, "memory.max"), memory(SLICE, "memory.high"), memory(SLICE, "memory.max"));
    assert!(one < high && high < all, "{one} of each, {high} slow, {all} together");
    // Beside all other slices is the one whose name puts this slice into it.
    let beside = "vibe.slice";
    assert!(operator.property(SLICE, "ControlGroup").contains(&format!("/{beside}/")));
    assert_eq!(of(beside, "cpu.weight"), "50");
    if operator.place.user.is_none() {
        assert_eq!(of(beside, "io.weight"), "default 50");
    }
    say(&format!(
        "  as installed: memory of each {} MiB, together {} MiB, slowed down from {} MiB; tasks 4096 and 16384; weight 50 beside the others",
        one >> 20,
        all >> 20,
        high >> 20
    ));
    ticket
}

/// The manual's drop-in, word for word.
async fn as_the_manual_says(load: &Load<'_>) {
    let operator = &load.operator;
    let fence = MANUAL.split("```ini\n").nth(1).and_then(|rest| rest.split("```").next());
    operator.drop_in(WORKER, "limits", fence.expect("the manual shows a drop-in"));
    let (ticket, unit) = waiting(load, "manual").await;
    assert_eq!(group(operator, &unit, "memory.max"), (4_u64 << 30).to_string());
    assert_eq!(group(operator, &unit, "pids.max"), "512");
    assert_eq!(group(operator, &unit, "cpu.max"), "200000 100000");
    load.open("manual");
    load.completed(&ticket).await;
    say("  the manual's drop-in reached the next worker: 4 GiB, 512 tasks, two processors");
}

fn out_of_memory(attempt: &Value) -> bool {
    attempt["failure"] == "out_of_memory"
}

/// An agent that takes more memory than its unit allows is killed; each try is named correctly.
async fn memory(load: &Load<'_>, neighbour: &str) {
    let operator = &load.operator;
    let server = operator.server_pid();
    operator.drop_in(WORKER, "limits", "[Service]\nMemoryMax=96M\nTasksMax=40\n");
    let ticket = load.ticket("fake: build: allocate 400").await;
    let held = load.ticket_where(&ticket, "is on hold", |found| found["state"] == "on_hold").await;
    // In between, its session is asked how the work went.
    let attempts = held["attempts"].as_array().into_iter().flatten();
    let attempts: Vec<&Value> = attempts.filter(|one| one["asks_outcome"] == false).collect();
    assert_eq!(attempts.len(), 2, "as many as max_attempts: {held}");
    for attempt in &attempts {
        assert!(out_of_memory(attempt), "{held}");
        assert_eq!(attempt["signal"], 9, "{held}");
    }
    assert_eq!(held["attempts_used"], 2, "the work itself may need too much: {held}");
    let why = held["waiting_for"].as_str().expect("a sentence");
    assert!(why.contains("memory"), "it is said why: {why}");
    // The kernel, systemd and this server report it.
    let kernel = operator.machine.run(&["journalctl", "-b", "-k", "-q", "--no-pager"]);
    assert!(kernel.contains("oom-kill:constraint=CONSTRAINT_MEMCG"), "{kernel}");
    assert!(kernel.contains("(claude)"), "the agent is what it chose: {kernel}");
    let row = MANUAL.lines().find(|line| line.starts_with("| `out_of_memory` |"));
    let id = row.and_then(|row| row.split('`').nth(3)).expect("the manual lists it");
    for attempt in attempts {
        let attempt = attempt["attempt_id"].as_str().expect("an id");
        let asked = [format!("MESSAGE_ID={id}"), format!("VIBE_ENSEMBLE_ATTEMPT={attempt}")];
        eventually_slowly(&format!("the journal tells of {attempt}"), || async {
            let told = operator.journal(&[&asked[0], &asked[1]]);
            if told.is_empty() { Err("not yet".to_owned()) } else { Ok(()) }
        })
        .await;
    }
    assert_eq!(operator.server_pid(), server, "the server is not hurt");
    load.open("neighbour");
    let found = load.completed(neighbour).await;
    assert_eq!(found["attempts"].as_array().map(Vec::len), Some(1), "nor a neighbour: {found}");
    say(&format!(
        "  MemoryMax=96M and an agent that takes 400 MiB: killed by the kernel twice, out_of_memory each time, then on \
         hold ({why}); journal by MESSAGE_ID; neighbour and server untouched"
    ));
}

/// The server has a limit of its own. When it is reached, the kernel ends the server alone, systemd
/// starts it again, and the running worker continues.
async fn memory_of_the_server(load: &Load<'_>) {
    let operator = &load.operator;
    let before = operator.server_pid();
    assert_eq!(group(operator, SERVER, "memory.max"), (2_u64 << 30).to_string(), "as installed");
    assert_eq!(group(operator, SERVER, "memory.oom.group"), "0", "its git outlives it");
    let (ticket, _) = waiting(load, "server-memory").await;
    let limit = |most: &str| {
        operator.systemctl(&["set-property", "--runtime", SERVER, &format!("MemoryMax={most}")]);
    };
    // Less than any server uses: whatever it takes next is too much.
    limit("4M");
    eventually_slowly("the kernel has ended the server", || async {
        let kernel = operator.machine.run(&["journalctl", "-b", "-k", "-q", "--no-pager"]);
        let killed = kernel.lines().any(|line| {
            line.contains("Memory cgroup out of memory") && line.contains(&format!(" {before} "))
        });
        if killed { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    limit("2G");
    operator.is_back(before).await;
    load.open("server-memory");
    let found = load.completed(&ticket).await;
    assert_eq!(found["attempts"].as_array().map(Vec::len), Some(1), "its worker ran on: {found}");
    say(
        "  MemoryMax=2G of the server; at 4 MiB the kernel ended it alone, systemd started it again, and its worker ran on",
    );
}

/// A child of the agent is killed: the agent and its shim keep running, and the agent's result is
/// accepted.
async fn memory_of_a_part(load: &Load<'_>) {
    let brave = load.ticket("fake: build: run tail /dev/zero || echo lost a part >&2").await;
    let found = load.completed(&brave).await;
    assert_eq!(found["attempts"].as_array().map(Vec::len), Some(1), "{found}");
    let timid = load.ticket("fake: build#1: run tail /dev/zero").await;
    let found =
        load.ticket_where(&timid, "failed once", |found| out_of_memory(&found["attempts"][0]));
    let found = found.await;
    assert_eq!(found["attempts"][0]["exit_code"], 101, "the agent gave up by itself: {found}");
    let detail = found["attempts"][0]["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("memory"), "{found}");
    let found = load.ticket_where(&timid, "is tried again", |found| {
        found["attempts"].as_array().is_some_and(|all| all.len() > 1)
    });
    found.await;
    say(&format!(
        "  only the agent's child killed: an agent that copes completes; one that gives up failed with {detail:?} and is \
         tried again"
    ));
}

/// A tree that grows without end stops at its limit.
async fn tasks(load: &Load<'_>) {
    let forks = "for i in $(seq 200); do sleep 600 & done";
    let ticket = load.ticket(&format!("fake: build#1: run {forks}")).await;
    let failed = |found: &Value| found["attempts"][0]["state"] == "ended";
    let found = load.ticket_where(&ticket, "failed once", failed).await;
    let detail = found["attempts"][0]["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("TasksMax="), "{found}");
    let kernel = load.operator.machine.run(&["journalctl", "-b", "-k", "-q", "--no-pager"]);
    assert!(kernel.contains("fork rejected by pids controller in "), "{kernel}");
    say(&format!("  TasksMax=40 and an agent that starts 200 processes: {detail:?}"));
    load.completed(&ticket).await;
}

/// A busy agent gets its share and no more.
async fn processor(load: &Load<'_>) {
    let operator = &load.operator;
    operator.drop_in(WORKER, "limits", "[Service]\nCPUQuota=20%\n");
    let gate = load.gate("busy");
    let ticket = load.ticket(&format!("fake: build: run until test -e {gate}; do :; done")).await;
    load.ticket_where(&ticket, "runs", |found| found["attempts"][0]["state"] == "running").await;
    let (unit, _) = load.unit_of(&ticket).await;
    assert_eq!(group(operator, &unit, "cpu.max"), "20000 100000");
    let throttled = eventually_slowly("it is held back", || async {
        let told = group(operator, &unit, "cpu.stat");
        let count = told.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        let count = count.and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
        if count > 0 { Ok(count) } else { Err(told) }
    })
    .await;
    load.open("busy");
    load.completed(&ticket).await;
    say(&format!("  CPUQuota=20% and a busy agent: held back {throttled} times, then completed"));
}

/// The slice limits all of them together, whatever each may take.
async fn memory_of_all(load: &Load<'_>) {
    let operator = &load.operator;
    load.nobody_is_left().await;
    operator.machine.run(&["rm", &operator.drop_in_file(WORKER, "limits")]);
    operator.drop_in(SLICE, "limits", "[Slice]\nMemoryHigh=infinity\nMemoryMax=200M\n");
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let script = format!(
            "fake: build#1: allocate 120\nfake: build#1: wait-for {}",
            load.gate("together")
        );
        tickets.push(load.ticket(&script).await);
    }
    eventually_slowly("one of two is killed", || async {
        let mut killed = 0;
        for ticket in &tickets {
            killed += usize::from(out_of_memory(&load.get(ticket).await["attempts"][0]));
        }
        if killed > 0 { Ok(()) } else { Err("none yet".to_owned()) }
    })
    .await;
    assert_eq!(group(operator, SLICE, "memory.max"), (200_u64 << 20).to_string());
    load.open("together");
    for ticket in &tickets {
        load.completed(ticket).await;
    }
    say(
        "  a slice of 200 MiB and two agents of 120: the kernel killed one as out_of_memory, both tickets were completed",
    );
}
