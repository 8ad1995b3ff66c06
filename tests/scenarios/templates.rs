//! Built-in roles, and the operator's own in their place.

use std::fs;
use std::path::PathBuf;

use e2e::bed::Bed;
use e2e::bed::text;
use e2e::server::Server;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

const BUILT_IN: [&str; 8] = [
    "planning",
    "research",
    "design",
    "implementation",
    "testing",
    "review",
    "documentation",
    "deployment",
];

async fn templates(bed: &Bed) -> Vec<Value> {
    bed.all("list_worker_templates", "templates", json!({})).await
}

/// Where a user's own templates are by default.
fn own(server: &Server) -> PathBuf {
    let directory = server.home().join(".config/vibe-ensemble/worker-types");
    fs::create_dir_all(&directory).expect("the home is writable");
    directory
}

fn file(prompt: &str) -> String {
    format!(
        "+++\ndescription = \"Ours.\"\nhands_on = \"What we need.\"\ntimeout_seconds = 77\n+++\n{prompt}\n"
    )
}

/// Makes a worker type and reads it: the answer to the first call does not repeat the prompt.
async fn made_type(bed: &Bed, new: Value) -> Value {
    let made = bed.client.ok("create_worker_type", new.clone()).await;
    assert_eq!(made.get("system_prompt"), None, "{made}");
    let which = json!({"project": new["project"], "worker_type": new["worker_type"]});
    bed.client.ok("get_worker_type", which).await
}

#[e2e::scenario]
async fn there_is_one_for_each_kind_of_stage_and_a_worker_type_can_be_made_of_each() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    let all = templates(&bed).await;
    let names: Vec<String> = all.iter().map(|template| text(template, "template")).collect();
    assert_eq!(names, BUILT_IN);
    for template in &all {
        let name = text(template, "template");
        assert_eq!((&template["source"], &template["problem"]), (&json!("built_in"), &Value::Null));
        assert!(text(template, "system_prompt").ends_with('…'), "cut in the list");
        let one = bed.client.ok("list_worker_templates", json!({"template": name})).await;
        let whole = &one["templates"][0];
        assert!(text(whole, "system_prompt").contains("How you end"), "{name}");
        assert!(!text(whole, "hands_on").is_empty());

        let made = json!({"project": "shop", "worker_type": name, "template": name});
        let made = made_type(&bed, made).await;
        for field in ["description", "system_prompt", "allowed_tools", "timeout_seconds"] {
            assert_eq!(made[field], whole[field], "{name}: {field}");
        }
        assert_eq!(made["may_create_tickets"], name == "planning");
    }
    let first = bed.client.ok("list_worker_templates", json!({"limit": 3})).await;
    assert_eq!(first["templates"].as_array().map(Vec::len), Some(3));
    let rest = json!({"limit": 200, "cursor": first["next_cursor"]});
    let rest = bed.client.ok("list_worker_templates", rest).await;
    assert_eq!(rest["templates"][0]["template"], BUILT_IN[3]);
    assert_eq!(rest["next_cursor"], Value::Null);
}

#[e2e::scenario]
async fn arguments_take_precedence_over_a_template() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    let kind = json!({
        "project": "shop", "worker_type": "check", "template": "review", "timeout_seconds": 60,
        "allowed_tools": ["Read"], "description": "Ours.",
    });
    let made = made_type(&bed, kind).await;
    assert_eq!((&made["timeout_seconds"], &made["allowed_tools"]), (&json!(60), &json!(["Read"])));
    assert_eq!(made["description"], "Ours.");
    assert!(text(&made, "system_prompt").starts_with("You are a reviewer."));
    let kind = json!({
        "project": "shop", "worker_type": "strict", "template": "review", "system_prompt": "You frown.",
    });
    let made = made_type(&bed, kind).await;
    assert_eq!(made["system_prompt"], "You frown.");
    assert_eq!(made["permission_mode"], "dontAsk", "the rest is the template's");

    let ticket = bed.ticket("shop", &["check"], "").await;
    bed.completed(&ticket).await;
    let call = bed.agents.only_call_of(&ticket, "check");
    let prompt =
        call.argument("--append-system-prompt").expect("short enough for the command line");
    assert!(prompt.starts_with("You are a reviewer."), "{prompt}");
}

#[e2e::scenario]
async fn a_type_needs_a_prompt_or_a_template_that_exists() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    let kind = |more: Value| {
        let mut kind = json!({"project": "shop", "worker_type": "check"});
        kind.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        kind
    };
    let refused = bed.client.refused("create_worker_type", kind(json!({}))).await;
    assert!(refused.contains("system_prompt") && refused.contains("template"), "{refused}");
    let refused =
        bed.client.refused("create_worker_type", kind(json!({"template": "reviw"}))).await;
    assert!(refused.contains("\"reviw\"") && refused.contains("review"), "{refused}");
    let empty = kind(json!({"template": "review", "system_prompt": " "}));
    let refused = bed.client.refused("create_worker_type", empty).await;
    assert!(refused.contains("system_prompt"), "{refused}");
    bed.client.refused("list_worker_templates", json!({"template": "reviw"})).await;
    bed.client.refused("get_worker_type", kind(json!({}))).await;
}

#[e2e::scenario]
async fn configured_files_take_their_place_and_an_invalid_one_is_reported() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    let directory = own(&bed.server);
    fs::write(directory.join("testing.md"), file("You test our way.")).unwrap();
    fs::write(directory.join("translation.md"), file("You translate.")).unwrap();
    fs::write(directory.join("review.md"), "You review.").unwrap();

    let all = templates(&bed).await;
    assert_eq!(all.len(), BUILT_IN.len() + 1);
    let of = |name: &str| all.iter().find(|template| template["template"] == name).unwrap();
    assert_eq!(of("testing")["source"], "configuration");
    assert_eq!(of("translation")["timeout_seconds"], 77);
    assert!(text(of("review"), "problem").contains("review.md: its first line"));
    let of_template =
        |name: &str| json!({"project": "shop", "worker_type": name, "template": name});
    let made = made_type(&bed, of_template("testing")).await;
    assert_eq!(made["system_prompt"], "You test our way.");
    let refused = bed.client.refused("create_worker_type", of_template("review")).await;
    assert!(refused.contains("review.md"), "{refused}");
    let place = directory.display().to_string();
    assert!(!refused.contains(&place), "{refused}");

    // Fixed while the server is running.
    fs::write(directory.join("review.md"), file("You review our way.")).unwrap();
    let made = made_type(&bed, of_template("review")).await;
    assert_eq!(made["system_prompt"], "You review our way.");
}

#[e2e::scenario]
async fn the_directory_is_the_one_beside_the_configuration_file_or_the_one_named() {
    let server = Server::prepare(Setup::default());
    let directory = server.path("etc");
    fs::create_dir_all(directory.join("worker-types")).unwrap();
    fs::write(directory.join("worker-types/beside.md"), file("You are beside.")).unwrap();
    fs::write(directory.join("config.toml"), "max_rework = 5\n").unwrap();
    let file = directory.join("config.toml").display().to_string();
    let shown = server.operate("check-config", &["--config", &file]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&directory.join("worker-types").display().to_string()), "{shown}");

    let setup = Setup::default()
        .arg("--templates-dir")
        .arg(directory.join("worker-types").display().to_string());
    let bed = Bed::with(setup).await;
    let names: Vec<String> =
        templates(&bed).await.iter().map(|template| text(template, "template")).collect();
    assert_eq!(names.last().map(String::as_str), Some("beside"));
}

/// A project and a ticket are all that a user has to make.
#[e2e::scenario]
async fn a_plan_of_templates_makes_its_worker_types_and_runs() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "review", json!({"description": "Our own."})).await;
    let ticket = bed.ticket("shop", &["implementation", "review"], "").await;

    let types = bed.all("list_worker_types", "worker_types", json!({"project": "shop"})).await;
    let named = |name: &str| {
        let found = types.iter().find(|found| found["worker_type"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {types:?}"))
    };
    assert_eq!(types.len(), 2, "{types:?}");
    assert_ne!(named("implementation")["description"], "");
    assert_eq!(named("review")["description"], "Our own.", "what is there is not replaced");
    bed.completed(&ticket).await;

    for plan in [["deploj", "testing"], ["testing", "deploj"]] {
        let wrong = json!({"project": "shop", "title": "x", "execution_plan": plan});
        let refused = bed.client.refused("create_ticket", wrong).await;
        assert!(refused.contains("deploj") && !refused.contains("testing"), "{refused}");
    }
    let types = bed.all("list_worker_types", "worker_types", json!({"project": "shop"})).await;
    assert_eq!(types.len(), 2, "a plan that is refused makes none: {types:?}");
}
