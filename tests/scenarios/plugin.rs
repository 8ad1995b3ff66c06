//! The plugin of Claude Code, as somebody installs it.

use std::path::Path;
use std::process::Output;

use e2e::claude::real_claude;
use e2e::server::Server;
use e2e::server::Setup;

fn words(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// The two lines of the plugin's README, as the command line of claude has them.
#[e2e::scenario(needs(Claude))]
fn the_real_claude_installs_the_plugin_from_the_marketplace() {
    let claude = real_claude();
    let server = Server::prepare(Setup::default());
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let repository = repository.canonicalize().expect("it is there").display().to_string();
    let run = |line: &[&str]| {
        let mut command = server.command_of(&claude);
        let output = command.arg("plugin").args(line).env("DISABLE_AUTOUPDATER", "1").output();
        let output = output.expect("claude can be started");
        assert!(output.status.success(), "{line:?}: {}", words(&output));
        words(&output)
    };
    run(&["validate", "--strict", &repository]);
    run(&["marketplace", "add", &repository]);
    run(&["install", "vibe-ensemble@vibe-ensemble"]);
    let list = run(&["list"]);
    assert!(list.contains("vibe-ensemble@vibe-ensemble") && list.contains("enabled"), "{list}");
    run(&["uninstall", "vibe-ensemble@vibe-ensemble"]);
}
