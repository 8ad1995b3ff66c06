//! How the agent is called: its arguments, its environment, its standard input, its directory.

use std::collections::BTreeSet;

use e2e::bed::Bed;
use e2e::fake::Call;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

/// Runs one single-stage ticket and returns how its agent was called.
async fn one_call(bed: &Bed, worker_type: Value) -> Call {
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", worker_type).await;
    let ticket = bed.ticket("shop", &["build"], "The secret recipe is nutmeg.").await;
    bed.completed(&ticket).await;
    bed.agents.only_call_of(&ticket, "build")
}

#[e2e::scenario]
async fn the_arguments_are_those_of_a_headless_claude() {
    let bed = Bed::start().await;
    let call = one_call(&bed, json!({})).await;

    let arguments: Vec<&str> = call.argv[1..].iter().map(String::as_str).collect();
    assert!(arguments.contains(&"-p"), "{arguments:?}");
    assert!(arguments.contains(&"--verbose"), "{arguments:?}");
    assert_eq!(call.argument("--output-format"), Some("stream-json"));
    let session = call.argument("--session-id").unwrap();
    assert!(session.parse::<uuid::Uuid>().is_ok(), "{session}");
    assert_eq!(call.argument("--append-system-prompt"), Some("You are the build worker."));
    let mut schema: Value = serde_json::from_str(call.argument("--json-schema").unwrap()).unwrap();
    let tickets = schema["properties"].as_object_mut().unwrap().remove("tickets").unwrap();
    assert_eq!(tickets["type"], "array", "what a stage may hand out, and need not");
    assert_eq!(
        schema,
        json!({"type":"object","additionalProperties":false,"required":["outcome","report"],"properties":{
            "outcome":{"enum":["completed","rework","blocked"]},
            "report":{"type":"string","minLength":1},
            "rework_stage":{"type":"string"},
            "question":{"type":"string"}}})
    );
    assert_eq!(call.argument("--permission-mode"), Some("acceptEdits"));
    let allowed = tools(&call, "--allowedTools");
    let expected = ["Bash", "Read", "Edit", "Write", "Glob", "Grep", "NotebookEdit"];
    assert_eq!(allowed, expected.map(str::to_owned).into());
    let never = ["ScheduleWakeup", "CronCreate", "Monitor", "Workflow"];
    assert_eq!(tools(&call, "--disallowedTools"), never.map(str::to_owned).into());
    assert_eq!(call.argument("--model"), None);
    assert_eq!(call.argument("--max-budget-usd"), None);
}

#[e2e::scenario]
async fn a_worker_types_settings_reach_the_command_line() {
    let bed = Bed::start().await;
    let settings = json!({
        "model": "haiku", "permission_mode": "dontAsk", "allowed_tools": ["Read", "Bash(git status *)"],
        "disallowed_tools": ["WebFetch"], "max_budget_usd": 2.5,
    });
    let call = one_call(&bed, settings).await;

    assert_eq!(call.argument("--model"), Some("haiku"));
    assert_eq!(call.argument("--permission-mode"), Some("dontAsk"));
    assert_eq!(call.argument("--max-budget-usd"), Some("2.5"));
    let allowed = call.argument("--allowedTools").unwrap();
    assert!(allowed.contains("Read") && allowed.contains("Bash(git status *)"), "{allowed}");
    let never = ["ScheduleWakeup", "CronCreate", "Monitor", "Workflow", "WebFetch"];
    assert_eq!(tools(&call, "--disallowedTools"), never.map(str::to_owned).into());
}

#[e2e::scenario]
async fn a_long_system_prompt_goes_by_file() {
    let bed = Bed::start().await;
    let long = "Be thorough. ".repeat(20_000);
    bed.project("shop", &[]).await;
    let worker_type = json!({"project": "shop", "worker_type": "build", "system_prompt": long});
    bed.client.ok("create_worker_type", worker_type).await;
    let script = "fake: build: wait-for go";
    let ticket = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&ticket, "build", 1).await;

    let file = call.argument("--append-system-prompt-file").expect("not on the command line");
    assert_eq!(std::fs::read_to_string(file).unwrap(), long);
    assert!(!call.argv_has("Be thorough. Be thorough."));
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
}

#[e2e::scenario]
async fn the_prompt_travels_on_standard_input_and_never_on_the_command_line() {
    let bed = Bed::start().await;
    let call = one_call(&bed, json!({})).await;

    assert!(call.prompt.contains("nutmeg"), "{}", call.prompt);
    assert!(!call.argv_has("nutmeg"), "{:?}", call.argv);
}

#[e2e::scenario]
async fn a_megabyte_of_description_reaches_the_agent_whole() {
    let bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let long = "Ünicode und mehr. ".repeat(50_000);
    let ticket = bed.ticket("shop", &["build"], &long).await;

    bed.completed(&ticket).await;

    let call = bed.agents.only_call_of(&ticket, "build");
    assert!(call.prompt.contains(long.trim_end()), "{} bytes came", call.prompt.len());
}

#[e2e::scenario]
async fn it_runs_in_the_projects_directory() {
    let bed = Bed::start().await;
    let call = one_call(&bed, json!({})).await;

    let directory = bed.server.path("projects").join("shop");
    assert_eq!(call.cwd.canonicalize().unwrap(), directory.canonicalize().unwrap());
}

#[e2e::scenario]
async fn the_environment_is_built_from_an_allow_list() {
    let setup = Setup::default()
        .env("AWS_SECRET_ACCESS_KEY", "junk")
        .env("LD_LIBRARY_PATH", "/junk")
        .env("VIBE_ENSEMBLE_LOG", "info")
        .env("RUST_BACKTRACE", "1")
        .env("ANTHROPIC_MODEL", "passes")
        .env("LC_TIME", "C");
    let bed = Bed::with(setup).await;
    let call = one_call(&bed, json!({})).await;

    let listed = |name: &str| {
        let exact = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"];
        let more = ["SSH_AUTH_SOCK", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];
        let prefixes = ["LC_", "XDG_", "ANTHROPIC_", "CLAUDE_", "VIBE_ENSEMBLE_"];
        exact.contains(&name)
            || more.contains(&name.to_uppercase().as_str())
            || prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    let unlisted: Vec<&String> = call.env.keys().filter(|name| !listed(name)).collect();
    assert_eq!(unlisted, Vec::<&String>::new());
    assert!(!call.env.contains_key("VIBE_ENSEMBLE_LOG"), "the server's own settings stay out");
    assert!(!call.env.contains_key("VIBE_ENSEMBLE_RETRY_BACKOFF_MS"));
    assert_eq!(call.env["ANTHROPIC_MODEL"], "passes");
    assert_eq!(call.env["LC_TIME"], "C");
    assert_eq!(call.env["HOME"], bed.server.home().to_string_lossy());
}

#[e2e::scenario]
async fn the_environment_names_the_work() {
    let bed = Bed::start().await;
    let call = one_call(&bed, json!({})).await;

    assert_eq!(call.env["VIBE_ENSEMBLE_PROJECT"], "shop");
    assert_eq!(call.env["VIBE_ENSEMBLE_STAGE"], "build");
    assert_eq!(call.env["VIBE_ENSEMBLE_TICKET"], "T-1");
    assert_eq!(call.env["VIBE_ENSEMBLE_ATTEMPT"], "A-1");
    assert_eq!(call.env["VIBE_ENSEMBLE_WORKER"], "W-1");
}

#[e2e::scenario]
async fn the_coordinators_token_never_reaches_a_worker() {
    let bed = Bed::with(Setup::default().env("VIBE_ENSEMBLE_TOKEN", "an-old-token")).await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;

    for secret in [bed.server.token(), "an-old-token".to_owned()] {
        assert!(!call.argv_has(&secret));
        assert!(!call.env.values().any(|value| value.contains(&secret)));
        assert!(!call.prompt.contains(&secret));
        for process in bed.server.descendants() {
            assert!(!process.command.contains(&secret), "{process:?}");
        }
    }
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
}

/// The tools of an option, in either form that claude takes: one list with commas or spaces.
fn tools(call: &Call, option: &str) -> BTreeSet<String> {
    let list = call.argument(option).unwrap_or_else(|| panic!("no {option} in {:?}", call.argv));
    list.split([',', ' ']).filter(|tool| !tool.is_empty()).map(str::to_owned).collect()
}
