//! The real claude in a worker's unit, under its full hardening: a whole session, in which only the
//! model is replaced.

use e2e::claude;
use e2e::messages_api::MessagesApi;
use e2e::messages_api::Turn;
use serde_json::Value;
use serde_json::json;

use crate::load::Load;
use crate::operator::SERVER;
use crate::say;
use crate::tools::PLACE;
use crate::tools::Tools;

fn uses(tool: &str, input: Value) -> Turn {
    Turn::Use { tool: tool.to_owned(), input }
}

/// It writes a file with its Bash, calls the server, and its report closes the ticket.
pub(crate) async fn in_a_worker(load: &Load<'_>, tools: &Tools) {
    if !tools.has("claude") {
        say("NOT TRIED: a session of claude in a worker's unit, for it is not here");
        return;
    }
    let operator = &load.operator;
    let (machine, place) = (operator.machine, operator.place);
    // This program is in the machine's network.
    let command = "printf 'by a real agent' >made.txt && id -un >who.txt && git log -1 --format=%s";
    let api = MessagesApi::play(vec![
        uses("Bash", json!({"command": command, "description": "do the work"})),
        uses("mcp__vibe-ensemble__report_progress", json!({"message": "half", "percent": 50})),
        uses("StructuredOutput", json!({"outcome": "completed", "report": "The file is there."})),
    ])
    .await;
    // A manager that lingers has the old variables.
    load.nobody_is_left().await;
    let before = machine.read(place.worker_env);
    let variables = claude::environment(&api).map(|(name, value)| format!("{name}={value}\n"));
    machine.write(place.worker_env, &format!("{before}\n{}", variables.concat()));
    let line = format!("[Service]\nEnvironment=VIBE_ENSEMBLE_AGENT_COMMAND={PLACE}/bin/claude\n");
    let server = operator.server_pid();
    operator.drop_in(SERVER, "agent", &line);
    operator.systemctl(&["restart", SERVER]);
    let server = operator.is_back(server).await;

    let ticket = load.ticket("Write the file, please.").await;
    let closed = load.completed(&ticket).await;
    let attempts = closed["attempts"].as_array().expect("a list");
    assert_eq!(attempts.len(), 1, "at once: {closed}");
    let attempt = &attempts[0];
    assert_eq!(attempt["outcome"], "succeeded", "{closed}");
    assert_eq!(attempt["progress"]["message"], "half", "it reached the server: {closed}");
    assert!(attempt["claude_session_id"].as_str().is_some_and(|id| id.len() == 36), "{closed}");
    let cost = closed["cost_usd"].as_f64().unwrap_or_default();
    assert!(cost > 0.0, "{closed}");
    assert_eq!(closed["comments"][0]["content"], "The file is there.", "{closed}");
    let asks = api.asks();
    let last = asks.last().expect("it asked").body["messages"].to_string();
    assert!(last.contains("Begin"), "its git read the worktree's history: {last}");
    let repository = format!("{}/{}", place.projects, crate::load::PROJECT);
    let of = |file: &str| {
        machine.run(&[
            "git",
            "-c",
            "safe.directory=*",
            "-C",
            &repository,
            "show",
            &format!("vibe-ensemble/{ticket}:{file}"),
        ])
    };
    assert_eq!(of("made.txt"), "by a real agent");
    assert_eq!(of("who.txt"), place.account);

    load.nobody_is_left().await;
    machine.write(place.worker_env, &format!("{before}\n"));
    operator.drop_in(SERVER, "agent", "");
    operator.systemctl(&["restart", SERVER]);
    operator.is_back(server).await;
    say(&format!(
        "the real claude ran a session in its unit against a stub of its API: Bash, git, a tool of this server, its result; \
         {ticket} is closed, {cost} dollars"
    ));
}
