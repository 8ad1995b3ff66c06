//! The real `claude`, if there is one to test with: against the stub of the Messages API, only the
//! model is replaced.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Child;
use tokio::process::Command;

use crate::binaries;
use crate::messages_api::MessagesApi;
use crate::server::Server;

/// Names the `claude` to test with.
pub const VARIABLE: &str = "VIBE_ENSEMBLE_TEST_CLAUDE";

/// The stub accepts any key.
const API_KEY: &str = "dummy";

/// For a whole story with a dozen runs of `claude` in it; only a failing test ever waits this long.
const PATIENCE: Duration = Duration::from_mins(5);

/// The `claude` to test with, for a scenario that [needs](crate::needs::Need::Claude) it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
pub fn real_claude() -> PathBuf {
    let claude = std::env::var_os(VARIABLE).map(PathBuf::from);
    let claude = claude.expect("the scenario says needs(Claude)");
    assert!(claude.is_file(), "{VARIABLE} names {}, which is not a file", claude.display());
    claude
}

/// The variables that make it talk to the stub and to nobody else.
#[must_use]
pub fn environment(api: &MessagesApi) -> [(&'static str, String); 4] {
    [
        ("ANTHROPIC_BASE_URL", api.url()),
        ("ANTHROPIC_API_KEY", API_KEY.to_owned()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
        // By default it retries a refused request for three minutes.
        ("CLAUDE_CODE_MAX_RETRIES", "1".to_owned()),
    ]
}

/// Does what a person does who answers yes when `claude` asks whether to trust a directory. Without
/// it, `claude -p` runs no command that a file of the directory names, such as `headersHelper`.
fn trust(home: &Path, directory: &Path) {
    let directory = directory.to_str().expect("a temporary directory is UTF-8");
    in_its_settings(home, |settings| {
        settings["projects"][directory]["hasTrustDialogAccepted"] = Value::Bool(true);
    });
}

/// Does what a person has done who used `claude` in a directory before: it asks nothing when it
/// starts there.
pub fn settle_in(home: &Path, directory: &Path) {
    trust(home, directory);
    in_its_settings(home, |settings| {
        settings["hasCompletedOnboarding"] = Value::Bool(true);
        settings["theme"] = json!("dark");
        settings["customApiKeyResponses"] = json!({"approved": [API_KEY], "rejected": []});
    });
}

fn in_its_settings(home: &Path, change: impl FnOnce(&mut Value)) {
    let file = home.join(".claude.json");
    let text = fs::read_to_string(&file).unwrap_or_else(|_| "{}".to_owned());
    let mut settings: Value = serde_json::from_str(&text).expect("claude wrote it");
    change(&mut settings);
    fs::write(&file, settings.to_string()).expect("the home directory is writable");
}

/// A `claude -p` that coordinates: in a directory that `vibe-ensemble connect` has set up, with no
/// other information about the server. Dropping it kills it.
#[derive(Debug)]
pub struct Coordinator {
    child: Child,
}

impl Coordinator {
    /// Starts it with a prompt on its standard input.
    pub async fn start(
        claude: &Path,
        server: &Server,
        api: &MessagesApi,
        directory: &Path,
        prompt: &str,
    ) -> Self {
        trust(&server.home(), directory);
        let mut command = Command::from(server.command_of(claude));
        // As for a user who installed the programs: a file that git commits names the helper
        // without its path.
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", binaries::directory().display());
        command.env("PATH", path);
        command
            .args(["-p", "--output-format", "stream-json", "--verbose"])
            .envs(environment(api))
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("claude can be started");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(prompt.as_bytes()).await.expect("it reads its prompt");
        drop(input);
        Self { child }
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it is our child");
    }

    /// Waits for its end, which must be a success, and returns the messages of its stream.
    pub async fn ends(mut self) -> Vec<Value> {
        let mut output = self.child.stdout.take().expect("it is piped");
        let mut complaints = self.child.stderr.take().expect("it is piped");
        let (mut said, mut moaned) = (String::new(), String::new());
        let whole = async {
            let (_, _, status) = tokio::join!(
                output.read_to_string(&mut said),
                complaints.read_to_string(&mut moaned),
                self.child.wait()
            );
            status.expect("it is our child")
        };
        let status = tokio::time::timeout(PATIENCE, whole).await;
        let status =
            status.unwrap_or_else(|_| panic!("the coordinator does not end:\n{said}\n{moaned}"));
        assert!(status.success(), "the coordinator ended with {status}:\n{said}\n{moaned}");
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// The `result` message of a stream.
#[must_use]
pub fn result_of(messages: &[Value]) -> &Value {
    let result = messages.iter().find(|message| message["type"] == "result");
    result.unwrap_or_else(|| panic!("a stream without a result: {messages:#?}"))
}
