//! `connect`, the plugin, and the token: Claude Code set up as a newcomer would, without a secret
//! in any file that git would commit.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;

use e2e::bed::Bed;
use e2e::claude::Coordinator;
use e2e::claude::real_claude;
use e2e::claude::result_of;
use e2e::client::Client;
use e2e::messages_api::MessagesApi;
use e2e::messages_api::Turn;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

fn words(output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}\n{err}", output.status)
}

/// What the model of a coordinator's session is given of this server, whatever the session is about: the tools that are not
/// searched for, and the instructions, whose bytes are returned. English prose and JSON have more than 3.6 bytes for each token.
fn assert_light(api: &MessagesApi) -> usize {
    let asked = api.asks().into_iter().find(|ask| !ask.tools.is_empty()).expect("it asked");
    let tools = asked.body["tools"].as_array().expect("a list");
    let read = texts(&asked.body).join("\n");
    let (begin, end) =
        ("Vibe-Ensemble runs headless Claude Code workers", "A refusal names the next step.");
    let instructions = read.find(begin).zip(read.find(end)).map(|(from, to)| to + end.len() - from);
    // With a prompt of the server as its first words, claude sends none.
    let instructions = instructions.unwrap_or(0);
    let ours: Vec<&Value> = tools
        .iter()
        .filter(|tool| tool["name"].as_str().is_some_and(|name| name.contains("vibe-ensemble__")))
        .collect();
    let bytes: usize = ours.iter().map(|tool| tool.to_string().len()).sum();
    assert_eq!(ours.len(), 9, "{ours:?}");
    let whole = bytes + instructions;
    assert!(whole * 10 <= 3_000 * 36, "{bytes} bytes of tools and {instructions} of instructions");
    assert!(asked.tools.iter().any(|tool| tool == "ToolSearch"), "{:?}", asked.tools);
    instructions
}

/// Every string in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// Runs `connect` on a directory, which must succeed.
async fn connect(bed: &Bed, directory: &Path) -> String {
    let output = bed.server.operate("connect", &[directory.to_str().expect("UTF-8")]).await;
    assert!(output.status.success(), "{}", words(&output));
    words(&output)
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("it is JSON")
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[e2e::scenario]
async fn connect_writes_no_token_and_lists_what_it_wrote() {
    let bed = Bed::start().await;
    let directory = bed.project("shop", &[]).await;

    let said = connect(&bed, &directory).await;

    let written = files_below(&directory);
    assert_eq!(written.len(), 7, "{written:?}");
    for file in &written {
        assert!(said.contains(file.to_str().unwrap()), "{} is not in {said}", file.display());
        assert!(!fs::read_to_string(file).unwrap().contains(&bed.server.token()), "{file:?}");
    }
    let entry = &json_of(&directory.join(".mcp.json"))["mcpServers"]["vibe-ensemble"];
    assert_eq!(entry["url"], format!("http://{}/mcp", bed.server.address()));
    assert!(said.contains("is running"), "{said}");

    // A shell that knows nothing of this one runs the helper.
    let helper = entry["headersHelper"].as_str().unwrap();
    let ran = std::process::Command::new("sh").args(["-c", helper]).env_clear().output().unwrap();
    let headers: Value =
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}", words(&ran)));
    assert_eq!(headers["Authorization"], format!("Bearer {}", bed.server.token()));
    // Claude Code rejects all of them if one of the values is not a string.
    let headers = headers.as_object().expect("an object");
    assert!(headers.values().all(Value::is_string), "{headers:?}");

    // So is the hook that reports what waits when a session begins.
    bed.client.ok("pause", json!({"project": "shop"})).await;
    let settings = json_of(&directory.join(".claude/settings.local.json"));
    let hook = settings["hooks"]["SessionStart"][0]["hooks"][0]["command"].as_str().unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", hook]).env_clear().env("CLAUDE_PROJECT_DIR", &directory);
    let ran = command.output().unwrap();
    assert!(words(&ran).contains("1 paused project"), "{hook}: {}", words(&ran));

    let gone = bed.server.operate("disconnect", &[directory.to_str().unwrap()]).await;
    assert!(gone.status.success(), "{}", words(&gone));
    // The directory itself belongs to the user, even if nothing is left in it.
    assert_eq!(fs::read_dir(&directory).expect("it is there").count(), 0, "{}", words(&gone));
}

#[e2e::scenario]
async fn a_second_connect_changes_nothing_and_keeps_what_others_wrote() {
    let bed = Bed::start().await;
    let directory = bed.project("shop", &[]).await;
    let servers = directory.join(".mcp.json");
    fs::write(&servers, "{\"mcpServers\": {\"mine\":   {\"command\": \"x\"}}}").unwrap();
    connect(&bed, &directory).await;
    let skill = directory.join(".claude/skills/vibe-plan/SKILL.md");
    let mine = fs::read_to_string(&skill).unwrap().replace("coordinator", "boss");
    fs::write(&skill, &mine).unwrap();
    let before: Vec<String> =
        files_below(&directory).iter().map(|f| fs::read_to_string(f).unwrap()).collect();

    let said = connect(&bed, &directory).await;

    let after: Vec<String> =
        files_below(&directory).iter().map(|f| fs::read_to_string(f).unwrap()).collect();
    assert_eq!(after, before);
    assert!(said.contains("left alone") && said.contains("unchanged"), "{said}");
    assert!(fs::read_to_string(&servers).unwrap().contains("\"mine\": {\"command\": \"x\"}"));

    fs::write(&servers, "{\"mcpServers\": {\"vibe-ensemble\": {\"command\": \"x\"}}}").unwrap();
    let refused = bed.server.operate("connect", &[directory.to_str().unwrap()]).await;
    assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
    assert!(words(&refused).contains("rename or remove"), "{}", words(&refused));
    let nowhere = directory.join("nowhere");
    let missing = bed.server.operate("connect", &[nowhere.to_str().unwrap()]).await;
    assert_eq!(missing.status.code(), Some(1), "{}", words(&missing));
}

#[e2e::scenario(needs(Claude))]
async fn the_real_claude_is_connected_in_that_directory_and_has_the_prompts_as_commands() {
    let claude = real_claude();
    let api = MessagesApi::play(vec![Turn::Say("I see.".to_owned())]).await;
    let bed = Bed::start().await;
    let directory = bed.project("shop", &["build"]).await;
    bed.client
        .ok(
            "update_worker_type",
            json!({"project": "shop", "worker_type": "build", "auto_spawn": false}),
        )
        .await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    let asks = json!({"ticket_id": ticket, "stage": "build", "outcome": "blocked", "report": "r", "question": "Which colour?"});
    bed.client.ok("complete_ticket_stage", asks).await;
    connect(&bed, &directory).await;

    let command = "/mcp__vibe-ensemble__unblock shop";
    let running = Coordinator::start(&claude, &bed.server, &api, &directory, command).await;
    let said = running.ends().await;

    let init =
        said.iter().find(|message| message["subtype"] == "init").expect("it says how it began");
    assert_eq!(init["mcp_servers"][0]["name"], "vibe-ensemble", "{init}");
    assert_eq!(init["mcp_servers"][0]["status"], "connected", "{init}");
    let tools = init["tools"].to_string();
    assert!(tools.contains("mcp__vibe-ensemble__list_events"), "{tools}");
    let commands = init["slash_commands"].to_string();
    for command in ["mcp__vibe-ensemble__plan", "mcp__vibe-ensemble__report", "vibe-watch"] {
        assert!(commands.contains(command), "{command} is not in {commands}");
    }
    let asked = api.asks().into_iter().find(|ask| !ask.tools.is_empty()).unwrap();
    let (prompt, _) = asked.prompt();
    assert!(prompt.contains("Which colour?"), "{prompt}");
    assert_light(&api);
    assert_eq!(result_of(&said)["is_error"], false);
}

#[e2e::scenario]
async fn a_file_that_claude_cannot_read_is_left_unchanged() {
    let bed = Bed::start().await;
    let directory = bed.project("shop", &[]).await;
    let servers = directory.join(".mcp.json");
    // claude accepts neither comments nor trailing commas.
    for text in [
        "{\n  // mine\n  \"mcpServers\": {}\n}\n",
        "{\"mcpServers\": {},}",
        "[]",
        "{\"mcpServers\": []}",
    ] {
        fs::write(&servers, text).unwrap();
        let refused = bed.server.operate("connect", &[directory.to_str().unwrap()]).await;
        assert_eq!(refused.status.code(), Some(1), "{text}: {}", words(&refused));
        assert!(words(&refused).contains(".mcp.json was not changed"), "{}", words(&refused));
        assert_eq!(fs::read_to_string(&servers).unwrap(), text);
        assert_eq!(files_below(&directory).len(), 1, "all or nothing: {text}");
    }
}

#[e2e::scenario(needs(Claude))]
async fn the_real_claude_is_connected_everywhere_and_after_a_new_token() {
    let claude = real_claude();
    let path = format!("{}:/usr/bin:/bin", claude.parent().expect("a program").display());
    let bed = Bed::with(Setup::default().env("PATH", path)).await;
    // The files of a user who never ran claude.
    for _ in 0..2 {
        let output = bed.server.operate("connect", &["--scope", "user"]).await;
        assert!(output.status.success(), "{}", words(&output));
    }
    let file = fs::read_to_string(bed.server.home().join(".claude.json")).unwrap();
    assert!(!file.contains(&bed.server.token()), "{file}");
    let anywhere = bed.server.path("anywhere");
    fs::create_dir(&anywhere).unwrap();
    let listed = async || {
        let mut command = tokio::process::Command::from(bed.server.command_of(&claude));
        let output = command.args(["mcp", "list"]).current_dir(&anywhere).output().await.unwrap();
        words(&output)
    };
    let said = listed().await;
    assert!(said.contains("vibe-ensemble: ") && said.contains("Connected"), "{said}");

    let rotated = bed.server.operate("rotate-token", &[]).await;
    assert!(rotated.status.success(), "{}", words(&rotated));

    let said = listed().await;
    assert!(said.contains("vibe-ensemble: ") && said.contains("Connected"), "{said}");
}

#[e2e::scenario(needs(Claude))]
async fn the_real_claude_takes_the_plugin() {
    let claude = real_claude();
    let api = MessagesApi::play(vec![Turn::Say("I see.".to_owned())]).await;
    let bed = Bed::start().await;
    let directory = bed.project("shop", &[]).await;
    bed.client.ok("pause", json!({"project": "shop"})).await;
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/claude-plugin");
    let check = bed
        .server
        .command_of(&claude)
        .args(["plugin", "validate", "--strict"])
        .arg(&plugin)
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", words(&check));

    // The requirements of the plugin's own instructions: the program in PATH, and the address of
    // this test's server.
    let programs = e2e::binaries::directory();
    let path = format!("{}:/usr/bin:/bin", programs.display());
    let mut command = tokio::process::Command::from(bed.server.command_of(&claude));
    command
        .args(["-p", "Look.", "--output-format", "stream-json", "--verbose", "--plugin-dir"])
        .arg(&plugin)
        .envs(e2e::claude::environment(&api))
        .env("PATH", path)
        .env("VIBE_ENSEMBLE_URL", bed.client.url(""))
        .env("VIBE_ENSEMBLE_STATE_DIR", bed.server.state_dir())
        .current_dir(&directory)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", words(&output));
    let said: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let init =
        said.iter().find(|message| message["subtype"] == "init").expect("it says how it began");
    let servers = init["mcp_servers"].to_string();
    assert!(servers.contains("vibe-ensemble") && servers.contains("connected"), "{init}");
    let commands = init["slash_commands"].to_string();
    for skill in ["plan", "dispatch", "watch", "unblock", "report"] {
        assert!(
            commands.contains(&format!("vibe-ensemble:{skill}")),
            "{skill} is not in {commands}"
        );
    }
    // Its hook reports what waits when the session begins.
    let asked = api.asks().into_iter().find(|ask| !ask.tools.is_empty()).unwrap();
    let read = asked.body.to_string();
    assert!(read.contains("waiting for you: 1 paused project"), "{read}");
    assert!(assert_light(&api) > 0, "{read}");
}

#[e2e::scenario]
async fn a_rotated_token_is_valid_at_once_and_the_old_one_is_not() {
    let bed = Bed::start().await;
    let old = bed.client.clone();
    let mut waiting = old.open("list_events", json!({"wait_seconds": 3600})).await;
    assert!(waiting.chunk().await.unwrap().is_some(), "it says that it waits");
    let before = bed.server.token();

    let output = bed.server.operate("rotate-token", &[]).await;

    assert!(output.status.success(), "{}", words(&output));
    let token = bed.server.token();
    assert_ne!(token, before);
    assert!(!words(&output).contains(&token) && !bed.server.log().contains(&token));
    assert_eq!(old.call_tool("list_projects", json!({})).await.status, 401);
    Client::new(bed.server.address(), Some(token)).ok("list_projects", json!({})).await;
    let rest = waiting.text().await.unwrap();
    assert!(rest.contains("\"events\":[]"), "what waited under the old token ends: {rest}");
}

#[e2e::scenario]
async fn a_coordinator_under_none_needs_no_token_file() {
    let bed = Bed::with(Setup::default().arg("--auth").arg("none")).await;
    let directory = bed.project("shop", &[]).await;
    assert!(connect(&bed, &directory).await.contains("is running"));
}

/// What each scope sets up is read by Claude Code itself, and gone after `disconnect`.
#[e2e::scenario(needs(Claude))]
async fn the_real_claude_reads_what_each_scope_sets_up_and_nothing_after_disconnect() {
    let claude = real_claude();
    let programs = [e2e::binaries::directory(), claude.parent().expect("a program").to_owned()];
    let programs = programs.map(|place| place.display().to_string()).join(":");
    for (scope, is_told) in
        [("local", "local config"), ("project", "project config"), ("user", "user config")]
    {
        let api = MessagesApi::play(vec![Turn::Say("I see.".to_owned())]).await;
        let bed =
            Bed::with(Setup::default().env("PATH", format!("{programs}:/usr/bin:/bin"))).await;
        let directory = bed.project("shop", &[]).await;
        bed.client.ok("pause", json!({"project": "shop"})).await;
        let place = directory.to_str().expect("UTF-8");
        let given =
            if scope == "user" { vec!["--scope", scope] } else { vec!["--scope", scope, place] };
        let output = bed.server.operate("connect", &given).await;
        assert!(output.status.success(), "{scope}: {}", words(&output));
        let url = bed.client.url("/mcp");
        let get = async || {
            let mut command = tokio::process::Command::from(bed.server.command_of(&claude));
            command.args(["mcp", "get", "vibe-ensemble"]).current_dir(&directory);
            words(&command.output().await.expect("it runs")).to_lowercase()
        };
        let said = get().await;
        assert!(said.contains(is_told) && said.contains(&url), "{scope}: {said}");

        let running = Coordinator::start(&claude, &bed.server, &api, &directory, "Look.").await;
        running.ends().await;
        let asked = api.asks().into_iter().find(|ask| !ask.tools.is_empty()).expect("it asked");
        let read = asked.body.to_string();
        assert!(read.contains("waiting for you: 1 paused project"), "{scope}, its hook: {read}");
        assert!(assert_light(&api) > 0, "{read}");

        let output = bed.server.operate("disconnect", &given).await;
        assert!(output.status.success(), "{scope}: {}", words(&output));
        let said = get().await;
        assert!(said.contains("no mcp server") && !said.contains(is_told), "{scope}: {said}");
        for place in [directory.join(".claude"), bed.server.home().join(".claude")] {
            let settings = ["settings.json", "settings.local.json"].map(|name| place.join(name));
            for file in settings.iter().filter(|file| file.exists()) {
                let text = fs::read_to_string(file).expect("text");
                assert!(!text.contains("vibe-ensemble"), "{scope}: {}: {text}", file.display());
            }
        }
    }
}
