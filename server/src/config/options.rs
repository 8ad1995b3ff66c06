//! The table of options: names, types, defaults, words and checks, each said once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::layers::Effective;
use super::layers::Layers;
use super::rule;
use super::rule::Auth;
use super::rule::Launcher;
use super::rule::Show as _;
use crate::domain::time::DAY_MS;

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesEffect {
    /// After HUP, for work that starts from then on.
    Reload,
    /// Only when the server is started again.
    Restart,
}

/// How an option gets its value when none is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// This, written as in the file.
    Value(&'static str),
    /// A place that depends on the environment, in words; `places.rs` knows the rule.
    Place(&'static str),
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt {
    /// The key in the file. The variable and the flag follow from it.
    pub name: &'static str,
    /// What stands for the value in the help; empty for an option that is set in the file only.
    pub value_name: &'static str,
    /// The first line explains it alone; the others add what a reader may want to know.
    pub doc: &'static [&'static str],
    pub unset: Unset,
    pub takes_effect: TakesEffect,
}

impl Opt {
    /// `VIBE_ENSEMBLE_MAX_WORKERS`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{}{}", super::environment::PREFIX, self.name.to_ascii_uppercase())
    }

    /// `max-workers`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    #[must_use]
    pub fn is_file_only(&self) -> bool {
        self.value_name.is_empty()
    }
}

macro_rules! options {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $unset:expr, $value_name:literal, $rule:expr, $effect:ident;)+) => {
        /// Every setting, checked.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        /// Every option, in the order of the help and of the example file.
        pub const OPTIONS: &[Opt] = &[$(Opt {
            name: stringify!($name),
            value_name: $value_name,
            doc: &[$($doc),+],
            unset: $unset,
            takes_effect: TakesEffect::$effect,
        },)+];

        impl Settings {
            /// Checks every option; `None` after at least one was refused.
            pub(super) fn resolve(layers: &mut Layers<'_>) -> Option<Self> {
                $(let $name = layers.resolve(stringify!($name), &$rule);)+
                Some(Self { $($name: $name?,)+ })
            }

            /// Every value with its name, to be shown to people.
            pub(super) fn show(&self, layers: &Layers<'_>) -> Vec<Effective> {
                vec![$(Effective {
                    name: stringify!($name),
                    value: self.$name.show(),
                    source: layers.source(stringify!($name)),
                },)+]
            }

            /// The options whose values differ, and when each takes effect.
            #[must_use]
            #[expect(clippy::float_cmp, reason = "whether somebody wrote another number, not how far they lie apart")]
            pub fn changes(&self, new: &Self) -> Vec<(&'static str, TakesEffect)> {
                let mut changes = Vec::new();
                $(if self.$name != new.$name {
                    changes.push((stringify!($name), TakesEffect::$effect));
                })+
                changes
            }
        }
    };
}

options! {
    /// Address and port for MCP and HTTP.
    /// Port 0 picks a free port, which is logged and written to `http.addr` in the runtime directory. A restart uses the
    /// same port again if possible.
    listen: SocketAddr = Unset::Value("\"127.0.0.1:3276\""), "ADDR", rule::address(), Restart;
    /// Directory of the database, the tokens and the run directories.
    /// One server per state directory. Created with mode 0700.
    state_dir: PathBuf = Unset::Place("$STATE_DIRECTORY, else $XDG_STATE_HOME/vibe-ensemble, else ~/.local/state/vibe-ensemble"), "DIR", rule::directory(), Restart;
    /// Directory of the worker socket, the lock and the address file.
    /// Created with mode 0700.
    runtime_dir: PathBuf = Unset::Place("$RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/vibe-ensemble, else <state_dir>/run"), "DIR", rule::directory(), Restart;
    /// The program of Claude Code, as a name in PATH or a path.
    agent_command: PathBuf = Unset::Value("\"claude\""), "PATH", rule::program(), Reload;
    /// Maximum number of workers at one time, over all projects.
    max_workers: u32 = Unset::Value("16"), "N", rule::number(1..=10_000), Reload;
    /// Maximum number of setups and gates at one time, over all projects.
    /// They do not count as workers. 0: the number of processors.
    max_gates: u32 = Unset::Value("0"), "N", rule::number(0..=10_000), Reload;
    /// How clients authenticate: `token` or `none`.
    /// `token` requires the token in `token_file`. `none` is refused unless the address is a loopback address; anyone who can
    /// reach the port can then run commands as the user of the server.
    auth: Auth = Unset::Value("\"token\""), "token|none", rule::choice(rule::AUTHS), Restart;
    /// File that contains the coordinator's token.
    /// The file in the state directory is created on the first start. Any other file must exist, contain at least 32
    /// printable characters, and be readable only by the user of the server. The file is read again on HUP; systemd copies a
    /// credential only at a start.
    token_file: PathBuf = Unset::Place("coordinator-token in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=) if there is one, else tokens/coordinator in the state directory"), "FILE", rule::file(), Reload;
    /// Maximum number of requests per second of one client, with bursts of up to ten seconds' worth.
    /// Further requests are answered with 429. 0: no limit.
    max_requests_per_second: u32 = Unset::Value("1_000"), "N", rule::number(0..=1_000_000), Restart;
    /// Maximum number of calls of one client that wait for events at one time.
    max_waiting_calls: u32 = Unset::Value("100"), "N", rule::number(1..=10_000), Restart;
    /// Maximum number of open connections, over all clients.
    /// Above this, the oldest connection without a valid token is closed. Each connection takes a file descriptor.
    max_connections: u32 = Unset::Value("500"), "N", rule::number(10..=100_000), Restart;
    /// How long a session of the dashboard lasts, in hours.
    /// `vibe-ensemble dashboard` prints a link that begins one. A session also ends when the token is replaced.
    session_hours: u32 = Unset::Value("12"), "HOURS", rule::number(1..=8_760), Restart;
    /// More names under which browsers and clients may reach the server, such as `build.example` or `localhost:8080`.
    /// For tunnels and proxies: requests whose `Host` or `Origin` is none of the server's own are refused. A name without a
    /// port is one on the port of its scheme. In a variable or a flag, separate the names with commas.
    allowed_hosts: Vec<String> = Unset::Value("[]"), "HOSTS", rule::hosts(), Restart;
    /// How workers are started: `auto`, `unit` or `plain`.
    /// `unit` gives each worker its own systemd unit; `plain` starts it as a detached process. `auto` means `unit` when
    /// systemd started the server and the worker socket exists, and `plain` otherwise.
    launcher: Launcher = Unset::Value("\"auto\""), "auto|unit|plain", rule::choice(rule::LAUNCHERS), Restart;
    /// Path of vibe-ensemble-shim.
    /// Empty: look beside this program, then in PATH.
    shim: Option<PathBuf> = Unset::Value("\"\""), "PATH", rule::installed_program(), Restart;
    /// What is logged: a level, or directives such as `info,sqlx=warn`.
    log: String = Unset::Value("\"info\""), "FILTER", rule::filter(), Reload;
    /// How often a ticket may be sent back to an earlier stage before it is put on hold.
    max_rework: u32 = Unset::Value("3"), "N", rule::number(0..=1_000), Reload;
    /// Delay before the first retry of a failed attempt, in milliseconds.
    /// The delay doubles with each further retry, up to `retry_backoff_max_ms`.
    retry_backoff_ms: u64 = Unset::Value("10_000"), "MS", rule::number(0..=DAY_MS), Reload;
    /// Longest delay before a retry, in milliseconds.
    retry_backoff_max_ms: u64 = Unset::Value("600_000"), "MS", rule::number(0..=7 * DAY_MS), Reload;
    /// How long a queue waits after the model service refused a request because of overload or a usage limit, in milliseconds.
    /// No attempt is charged for such a refusal.
    overload_backoff_ms: u64 = Unset::Value("60_000"), "MS", rule::number(1..=DAY_MS), Reload;
    /// Maximum cost of all attempts of one day (UTC), in dollars.
    /// When it is reached, everything is paused until the next day; running attempts may spend only what is left. 0: no
    /// limit.
    max_usd_per_day: f64 = Unset::Value("0"), "USD", rule::dollars(), Reload;
    /// How much of a dollar limit is spent when the event `budget_warning` reports it, in percent.
    /// Reported once for each limit, and for each day of a limit per day; again when the limit was changed. 0: never.
    budget_warning_percent: u32 = Unset::Value("80"), "PERCENT", rule::number(0..=100), Reload;
    /// Maximum number of descendants of a ticket: the tickets that its stages create, the tickets that those create, and so on.
    /// A result that asks for more creates none, and its ticket is put on hold. A project can set its own limit.
    max_descendants: u32 = Unset::Value("100"), "N", rule::number(0..=100_000), Reload;
    /// Share of the account's usage limit that is reserved for the coordinator, in percent.
    /// When less than this share of a limit is left, no new work starts until the limit is reset. Applies to logins that
    /// have a usage limit.
    usage_reserve_percent: u32 = Unset::Value("10"), "PERCENT", rule::number(0..=90), Reload;
    /// How long an agent may take to announce its session, in milliseconds.
    /// After that it is stopped and started again. 0: only the timeout of the attempt applies.
    start_timeout_ms: u64 = Unset::Value("120_000"), "MS", rule::number(0..=3_600_000), Reload;
    /// How often in a row an agent may make the same tool calls with the same input.
    /// After that it is stopped, because it makes no progress. 0: no limit.
    max_repeated_calls: u32 = Unset::Value("20"), "N", rule::number(0..=100_000), Reload;
    /// How long a worker without work waits for the next ticket before it exits, in milliseconds.
    linger_ms: u64 = Unset::Value("2_000"), "MS", rule::number(0..=DAY_MS), Reload;
    /// How often a worker reports that it is running, in milliseconds.
    heartbeat_ms: u64 = Unset::Value("10_000"), "MS", rule::number(100..=600_000), Reload;
    /// Time between asking an agent to stop and asking each of its processes to stop, in milliseconds.
    stop_grace_ms: u64 = Unset::Value("30_000"), "MS", rule::number(0..=3_600_000), Reload;
    /// Time between asking each process of an agent to stop and killing the processes, in milliseconds.
    kill_after_ms: u64 = Unset::Value("5_000"), "MS", rule::number(0..=3_600_000), Reload;
    /// How long an agent may take to exit after its result, in milliseconds.
    /// After that it is stopped; its result remains valid.
    result_linger_ms: u64 = Unset::Value("30_000"), "MS", rule::number(0..=3_600_000), Reload;
    /// Size at which a transcript file is closed and the next one started, in bytes.
    transcript_segment_bytes: u64 = Unset::Value("16_777_216"), "BYTES", rule::number(65_536..=1 << 40), Reload;
    /// Number of transcript files kept per attempt and stream; the oldest is deleted first.
    transcript_segments: u32 = Unset::Value("8"), "N", rule::number(2..=10_000), Reload;
    /// Days for which an event is kept after the coordinator has marked it as processed.
    /// An event that was never marked is kept four times as long. 0: forever.
    keep_events_days: u32 = Unset::Value("30"), "DAYS", rule::number(0..=36_500), Reload;
    /// Days for which the run directory of an attempt is kept after its ticket was closed.
    /// The run directory contains the transcript and the exit record; ticket, comments and attempt are kept. 0: forever.
    keep_attempts_days: u32 = Unset::Value("30"), "DAYS", rule::number(0..=36_500), Reload;
    /// Days for which the lock file of a worker is kept after the worker stopped.
    /// 0: forever.
    keep_workers_days: u32 = Unset::Value("30"), "DAYS", rule::number(0..=36_500), Reload;
    /// Days for which the worktree of a ticket is kept after the ticket was closed.
    /// Its branch is kept with everything that was accepted, unless another branch contains all of it. A worktree with
    /// uncommitted changes is kept, too. 0: forever.
    keep_worktrees_days: u32 = Unset::Value("7"), "DAYS", rule::number(0..=36_500), Reload;
    /// Delay between a start and the first sweep, which deletes what is not kept any longer, in milliseconds.
    /// The other sweeps follow at intervals of half this delay. By then, running workers have reconnected. Each sweep is
    /// repeated every hour.
    sweep_after_ms: u64 = Unset::Value("60_000"), "MS", rule::number(1..=3_600_000), Restart;
    /// Free space on the file system of the state directory below which nothing new starts, in MiB.
    /// Running attempts continue, and their results are stored. 0: no limit.
    min_free_mb: u64 = Unset::Value("256"), "MIB", rule::number(0..=1 << 30), Reload;
    /// How long the check of the whole database may delay a start, in milliseconds.
    /// After that, the check continues while the server answers requests; nothing new starts before the check has finished,
    /// and a damaged database stops the server.
    start_check_ms: u64 = Unset::Value("500"), "MS", rule::number(0..=3_600_000), Restart;
    /// Directory of your own templates for worker types, one file NAME.md each.
    /// A file with the name of a built-in template replaces it. Files are read whenever a template is requested.
    templates_dir: PathBuf = Unset::Place("worker-types beside the configuration file, else in $XDG_CONFIG_HOME/vibe-ensemble or ~/.config/vibe-ensemble"), "DIR", rule::directory(), Restart;
    /// Names of additional environment variables that agents inherit, such as `CARGO_HOME` or `AWS_*`.
    /// In a variable or a flag, separate the names with commas. Names that match `VIBE_ENSEMBLE_*` are refused.
    env_pass: Vec<String> = Unset::Value("[]"), "NAMES", rule::names(), Reload;
    /// Environment variables for every agent, as a table. Only in the configuration file.
    env: BTreeMap<String, String> = Unset::Value("{}"), "", rule::variables(), Reload;
}
