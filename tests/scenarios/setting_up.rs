//! Setting up and taking down: connect and disconnect, restore, a port that is taken, what doctor knows, completions.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

use e2e::bed::Bed;
use e2e::binaries;
use e2e::server::Server;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

fn words(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

async fn good(server: &Server, line: &[&str]) -> String {
    let output = server.operate(line[0], &line[1..]).await;
    assert_eq!(output.status.code(), Some(0), "{line:?}: {}", words(&output));
    words(&output)
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("it is JSON")
}

/// Every file below a directory except git's own, with its contents.
fn content(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name == ".git") {
            continue;
        }
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.push((path.clone(), fs::read_to_string(&path).expect("text")));
        }
    }
    found.sort();
    found
}

#[e2e::scenario]
async fn in_a_repository_no_file_that_git_commits_has_a_path_of_this_machine() {
    let bed = Bed::start().await;
    let repository = bed.repository("shop", &[], json!({})).await;
    let directory = repository.path.to_str().expect("plain").to_owned();
    good(&bed.server, &["connect", &directory]).await;
    let shared = repository.path.join(".mcp.json");
    let text = fs::read_to_string(&shared).expect("it is there");
    let own = bed.server.path("").to_string_lossy().into_owned();
    assert!(!text.contains(&own) && !text.contains("target/"), "{text}");
    let entry = &json_of(&shared)["mcpServers"]["vibe-ensemble"];
    assert_eq!(entry["headersHelper"], "vibe-ensemble headers");
    assert_eq!(entry["url"], "${VIBE_ENSEMBLE_URL:-http://127.0.0.1:3276}/mcp");

    // What is true only on this machine is in the file that git does not commit; with it, the
    // helper finds the token.
    let local = json_of(&repository.path.join(".claude/settings.local.json"));
    let variables = local["env"].as_object().expect("variables");
    let ran = Command::new("sh")
        .args(["-c", "vibe-ensemble headers"])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", binaries::directory().display()))
        .envs(variables.iter().map(|(name, value)| (name, value.as_str().expect("text"))))
        .output()
        .expect("a shell");
    let headers: Value =
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}", words(&ran)));
    assert_eq!(headers["Authorization"], format!("Bearer {}", bed.server.token()));
    good(&bed.server, &["disconnect", &directory]).await;
    assert!(!shared.exists() && !repository.path.join(".claude").exists());
}

#[e2e::scenario]
async fn a_dry_run_writes_nothing_and_disconnect_takes_out_what_connect_put_in() {
    let bed = Bed::start().await;
    let directory = bed.project("shop", &[]).await;
    fs::write(
        directory.join(".mcp.json"),
        "{\n  \"mcpServers\": {\n    \"mine\": {\"command\":   \"x\"}\n  }\n}\n",
    )
    .expect("writable");
    fs::create_dir(directory.join(".claude")).expect("writable");
    fs::write(
        directory.join(".claude/settings.local.json"),
        "{\n  \"permissions\": {\n    \"allow\": [\n      \"Read\"\n    ]\n  },\n  \"model\": \"opus\"\n}\n",
    )
    .expect("writable");
    let before = content(&directory);
    let path = directory.to_str().expect("plain");
    let said = good(&bed.server, &["connect", path, "--dry-run"]).await;
    assert!(said.contains("Nothing was changed") && said.contains(".mcp.json"), "{said}");
    assert_eq!(content(&directory), before);

    good(&bed.server, &["connect", path]).await;
    let connected = content(&directory);
    good(&bed.server, &["disconnect", path, "--dry-run"]).await;
    assert_eq!(content(&directory), connected);
    good(&bed.server, &["disconnect", path]).await;
    assert_eq!(content(&directory), before, "byte for byte");
    let said = good(&bed.server, &["disconnect", path, "--scope", "local"]).await;
    assert!(said.contains("Nothing to remove"), "{said}");

    // What somebody has changed stays.
    good(&bed.server, &["connect", path]).await;
    let skill = directory.join(".claude/skills/vibe-plan/SKILL.md");
    let mine = fs::read_to_string(&skill).expect("text").replace("coordinator", "boss");
    fs::write(&skill, &mine).expect("writable");
    let said = good(&bed.server, &["disconnect", path]).await;
    assert!(said.contains("left alone"), "{said}");
    assert_eq!(fs::read_to_string(&skill).expect("it is still there"), mine);
    assert!(!directory.join(".claude/skills/vibe-watch").exists());
}

#[e2e::scenario]
async fn restore_needs_no_server_checks_the_copy_and_keeps_the_old() {
    let mut bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let first = bed.ticket("shop", &["build"], "").await;
    let backup = bed.server.path("backup.db");
    let file = backup.to_str().expect("plain").to_owned();
    good(&bed.server, &["backup", &file]).await;
    let second = bed.ticket("shop", &["build"], "").await;

    let refused = bed.server.operate("restore", &[&file]).await;
    assert_eq!(refused.status.code(), Some(75), "{}", words(&refused));
    bed.server.stop().await;
    let garbage = bed.server.path("garbage.db");
    fs::write(&garbage, "not a database").expect("writable");
    let refused = bed.server.operate("restore", &[garbage.to_str().expect("plain")]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
    let told = format!("{} is not a backup of vibe-ensemble", garbage.display());
    assert!(words(&refused).contains(&told), "{}", words(&refused));
    let said = good(&bed.server, &["restore", &file, "--json"]).await;
    let end = said.rfind('}').expect("JSON") + 1;
    let answer: Value = serde_json::from_str(&said[..end]).expect("JSON");
    assert_eq!(answer["tickets"], 1);
    let kept = answer["kept"].as_str().expect("the old is kept").to_owned();

    bed.launch().await;
    bed.get(&first).await;
    assert!(bed.client.call("get_ticket", json!({"ticket_id": second})).await.is_err());
    // The old database is whole, including what its log contained.
    bed.server.stop().await;
    good(&bed.server, &["restore", &kept]).await;
    bed.launch().await;
    bed.get(&second).await;
}

#[e2e::scenario]
async fn a_taken_port_is_reported_with_its_holder_and_the_next_step() {
    let server = Server::prepare(Setup::default());
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = held.local_addr().expect("bound").to_string();
    let own = std::process::id().to_string();
    let output = server.operate("serve", &["--listen", &address]).await;
    assert_eq!(output.status.code(), Some(75), "{}", words(&output));
    let said = words(&output);
    assert!(said.contains(&own) && said.contains("--listen"), "{said}");
    let output = server.operate("doctor", &["--listen", &address]).await;
    let said = words(&output);
    assert!(said.contains("port") && said.contains(&own), "{said}");
}

#[e2e::scenario]
async fn doctor_finds_workers_without_a_server_and_whether_claude_is_connected() {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    bed.called(&ticket, "build", 1).await;
    bed.server.stop().await;
    let agent = bed.server.path("claude");
    fs::write(
        &agent,
        "#!/bin/sh\n[ $1 = auth ] || exec echo 1.0\necho '{\"loggedIn\": false}'\nexit 1\n",
    )
    .expect("writable");
    fs::set_permissions(&agent, Permissions::from_mode(0o755)).expect("its owner may");
    let agent = agent.to_str().expect("plain");
    let options = ["--listen", "127.0.0.1:0", "--agent-command", agent];
    let said = words(&bed.server.operate("doctor", &options).await);
    assert!(said.contains("run without a server: W-1"), "{said}");
    assert!(said.contains("vibe-ensemble stop --all"), "{said}");
    assert!(said.contains("the agent is not logged in"), "{said}");
    let help = good(&bed.server, &["doctor", "--help"]).await;
    assert!(help.lines().count() < 60, "one screen: {help}");
}

#[e2e::scenario]
async fn completions_of_each_shell_are_printed() {
    let server = Server::prepare(Setup::default());
    for shell in ["bash", "zsh", "fish"] {
        let said = good(&server, &["completions", shell]).await;
        assert!(said.contains("answer"), "{shell}");
    }
    let output = server.operate("completions", &["perl"]).await;
    assert_eq!(output.status.code(), Some(2));
}

#[e2e::scenario]
async fn a_real_agent_in_the_demo_needs_consent() {
    let server = Server::prepare(Setup::default());
    let agent = binaries::fake_claude();
    let agent = agent.to_str().expect("plain");
    let output = server.operate("demo", &["--agent", agent, "--max-usd", "0.50"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    let said = words(&output);
    assert!(said.contains("$0.50") && said.contains("--yes"), "{said}");
    let output = server.operate("demo", &[]).await;
    assert!(words(&output).contains("What next"), "{}", words(&output));
}
