//! Tests of the dashboard's pages in real browsers: scripts in `tests/browser`, which node runs against the server of a
//! scenario.

use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::server::Server;

/// The directory with `node_modules` into which `.ci/run` installs Node, the drivers of the browsers and axe.
pub const BROWSER_TOOLS: &str = "VIBE_ENSEMBLE_TEST_BROWSER";

/// The browsers of the distribution.
pub const BROWSERS: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/firefox-esr"];

/// Much longer than any script takes, also beside others on two processors.
const DEADLINE: Duration = Duration::from_secs(400);

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Full,
    ReadOnly,
}

/// A script and what it receives.
#[derive(Debug)]
pub struct Script<'s> {
    server: &'s Server,
    name: &'static str,
    variables: Vec<(&'static str, String)>,
    deadline: Duration,
    aloud: bool,
}

impl<'s> Script<'s> {
    /// A script of `tests/browser`, by its name without `.mjs`.
    #[must_use]
    pub fn new(server: &'s Server, name: &'static str) -> Self {
        Self { server, name, variables: Vec::new(), deadline: DEADLINE, aloud: false }
    }

    /// Tells the script something through its environment.
    #[must_use]
    pub fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((variable, value.into()));
        self
    }

    /// For one that takes long and tells what it does.
    #[must_use]
    pub fn aloud(self, deadline: Duration) -> Self {
        Self { deadline, aloud: true, ..self }
    }

    /// Runs it in a session of its own; panics with what it printed if it fails.
    pub async fn run(self, role: Role) -> String {
        let tools = tools();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser").join(self.name);
        let node = tools.join("node_modules/.bin/node");
        let mut command = tokio::process::Command::from(self.server.command_of(&node));
        command
            .arg(script.with_extension("mjs"))
            .env("TOOLS", &tools)
            .env("URL", format!("http://{}", self.server.address()))
            .env("TOKEN", self.server.token())
            .env("LINK", link(self.server, role).await)
            .env("KEEP", std::env::temp_dir())
            .envs(self.variables)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if self.aloud {
            command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
        } else {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let child = command.spawn().expect("Node can be started");
        let ran = tokio::time::timeout(self.deadline, child.wait_with_output()).await;
        let output = ran.unwrap_or_else(|_| panic!("{}: it never ended", self.name));
        let output = output.expect("it was waited for");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{}: {}\n{printed}\n{complaints}",
            self.name,
            output.status
        );
        eprint!("{printed}");
        printed
    }
}

/// A link that becomes a session.
pub async fn link(server: &Server, role: Role) -> String {
    let arguments: &[&str] = match role {
        Role::Full => &["--print"],
        Role::ReadOnly => &["--print", "--read-only"],
    };
    let printed = server.operate("dashboard", arguments).await;
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    let link = text.split_whitespace().find(|word| word.starts_with("http"));
    link.unwrap_or_else(|| panic!("no link: {printed:?}")).to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
fn tools() -> PathBuf {
    std::env::var_os(BROWSER_TOOLS).map(PathBuf::from).expect("the scenario says needs(Browser)")
}
