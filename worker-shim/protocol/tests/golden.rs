//! The wire and file formats of every released version, as files that never change.
//!
//! Old shims keep running through an upgrade of the server, and old run directories are read
//! forever. So the current version must read each file here, and write the same JSON for it. A
//! format grows by adding files, not by editing them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use shim_protocol::exit::CommandEnd;
use shim_protocol::exit::Denial;
use shim_protocol::exit::ExitRecord;
use shim_protocol::exit::ExitStatus;
use shim_protocol::exit::ModelLimit;
use shim_protocol::exit::ResultMessage;
use shim_protocol::exit::Sender;
use shim_protocol::exit::Stop;
use shim_protocol::exit::StopReason;
use shim_protocol::exit::Told;
use shim_protocol::exit::Unreadable;
use shim_protocol::exit::Usage;
use shim_protocol::exit::UsageLimit;
use shim_protocol::grant::Grant;
use shim_protocol::grant::GrantKind;
use shim_protocol::grant::Limits;
use shim_protocol::message::AckVerdict;
use shim_protocol::message::Hello;
use shim_protocol::message::Kinds;
use shim_protocol::message::Launch;
use shim_protocol::message::LaunchAnswer;
use shim_protocol::message::LaunchOrder;
use shim_protocol::message::Network;
use shim_protocol::message::Progress;
use shim_protocol::message::StopMode;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use shim_protocol::message::Traces;
use shim_protocol::message::Welcome;
use shim_protocol::run_dir::UnitPlace;

/// Every golden file is named here; a file that no test reads would protect nothing.
#[test]
fn every_file_reads_and_is_written_the_same() {
    let mut seen = BTreeSet::new();
    check(&mut seen, "launch", &order());
    check(&mut seen, "launch_placed", &placed_order());
    for (name, message) in launch_answers() {
        check(&mut seen, name, &message);
    }
    for (name, message) in to_server() {
        check(&mut seen, name, &message);
    }
    for (name, message) in to_shim() {
        check(&mut seen, name, &message);
    }
    check(&mut seen, "file_grant", &Grant { prompt: String::new(), ..grant() });
    check(&mut seen, "file_exit", &record());
    check(&mut seen, "file_exit_not_started", &not_started());
    check(&mut seen, "file_exit_stopped", &stopped());
    check(&mut seen, "file_exit_signalled", &signalled());
    check(&mut seen, "file_exit_tasks", &short_of_tasks());
    check(&mut seen, "file_exit_told", &told());
    check(&mut seen, "file_grant_gate", &gate());
    check(&mut seen, "file_exit_commands", &of_commands());
    check(&mut seen, "file_unit", &place());

    let files: BTreeSet<String> = fs::read_dir(directory())
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    assert_eq!(files, seen);
}

#[test]
fn every_kind_has_a_file() {
    let covered = |kinds: &[&str], covered: BTreeSet<String>| {
        assert_eq!(kinds.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), covered);
    };
    covered(Launch::KINDS, [kind(&order())].into());
    let answers = launch_answers();
    covered(LaunchAnswer::KINDS, answers.iter().map(|(_, message)| kind(message)).collect());
    covered(ToServer::KINDS, to_server().iter().map(|(_, message)| kind(message)).collect());
    covered(ToShim::KINDS, to_shim().iter().map(|(_, message)| kind(message)).collect());
}

fn check<T>(seen: &mut BTreeSet<String>, name: &str, expected: &T)
where
    T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
{
    let file = format!("{name}.json");
    let text = fs::read_to_string(directory().join(&file)).expect("the golden file");
    let read: T = serde_json::from_str(&text).expect("reads");
    assert_eq!(&read, expected, "{file}");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(serde_json::to_value(expected).expect("encodes"), value, "{file}");
    seen.insert(file);
}

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/v1"))
}

fn kind(message: &impl Serialize) -> String {
    let value = serde_json::to_value(message).expect("encodes");
    value["kind"].as_str().expect("a kind").to_owned()
}

fn order() -> Launch {
    Launch::Launch(LaunchOrder {
        worker_id: "W-7".into(),
        token: "c2VjcmV0".into(),
        socket: "/run/vibe-ensemble/shim.sock".into(),
        attempts_dir: "/var/lib/vibe-ensemble/attempts".into(),
        worker_lock: "/var/lib/vibe-ensemble/workers/W-7.lock".into(),
        address_file: None,
        place_id: None,
    })
}

fn placed_order() -> Launch {
    let Launch::Launch(order) = order();
    Launch::Launch(LaunchOrder {
        address_file: Some("/var/lib/vibe-ensemble/server/shim.addr".into()),
        place_id: Some("0198c0de-0000-7000-8000-000000000003".into()),
        ..order
    })
}

fn launch_answers() -> Vec<(&'static str, LaunchAnswer)> {
    let unit = Some("vibe-ensemble-worker@3.service".into());
    vec![
        ("launched", LaunchAnswer::Launched { pid: 4242, unit }),
        ("launch_failed", LaunchAnswer::LaunchFailed { reason: "could not lock W-7.lock".into() }),
    ]
}

fn place() -> UnitPlace {
    UnitPlace {
        unit: "vibe-ensemble-worker@3.service".into(),
        cgroup: "/vibe.slice/vibe-ensemble-workers.slice/vibe-ensemble-worker@3.service".into(),
        inode: 4_294_971_234,
        boot_id: Some("6f0d3c0e-6b2a-4f7e-9f55-0a6f8f6b1a2c".into()),
        extra: Map::new(),
    }
}

fn hellos() -> Vec<(&'static str, ToServer)> {
    let hello = Hello {
        protocol_min: 1,
        protocol_max: 1,
        build: "0.1.0".into(),
        worker_id: "W-7".into(),
        token: "c2VjcmV0".into(),
        pid: 4242,
        live_attempt: Some("A-17".into()),
        child_pid: Some(4243),
        draining: true,
        unit: Some("vibe-ensemble-worker@3.service".into()),
        place_id: None,
        traces: None,
        kinds: Vec::new(),
        network: None,
    };
    let idle =
        Hello { live_attempt: None, child_pid: None, draining: false, unit: None, ..hello.clone() };
    let traced = Hello {
        place_id: Some("0198c0de-0000-7000-8000-000000000003".into()),
        traces: Some(Box::new(Traces {
            started_ticks: Some(12345),
            boot_id: Some("6f0d3c0e-6b2a-4f7e-9f55-0a6f8f6b1a2c".into()),
            lock_inode: Some(1_234_567),
            seal_key: Some("ab".repeat(32)),
            unit: Some(place()),
        })),
        ..idle.clone()
    };
    let able =
        Hello { kinds: ["agent", "setup", "gate"].map(str::to_owned).to_vec(), ..traced.clone() };
    let network = Some(Network { namespace: 4_026_532_177, leads_out: false });
    let offline = Hello { network, ..able.clone() };
    vec![
        ("hello", ToServer::Hello(idle)),
        ("hello_traces", ToServer::Hello(traced)),
        ("hello_kinds", ToServer::Hello(able)),
        ("hello_network", ToServer::Hello(offline)),
        ("hello_adopted", ToServer::Hello(hello)),
    ]
}

fn to_server() -> Vec<(&'static str, ToServer)> {
    let progress = Progress {
        attempt_id: "A-17".into(),
        turns: 3,
        quiet_ms: 1500,
        output_bytes: 40_960,
        memory_bytes: Some(314_572_800),
        usage_limit: None,
    };
    let warned = Progress {
        usage_limit: Some(UsageLimit {
            rejected: false,
            resets_at_ms: Some(1_790_003_600_000),
            utilization: Some(0.93),
            told_at_ms: None,
            models: Vec::new(),
        }),
        ..progress.clone()
    };
    let of_a_model = Progress {
        usage_limit: Some(UsageLimit {
            rejected: false,
            resets_at_ms: None,
            utilization: None,
            models: vec![ModelLimit {
                window: "seven_day_opus".into(),
                rejected: true,
                resets_at_ms: Some(1_790_003_600_000),
                utilization: Some(1.0),
            }],
            told_at_ms: None,
        }),
        ..progress.clone()
    };
    let trouble = "its processes will not die: 4243".to_owned();
    let attempt_id = "A-17".to_owned();
    let others = vec![
        ("pull", ToServer::Pull { pull_id: "00ab-1".into() }),
        (
            "started",
            ToServer::Started { attempt_id: attempt_id.clone(), child_pid: 4243, at_ms: 1 },
        ),
        ("heartbeat", ToServer::Heartbeat { progress: Some(progress), trouble: None }),
        ("heartbeat_usage_limit", ToServer::Heartbeat { progress: Some(warned), trouble: None }),
        (
            "heartbeat_model_limit",
            ToServer::Heartbeat { progress: Some(of_a_model), trouble: None },
        ),
        ("heartbeat_idle", ToServer::Heartbeat { progress: None, trouble: None }),
        ("heartbeat_trouble", ToServer::Heartbeat { progress: None, trouble: Some(trouble) }),
        (
            "completed_unsealed",
            ToServer::Completed {
                attempt_id: attempt_id.clone(),
                record: Box::new(record()),
                unsealed: true,
            },
        ),
        (
            "completed",
            ToServer::Completed { attempt_id, record: Box::new(record()), unsealed: false },
        ),
        ("goodbye", ToServer::Goodbye { reason: "the queue is empty".into() }),
        ("unsupported", ToServer::Unsupported { unsupported: "teleport".into() }),
    ];
    hellos().into_iter().chain(others).collect()
}

fn to_shim() -> Vec<(&'static str, ToShim)> {
    let id = || "A-17".to_owned();
    let welcome = Welcome { protocol: 1, build: "0.1.0".into(), heartbeat_ms: 10_000 };
    vec![
        ("welcome", ToShim::Welcome(welcome)),
        ("refused", ToShim::Refused { reason: "W-7 was stopped".into() }),
        ("grant", ToShim::Grant { pull_id: "00ab-1".into(), grant: Box::new(grant()) }),
        ("grant_gate", ToShim::Grant { pull_id: "00ab-1".into(), grant: Box::new(gate()) }),
        ("empty", ToShim::Empty { pull_id: "00ab-1".into() }),
        ("ack", ToShim::Ack { attempt_id: id(), verdict: AckVerdict::Accepted }),
        ("ack_duplicate", ToShim::Ack { attempt_id: id(), verdict: AckVerdict::Duplicate }),
        ("ack_parked", ToShim::Ack { attempt_id: id(), verdict: AckVerdict::Parked }),
        ("stop_interrupt", ToShim::Stop { attempt_id: id(), mode: StopMode::Interrupt }),
        ("stop_cancel", ToShim::Stop { attempt_id: id(), mode: StopMode::Cancel }),
        ("stop_kill", ToShim::Stop { attempt_id: id(), mode: StopMode::Kill }),
        ("limits", ToShim::Limits { attempt_id: id(), limits: Box::new(limits()) }),
        ("drain", ToShim::Drain {}),
        ("unsupported_by_server", ToShim::Unsupported { unsupported: "teleport".into() }),
    ]
}

fn grant() -> Grant {
    Grant {
        version: 1,
        server_id: "0198c0de-0000-7000-8000-000000000001".into(),
        attempt_id: "A-17".into(),
        ticket_id: "T-42".into(),
        project: "shop".into(),
        stage: "build".into(),
        worker_id: "W-7".into(),
        claude_session_id: "0198c0de-0000-7000-8000-000000000002".into(),
        program: "claude".into(),
        args: vec!["-p".into(), "--verbose".into()],
        prompt: "Build the basket.".into(),
        cwd: "/srv/shop".into(),
        env: BTreeMap::from([("VIBE_ENSEMBLE_ATTEMPT".into(), "A-17".into())]),
        env_pass: vec!["AWS_*".into()],
        files: BTreeMap::from([("settings.json".into(), "{}".into())]),
        limits: Limits {
            timeout_ms: Some(3_600_000),
            stall_ms: Some(900_000),
            result_linger_ms: 30_000,
            grace_ms: 30_000,
            kill_after_ms: 5_000,
            segment_bytes: 16_777_216,
            segments: 8,
            ..Limits::default()
        },
        kind: GrantKind::Agent,
        commands: Vec::new(),
        extra: Map::from_iter([("from_a_newer_server".to_owned(), json!([1, 2]))]),
    }
}

/// A grant without an agent.
fn gate() -> Grant {
    Grant {
        claude_session_id: String::new(),
        program: "npm".into(),
        args: vec!["ci".into()],
        prompt: String::new(),
        env_pass: Vec::new(),
        files: BTreeMap::new(),
        kind: GrantKind::Gate,
        commands: vec![vec!["npm".into(), "ci".into()], vec!["npm".into(), "test".into()]],
        extra: Map::new(),
        ..grant()
    }
}

/// The first of two commands succeeded, the second failed.
fn of_commands() -> ExitRecord {
    let end = |code, wall_ms| CommandEnd { status: ExitStatus::Exited { code }, wall_ms };
    ExitRecord {
        status: ExitStatus::Exited { code: 101 },
        commands: vec![end(0, 1500), end(101, 30_000)],
        ..not_started()
    }
}

fn record() -> ExitRecord {
    ExitRecord {
        version: 1,
        server_id: "0198c0de-0000-7000-8000-000000000001".into(),
        attempt_id: "A-17".into(),
        worker_id: "W-7".into(),
        build: "0.1.0".into(),
        status: ExitStatus::Signaled { signal: 15 },
        stop: Some(Stop { reason: StopReason::Interrupt, signal: Some(15), sender: None }),
        result: Some(ResultMessage {
            subtype: "success".into(),
            is_error: true,
            structured_output: Some(json!({"outcome": "completed", "report": "Built."})),
            session_id: Some("0198c0de-0000-7000-8000-000000000002".into()),
            num_turns: Some(3),
            total_cost_usd: Some(0.25),
            usage: Some(Usage {
                input_tokens: 1,
                output_tokens: 2,
                cache_creation_input_tokens: 3,
                cache_read_input_tokens: 4,
            }),
            api_error_status: Some(529),
            terminal_reason: Some("api_error".into()),
            result: Some("Built.".into()),
            errors: vec!["overloaded".into()],
            denied: Vec::new(),
            denials: Vec::new(),
        }),
        last_error: Some("rate_limit".into()),
        session_id: Some("0198c0de-0000-7000-8000-000000000002".into()),
        stderr_tail: "warning\n".into(),
        turns: 3,
        started_at_ms: Some(1_790_000_000_000),
        ended_at_ms: 1_790_000_060_000,
        swept: 2,
        max_rss_kib: Some(307_200),
        oom_kills: None,
        tasks_refused: None,
        peak_memory_bytes: None,
        usage_limit: None,
        mcp_failed: Vec::new(),
        stream_usage: None,
        told: None,
        unreadable: None,
        commands: Vec::new(),
        extra: Map::from_iter([("from_a_newer_shim".to_owned(), json!(true))]),
    }
}

fn limits() -> Limits {
    Limits {
        start_ms: Some(120_000),
        max_turns: Some(100),
        max_repeats: Some(20),
        ..grant().limits
    }
}

fn stopped() -> ExitRecord {
    ExitRecord {
        stop: Some(Stop::of(StopReason::NoProgress)),
        result: None,
        oom_kills: Some(0),
        peak_memory_bytes: Some(314_572_800),
        usage_limit: Some(UsageLimit {
            rejected: true,
            resets_at_ms: Some(1_790_003_600_000),
            utilization: Some(1.0),
            told_at_ms: None,
            models: Vec::new(),
        }),
        mcp_failed: vec!["db".into()],
        stream_usage: Some(Usage {
            input_tokens: 1,
            output_tokens: 2,
            cache_creation_input_tokens: 3,
            cache_read_input_tokens: 4,
        }),
        extra: Map::new(),
        ..record()
    }
}

fn signalled() -> ExitRecord {
    let sender = Sender {
        pid: 4244,
        uid: 1000,
        own: true,
        name: Some("bash".into()),
        attempt: Some("A-17".into()),
    };
    let stop = Stop { sender: Some(sender), ..record().stop.expect("it was stopped") };
    ExitRecord { stop: Some(stop), ..record() }
}

fn short_of_tasks() -> ExitRecord {
    ExitRecord { tasks_refused: Some(61), ..stopped() }
}

/// A run with several results.
fn told() -> ExitRecord {
    let whole = record();
    let usage = |count| Usage { input_tokens: count, ..Usage::default() };
    ExitRecord {
        result: whole.result.map(|result| ResultMessage {
            denied: vec!["Bash".into()],
            denials: vec![Denial { tool: "Bash".into(), input: "npm publish".into() }],
            ..result
        }),
        usage_limit: stopped()
            .usage_limit
            .map(|limit| UsageLimit { told_at_ms: Some(1_790_000_030_000), ..limit }),
        told: Some(Told {
            own_usd: Some(0.125),
            total_usd: Some(0.25),
            turns: 5,
            usage: Some(usage(40)),
            turns_after: 1,
            usage_after: Some(usage(2)),
        }),
        unreadable: Some(Unreadable { lines: 2, why: "longer than 8 MiB".into() }),
        extra: Map::new(),
        ..record()
    }
}

fn not_started() -> ExitRecord {
    let error = "could not start claude: No such file or directory (os error 2)".to_owned();
    ExitRecord {
        status: ExitStatus::NotStarted { error, errno: Some(2) },
        stop: None,
        result: None,
        last_error: None,
        session_id: None,
        stderr_tail: String::new(),
        turns: 0,
        started_at_ms: None,
        swept: 0,
        max_rss_kib: None,
        extra: Map::new(),
        ..record()
    }
}
