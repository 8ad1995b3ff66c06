//! What systemd does for `vibe-ensemble-worker.socket`, without systemd: starts a shim for each
//! connection.
//!
//! It contains no process: what needs control groups is tested where a real systemd runs.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
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

/// A listening `worker.sock`. Dropping it closes the socket; shims continue.
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
        let path = server.runtime_dir().join("worker.sock");
        std::fs::create_dir_all(server.runtime_dir()).expect("the directory is writable");
        let listener = UnixListener::bind(&path).expect("the directory is writable");
        let state = Arc::new(State::default());
        state.max_connections.store(max_connections, Ordering::SeqCst);
        let mut shim = server.command_of(&binaries::shim());
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
