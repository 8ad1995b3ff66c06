//! A limit that is nearly spent is warned of once, by the commit that booked the dollars.

use std::time::Duration;

use super::*;
use crate::domain::event::EventKind;
use crate::domain::project_limits::ProjectLimits;

/// A ticket whose first stage costs this much.
async fn spend(bed: &Bed, pull: &str, usd: f64, now: Timestamp) -> TicketId {
    let ticket = bed.ticket(&["plan", "impl"]).await.id;
    let worker = bed.worker("plan").await;
    let attempt = bed.granted(worker, pull).await.attempt.id;
    bed.ends_at(attempt, completed(), usd, now).await;
    ticket
}

/// What was warned of, oldest first.
async fn warnings(bed: &Bed) -> Vec<String> {
    sqlx::query_scalar("SELECT summary FROM event WHERE kind = 'budget_warning' ORDER BY seq")
        .fetch_all(&bed.store.readers)
        .await
        .expect("readable")
}

/// One event of the kind.
pub(super) async fn tell(bed: &Bed) {
    bed.store.set_rules(Rules { max_usd_per_day: Some(1.0), ..RULES });
    spend(bed, "of a warning", 0.9, NOW).await;
    assert_eq!(bed.count_of(EventKind::BudgetWarning).await, 1);
    bed.store.set_rules(RULES);
}

#[tokio::test]
async fn a_project_is_warned_of_once_and_again_when_its_limit_was_raised() {
    let bed = Bed::new().await;
    bed.limit(ProjectLimits { max_budget_usd: Some(1.0), ..Default::default() }).await;
    spend(&bed, "p1", 0.79, NOW).await;
    assert_eq!(warnings(&bed).await, Vec::<String>::new());
    spend(&bed, "p2", 0.01, NOW).await;
    assert_eq!(
        warnings(&bed).await,
        [
            "$0.80 has been spent, 80 % of a limit: the project may cost $1.00 (max_budget_usd of the project)."
        ]
    );
    spend(&bed, "p3", 0.1, NOW).await;
    assert_eq!(warnings(&bed).await.len(), 1, "once");
    bed.limit(ProjectLimits { max_budget_usd: Some(2.0), ..Default::default() }).await;
    spend(&bed, "p4", 0.1, NOW).await;
    assert_eq!(warnings(&bed).await.len(), 1, "half of it is spent");
    spend(&bed, "p5", 0.7, NOW).await;
    assert_eq!(warnings(&bed).await.len(), 2);
}

#[tokio::test]
async fn a_limit_of_a_day_is_warned_of_each_day() {
    let bed = Bed::new().await;
    bed.store.set_rules(Rules { max_usd_per_day: Some(1.0), ..RULES });
    let tomorrow = NOW.after(Duration::from_hours(24));
    spend(&bed, "p1", 0.85, NOW).await;
    spend(&bed, "p2", 0.05, NOW).await;
    assert_eq!(warnings(&bed).await.len(), 1);
    spend(&bed, "p3", 0.85, tomorrow).await;
    let all = warnings(&bed).await;
    assert_eq!(all.len(), 2);
    assert!(all[1].contains("max_usd_per_day in the configuration"), "{}", all[1]);
}

#[tokio::test]
async fn a_ticket_is_named_and_what_is_only_set_aside_is_not_spent() {
    let bed = Bed::new().await;
    bed.limit(ProjectLimits { max_budget_usd_per_ticket: Some(1.0), ..Default::default() }).await;
    let ticket = bed.ticket(&["plan", "impl"]).await.id;
    let worker = bed.worker("plan").await;
    // It may spend all of it.
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    assert_eq!(warnings(&bed).await, Vec::<String>::new());
    bed.ends_at(attempt, completed(), 0.9, NOW).await;
    let of: Option<i64> =
        sqlx::query_scalar("SELECT ticket_id FROM event WHERE kind = 'budget_warning'")
            .fetch_one(&bed.store.readers)
            .await
            .expect("one");
    assert_eq!(of, Some(ticket.key()));
    assert!(warnings(&bed).await[0].contains("this ticket may cost $1.00"));
}

#[tokio::test]
async fn nobody_is_warned_who_does_not_want_it() {
    let bed = Bed::new().await;
    bed.store.set_rules(Rules { budget_warning_percent: 0, max_usd_per_day: Some(1.0), ..RULES });
    spend(&bed, "p1", 0.9, NOW).await;
    assert_eq!(warnings(&bed).await, Vec::<String>::new());
}
