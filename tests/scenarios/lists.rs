//! Lists come in pages, and no page repeats or drops anything.

use e2e::bed::Bed;
use e2e::bed::text;
use serde_json::Value;
use serde_json::json;

/// Reads a list in pages of two; returns the names, sorted, and the number of pages.
async fn in_twos(
    bed: &Bed,
    tool: &str,
    mut arguments: Value,
    plural: &str,
    name: &str,
) -> (Vec<String>, u32) {
    let (mut names, mut pages) = (Vec::new(), 0);
    arguments["limit"] = json!(2);
    loop {
        let page = bed.client.ok(tool, arguments.clone()).await;
        pages += 1;
        let items = page[plural].as_array().unwrap_or_else(|| panic!("no `{plural}` in {page}"));
        assert!(items.len() <= 2, "{page}");
        names.extend(items.iter().map(|item| text(item, name)));
        match page["next_cursor"].as_str() {
            Some(cursor) => arguments["cursor"] = json!(cursor),
            None => break,
        }
        assert!(pages < 100, "the cursor leads in a circle");
    }
    names.sort();
    (names, pages)
}

#[e2e::scenario]
async fn every_list_can_be_read_page_by_page() {
    let bed = Bed::start().await;
    let names = ["p1", "p2", "p3", "p4", "p5"];
    for name in names {
        bed.project(name, &[]).await;
    }
    let types = ["t1", "t2", "t3", "t4", "t5"];
    for name in types {
        bed.worker_type("p1", name, json!({"auto_spawn": false})).await;
    }
    let mut tickets = Vec::new();
    for _ in 0..5 {
        tickets.push(bed.ticket("p1", &["t1"], "").await);
    }
    let one = || json!({"project": "p1"});

    let projects = in_twos(&bed, "list_projects", json!({}), "projects", "name").await;
    assert_eq!(projects, (names.map(str::to_owned).to_vec(), 3));

    let found = in_twos(&bed, "list_worker_types", one(), "worker_types", "worker_type").await;
    assert_eq!(found, (types.map(str::to_owned).to_vec(), 3));

    let found = in_twos(&bed, "list_tickets", one(), "tickets", "ticket_id").await;
    assert_eq!(found, (tickets, 3));

    let (queues, _) = in_twos(&bed, "list_queues", one(), "queues", "worker_type").await;
    let mut distinct = queues.clone();
    distinct.dedup();
    assert_eq!(queues, distinct, "no queue twice");
    assert!(queues.contains(&"t1".to_owned()));
}

#[e2e::scenario]
async fn a_page_holds_fifty_by_default() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    for _ in 0..51 {
        bed.ticket("shop", &["build"], "").await;
    }

    let page = bed.client.ok("list_tickets", json!({})).await;
    assert_eq!(page["tickets"].as_array().unwrap().len(), 50);
    assert!(page["next_cursor"].is_string());
    let all = bed.client.ok("list_tickets", json!({"limit": 200})).await;
    assert_eq!(all["tickets"].as_array().unwrap().len(), 51);
    assert_eq!(all.get("next_cursor").unwrap_or(&Value::Null), &Value::Null);
}

#[e2e::scenario]
async fn a_ticket_made_between_two_pages_disturbs_neither() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "build", json!({"auto_spawn": false})).await;
    let mut tickets = Vec::new();
    for _ in 0..4 {
        tickets.push(bed.ticket("shop", &["build"], "").await);
    }

    let first = bed.client.ok("list_tickets", json!({"limit": 2})).await;
    bed.ticket("shop", &["build"], "").await;
    let cursor = text(&first, "next_cursor");
    let second = bed.client.ok("list_tickets", json!({"limit": 200, "cursor": cursor})).await;

    let mut seen: Vec<String> = [&first, &second]
        .into_iter()
        .flat_map(|page| page["tickets"].as_array().unwrap())
        .map(|ticket| text(ticket, "ticket_id"))
        .collect();
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count, "none twice");
    assert!(tickets.iter().all(|ticket| seen.contains(ticket)), "none dropped: {seen:?}");
}

#[e2e::scenario]
async fn a_cursor_nobody_gave_out_is_refused() {
    let bed = Bed::start().await;
    for tool in ["list_projects", "list_tickets", "list_workers", "list_queues"] {
        let refusal = bed.client.refused(tool, json!({"cursor": "../../etc/passwd"})).await;
        assert!(refusal.contains("cursor"), "{tool}: {refusal}");
    }
}

#[e2e::scenario]
async fn fifty_open_tickets_are_eight_kilobytes() {
    let bed = Bed::start().await;
    bed.project("shop", &[]).await;
    bed.worker_type("shop", "implement", json!({"auto_spawn": false})).await;
    for number in 0..50 {
        let ticket = json!({
            "project": "shop", "title": format!("Refuse coupons that expired before day {number}"),
            "execution_plan": ["implement"], "description": "Each with its own message. ".repeat(20),
        });
        bed.client.ok("create_ticket", ticket).await;
    }
    let listed = bed.client.ok("list_tickets", json!({})).await;
    assert_eq!(listed["tickets"].as_array().map(Vec::len), Some(50), "{listed}");
    let bytes = listed.to_string().len();
    assert!(bytes <= 8 * 1024, "{bytes} bytes");
}
