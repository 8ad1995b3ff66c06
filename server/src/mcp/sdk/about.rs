//! What this server says about itself: its name, its capabilities, its tools and its prompts, as the SDK has them.

use std::sync::Arc;

use rmcp::model;
use rmcp::model::Icon;
use rmcp::model::Implementation;
use rmcp::model::PromptArgument;
use rmcp::model::ServerCapabilities;
use rmcp::model::ServerConfig;
use rmcp::model::ToolAnnotations;

use crate::mcp::catalog;
use crate::mcp::instructions::INSTRUCTIONS;
use crate::mcp::instructions::WORKER_INSTRUCTIONS;
use crate::mcp::prompts;
use crate::mcp::schema;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;

/// A drawing as a URI. Every byte that a URI may not contain is escaped, since clients check that.
const ICON: &str = "data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%20viewBox='0%200%2024%2024'%3E%3Cg\
                    %20fill='none'%20stroke='%23d97757'%20stroke-width='2'%20stroke-linecap='round'%3E%3Cpath%20\
                    d='M4%209v6M8%205v14M12%208v8M16%203v18M20%209v6'/%3E%3C/g%3E%3C/svg%3E";

fn identity() -> Implementation {
    Implementation::new("vibe-ensemble", env!("CARGO_PKG_VERSION"))
        .with_title("Vibe-Ensemble")
        .with_description(
            "Supervises headless Claude Code workers that go through tickets stage by stage",
        )
        .with_icons(vec![
            Icon::new(ICON).with_mime_type("image/svg+xml").with_sizes(vec!["any".to_owned()]),
        ])
}

pub(crate) fn config() -> ServerConfig {
    let capabilities =
        ServerCapabilities::builder().enable_tools().enable_resources().enable_prompts().build();
    ServerConfig::new(capabilities).with_server_info(identity()).with_instructions(INSTRUCTIONS)
}

pub(crate) fn worker_config() -> ServerConfig {
    ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
        .with_server_info(identity())
        .with_instructions(WORKER_INSTRUCTIONS)
}

pub(crate) fn listed(tool: &Tool) -> model::Tool {
    let (reads, destroys, same_again) = match tool.effect {
        Effect::Reads => (true, false, true),
        Effect::Adds => (false, false, false),
        Effect::Settles => (false, false, true),
        Effect::Replaces => (false, true, true),
    };
    let annotations = ToolAnnotations::with_title(tool.title)
        .read_only(reads)
        .destructive(destroys)
        .idempotent(same_again)
        .open_world(false);
    let is_daily = catalog::DAILY.contains(&tool.name);
    let arguments = if is_daily { schema::brief(&tool.arguments) } else { tool.arguments.clone() };
    let listed = model::Tool::new(tool.name, tool.description, arguments)
        .with_title(tool.title)
        .with_raw_output_schema(Arc::new(tool.result.clone()))
        .with_annotations(annotations);
    if !is_daily {
        return listed;
    }
    let mut meta = model::MetaObject::new();
    meta.insert(ALWAYS_LOAD.to_owned(), true.into());
    listed.with_meta(meta)
}

/// What makes Claude Code give a tool to its model at once, instead of letting the model search for it.
const ALWAYS_LOAD: &str = "anthropic/alwaysLoad";

pub(crate) fn listed_prompt(prompt: &prompts::Prompt) -> model::Prompt {
    let argument = |argument: &prompts::Argument| {
        PromptArgument::new(argument.name)
            .with_description(argument.description)
            .with_required(false)
    };
    let arguments = prompt.arguments.iter().map(argument).collect();
    model::Prompt::new(prompt.name, Some(prompt.description), Some(arguments))
        .with_title(prompt.title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_icon_is_a_uri() {
        assert!(
            ICON.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)),
            "{ICON}"
        );
    }

    #[test]
    fn what_is_advertised_is_what_is_served() {
        let config = serde_json::to_value(config()).unwrap();
        assert_eq!(
            config["capabilities"],
            serde_json::json!({"prompts": {}, "resources": {}, "tools": {}})
        );
        assert_eq!(config["serverInfo"]["name"], "vibe-ensemble");
        assert_eq!(config["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn every_tool_says_what_it_may_change() {
        for tool in catalog::tools() {
            let listed = serde_json::to_value(listed(&tool)).unwrap();
            let hints = &listed["annotations"];
            let reads = tool.name.starts_with("get_") || tool.name.starts_with("list_");
            let destroys =
                ["delete_", "update_", "close_", "stop_"].iter().any(|p| tool.name.starts_with(p));
            assert_eq!(hints["readOnlyHint"], reads, "{}", tool.name);
            assert_eq!(hints["destructiveHint"], destroys, "{}", tool.name);
            assert!(hints["idempotentHint"].is_boolean(), "{}", tool.name);
            assert_eq!(hints["openWorldHint"], false, "{}", tool.name);
        }
    }
}
