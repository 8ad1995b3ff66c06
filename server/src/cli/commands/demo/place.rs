//! Where the demo happens: a temporary directory with a git project and the agent's wrapper.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use tempfile::TempDir;
use tokio::process::Command;

use crate::git;

/// What the gate of the project runs.
const CHECK: &str = "\
#!/bin/sh
# Says what is wrong with greet.sh, or nothing.
check() {
    wanted=$1; shift
    said=$(sh greet.sh \"$@\")
    [ \"$said\" = \"$wanted\" ] && return
    echo \"'sh greet.sh $*' prints '$said' instead of '$wanted'.\"
    exit 1
}
check 'Hello, Ada!' Ada
check 'Hello, world!'
";
/// The gate that the stage `implement` must pass.
const SETTINGS: &str = "\
[[gate]]
name = \"greets\"
command = [\"sh\", \"check.sh\"]
stages = [\"implement\"]
retries = 0
baseline = false
protected = [\"check.sh\"]
";
const README: &str = "# Greeter\n\nA place for a script that greets.\n";

pub(super) struct Place {
    root: TempDir,
}

impl Place {
    pub(super) fn make() -> anyhow::Result<Self> {
        let root = tempfile::Builder::new().prefix("vibe-ensemble-demo-").tempdir();
        let place = Self { root: root.context("could not make a temporary directory")? };
        fs::create_dir(place.project()).context("could not make the project")?;
        // An empty file of its own keeps the machine's configuration out.
        fs::write(place.config(), "").context("could not write the configuration")?;
        Ok(place)
    }

    pub(super) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(super) fn project(&self) -> PathBuf {
        self.root().join("greeter")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.root().join("config.toml")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    pub(super) fn runtime(&self) -> PathBuf {
        self.root().join("run")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root().join("server.log")
    }

    /// Makes the project a repository with one commit, whatever git is or is not configured here.
    pub(super) async fn commit_project(&self) -> anyhow::Result<()> {
        fs::write(self.project().join("README.md"), README)
            .context("could not write the project")?;
        fs::write(self.project().join("check.sh"), CHECK).context("could not write the project")?;
        fs::write(self.project().join(".vibe-ensemble.toml"), SETTINGS)
            .context("could not write the project")?;
        self.git(&["init", "--quiet"]).await?;
        self.git(&["add", "README.md", "check.sh", ".vibe-ensemble.toml"]).await?;
        self.git(&[
            "-c",
            "user.name=Demo",
            "-c",
            "user.email=demo@localhost",
            "-c",
            "commit.gpgsign=false",
            "-c",
            "core.hooksPath=/dev/null",
            "commit",
            "--quiet",
            "--message",
            "Begin the greeter",
        ])
        .await?;
        Ok(())
    }

    /// Runs git in the project and returns what it printed.
    pub(super) async fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("git");
        // Whoever runs the demo from a hook, or with colours always on, sees the same.
        for name in git::WITHHELD {
            command.env_remove(name);
        }
        command.args(["-c", "color.ui=never"]).args(arguments);
        command.current_dir(self.project()).kill_on_drop(true);
        let output = command.output().await.context("could not run git, which the demo needs")?;
        if !output.status.success() {
            bail!(
                "git {} failed: {}",
                arguments[0],
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes the program the workers run as their agent: this one, in another part.
    pub(super) fn write_scripted_agent(&self) -> anyhow::Result<PathBuf> {
        let own = std::env::current_exe().context("could not find this program")?;
        let own =
            own.to_str().context("the path of this program is not UTF-8")?.replace('\'', r"'\''");
        let path = self.root().join("scripted-agent");
        let script = format!("#!/bin/sh\nexec '{own}' scripted-agent \"$@\"\n");
        fs::write(&path, script).context("could not write the agent")?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))
            .context("could not write the agent")?;
        Ok(path)
    }

    /// Removes everything, or keeps it and returns where it is.
    pub(super) fn leave(self, keep: bool) -> anyhow::Result<Option<PathBuf>> {
        if keep {
            return Ok(Some(self.root.keep()));
        }
        self.root.close().context("could not remove the temporary directory")?;
        Ok(None)
    }
}
