//! One `vibe-ensemble serve`, its directories, and the end of everything that it started.

use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Output;
use std::process::Stdio;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::binaries;
use crate::client::Client;
use crate::eventually::eventually;
use crate::processes::Family;
use crate::processes::MARK_VARIABLE;
use crate::processes::Process;
use crate::tmpfs::Tmpfs;

/// The differences between the servers of two tests.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The program that workers run; the scripted agent if absent.
    pub agent: Option<PathBuf>,
    /// The directory of server and shim; that of this build if absent.
    pub programs: Option<PathBuf>,
    /// More arguments of `serve`.
    pub args: Vec<String>,
    /// More variables in the server's environment.
    pub env: Vec<(String, String)>,
    /// Puts the state directory on a file system of its own, of this many MiB.
    pub state_mib: Option<u64>,
    /// Starts the server with a umask that removes no permission.
    pub no_umask: bool,
    /// `plain` if absent.
    pub launcher: Option<&'static str>,
    /// Makes the server believe that systemd started it.
    pub as_a_service: bool,
    /// Runs the server and every command as this user instead of the test's own. Root may read what
    /// is closed to everybody, and a test of that would find nothing.
    pub user: Option<u32>,
}

impl Setup {
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Takes server and shim from another directory.
    #[must_use]
    pub fn programs(mut self, directory: PathBuf) -> Self {
        self.programs = Some(directory);
        self
    }

    #[must_use]
    pub fn max_workers(self, workers: u32) -> Self {
        self.arg("--max-workers").arg(workers.to_string())
    }
}

/// A server under test. Dropping it kills it and everything that it started.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    /// Unmounted before the directory is removed.
    state_on: Option<Tmpfs>,
    /// Contains everything of this test: state, runtime directory, home, projects, call log.
    directory: TempDir,
    running: Option<Child>,
    /// The runtime directory's name.
    runtime: String,
    address: String,
    /// Listeners that outlive the server, like systemd's.
    passed: Option<[OwnedFd; 2]>,
}

impl Server {
    /// Starts a server on fresh state and waits until it listens.
    pub async fn start(setup: Setup) -> Self {
        let mut server = Self::prepare(setup);
        server.launch().await;
        server
    }

    /// A server on fresh state that is not started yet.
    #[must_use]
    pub fn prepare(mut setup: Setup) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("ve-e2e-")
            .tempdir()
            .expect("the temporary directory is writable");
        for part in ["home", "fake", "projects"] {
            fs::create_dir(directory.path().join(part)).expect("a fresh directory");
        }
        let state_on = setup.state_mib.map(|mebibytes| {
            let path = directory.path().join("state");
            fs::create_dir(&path).expect("a fresh directory");
            Tmpfs::mount(&path, mebibytes).expect("the scenario asked whether this is possible")
        });
        if setup.user.is_some() {
            // Another user may not be able to reach those of the build.
            let programs = directory.path().join("bin");
            fs::create_dir(&programs).expect("a fresh directory");
            let [server, shim, agent] =
                [binaries::server(), binaries::shim(), binaries::fake_claude()]
                    .map(|program| accessible(&program, &programs));
            drop((server, shim));
            setup.programs.get_or_insert(programs);
            setup.agent.get_or_insert(agent);
        }
        let (runtime, address) = ("run".to_owned(), String::new());
        let made =
            Self { setup, state_on, directory, running: None, runtime, address, passed: None };
        made.give_away(made.directory.path());
        made
    }

    /// Gives a path of this test, with what is below it, to the user that the server runs as.
    pub fn give_away(&self, path: &Path) {
        let Some(user) = self.setup.user else { return };
        let given = Command::new("chown")
            .args(["--recursive", "--no-dereference", &format!("{user}:{user}")])
            .arg(path)
            .status();
        assert!(given.is_ok_and(|status| status.success()), "the scenario asked for root");
    }

    /// Leaves the directory in place when this is dropped, for somebody to examine.
    pub fn keep_directory(&mut self) -> &Path {
        self.directory.disable_cleanup(true);
        self.directory.path()
    }

    /// Sets a variable for the next start.
    pub fn set_env(&mut self, name: &str, value: String) {
        self.setup.env.push((name.to_owned(), value));
    }

    /// Gives the next start another runtime directory, as another session of the user has.
    pub fn move_runtime_dir(&mut self, name: &str) {
        name.clone_into(&mut self.runtime);
    }

    /// Passes two listeners to every start from now on.
    pub fn pass(&mut self, sockets: [OwnedFd; 2]) {
        self.passed = Some(sockets);
    }

    /// The state directory's own file system.
    #[must_use]
    pub fn state_on(&self) -> &Tmpfs {
        self.state_on.as_ref().expect("the setup asked for one")
    }

    /// Starts the server again on the same state; it must not be running.
    pub async fn launch(&mut self) {
        if let Err(status) = self.try_launch().await {
            panic!("the server ended at once: {status}\n{}", self.log_tail());
        }
    }

    /// [`Server::launch`], for a server that may end while it starts.
    pub async fn try_launch(&mut self) -> Result<(), ExitStatus> {
        assert!(self.running.is_none(), "the server is running already");
        // A stale address would be mistaken for the new server's.
        remove_if_there(&self.address_file());
        let mut command = self.command("serve");
        command
            .arg("--state-dir")
            .arg(self.state_dir())
            .arg("--runtime-dir")
            .arg(self.runtime_dir())
            .args(["--listen", "127.0.0.1:0"])
            .args(["--launcher", self.setup.launcher.unwrap_or("plain"), "--agent-command"])
            .arg(self.setup.agent.clone().unwrap_or_else(binaries::fake_claude))
            .args(&self.setup.args);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("the directory is writable");
        let [stdin, stdout] =
            self.passed.as_ref().map_or([Stdio::null(), Stdio::null()], |passed| {
                passed.each_ref().map(|socket| socket.try_clone().expect("a descriptor").into())
            });
        command.stdin(stdin).stdout(stdout).stderr(log);
        let mut child = command.spawn().expect("the server can be started");
        let address_file = self.address_file();
        let address = eventually("the server listens", || {
            let ended = child.try_wait().expect("our own child");
            let seen = fs::read_to_string(&address_file).unwrap_or_default().trim().to_owned();
            std::future::ready(match ended {
                Some(status) => Ok(Err(status)),
                None if seen.is_empty() => Err("no http.addr yet".to_owned()),
                None => Ok(Ok(seen)),
            })
        })
        .await?;
        self.running = Some(child);
        self.address = address;
        Ok(())
    }

    /// Whether the server is running. A server that has died is noted, and may be launched again.
    pub fn is_running(&mut self) -> bool {
        let Some(child) = &mut self.running else { return false };
        if child.try_wait().expect("our own child").is_some() {
            self.running = None;
        }
        self.running.is_some()
    }

    /// A command of the binary under test, in this test's environment and nothing else.
    #[must_use]
    pub fn command(&self, subcommand: &str) -> Command {
        let programs = self.setup.programs.as_ref();
        let program =
            programs.map_or_else(binaries::server, |programs| programs.join("vibe-ensemble"));
        let mut prelude = Vec::new();
        if self.setup.no_umask {
            prelude.push("umask 000");
        }
        if self.setup.as_a_service && subcommand == "serve" {
            prelude.push("export SYSTEMD_EXEC_PID=$$");
        }
        if self.passed.is_some() && subcommand == "serve" {
            // Only the standard streams reach a child without unsafe code, so the shell moves them.
            prelude.push("exec 3<&0 4<&1 </dev/null >/dev/null; export LISTEN_FDS=2 LISTEN_PID=$$");
        }
        if prelude.is_empty() {
            let mut command = self.command_of(&program);
            command.arg(subcommand);
            return command;
        }
        let mut command = self.command_of(Path::new("/bin/sh"));
        let script = format!("{}; exec \"$0\" \"$@\"", prelude.join("; "));
        command.args(["-c", &script]).arg(program).arg(subcommand);
        command
    }

    /// A command of any program, in this test's environment and nothing else.
    #[must_use]
    pub fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::join_paths(search_path()).expect("no colon in a path"))
            .env("HOME", self.home())
            .env("LANG", "C.UTF-8")
            .env(MARK_VARIABLE, self.family().mark())
            .env(crate::fake::DIRECTORY_VARIABLE, self.path("fake"))
            // Waits that suit a user would only delay a test.
            .env("VIBE_ENSEMBLE_RETRY_BACKOFF_MS", "50")
            .env("VIBE_ENSEMBLE_LINGER_MS", "250")
            .envs(self.setup.env.iter().cloned())
            .current_dir(self.directory.path());
        if let Some(user) = self.setup.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Runs an operator's command on this server's directories, to its end.
    pub async fn operate(&self, subcommand: &str, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::from(self.command(subcommand));
        command
            .args(args)
            .env("VIBE_ENSEMBLE_STATE_DIR", self.state_dir())
            .env("VIBE_ENSEMBLE_RUNTIME_DIR", self.runtime_dir())
            .stdin(Stdio::null())
            .output()
            .await
            .expect("the program can be started")
    }

    /// Sends SIGTERM and waits for the end. The workers continue.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// Sends SIGKILL: there is no chance to say goodbye. The workers continue.
    pub async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }

    /// Stops the server with SIGTERM and starts it again on the same state.
    pub async fn restart(&mut self) {
        let status = self.stop().await;
        assert!(status.success(), "TERM ends the server with 0, not {status}\n{}", self.log_tail());
        self.launch().await;
    }

    /// Sends the server a signal.
    pub fn signal(&self, signal: Signal) {
        assert!(self.send(self.pid(), signal), "the server is gone\n{}", self.log_tail());
    }

    /// Waits for the end of the server and returns its status.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut child = self.running.take().expect("the server is running");
        eventually("the server ends", || {
            let status = child.try_wait().expect("our own child");
            std::future::ready(status.ok_or_else(|| "still running".to_owned()))
        })
        .await
    }

    /// Sends a signal to a process of this test; returns whether the process still existed.
    #[must_use]
    pub fn send(&self, pid: i32, signal: Signal) -> bool {
        self.family().signal(pid, signal).is_ok()
    }

    #[must_use]
    pub fn pid(&self) -> i32 {
        let child = self.running.as_ref().expect("the server is running");
        i32::try_from(child.id()).expect("a pid is small")
    }

    /// Everything alive that this server started, without the server: shims, agents, what agents
    /// left behind.
    #[must_use]
    pub fn descendants(&self) -> Vec<Process> {
        let server = self.running.as_ref().map(|child| i32::try_from(child.id()));
        let mut found = self.family().alive();
        found.retain(|process| server != Some(Ok(process.pid)));
        found
    }

    /// A client with the coordinator's token.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.address, Some(self.token()))
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    #[must_use]
    pub fn token(&self) -> String {
        let path = self.state_dir().join("tokens/coordinator");
        let token = fs::read_to_string(&path).expect("the server makes it on its first start");
        token.trim().to_owned()
    }

    /// The processes of this test. The name of its directory is their mark.
    #[must_use]
    pub fn family(&self) -> Family {
        let name = self.directory.path().file_name().expect("a temporary directory has a name");
        Family::new(name.to_string_lossy().into_owned(), self.state_dir())
    }

    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.path(&self.runtime)
    }

    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// A path in this test's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Everything that the server has logged, over all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The process id of the server, if it is running.
    #[must_use]
    pub fn running_pid(&self) -> Option<i32> {
        i32::try_from(self.running.as_ref()?.id()).ok()
    }

    /// The last lines of [`Server::log`].
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.path("server.log")
    }

    fn address_file(&self) -> PathBuf {
        self.runtime_dir().join("http.addr")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take()
            && let Err(error) = child.kill().and_then(|()| child.wait())
        {
            eprintln!("could not end the server: {error}");
        }
        let left = self.family().kill_all();
        if std::thread::panicking() {
            eprintln!("--- the server's log, its last lines ---\n{}\n---", self.log_tail());
        }
        if !left.is_empty() {
            eprintln!("these processes would not end: {left:#?}");
        }
    }
}

/// Where programs of the system are. Not this machine's `PATH`: a test must not depend on what else
/// is installed.
fn search_path() -> impl Iterator<Item = &'static Path> {
    ["/usr/local/bin", "/usr/bin", "/bin"].into_iter().map(Path::new)
}

/// A name of a program in another directory.
fn accessible(program: &Path, directory: &Path) -> PathBuf {
    let other = directory.join(program.file_name().expect("a program has a name"));
    if fs::hard_link(program, &other).is_err() {
        fs::copy(program, &other).expect("our own directory");
    }
    other
}

fn remove_if_there(path: &Path) {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => panic!("could not remove {}: {error}", path.display()),
    }
}
