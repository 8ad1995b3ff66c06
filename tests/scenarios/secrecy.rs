//! What is never logged, however much is logged.

use e2e::bed::Bed;
use e2e::server::Setup;
use serde_json::json;

#[e2e::scenario]
async fn no_log_holds_a_prompt_a_report_a_comment_or_a_token() {
    let bed = Bed::with(Setup::default().arg("--log").arg("trace")).await;
    bed.project("shop", &[]).await;
    bed.client.ok("update_project", json!({"project": "shop", "rules": "sEcReT-rules"})).await;
    bed.worker_type("shop", "build", json!({"system_prompt": "sEcReT-system", "max_attempts": 2}))
        .await;
    let script = "sEcReT-description\nfake: build#1: exit 3\nfake: build#2: complete sEcReT-report";
    let more = json!({"title": "sEcReT-title"});
    let ticket = bed.ticket_with("shop", &["build"], script, more).await;
    let comment = json!({"ticket_id": ticket, "content": "sEcReT-comment"});
    bed.client.ok("add_ticket_comment", comment).await;
    bed.completed(&ticket).await;
    let asked = bed.ticket("shop", &["build"], "fake: build: block sEcReT-question").await;
    bed.ticket_is(&asked, "on_hold").await;
    bed.nothing_is_left().await;

    let log = bed.server.log();
    assert!(log.contains("attempt failed") && log.contains("ticket on hold"), "{log}");
    assert!(log.contains(&ticket) && log.contains("ticket closed"), "{log}");
    let told: Vec<&str> = log.lines().filter(|line| line.contains("sEcReT")).collect();
    assert_eq!(told, Vec::<&str>::new());
    for secret in [bed.server.token(), "Bearer".to_owned()] {
        assert!(!log.contains(&secret), "{secret}");
    }
}
