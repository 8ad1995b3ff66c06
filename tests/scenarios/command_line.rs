//! The operator's side: exit codes, configuration, commands.

use std::fs;
use std::process::Output;

use e2e::bed::Bed;
use e2e::server::Server;
use e2e::server::Setup;
use serde_json::Value;

fn words(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Writes a configuration file and returns its path.
fn config(server: &Server, content: &str) -> String {
    let file = server.path("config.toml");
    fs::write(&file, content).expect("the directory is writable");
    file.into_os_string().into_string().expect("a plain path")
}

#[e2e::scenario]
async fn a_second_server_on_one_state_directory_exits_75_and_names_the_holder() {
    let server = Server::start(Setup::default()).await;
    let second = server.operate("serve", &["--listen", "127.0.0.1:0"]).await;
    assert_eq!(second.status.code(), Some(75), "{}", words(&second));
    assert!(words(&second).contains(&server.pid().to_string()), "{}", words(&second));
}

#[e2e::scenario]
async fn a_bad_command_line_exits_2() {
    let server = Server::start(Setup::default()).await;
    let output = server.operate("serve", &["--no-such-flag"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    let output = server.operate("brew-coffee", &[]).await;
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
}

#[e2e::scenario]
async fn a_configuration_with_an_unknown_key_exits_78_and_names_the_nearest_one() {
    let mut server = Server::start(Setup::default()).await;
    server.stop().await;
    let file = config(&server, "max_worker = 3\n");
    for command in ["serve", "check-config"] {
        let output = server.operate(command, &["--config", &file]).await;
        assert_eq!(output.status.code(), Some(78), "{command}: {}", words(&output));
        assert!(words(&output).contains("max_workers"), "{command}: {}", words(&output));
    }
}

#[e2e::scenario]
async fn a_configuration_with_a_wrong_value_exits_78_before_anything_binds() {
    let mut server = Server::start(Setup::default()).await;
    server.stop().await;
    let wrong = [
        "max_workers = \"many\"\n",
        "max_workers = -1\n",
        "listen = \"nowhere\"\n",
        "listen = \"0.0.0.0:0\"\nauth = \"none\"\n",
        "= 7\n",
    ];
    for wrong in wrong {
        let file = config(&server, wrong);
        let output = server.operate("serve", &["--config", &file]).await;
        assert_eq!(output.status.code(), Some(78), "{wrong:?}: {}", words(&output));
    }
    let output = server.operate("serve", &["--config", "/nonexistent/config.toml"]).await;
    assert_eq!(output.status.code(), Some(78), "{}", words(&output));
}

#[e2e::scenario]
async fn a_valid_configuration_is_reported_as_valid() {
    let server = Server::start(Setup::default()).await;
    let file = config(&server, "max_workers = 3\n");
    let output = server.operate("check-config", &["--config", &file]).await;
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
}

#[e2e::scenario]
async fn status_of_no_server_exits_69() {
    let mut server = Server::start(Setup::default()).await;
    server.stop().await;
    let output = server.operate("status", &[]).await;
    assert_eq!(output.status.code(), Some(69), "{}", words(&output));
}

#[e2e::scenario]
async fn status_of_a_server_reports_its_state() {
    let bed = Bed::start().await;
    let output = bed.server.operate("status", &["--json"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let status: Result<Value, _> = serde_json::from_slice(&output.stdout);
    assert!(status.is_ok_and(|status| status.is_object()), "{}", words(&output));
}

#[e2e::scenario]
async fn doctor_reports_what_it_checked() {
    let bed = Bed::start().await;
    let output = bed.server.operate("doctor", &[]).await;
    assert!([Some(0), Some(1)].contains(&output.status.code()), "{}", words(&output));
    assert!(!output.stdout.is_empty());
}

#[e2e::scenario]
async fn demo_runs_a_three_stage_ticket_and_prints_the_reports() {
    let mut server = Server::start(Setup::default()).await;
    server.stop().await;
    let output = server.operate("demo", &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    assert!(words(&output).contains("T-1"), "{}", words(&output));
    assert!(words(&output).to_lowercase().contains("report"), "{}", words(&output));
    let told = words(&output);
    let (red, green) = (told.find("gate_failed"), told.find("gate_passed"));
    assert!(red.is_some() && red < green, "the first try is red, the second is green: {told}");
    assert_eq!(server.descendants(), [], "the demo leaves nothing behind");
}

#[e2e::scenario]
async fn help_and_version_need_nothing() {
    let server = Server::start(Setup::default()).await;
    let output = server.operate("--help", &[]).await;
    assert_eq!(output.status.code(), Some(0));
    for command in ["serve", "demo", "doctor", "check-config", "status"] {
        assert!(words(&output).contains(command), "no {command} in {}", words(&output));
    }
    let output = server.operate("--version", &[]).await;
    assert_eq!(output.status.code(), Some(0));
}

#[e2e::scenario]
async fn a_program_on_the_port_of_a_dead_server_does_not_receive_the_token() {
    let mut server = Server::start(Setup::default()).await;
    server.kill().await;
    let taken = std::net::TcpListener::bind(server.address()).expect("the port is free again");
    taken.set_nonblocking(true).expect("a socket");
    let output = server.operate("tickets", &[]).await;
    assert_eq!(output.status.code(), Some(69), "{}", words(&output));
    assert!(taken.accept().is_err(), "nobody dialled");
}
