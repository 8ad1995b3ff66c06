//! What agents need besides git, under the hardening of a worker's unit: claude itself, node and
//! npm, cargo and a linker.
//!
//! They are this machine's own, shown to the other machine read-only. A missing tool is reported,
//! and not tried.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use crate::load::Load;
use crate::say;

/// Their directory inside the machine.
pub(crate) const PLACE: &str = "/opt/tools";

#[derive(Debug, Default)]
pub(crate) struct Tools {
    /// Each file or directory outside, and its path inside.
    pub(crate) binds: Vec<(PathBuf, String)>,
    /// Lines of a shell script, by the tool that they try; each ends with the expected output.
    trials: Vec<(&'static str, &'static str)>,
    missing: Vec<&'static str>,
}

impl Tools {
    /// Finds the tools. `base` is the machine's own set of files.
    pub(crate) fn find(workspace: &Path, base: &Path) -> Self {
        let mut tools = Self::default();
        let claude =
            asked("sh", &["-c", "ls target/ci-tools/claude-*/node_modules/.bin/claude"], workspace);
        let claude = claude.map(|found| workspace.join(found.lines().next().unwrap_or_default()));
        let claude = claude.and_then(|path| path.canonicalize().ok());
        tools.have(
            "claude",
            claude,
            "bin/claude",
            "claude --version | grep -q 'Claude Code' && echo claude works",
        );

        let node = asked("sh", &["-c", "command -v node"], workspace).map(PathBuf::from);
        let node = node.and_then(|path| path.canonicalize().ok());
        tools.have("node", node, "bin/node", "node -e 'console.log(\"node works\")'");
        // …/node_modules/npm/bin/npm-cli.js; some packages keep its dependencies beside it.
        let npm = asked("sh", &["-c", "readlink -f \"$(command -v npm)\""], workspace);
        let npm =
            npm.as_deref().and_then(|cli| Path::new(cli).ancestors().nth(3).map(Path::to_owned));
        tools.have(
            "npm",
            npm,
            "modules",
            "npm() { node /opt/tools/modules/npm/bin/npm-cli.js \"$@\"; }; mkdir npm dep && (cd dep && npm init -y >/dev/null) && \
             cd npm && npm init -y >/dev/null && npm install --offline --no-audit --no-fund ../dep >/dev/null && \
             npm pkg set scripts.test='node -e \"require.resolve(\\\"dep/package.json\\\")\"' && npm test >/dev/null && \
             echo npm works; cd ..",
        );
        let linker = base.join("usr/bin/cc").exists();
        let rust = asked("rustc", &["--print", "sysroot"], workspace).filter(|_| linker);
        tools.have(
            "cargo",
            rust.map(PathBuf::from),
            "rust",
            "cargo new --quiet --vcs none hello && cd hello && cargo build --quiet --offline && \
             ./target/debug/hello | grep -q Hello && cargo test --quiet --offline >/dev/null && echo cargo works; cd ..",
        );
        tools
    }

    pub(crate) fn has(&self, tool: &str) -> bool {
        self.trials.iter().any(|(name, _)| *name == tool)
    }

    fn have(
        &mut self,
        tool: &'static str,
        path: Option<PathBuf>,
        inside: &str,
        trial: &'static str,
    ) {
        match path.filter(|path| path.exists()) {
            Some(path) => {
                self.binds.push((path, format!("{PLACE}/{inside}")));
                self.trials.push((tool, trial));
            }
            None => self.missing.push(tool),
        }
    }
}

/// The output of a program; `None` if it is missing or fails.
fn asked(program: &str, arguments: &[&str], directory: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(directory).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}

/// An agent builds, tests and asks claude for its version, in its unit.
pub(crate) async fn in_a_worker(load: &Load<'_>, tools: &Tools) {
    let (script, told) = (load.gate("tools.sh"), load.gate("tools-told"));
    let mut lines = format!(
        "export PATH={PLACE}/bin:{PLACE}/rust/bin:$PATH\ncd \"$(mktemp -d)\" || exit 1\nexec >{told} 2>&1\n"
    );
    for (_, trial) in &tools.trials {
        lines.push_str(trial);
        lines.push('\n');
    }
    load.operator.machine.write(&script, &lines);
    load.operator.own(&format!("{}/fake", load.operator.place.home));
    let ticket = load.ticket(&format!("fake: build: run sh {script}")).await;
    load.completed(&ticket).await;
    let said = load.operator.machine.sh(&format!("cat {told}"));
    for (tool, _) in &tools.trials {
        assert!(said.lines().any(|line| line == format!("{tool} works")), "{tool}: {said}");
    }
    let tried: Vec<&str> = tools.trials.iter().map(|(tool, _)| *tool).collect();
    if !tried.is_empty() {
        say(&format!("an agent in its unit used {}", tried.join(", ")));
    }
    if !tools.missing.is_empty() {
        say(&format!(
            "NOT TRIED in a worker's unit, for it is not here: {}",
            tools.missing.join(", ")
        ));
    }
}
