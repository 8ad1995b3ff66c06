//! MCP as others understand it: the official conformance suite, and the official SDKs as clients.

use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use e2e::bed::Bed;
use e2e::client::Client;
use e2e::needs::MCP_TOOLS;
use e2e::server::Setup;
use tokio::process::Command;

/// The directory into which `.ci/run` installs suite and SDKs.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
fn tools() -> PathBuf {
    std::env::var_os(MCP_TOOLS).map(PathBuf::from).expect("the scenario says needs(McpTools)")
}

fn node(tools: &Path) -> Command {
    Command::new(tools.join("node/node_modules/.bin/node"))
}

/// Runs a program to its end and returns its output; panics with the output if it fails.
async fn run(what: &str, command: &mut Command) -> String {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{printed}\n{complaints}", output.status);
    printed
}

/// The scenarios of the suite that need no tool, resource or prompt of a fixed name, by revision.
const SCENARIOS: [(&str, &[&str]); 3] = [
    (
        "2026-07-28",
        &[
            "server-stateless",
            "tools-list",
            "resources-list",
            "prompts-list",
            "caching",
            "dns-rebinding-protection",
            "sep-2164-resource-not-found",
            "http-header-validation",
            "server-sse-multiple-streams",
            "input-required-result-unsupported-methods",
        ],
    ),
    (
        "2025-11-25",
        &[
            "server-initialize",
            "ping",
            "tools-list",
            "resources-list",
            "prompts-list",
            "dns-rebinding-protection",
        ],
    ),
    ("2025-06-18", &["server-initialize", "ping", "tools-list", "resources-list", "prompts-list"]),
];

#[e2e::scenario(needs(McpTools))]
async fn the_conformance_suite_passes() {
    let tools = tools();
    // The suite cannot send a token.
    let bed = Bed::with(Setup::default().arg("--auth").arg("none")).await;
    bed.project("shop", &["build"]).await;
    let suite =
        tools.join("conformance/node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let expected =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/conformance-not-testable.yml");
    for (revision, scenarios) in SCENARIOS {
        for scenario in scenarios {
            let mut command = node(&tools);
            command
                .arg(&suite)
                .args(["server", "--url", &bed.client.url("/mcp"), "--scenario", scenario])
                .args(["--spec-version", revision]);
            if *scenario == "server-stateless" {
                command.arg("--expected-failures").arg(&expected);
            }
            let printed = run(&format!("{scenario} of {revision}"), &mut command).await;
            let passed = printed.lines().find(|line| line.starts_with("Passed: "));
            eprintln!("{revision} {scenario}: {}", passed.unwrap_or("passed as expected"));
        }
    }
}

/// Runs one client's story against a server with a token.
async fn told(bed: &Bed, what: &str, mut command: Command) {
    let directory = bed.server.path("projects");
    command
        .env("URL", bed.client.url("/mcp"))
        .env("TOKEN", bed.server.token())
        .env("PROJECT_DIR", directory);
    eprint!("{}", run(what, &mut command).await);
}

fn story(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

#[e2e::scenario(needs(McpTools))]
async fn the_typescript_sdk_is_served_in_both_generations() {
    let tools = tools();
    let bed = Bed::start().await;
    super::printed_json::notifier(&bed).await;
    for (sdk, era) in [("ts-modern", "auto"), ("ts-modern", "legacy"), ("ts-old", "legacy")] {
        let mut command = node(&tools);
        command.arg(story("story.mjs")).arg(tools.join(sdk)).arg(era);
        told(&bed, &format!("{sdk} {era}"), command).await;
    }
    bed.nothing_is_left().await;
}

#[e2e::scenario(needs(McpTools))]
async fn the_python_sdk_is_served_in_both_generations() {
    let tools = tools();
    let bed = Bed::start().await;
    super::printed_json::notifier(&bed).await;
    for (sdk, era) in [("py-modern", "auto"), ("py-modern", "legacy"), ("py-old", "legacy")] {
        let mut command = Command::new(tools.join(sdk).join("bin/python"));
        command.arg(story("story.py")).arg(era);
        told(&bed, &format!("{sdk} {era}"), command).await;
    }
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn without_the_token_a_client_learns_where_the_token_is() {
    let bed = Bed::start().await;
    let stranger = Client::new(bed.server.address(), None);
    let reply = stranger.call_tool("list_projects", serde_json::json!({})).await;
    assert_eq!(reply.status, 401);
    assert!(
        reply.body.contains("tokens/coordinator") && reply.body.contains("connect"),
        "{reply:?}"
    );
}
