//! What this server tells of itself, and how answers read.

use super::*;
use crate::domain::id::TicketId;
use crate::domain::refusal::Refusal;

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

#[test]
fn answers_carry_the_same_value_twice_and_refusals_are_errors() {
    let value = serde_json::json!({"ticket_id": "T-1"});
    let (ended, result) = answered("get_ticket", Ok(value.clone()));
    assert_eq!(ended, Ended::Answered);
    let wire = serde_json::to_value(&result).unwrap();
    assert_eq!(wire["structuredContent"], value);
    assert_eq!(wire["content"][0]["text"], value.to_string());
    assert_eq!(wire["isError"], false);

    let refusal = Refusal::UnknownTicket { ticket: TicketId::from_key(9) };
    let (ended, result) = answered("get_ticket", Err(CallError::Refused(refusal)));
    assert_eq!(ended, Ended::Refused);
    let wire = serde_json::to_value(&result).unwrap();
    assert_eq!(wire["isError"], true);
    assert_eq!(
        wire["content"][0]["text"],
        "There is no ticket T-9. Find tickets with list_tickets."
    );

    let secret = "no such table: ticket".to_owned();
    let (_, result) = answered("get_ticket", Err(CallError::Failed(secret)));
    let wire = serde_json::to_value(&result).unwrap();
    assert_eq!(wire["content"][0]["text"], reply::INTERNAL_ERROR);
}
