//! What the server reports to systemd, on a real notification socket.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use e2e::bed::Bed;
use e2e::eventually::eventually;
use e2e::server::Setup;
use nix::sys::signal::Signal;
use sqlx::Connection as _;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;

/// The service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// A bed that notifies this manager, not started yet.
    fn of_a_bed() -> (Bed, Self) {
        let mut bed = Bed::prepare(Setup::default());
        let path = bed.server.path("notify.sock");
        let socket = UnixDatagram::bind(&path).expect("a fresh path");
        socket.set_nonblocking(true).expect("a socket");
        bed.server.set_env("NOTIFY_SOCKET", path.display().to_string());
        bed.server.set_env("WATCHDOG_USEC", Duration::from_millis(600).as_micros().to_string());
        (bed, Self { socket, heard: Vec::new() })
    }

    /// Waits for a message later than those that were already received; returns it.
    async fn hears(&mut self, what: &str) -> String {
        let mut buffer = [0; 4096];
        eventually(&format!("systemd hears {what}"), || {
            while let Ok(length) = self.socket.recv(&mut buffer) {
                self.heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            let found = self.heard.iter().position(|message| message.contains(what));
            let found = found.map(|at| self.heard.drain(..=at).next_back().unwrap_or_default());
            std::future::ready(found.ok_or_else(|| format!("{:?}", self.heard)))
        })
        .await
    }
}

#[e2e::scenario]
async fn systemd_is_notified_of_the_start_the_work_a_reload_and_the_stop() {
    let (mut bed, mut systemd) = Manager::of_a_bed();
    bed.launch().await;
    systemd.hears("READY=1").await;
    assert!(bed.reachable().await, "ready means that it serves");
    systemd.hears("WATCHDOG=1").await;

    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    let line = systemd.hears("1 ticket running").await;
    assert!(line.starts_with("STATUS=serving: 1 worker,"), "{line}");
    let waiting = bed.ticket("shop", &["build"], "").await;
    systemd.hears("1 queued").await;

    bed.server.signal(Signal::SIGUSR2);
    systemd.hears("STATUS=draining").await;
    bed.server.signal(Signal::SIGUSR2);
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
    bed.completed(&waiting).await;
    systemd.hears("0 tickets running, 0 queued").await;
    systemd.hears("WATCHDOG=1").await;

    bed.server.signal(Signal::SIGHUP);
    let reloading = systemd.hears("RELOADING=1").await;
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    systemd.hears("READY=1").await;

    bed.server.signal(Signal::SIGTERM);
    systemd.hears("STOPPING=1").await;
    assert_eq!(bed.server.ended().await.code(), Some(0));
}

#[e2e::scenario]
async fn systemd_is_asked_for_more_time_while_the_database_is_opened() {
    let (mut bed, mut systemd) = Manager::of_a_bed();
    bed.launch().await;
    systemd.hears("READY=1").await;
    bed.server.stop().await;

    // While another program locks the database, it cannot be opened.
    let database = bed.server.state_dir().join("vibe-ensemble.db");
    let options = SqliteConnectOptions::new().filename(database);
    let mut other = SqliteConnection::connect_with(&options).await.expect("a database");
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.expect("nobody else writes");
    let (asked, ()) = tokio::join!(
        async {
            let asked = systemd.hears("EXTEND_TIMEOUT_USEC=").await;
            sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("a commit");
            asked
        },
        bed.launch(),
    );
    assert!(asked.contains("STATUS=opening the database"), "{asked}");
    systemd.hears("READY=1").await;
}
