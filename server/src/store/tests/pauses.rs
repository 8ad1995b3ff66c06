use std::time::Duration;

use super::Bed;
use super::NOW;
use super::name;
use super::refusal;
use crate::domain::pause::Cause;
use crate::domain::pause::Scope;
use crate::domain::refusal::Refusal;
use crate::domain::waiting;
use crate::domain::worker_type::WorkerTypeChange;
use crate::store::Claim;

fn queue(kind: &str) -> Scope {
    Scope::Queue { project: name("shop"), worker_type: name(kind) }
}

impl Bed {
    async fn cause(&self, ticket: crate::domain::id::TicketId) -> &'static str {
        self.prepare().await;
        let detail = self.store.ticket(ticket).await.unwrap();
        let wait = waiting::waiting(&detail.ticket, &detail.surroundings);
        wait.map_or("", |wait| wait.cause.name())
    }
}

#[tokio::test]
async fn each_scope_holds_what_is_in_it_until_it_is_resumed_itself() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    for (number, (scope, cause)) in [
        (Scope::Everything, "server_paused"),
        (Scope::Project(name("shop")), "project_paused"),
        (queue("impl"), "queue_paused"),
    ]
    .into_iter()
    .enumerate()
    {
        let paused = bed.store.pause(scope.clone(), Some("lunch".into()), NOW).await.unwrap();
        assert_eq!(paused.pauses.len(), 1, "{paused:?}");
        assert_eq!(paused.pauses[0].reason, "lunch");
        // Twice is once.
        assert_eq!(
            bed.store.pause(scope.clone(), Some("lunch".into()), NOW).await.unwrap(),
            paused
        );
        assert_eq!(bed.claim(worker, &format!("p{number}")).await, Claim::Nothing);
        assert_eq!(bed.cause(ticket).await, cause);
        assert_eq!(
            bed.store.waiting_queues(NOW).await.unwrap().0.iter().filter(|q| !q.paused).count(),
            0
        );
        let resumed = bed.store.resume(scope.clone(), false, NOW).await.unwrap();
        assert_eq!(resumed.pauses, []);
        // It is resumed already; saying so again is not an error.
        assert_eq!(bed.store.resume(scope, false, NOW).await.unwrap(), resumed);
    }
    let told: Vec<&str> = bed
        .kinds()
        .await
        .into_iter()
        .filter(|k| k.contains("pause") || k.contains("resume"))
        .collect();
    assert_eq!(
        told,
        [
            "server_paused",
            "server_resumed",
            "project_paused",
            "project_resumed",
            "queue_paused",
            "queue_resumed"
        ]
    );
    assert!(matches!(bed.claim(worker, "last").await, Claim::Granted(_)));
}

#[tokio::test]
async fn a_wider_pause_is_told_with_a_narrower_one() {
    let bed = Bed::new().await;
    bed.store.pause(Scope::Everything, Some("all".into()), NOW).await.unwrap();
    let paused = bed.store.pause(queue("impl"), Some("one".into()), NOW).await.unwrap();
    let reasons: Vec<&str> = paused.pauses.iter().map(|pause| pause.reason.as_str()).collect();
    assert_eq!(reasons, ["all", "one"]);
    let left = bed.store.resume(queue("impl"), false, NOW).await.unwrap();
    assert_eq!(left.pauses.len(), 1);
    let unknown = bed.store.pause(Scope::Project(name("nowhere")), Some("x".into()), NOW).await;
    assert!(matches!(refusal(unknown), Refusal::UnknownProject { .. }));
}

#[tokio::test]
async fn a_pause_by_hand_is_not_ended_by_changing_the_type_or_spawning() {
    let bed = Bed::new().await;
    bed.store.pause(queue("impl"), Some("wait for Anna".into()), NOW).await.unwrap();
    let change = WorkerTypeChange { max_workers: Some(8), ..WorkerTypeChange::default() };
    let changed = bed.store.update_worker_type("shop", "impl", change, NOW).await.unwrap();
    assert!(changed.pause.is_some_and(|pause| pause.by_hand));
    bed.store.request_workers("shop", "impl", 1, NOW).await.unwrap();
    let kind = bed.store.worker_type("shop", "impl").await.unwrap();
    assert_eq!(kind.pause.map(|pause| pause.reason), Some("wait for Anna".into()));
}

#[tokio::test]
async fn the_usage_limit_holds_everything_until_it_is_reset() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let reset = NOW.after(Duration::from_secs(3600));
    for _ in 0..3 {
        bed.store.hold_for_usage_limit("limit reached".into(), reset, NOW).await.unwrap();
    }
    assert_eq!(bed.cause(ticket).await, "usage_limit");
    let pauses = bed.store.pauses(None).await.unwrap();
    assert_eq!((pauses[0].cause, pauses[0].until), (Cause::UsageLimit, Some(reset)));
    assert_eq!(bed.store.lift_due_pauses(NOW).await.unwrap(), Some(reset));
    assert_eq!(bed.store.lift_due_pauses(reset).await.unwrap(), None);
    assert_eq!(bed.cause(ticket).await, "next");
    let told: Vec<&str> =
        bed.kinds().await.into_iter().filter(|kind| kind.starts_with("server_")).collect();
    assert_eq!(told, ["server_paused", "server_resumed"]);
    // A limit that is over already holds nothing.
    bed.store.hold_for_usage_limit("limit reached".into(), NOW, NOW).await.unwrap();
    assert_eq!(bed.cause(ticket).await, "next");
}

#[tokio::test]
async fn a_later_word_of_the_account_ends_the_hold_and_an_earlier_one_does_not() {
    let bed = Bed::new().await;
    let later = |seconds| NOW.after(std::time::Duration::from_secs(seconds));
    let paused = async || !bed.store.pauses(None).await.unwrap().is_empty();
    let reason = "the account's usage limit is reached".to_owned();
    bed.store.hold_for_usage_limit(reason, later(3600), later(10)).await.unwrap();
    bed.store.usage_limit_holds_no_more(later(9), later(20)).await.unwrap();
    assert!(paused().await);
    bed.store.usage_limit_holds_no_more(later(11), later(20)).await.unwrap();
    assert!(!paused().await);
}

#[tokio::test]
async fn resume_says_what_stays_paused_and_all_resumes_it() {
    let bed = Bed::new().await;
    let project = || Scope::Project(name("shop"));
    for scope in [queue("impl"), project(), Scope::Everything] {
        bed.store.pause(scope, Some("lunch".into()), NOW).await.unwrap();
    }
    let resumed = bed.store.resume(Scope::Everything, false, NOW).await.unwrap();
    assert_eq!(resumed.pauses, []);
    let scopes: Vec<Scope> = resumed.inner.iter().map(|pause| pause.scope.clone()).collect();
    assert_eq!(scopes, [project(), queue("impl")]);
    assert_eq!(bed.store.all_pauses().await.unwrap(), resumed.inner);
    let resumed = bed.store.resume(project(), false, NOW).await.unwrap();
    assert_eq!(resumed.inner.len(), 1, "{resumed:?}");
    bed.store.pause(project(), Some("again".into()), NOW).await.unwrap();
    let resumed = bed.store.resume(Scope::Everything, true, NOW).await.unwrap();
    assert_eq!((resumed.pauses, resumed.inner), (vec![], vec![]));
    assert_eq!(bed.store.all_pauses().await.unwrap(), []);
}
