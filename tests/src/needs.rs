//! What some tests need from the machine, and whether the machine has it.

use std::fmt;
use std::path::Path;

use crate::browser::BROWSER_TOOLS;
use crate::browser::BROWSERS;
use crate::claude;
use crate::frozen::Frozen;
use crate::memory_group::MemoryGroup;
use crate::systemd::WorkerSocket;
use crate::task_group::TaskGroup;
use crate::terminal::Terminal;
use crate::tmpfs::Tmpfs;

/// The directory into which `.ci/run` installs the MCP conformance suite and the SDKs.
pub const MCP_TOOLS: &str = "VIBE_ENSEMBLE_TEST_MCP";

/// Something that a test requires and not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The real `claude`.
    Claude,
    /// The official MCP conformance suite and SDKs.
    McpTools,
    /// Chromium and Firefox, and what drives them.
    Browser,
    /// The right to become another user.
    Root,
    /// The right to give a process a network of its own.
    Networks,
    /// The right to mount a file system in memory.
    Mounts,
    /// A file system on a loop device that can be frozen.
    Freezing,
    /// A control group that limits memory.
    MemoryGroup,
    /// A control group that limits processes.
    TaskGroup,
    /// A terminal emulator without a window.
    Tmux,
    /// The `sqlite3` of the distribution, which may be older than ours.
    Sqlite,
    /// The programs that the manual's recipes for notifications use.
    Recipes,
}

impl Need {
    /// The name by which [`REQUIRED`](crate::harness::REQUIRED) lists it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::McpTools => "mcp-tools",
            Self::Browser => "browser",
            Self::Root => "root",
            Self::Networks => "networks",
            Self::Mounts => "mounts",
            Self::Freezing => "freezing",
            Self::MemoryGroup => "memory-group",
            Self::TaskGroup => "task-group",
            Self::Tmux => "tmux",
            Self::Sqlite => "sqlite",
            Self::Recipes => "recipes",
        }
    }

    /// Checks whether the machine has it.
    ///
    /// # Errors
    ///
    /// What is missing and how to get it, as one line.
    pub fn look(self) -> Result<(), Missing> {
        let missing = |why: String| Err(Missing { need: self, why });
        match self {
            Self::Claude if is_unset(claude::VARIABLE) => missing(format!(
                "needs the real claude: set {} to its path, or run .ci/run, which installs it",
                claude::VARIABLE
            )),
            Self::McpTools if is_unset(MCP_TOOLS) => missing(format!(
                "needs the MCP conformance suite and SDKs: set {MCP_TOOLS} to their directory, or run .ci/run, which \
                 installs them"
            )),
            Self::Browser if is_unset(BROWSER_TOOLS) => missing(format!(
                "needs node, playwright-core, puppeteer-core and axe-core: set {BROWSER_TOOLS} to the directory of their \
                 node_modules, or run .ci/run, which installs them"
            )),
            Self::Browser if !BROWSERS.into_iter().all(|browser| Path::new(browser).exists()) => {
                missing("needs the packages chromium and firefox-esr".to_owned())
            }
            Self::Claude | Self::McpTools | Self::Browser => Ok(()),
            Self::Root if nix::unistd::geteuid().is_root() => Ok(()),
            Self::Root => missing("needs root, to become another user".to_owned()),
            Self::Networks if WorkerSocket::can_take_networks_away() => Ok(()),
            Self::Networks => missing(
                "needs root, util-linux and iproute2, for processes without a network".to_owned(),
            ),
            Self::Mounts => Tmpfs::can_be_mounted()
                .or_else(|errno| missing(format!("needs root, to mount a file system ({errno})"))),
            Self::Freezing => Frozen::mount().map(drop).or_else(|why| {
                missing(format!("needs root, a loop device, e2fsprogs and util-linux ({why})"))
            }),
            Self::MemoryGroup => MemoryGroup::make().map(drop).or_else(|error| {
                missing(format!("needs a control group with a memory limit ({error})"))
            }),
            Self::TaskGroup => TaskGroup::make().map(drop).or_else(|error| {
                missing(format!("needs a control group that limits processes ({error})"))
            }),
            Self::Tmux if Terminal::is_there() => Ok(()),
            Self::Tmux => missing("needs tmux, for a real terminal".to_owned()),
            Self::Sqlite if can_run("sqlite3") => Ok(()),
            Self::Sqlite => missing("needs sqlite3, to read the database with".to_owned()),
            Self::Recipes if can_run("jq") && can_run("curl") => Ok(()),
            Self::Recipes => missing("needs jq and curl, for the recipes of the manual".to_owned()),
        }
    }
}

/// Why a test could not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub need: Need,
    /// Says what the test needs and how to provide it.
    pub why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.why)
    }
}

/// Whether such a program is in PATH.
fn can_run(program: &str) -> bool {
    let ran = std::process::Command::new(program).arg("--version").output();
    ran.is_ok_and(|ran| ran.status.success())
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
fn is_unset(variable: &str) -> bool {
    std::env::var_os(variable).is_none_or(|value| value.is_empty())
}
