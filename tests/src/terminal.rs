//! A real terminal of a given size, through tmux: what a person sees, as text.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

use crate::binaries;
use crate::eventually::eventually;
use crate::server::Server;

const TMUX: &str = "/usr/bin/tmux";

/// The prompt of its shell.
pub const PROMPT: &str = "prompt>";

/// A shell in a terminal. Dropping it ends both.
#[derive(Debug)]
pub struct Terminal {
    socket: PathBuf,
    columns: u16,
    /// The number of commands so far: the end of one must not be mistaken for that of the next.
    commands: AtomicU32,
}

impl Terminal {
    /// Whether tmux is installed.
    #[must_use]
    pub fn is_there() -> bool {
        Path::new(TMUX).exists()
    }

    /// A terminal whose shell runs `vibe-ensemble` against this server.
    pub async fn open(server: &Server, columns: u16, rows: u16) -> Self {
        let socket = server.path(&format!("tmux-{columns}-{rows}"));
        let shell = format!("PS1='{PROMPT} ' exec sh");
        let program = binaries::server();
        let directory = program.parent().expect("a program lies somewhere");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", directory.display());
        let mut command = server.command_of(Path::new(TMUX));
        command
            .env("PATH", path)
            .env("TERM", "xterm-256color")
            .env("VIBE_ENSEMBLE_STATE_DIR", server.state_dir())
            .env("VIBE_ENSEMBLE_RUNTIME_DIR", server.runtime_dir())
            .arg("-u")
            .arg("-S")
            .arg(&socket)
            .args(["-f", "/dev/null", "new-session", "-d"])
            .args(["-x", &columns.to_string(), "-y", &rows.to_string(), &shell]);
        let made = command.output().expect("tmux can be started");
        assert!(made.status.success(), "tmux: {}", String::from_utf8_lossy(&made.stderr));
        let terminal = Self { socket, columns, commands: AtomicU32::new(0) };
        terminal.shows("a shell", |screen| screen.contains(PROMPT)).await;
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(TMUX);
        command.arg("-u").arg("-S").arg(&self.socket).args(arguments);
        command.output().expect("tmux can be started")
    }

    /// Presses keys, by tmux's names: `C-c`, `Enter`, `q`.
    pub fn press(&self, keys: &[&str]) {
        let sent = self.tmux(&[&["send-keys"], keys].concat());
        assert!(sent.status.success(), "tmux: {}", String::from_utf8_lossy(&sent.stderr));
    }

    /// Types a command, without waiting for its effect.
    pub fn begin(&self, command: &str) {
        self.tmux(&["clear-history"]);
        let sent = self.tmux(&["send-keys", "-l", &format!("clear; {command}")]);
        assert!(sent.status.success(), "tmux: {}", String::from_utf8_lossy(&sent.stderr));
        self.press(&["Enter"]);
    }

    /// Types a command, waits for its end, and returns everything that it printed, line by line as
    /// the terminal has it. Fails unless it exits with `code`.
    pub async fn run_to(&self, command: &str, code: u8) -> Vec<String> {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        self.begin(&format!("{command}; echo \"<end {number}, $?>\""));
        let end = format!("<end {number}, {code}>");
        self.shows(&format!("{command} ends with {code}"), |screen| {
            screen.lines().any(|line| line == end)
        })
        .await;
        let all = self.history();
        let lines = all.lines().map(str::to_owned);
        lines.take_while(|line| *line != end).collect()
    }

    /// [`Terminal::run_to`] success.
    pub async fn run(&self, command: &str) -> Vec<String> {
        self.run_to(command, 0).await
    }

    /// How many lines did not fit, so that the terminal had to continue each in its next row.
    #[must_use]
    pub fn wrapped(&self) -> usize {
        let joined = self.tmux(&["capture-pane", "-p", "-J", "-S", "-"]);
        let joined = String::from_utf8_lossy(&joined.stdout).lines().count();
        self.history().lines().count() - joined
    }

    /// What the screen shows.
    #[must_use]
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    /// The screen, and what has scrolled off at the top since the last command began.
    #[must_use]
    pub fn history(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p", "-S", "-"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same with the colours, as escape sequences.
    #[must_use]
    pub fn coloured(&self) -> String {
        let output = self.tmux(&["capture-pane", "-p", "-e", "-S", "-"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until the screen is as expected, and returns it.
    pub async fn shows(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        eventually(&format!("the terminal shows {what}"), || {
            let screen = self.screen();
            std::future::ready(if fits(&screen) { Ok(screen) } else { Err(screen) })
        })
        .await
    }

    /// Gives the window another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let (width, height) = (columns.to_string(), rows.to_string());
        let sent = self.tmux(&["resize-window", "-x", &width, "-y", &height]);
        assert!(sent.status.success(), "tmux: {}", String::from_utf8_lossy(&sent.stderr));
        self.columns = columns;
    }

    #[must_use]
    pub fn columns(&self) -> u16 {
        self.columns
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Only this one: the socket is its own.
        let ended = self.tmux(&["kill-server"]);
        if !ended.status.success() && !std::thread::panicking() {
            eprintln!("tmux: {}", String::from_utf8_lossy(&ended.stderr));
        }
    }
}
