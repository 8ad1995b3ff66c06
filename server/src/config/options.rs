//! The table of options: names, types, defaults, words and checks, each said once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::load::Effective;
use super::load::Layers;
use super::rule;
use super::rule::Auth;
use super::rule::Launcher;
use super::rule::Show as _;

/// When a changed value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakesEffect {
    /// After HUP, for work that begins then.
    Reload,
    /// Only when the server is started again.
    Restart,
}

/// How an option gets its value when nobody gives one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// This, written as in the file.
    Value(&'static str),
    /// A place that depends on the environment, in words; `load.rs` knows the rule.
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

            /// The options whose values differ, and when each counts.
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

/// A day: no delay of the server is meant to be longer.
const DAY_MS: i64 = 24 * 3_600_000;

options! {
    /// Address and port for MCP and HTTP.
    /// Port 0 picks a free one; it is logged and written to `http.addr` in the runtime directory. A restart takes the same
    /// one again if it can.
    listen: SocketAddr = Unset::Value("\"127.0.0.1:3276\""), "ADDR", rule::address(), Restart;
    /// Directory of the database, the tokens and the run directories.
    /// One server per state directory. Made with mode 0700.
    state_dir: PathBuf = Unset::Place("$STATE_DIRECTORY, else $XDG_STATE_HOME/vibe-ensemble, else ~/.local/state/vibe-ensemble"), "DIR", rule::directory(), Restart;
    /// Directory of the worker socket, the lock and the address file.
    /// Made with mode 0700.
    runtime_dir: PathBuf = Unset::Place("$RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/vibe-ensemble, else <state_dir>/run"), "DIR", rule::directory(), Restart;
    /// Claude Code's command line, as a name in PATH or a path.
    agent_command: PathBuf = Unset::Value("\"claude\""), "PATH", rule::program(), Reload;
    /// Most workers at one time, over all projects.
    max_workers: u32 = Unset::Value("16"), "N", rule::number(1..=10_000), Reload;
    /// Who may talk to the server: `token` or `none`.
    /// `token` asks for the token in `token_file`. `none` is refused unless the address is loopback; anybody who can reach
    /// the port can then run commands as the server's user.
    auth: Auth = Unset::Value("\"token\""), "token|none", rule::choice(rule::AUTHS), Restart;
    /// File with the coordinator's token.
    /// The one in the state directory is made on the first start. Any other has to be there, with at least 32 printable
    /// characters and for the server's user alone. Read again on HUP; systemd copies a credential at a start only.
    token_file: PathBuf = Unset::Place("coordinator-token in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=) if there is one, else tokens/coordinator in the state directory"), "FILE", rule::file(), Reload;
    /// Most requests per second of one client, over a burst of ten seconds' worth.
    /// Whoever asks for more is answered 429. 0: no such limit.
    max_requests_per_second: u32 = Unset::Value("1_000"), "N", rule::number(0..=1_000_000), Restart;
    /// Most calls of one client that wait for events at one time.
    max_waiting_calls: u32 = Unset::Value("100"), "N", rule::number(1..=10_000), Restart;
    /// Most open connections of all clients together.
    /// When there are more, the oldest on which no token that counts was shown makes room. Each takes a descriptor.
    max_connections: u32 = Unset::Value("500"), "N", rule::number(10..=100_000), Restart;
    /// How workers are started: `auto`, `unit` or `plain`.
    /// `unit` gives each worker a systemd unit of its own; `plain` detaches it. `auto` takes `unit` when systemd started
    /// the server and the worker socket is there.
    launcher: Launcher = Unset::Value("\"auto\""), "auto|unit|plain", rule::choice(rule::LAUNCHERS), Restart;
    /// Path of vibe-ensemble-shim.
    /// Empty: beside this program, then in PATH.
    shim: Option<PathBuf> = Unset::Value("\"\""), "PATH", rule::installed_program(), Restart;
    /// What is logged: a level, or directives such as `info,sqlx=warn`.
    log: String = Unset::Value("\"info\""), "FILTER", rule::filter(), Reload;
    /// How often one ticket may be sent back before it goes on hold.
    max_rework: u32 = Unset::Value("3"), "N", rule::number(0..=1_000), Reload;
    /// Delay before the first retry of a failed attempt, in milliseconds.
    /// It doubles with each further retry, up to `retry_backoff_max_ms`.
    retry_backoff_ms: u64 = Unset::Value("10_000"), "MS", rule::number(0..=DAY_MS), Reload;
    /// Longest delay before a retry, in milliseconds.
    retry_backoff_max_ms: u64 = Unset::Value("600_000"), "MS", rule::number(0..=7 * DAY_MS), Reload;
    /// How long a queue waits after the model service refused for overload or a usage limit, in milliseconds.
    /// No attempt is charged for it.
    overload_backoff_ms: u64 = Unset::Value("60_000"), "MS", rule::number(1..=DAY_MS), Reload;
    /// Dollars that all attempts of one day (UTC) may cost together.
    /// When they are spent, everything is paused until the next day; what runs may not spend more than is left. 0: no limit.
    max_usd_per_day: f64 = Unset::Value("0"), "USD", rule::dollars(), Reload;
    /// Most tickets that one ticket may become, through all that its stages and theirs create.
    /// A result that asks for more creates none, and its ticket goes on hold. A project may say otherwise.
    max_descendants: u32 = Unset::Value("100"), "N", rule::number(0..=100_000), Reload;
    /// Share of the account's usage limit that is kept for the coordinator, in percent.
    /// When less than that is left of a limit, workers start nothing new until it is reset. Counts for logins that have
    /// such a limit.
    usage_reserve_percent: u32 = Unset::Value("10"), "PERCENT", rule::number(0..=90), Reload;
    /// How long an agent may take to announce its session, in milliseconds.
    /// Then it is stopped and started again. 0: as long as the attempt.
    start_timeout_ms: u64 = Unset::Value("120_000"), "MS", rule::number(0..=3_600_000), Reload;
    /// How often an agent may make the same tool calls with the same input in a row.
    /// Then it is stopped: it makes no progress. 0: for ever.
    max_repeated_calls: u32 = Unset::Value("20"), "N", rule::number(0..=100_000), Reload;
    /// How long a worker without work waits for the next ticket before it exits, in milliseconds.
    linger_ms: u64 = Unset::Value("2_000"), "MS", rule::number(0..=DAY_MS), Reload;
    /// How often a worker reports that it lives, in milliseconds.
    heartbeat_ms: u64 = Unset::Value("10_000"), "MS", rule::number(100..=600_000), Reload;
    /// From asking an agent to stop to asking each of its processes, in milliseconds.
    stop_grace_ms: u64 = Unset::Value("30_000"), "MS", rule::number(0..=3_600_000), Reload;
    /// From asking each process of an agent to stop to killing them, in milliseconds.
    kill_after_ms: u64 = Unset::Value("5_000"), "MS", rule::number(0..=3_600_000), Reload;
    /// How long an agent may take to exit after its result, in milliseconds.
    /// Then it is stopped; its result stands.
    result_linger_ms: u64 = Unset::Value("30_000"), "MS", rule::number(0..=3_600_000), Reload;
    /// Size at which a transcript file is closed and the next one begun, in bytes.
    transcript_segment_bytes: u64 = Unset::Value("16_777_216"), "BYTES", rule::number(65_536..=1 << 40), Reload;
    /// Transcript files kept per attempt and stream; the oldest goes first.
    transcript_segments: u32 = Unset::Value("8"), "N", rule::number(2..=10_000), Reload;
    /// Days an event is kept once the coordinator has marked it as processed.
    /// One that was never marked is kept four times as long. 0: for ever.
    keep_events_days: u32 = Unset::Value("30"), "DAYS", rule::number(0..=36_500), Reload;
    /// Days the run directory of an attempt is kept after its ticket was closed.
    /// With it go the transcript and the exit record; ticket, comments and attempt stay. 0: for ever.
    keep_attempts_days: u32 = Unset::Value("30"), "DAYS", rule::number(0..=36_500), Reload;
    /// Days the lock file of a worker is kept after the worker stopped.
    /// 0: for ever.
    keep_workers_days: u32 = Unset::Value("30"), "DAYS", rule::number(0..=36_500), Reload;
    /// Days the worktree of a ticket is kept after the ticket was closed.
    /// Its branch stays with everything that was accepted, unless another branch has all of it. A worktree with
    /// uncommitted changes stays too. 0: for ever.
    keep_worktrees_days: u32 = Unset::Value("7"), "DAYS", rule::number(0..=36_500), Reload;
    /// How long after a start the first sweep of what is kept no longer begins, in milliseconds.
    /// The others follow at half its length each. Workers of before have come back by then. Later sweeps come every hour.
    sweep_after_ms: u64 = Unset::Value("60_000"), "MS", rule::number(1..=3_600_000), Restart;
    /// Free space of the state directory's file system below which nothing new is started, in MiB.
    /// What runs goes on, and its results are stored. 0: no such limit.
    min_free_mb: u64 = Unset::Value("256"), "MIB", rule::number(0..=1 << 30), Reload;
    /// How long the check of the whole database may hold up a start, in milliseconds.
    /// A larger database is checked to its end while the server serves; nothing new is started before that, and a
    /// damaged one ends the server.
    start_check_ms: u64 = Unset::Value("1_000"), "MS", rule::number(0..=3_600_000), Restart;
    /// Directory of your own templates for worker types, one file NAME.md each.
    /// One with the name of a built-in template takes its place. Read anew whenever a template is asked for.
    templates_dir: PathBuf = Unset::Place("worker-types beside the configuration file, else in $XDG_CONFIG_HOME/vibe-ensemble or ~/.config/vibe-ensemble"), "DIR", rule::directory(), Restart;
    /// Names of further variables that agents inherit, such as `CARGO_HOME` or `AWS_*`.
    /// As a variable or a flag: separated by commas. Names that match `VIBE_ENSEMBLE_*` are refused.
    env_pass: Vec<String> = Unset::Value("[]"), "NAMES", rule::names(), Reload;
    /// Variables set for every agent, as a table. In this file only.
    env: BTreeMap<String, String> = Unset::Value("{}"), "", rule::variables(), Reload;
}
