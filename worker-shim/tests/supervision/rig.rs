//! A real shim, a server under the control of the test, and shell scripts as agents.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use shim_protocol::exit::ExitRecord;
use shim_protocol::frame;
use shim_protocol::frame::Decoded;
use shim_protocol::frame::Decoder;
use shim_protocol::grant::Grant;
use shim_protocol::grant::GrantKind;
use shim_protocol::grant::Limits;
use shim_protocol::message::AckVerdict;
use shim_protocol::message::Hello;
use shim_protocol::message::Launch;
use shim_protocol::message::LaunchOrder;
use shim_protocol::message::Progress;
use shim_protocol::message::ToServer;
use shim_protocol::message::ToShim;
use shim_protocol::message::Welcome;
use shim_protocol::run_dir;

/// Longer than anything takes on a busy machine; only a failing test ever waits this long.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `look` has an answer. The only place that waits.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    listener: Option<UnixListener>,
    shim: Child,
}

impl Rig {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir(dir.path().join("attempts")).expect("created");
        let mut shim = Command::new(env!("CARGO_BIN_EXE_vibe-ensemble-shim"))
            .args(arguments)
            .env("VIBE_ENSEMBLE_TOKEN", "the coordinator's")
            .env("SECRET_OF_THE_SERVER", "x")
            .env("ANTHROPIC_API_KEY", "the account's")
            .env("CLAUDE_CODE_OAUTH_TOKEN", "the account's")
            .stdin(Stdio::piped())
            .spawn()
            .expect("the shim starts");
        let order = LaunchOrder {
            worker_id: "W-7".into(),
            token: "secret".into(),
            socket: dir.path().join("shim.sock"),
            attempts_dir: dir.path().join("attempts"),
            worker_lock: dir.path().join("workers/W-7.lock"),
            address_file: Some(dir.path().join("shim.addr")),
            place_id: Some("here".into()),
        };
        let order = frame::encode(&Launch::Launch(order)).expect("encodes");
        shim.stdin.take().expect("piped").write_all(&order).expect("taken");
        let mut rig = Self { dir, listener: None, shim };
        rig.serve();
        rig
    }

    /// Starts the server.
    pub(crate) fn serve(&mut self) {
        let listener = UnixListener::bind(self.socket()).expect("binds");
        listener.set_nonblocking(true).expect("set");
        self.listener = Some(listener);
    }

    /// Stops the server.
    pub(crate) fn vanish(&mut self) {
        self.listener = None;
        fs::remove_file(self.socket()).expect("removed");
    }

    /// Starts the server again with another runtime directory, and updates the address file.
    pub(crate) fn serve_elsewhere(&mut self) {
        let socket = self.dir.path().join("elsewhere.sock");
        fs::write(self.dir.path().join("shim.addr"), socket.display().to_string())
            .expect("written");
        let listener = UnixListener::bind(socket).expect("binds");
        listener.set_nonblocking(true).expect("set");
        self.listener = Some(listener);
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("shim.sock")
    }

    /// Waits for the shim's dial and greets it.
    pub(crate) fn accept(&self) -> (Server, Hello) {
        let listener = self.listener.as_ref().expect("serving");
        let (stream, _) = eventually("the shim dials", || listener.accept().ok());
        stream.set_nonblocking(false).expect("set");
        stream.set_read_timeout(Some(DEADLINE)).expect("set");
        let mut server = Server { stream, decoder: Decoder::default(), progress: Vec::new() };
        let ToServer::Hello(hello) = server.next() else { panic!("hello comes first") };
        assert_eq!(hello.token, "secret");
        (server, hello)
    }

    pub(crate) fn welcome(&self) -> (Server, Hello) {
        let (mut server, hello) = self.accept();
        server.say(&ToShim::Welcome(Welcome {
            protocol: 1,
            build: "test".into(),
            heartbeat_ms: 100,
        }));
        (server, hello)
    }

    /// Welcomes the shim, waits for its pull and hands out a script.
    pub(crate) fn run(&self, script: &str) -> Server {
        self.run_with(script, |_| {})
    }

    pub(crate) fn run_with(&self, script: &str, change: impl FnOnce(&mut Grant)) -> Server {
        let (mut server, _) = self.welcome();
        let pull_id = server.pulled();
        let mut grant = self.grant("A-1", script);
        change(&mut grant);
        server.say(&ToShim::Grant { pull_id, grant: Box::new(grant) });
        server
    }

    pub(crate) fn grant(&self, attempt_id: &str, script: &str) -> Grant {
        let env = [
            ("VIBE_ENSEMBLE_ATTEMPT", attempt_id.to_owned()),
            ("VIBE_ENSEMBLE_SERVER_ID", self.server_id()),
            ("RUN", self.dir.path().display().to_string()),
        ];
        Grant {
            version: 1,
            server_id: self.server_id(),
            attempt_id: attempt_id.into(),
            ticket_id: "T-1".into(),
            project: "p".into(),
            stage: "build".into(),
            worker_id: "W-7".into(),
            claude_session_id: "s".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            prompt: "Build it.\n".into(),
            cwd: self.dir.path().to_owned(),
            env: env.map(|(name, value)| (name.to_owned(), value)).into(),
            env_pass: Vec::new(),
            files: BTreeMap::from([("settings.json".to_owned(), "{}".to_owned())]),
            limits: Limits {
                result_linger_ms: 10_000,
                grace_ms: 10_000,
                kill_after_ms: 300,
                ..Limits::default()
            },
            kind: GrantKind::Agent,
            commands: Vec::new(),
            extra: serde_json::Map::new(),
        }
    }

    /// Unique for this shim: tests find its processes by it.
    pub(crate) fn server_id(&self) -> String {
        self.dir.path().display().to_string()
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.dir.path().join("attempts/A-1")
    }

    pub(crate) fn sealed(&self) -> ExitRecord {
        let mut record = run_dir::read_exit(&self.run_dir()).expect("reads").expect("sealed");
        assert!(record.extra.remove("seal").is_some(), "what is on disk is signed");
        record
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.shim.id().cast_signed()), signal).expect("lives");
    }

    pub(crate) fn kill(&mut self) {
        self.shim.kill().expect("lives");
    }

    pub(crate) fn exited(&mut self) -> ExitStatus {
        eventually("the shim exits", || self.shim.try_wait().expect("waits"))
    }

    /// A file that the script makes in its directory, once it exists and is not empty.
    pub(crate) fn wait_for(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        eventually(name, || fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n')))
    }

    /// Processes that run for this test.
    pub(crate) fn alive(&self) -> usize {
        let mark = format!("VIBE_ENSEMBLE_SERVER_ID={}", self.server_id());
        let all = fs::read_dir("/proc").expect("proc").flatten();
        all.filter(|entry| {
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())
        })
        .count()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A failed test leaves no shim behind, and its agent ends with it.
        drop(self.shim.kill());
        drop(self.shim.wait());
    }
}

/// One connection, from the server's side.
pub(crate) struct Server {
    stream: UnixStream,
    decoder: Decoder,
    pub(crate) progress: Vec<Progress>,
}

impl Server {
    pub(crate) fn say(&mut self, message: &ToShim) {
        self.stream.write_all(&frame::encode(message).expect("encodes")).expect("sent");
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// The next message other than a heartbeat, or `None` if the shim closed the link.
    pub(crate) fn try_next(&mut self) -> Option<ToServer> {
        let mut buffer = [0; 4096];
        loop {
            match self.decoder.take().expect("frames") {
                Some(Decoded::Known(ToServer::Heartbeat { progress, .. })) => {
                    self.progress.extend(progress);
                }
                Some(Decoded::Known(message)) => return Some(message),
                Some(Decoded::Unknown { kind }) => panic!("unknown kind {kind}"),
                None => match self.stream.read(&mut buffer) {
                    Ok(0) => return None,
                    Ok(count) => self.decoder.push(&buffer[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                        return None;
                    }
                    Err(error) => panic!("no message: {error}"),
                },
            }
        }
    }

    pub(crate) fn next(&mut self) -> ToServer {
        self.try_next().expect("the link stands")
    }

    pub(crate) fn pulled(&mut self) -> String {
        let message = self.next();
        let ToServer::Pull { pull_id } = message else { panic!("no pull: {message:?}") };
        pull_id
    }

    pub(crate) fn started(&mut self) -> i32 {
        let message = self.next();
        let ToServer::Started { child_pid, .. } = message else {
            panic!("not started: {message:?}")
        };
        child_pid.cast_signed()
    }

    pub(crate) fn completed(&mut self) -> ExitRecord {
        let message = self.next();
        let ToServer::Completed { record, .. } = message else {
            panic!("not completed: {message:?}")
        };
        *record
    }

    pub(crate) fn ack(&mut self) {
        self.say(&ToShim::Ack { attempt_id: "A-1".into(), verdict: AckVerdict::Accepted });
    }

    /// Answers that the queue is empty and expects the goodbye.
    pub(crate) fn finish(&mut self) {
        let pull_id = self.pulled();
        self.say(&ToShim::Empty { pull_id });
        self.farewell();
    }

    pub(crate) fn farewell(&mut self) {
        assert!(matches!(self.next(), ToServer::Goodbye { .. }));
        assert_eq!(self.try_next(), None, "a goodbye is the last word");
    }
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}
