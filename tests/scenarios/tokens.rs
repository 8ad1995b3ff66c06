//! A coordinator's token that comes from outside: a file that somebody names, or a systemd
//! credential.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;

use e2e::bed::Bed;
use e2e::client::Client;
use e2e::eventually::eventually;
use e2e::server::Server;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use serde_json::json;

const FIRST: &str = "first-0123456789abcdef0123456789abcdef";
const SECOND: &str = "second-0123456789abcdef0123456789abcdef";

fn write(path: &Path, token: &str) {
    fs::write(path, token).expect("writable");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("our own file");
}

/// A server that is not started yet, and a file for its token, which does not exist yet.
fn prepared() -> (Server, PathBuf) {
    let server = Server::prepare(Setup::default());
    let file = server.path("token");
    (server, file)
}

async fn status(server: &Server, token: &str) -> u16 {
    let client = Client::new(server.address(), Some(token.to_owned()));
    client.call_tool("list_projects", json!({})).await.status
}

fn words(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Replaces the token in the file, tells the server, and waits until the new one is valid.
async fn replaced(server: &Server, file: &Path, token: &str) {
    write(file, token);
    server.signal(Signal::SIGHUP);
    eventually("the new token is valid", || async {
        let status = status(server, token).await;
        if status == 200 { Ok(()) } else { Err(format!("{status}")) }
    })
    .await;
}

#[e2e::scenario]
async fn the_token_of_a_named_file_is_valid_and_no_other_is_made() {
    let (mut server, file) = prepared();
    write(&file, &format!("{FIRST}\n"));
    server.set_env("VIBE_ENSEMBLE_TOKEN_FILE", file.display().to_string());
    server.launch().await;

    assert_eq!(status(&server, FIRST).await, 200);
    assert_eq!(status(&server, SECOND).await, 401);
    assert!(!server.state_dir().join("tokens/coordinator").exists(), "there is one token");
    assert!(!server.log().contains(FIRST));

    replaced(&server, &file, SECOND).await;
    assert_eq!(status(&server, FIRST).await, 401, "the old one is over");

    // A mistake in an editor locks nobody out.
    let told = |server: &Server| server.log().matches("the old token remains valid").count();
    for (slip, times) in [("", 1), ("short", 2)] {
        write(&file, slip);
        server.signal(Signal::SIGHUP);
        eventually("the server tells", || {
            let told = told(&server);
            std::future::ready(if told == times { Ok(()) } else { Err(format!("{told}")) })
        })
        .await;
        assert_eq!(status(&server, SECOND).await, 200);
    }
}

#[e2e::scenario]
async fn operators_commands_find_the_token_wherever_the_server_gets_it() {
    let (mut server, file) = prepared();
    write(&file, FIRST);
    let directory = server.path("credentials");
    fs::create_dir(&directory).unwrap();
    let credential = directory.join("coordinator-token");
    // What systemd sets for the unit is not set for a user who runs a command.
    server.set_env("CREDENTIALS_DIRECTORY", directory.display().to_string());
    let nowhere = server.path("nowhere").display().to_string();
    let operate = async |server: &Server, subcommand: &str, args: &[&str]| {
        let mut command = tokio::process::Command::from(server.command(subcommand));
        command.args(args).env("CREDENTIALS_DIRECTORY", &nowhere);
        command.env("VIBE_ENSEMBLE_STATE_DIR", server.state_dir());
        command.env("VIBE_ENSEMBLE_RUNTIME_DIR", server.runtime_dir());
        command.output().await.expect("the program can be started")
    };

    // A directory without that credential is no reason to look for it.
    server.launch().await;
    assert!(operate(&server, "status", &[]).await.status.success());
    server.stop().await;

    write(&credential, FIRST);
    server.launch().await;
    assert_eq!(status(&server, FIRST).await, 200);
    assert_eq!(status(&server, &server.token()).await, 401, "the state directory's is over");
    let output = operate(&server, "status", &[]).await;
    assert!(output.status.success(), "{}", words(&output));
    let output = operate(&server, "headers", &[]).await;
    assert!(words(&output).contains(FIRST), "{}", words(&output));
    let output = operate(&server, "doctor", &["--json"]).await;
    assert!(words(&output).contains("LoadCredential="), "{}", words(&output));

    let before = fs::read(&credential).unwrap();
    let output = operate(&server, "rotate-token", &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    for told in [credential.to_str().unwrap(), "LoadCredential=", "restart the unit"] {
        assert!(words(&output).contains(told), "{told}: {}", words(&output));
    }
    assert_eq!(fs::read(&credential).unwrap(), before);

    // A file that somebody names takes precedence over a systemd credential.
    write(&file, SECOND);
    server.stop().await;
    server.set_env("VIBE_ENSEMBLE_TOKEN_FILE", file.display().to_string());
    server.launch().await;
    assert_eq!(status(&server, SECOND).await, 200);
    assert_eq!(status(&server, FIRST).await, 401);
    let output = server.operate("rotate-token", &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    for told in [file.to_str().unwrap(), "VIBE_ENSEMBLE_TOKEN_FILE", "HUP"] {
        assert!(words(&output).contains(told), "{told}: {}", words(&output));
    }
    assert_eq!(status(&server, SECOND).await, 200);
}

#[e2e::scenario]
async fn an_unusable_token_file_is_a_configuration_error() {
    let (server, file) = prepared();
    let shown = file.display().to_string();
    let refused = async |args: &[&str], what: &str| {
        for subcommand in ["serve", "check-config"] {
            let mut command = tokio::process::Command::from(server.command(subcommand));
            command.args(args);
            command.args(["--listen", "127.0.0.1:0", "--launcher", "plain"]);
            command.arg("--state-dir").arg(server.state_dir());
            command.arg("--runtime-dir").arg(server.runtime_dir());
            let output = command.output().await.expect("the program can be started");
            let words = words(&output);
            assert_eq!(output.status.code(), Some(78), "{subcommand}, {what}: {words}");
            assert!(words.contains(&shown) && words.contains("token_file"), "{what}: {words}");
            assert!(words.contains(what), "{what}: {words}");
            assert!(!words.contains(FIRST), "{words}");
        }
        assert!(!server.runtime_dir().join("http.addr").exists(), "nothing was bound");
    };
    let flag = ["--token-file", shown.as_str()];
    refused(&flag, "does not exist").await;
    write(&file, "");
    refused(&flag, "does not contain a token").await;
    write(&file, "0123456789abcdef0123456789abcde");
    refused(&flag, "does not contain a token").await;
    write(&file, &format!("{FIRST} {FIRST}"));
    refused(&flag, "does not contain a token").await;
    for (mode, what) in
        [(0o640, "others can read"), (0o604, "others can read"), (0o622, "others can change")]
    {
        write(&file, FIRST);
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        refused(&flag, what).await;
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    refused(&flag, "does not contain a token").await;
    fs::remove_dir(&file).unwrap();

    let config = server.path("config.toml");
    fs::write(&config, format!("token_file = {shown:?}\n")).unwrap();
    let at = format!("{}:1", config.display());
    refused(&["--config", config.to_str().unwrap()], &at).await;
}

#[e2e::scenario]
async fn the_servers_own_file_stays_its_own_when_it_is_named() {
    let mut server = Server::prepare(Setup::default());
    let own = server.state_dir().join("tokens/coordinator");
    server.set_env("VIBE_ENSEMBLE_TOKEN_FILE", own.display().to_string());
    server.launch().await;
    let before = server.token();
    let output = server.operate("rotate-token", &[]).await;
    assert!(output.status.success(), "{}", words(&output));
    assert_ne!(server.token(), before);

    // A client that has a copy is no reason to leave the server's own file alone.
    let (before, copy) = (server.token(), server.path("copy"));
    write(&copy, &before);
    let mut command = tokio::process::Command::from(server.command("rotate-token"));
    command.env("VIBE_ENSEMBLE_TOKEN_FILE", &copy);
    command.arg("--state-dir").arg(server.state_dir());
    command.arg("--runtime-dir").arg(server.runtime_dir());
    let output = command.output().await.expect("the program can be started");
    assert!(output.status.success(), "{}", words(&output));
    assert_ne!(server.token(), before);
}

#[e2e::scenario]
async fn an_agent_learns_neither_the_token_nor_where_it_is() {
    let mut bed = Bed::prepare(Setup::default());
    let file = bed.server.path("token");
    write(&file, FIRST);
    bed.server.set_env("VIBE_ENSEMBLE_TOKEN_FILE", file.display().to_string());
    let directory = bed.server.path("credentials");
    fs::create_dir(&directory).unwrap();
    write(&directory.join("coordinator-token"), SECOND);
    bed.server.set_env("CREDENTIALS_DIRECTORY", directory.display().to_string());
    bed.server.launch().await;
    bed.client = Client::new(bed.server.address(), Some(FIRST.to_owned()));
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    let call = &bed.agents.calls()[0];
    let environment = format!("{:?}", call.env);
    for secret in [FIRST, SECOND, "CREDENTIALS_DIRECTORY", "VIBE_ENSEMBLE_TOKEN_FILE"] {
        assert!(!environment.contains(secret), "{secret}: {environment}");
    }
}
