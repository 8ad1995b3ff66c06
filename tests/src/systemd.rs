//! What systemd does for `vibe-ensemble-worker.socket` and `vibe-ensemble-gate.socket`, without systemd:
//! starts a shim for each connection.
//!
//! It contains no process: what needs control groups is tested where a real systemd runs.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use crate::binaries;
use crate::server::Server;

/// The program may be where only root looks.
const LOOPBACK_UP: &str = "PATH=$PATH:/usr/sbin:/sbin ip link set lo up";

/// A listening `worker.sock` or `gate.sock`. Dropping it closes the socket; shims continue.
#[derive(Debug)]
pub struct WorkerSocket {
    path: PathBuf,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    /// Connections beyond this many live shims are closed at once.
    max_connections: AtomicUsize,
    /// Connections so far.
    seen: AtomicUsize,
    stop: AtomicBool,
    shims: Mutex<Vec<Child>>,
}

impl WorkerSocket {
    /// Listens where the server looks.
    #[must_use]
    pub fn listen(server: &Server, max_connections: usize) -> Self {
        let shim = server.command_of(&binaries::shim());
        Self::listen_at(server, "worker.sock", shim, max_connections)
    }

    /// The same for gates without a network. `keeps`: whether it can take the network away, as root
    /// can; otherwise it does what systemd does then, and starts the shim all the same.
    #[must_use]
    pub fn listen_for_gates(server: &Server, keeps: bool) -> Self {
        let shim = binaries::shim();
        let mut command = server.command_of(Path::new(if keeps { "unshare" } else { "env" }));
        if keeps {
            // As systemd does, with the loopback interface up.
            command.args(["--net", "sh", "-c", &format!("{LOOPBACK_UP} && exec \"$0\" \"$@\"")]);
        }
        command.arg(shim);
        Self::listen_at(server, "gate.sock", command, /* max connections */ 8)
    }

    /// Whether this machine lets a test start a process without a network.
    #[must_use]
    pub fn can_take_networks_away() -> bool {
        let mut command = Command::new("unshare");
        command
            .args(["--net", "sh", "-c", LOOPBACK_UP])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    fn listen_at(server: &Server, name: &str, mut shim: Command, max_connections: usize) -> Self {
        let path = server.runtime_dir().join(name);
        std::fs::create_dir_all(server.runtime_dir()).expect("the directory is writable");
        let listener = UnixListener::bind(&path).expect("the directory is writable");
        let state = Arc::new(State::default());
        state.max_connections.store(max_connections, Ordering::SeqCst);
        shim.arg("--unit").stdout(Stdio::null());
        let log = server.path("shims.log");
        let shared = Arc::clone(&state);
        let accepting = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    break;
                }
                shared.seen.fetch_add(1, Ordering::SeqCst);
                let connection = connection.expect("a connection");
                if shared.living() < shared.max_connections.load(Ordering::SeqCst) {
                    let stderr = File::options().create(true).append(true).open(&log);
                    shared.start(&mut shim, connection.into(), stderr.expect("writable"));
                }
            }
        });
        Self { path, state, accepting: Some(accepting) }
    }

    pub fn set_max_connections(&self, most: usize) {
        self.state.max_connections.store(most, Ordering::SeqCst);
    }

    /// Connections so far, including those that were closed at once.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.state.seen.load(Ordering::SeqCst)
    }

    /// The exit codes of the shims that have ended.
    #[must_use]
    pub fn exit_codes(&self) -> Vec<Option<i32>> {
        let mut shims = self.state.shims.lock().expect("nobody panics with it");
        shims.iter_mut().filter_map(|shim| Some(shim.try_wait().ok()??.code())).collect()
    }
}

impl State {
    fn start(&self, shim: &mut Command, connection: OwnedFd, stderr: File) {
        let child = shim.stdin(Stdio::from(connection)).stderr(stderr).spawn();
        let child = child.expect("the shim can be started");
        self.shims.lock().expect("nobody panics with it").push(child);
        // The command would keep the connection open, and the server waits for its end.
        shim.stdin(Stdio::null());
    }

    fn living(&self) -> usize {
        let mut shims = self.shims.lock().expect("nobody panics with it");
        shims.iter_mut().filter_map(|shim| shim.try_wait().ok()).filter(Option::is_none).count()
    }
}

impl Drop for WorkerSocket {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let woken: io::Result<_> = std::os::unix::net::UnixStream::connect(&self.path);
        let joined = self.accepting.take().map(JoinHandle::join);
        if woken.is_err() || joined.is_some_and(|joined| joined.is_err()) {
            eprintln!("the worker socket of this test did not end well");
        }
        drop(std::fs::remove_file(&self.path));
    }
}
