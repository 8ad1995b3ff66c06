//! What a server does not start on: never a silent empty start, and nothing is changed on the way.

use std::fs;
use std::process::Output;

use e2e::bed::Bed;
use e2e::server::Server;
use e2e::server::Setup;
use e2e::tmpfs::Tmpfs;

/// Tries to start, which must fail with 1; returns what it said.
async fn refused(server: &Server) -> String {
    let Output { status, stderr, .. } = server.operate("serve", &["--listen", "127.0.0.1:0"]).await;
    let words = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(1), "{words}");
    words
}

/// A server that has run one ticket and was stopped.
async fn used() -> Bed {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    bed.nothing_is_left().await;
    bed.server.stop().await;
    bed
}

#[tokio::test]
async fn a_missing_database_beside_run_directories_is_no_empty_start() {
    let mut bed = used().await;
    let state = bed.server.state_dir();
    let kept = state.join("kept.db");
    fs::rename(state.join("vibe-ensemble.db"), &kept).unwrap();

    let words = refused(&bed.server).await;

    assert!(words.contains("vibe-ensemble.db") && words.contains("backup"), "{words}");
    assert!(words.contains("to start empty"), "{words}");
    assert!(!state.join("vibe-ensemble.db").exists(), "nothing was made in its place");
    fs::rename(&kept, state.join("vibe-ensemble.db")).unwrap();
    bed.launch().await;
    assert_eq!(bed.get("T-1").await["resolution"], "completed");

    // Whoever wants to start empty says so by moving the run directories away.
    bed.server.stop().await;
    fs::remove_file(state.join("vibe-ensemble.db")).unwrap();
    fs::remove_dir_all(state.join("attempts")).unwrap();
    bed.launch().await;
    assert!(bed.reachable().await);
}

#[tokio::test]
async fn a_damaged_database_is_told_and_left_alone() {
    let bed = used().await;
    let path = bed.server.state_dir().join("vibe-ensemble.db");
    let whole = fs::read(&path).unwrap();
    let mut torn = whole.clone();
    torn[4096..3 * 4096].fill(0xa5);
    for content in [torn, b"this is a letter to my aunt\n".repeat(400)] {
        fs::write(&path, &content).unwrap();
        let words = refused(&bed.server).await;
        assert!(words.contains("damaged") && words.contains("backup"), "{words}");
        assert!(fs::read(&path).unwrap() == content, "the file was changed");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let words = refused(&bed.server).await;
    assert!(words.contains("vibe-ensemble.db"), "{words}");
}

#[tokio::test]
async fn a_read_only_state_directory_is_told() {
    if !Tmpfs::is_possible("a_read_only_state_directory_is_told") {
        return;
    }
    let mut server = Server::start(Setup { state_mib: Some(64), ..Setup::default() }).await;
    server.stop().await;
    server.state_on().set_read_only(true);

    let words = refused(&server).await;

    assert!(words.contains(&server.state_dir().display().to_string()), "{words}");
    assert!(words.contains("read-only") && words.contains("--state-dir"), "{words}");
    server.state_on().set_read_only(false);
    server.launch().await;
}
