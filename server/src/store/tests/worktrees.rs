//! Where attempts work: worktrees that must be ready, directories in which one attempt is.

use super::*;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::project::ProjectChange;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketState;

fn head(letter: &str) -> Head {
    let stat = DiffStat { files_changed: 2, insertions: 30, deletions: 4 };
    Head { commit: letter.repeat(40), stat }
}

fn accepted(attempt: AttemptId, head: Head) -> Ending {
    Ending { work: Work::Accepted(head), ..ending(attempt, completed()) }
}

pub(super) async fn set(bed: &Bed, isolation: Option<Isolation>, on_complete: Option<OnComplete>) {
    let change = ProjectChange { isolation, on_complete, ..ProjectChange::default() };
    bed.store.update_project("shop", change, NOW).await.expect("changed");
}

/// A claim without anybody having looked after the worktrees.
async fn bare_claim(bed: &Bed, worker: WorkerId, pull: &str) -> Claim {
    bed.store.claim(worker, pull, "session".into(), NOW).await.expect("a claim")
}

#[tokio::test]
async fn a_ticket_is_granted_only_while_its_worktree_is_ready() {
    let bed = Bed::new().await;
    let id = bed.ticket(&["impl", "review"]).await.id;
    let worker = bed.worker("impl").await;
    let found = bed.store.worker(worker).await.unwrap();
    assert_eq!(bare_claim(&bed, worker, "p1").await, Claim::Nothing);
    assert!(!bed.store.has_work(&found, &[]).await.unwrap());
    assert_eq!(bed.store.unprepared().await.unwrap(), [id]);
    bed.prepare().await;
    assert!(bed.store.has_work(&found, &[]).await.unwrap());
    assert_eq!(bed.store.unprepared().await.unwrap(), []);
    let granted = bed.granted(worker, "p2").await;
    assert_eq!(granted.ticket.work, Some(worktree(id)));
    assert_eq!(bed.store.unprepared_ticket(id).await.unwrap(), None, "an attempt works there");
    let occupied = bed.store.worktree_of(granted.attempt.id).await.unwrap().expect("it does");
    assert_eq!((occupied.stage.as_str(), occupied.ended), ("impl", false));
    // What was accepted needs no further look, what was not does.
    bed.store.end_attempt(accepted(granted.attempt.id, head("c")), NOW).await.unwrap();
    assert_eq!(bed.store.worktree_of(granted.attempt.id).await.unwrap(), None);
    assert_eq!(bed.read(id).await.work.unwrap().head, head("c"));
    let reviewer = bed.worker("review").await;
    let Claim::Granted(review) = bare_claim(&bed, reviewer, "p3").await else { panic!() };
    bed.end(review.attempt.id, Verdict::Interrupted { resume: false }).await;
    assert_eq!(bare_claim(&bed, reviewer, "p4").await, Claim::Nothing);
    let found = bed.store.unprepared_ticket(id).await.unwrap().expect("it waits");
    assert_eq!(found.last, Some((review.attempt.id, "review".to_owned())));
    bed.store.distrust_worktrees().await.unwrap();
    assert_eq!(bed.store.unprepared().await.unwrap(), [id]);
}

#[tokio::test]
async fn the_worktree_of_a_closed_ticket_is_looked_after_until_its_tree_is_gone() {
    let bed = Bed::new().await;
    let id = bed.ticket(&["impl"]).await.id;
    let attempt = bed.granted(bed.worker("impl").await, "p").await.attempt.id;
    bed.store.close_ticket(id, Resolution::Cancelled, None, NOW).await.unwrap();
    assert!(bed.store.worktree_of(attempt).await.unwrap().expect("still there").ended);
    assert_eq!(bed.store.prunable_worktrees(NOW.after(DAY), None).await.unwrap(), []);
    // A result that comes too late moves nothing.
    bed.store.end_attempt(accepted(attempt, head("c")), NOW).await.unwrap();
    assert_eq!(bed.read(id).await.work, Some(worktree(id)));
    assert_eq!(bed.store.worktree_of(attempt).await.unwrap(), None);
    let prunable = bed.store.prunable_worktrees(NOW.after(DAY), None).await.unwrap();
    assert_eq!(prunable.iter().map(|ticket| ticket.id).collect::<Vec<_>>(), [id]);
    assert_eq!(bed.store.prunable_worktrees(NOW, None).await.unwrap(), []);
    bed.store.worktree_removed(id, NOW).await.unwrap();
    assert_eq!(bed.store.prunable_worktrees(NOW.after(DAY), None).await.unwrap(), []);
    assert!(bed.read(id).await.work.unwrap().removed);
}

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

#[tokio::test]
async fn work_that_is_owed_keeps_its_ticket_on_hold_and_is_not_forgotten() {
    let bed = Bed::new().await;
    let id = bed.ticket(&["impl", "review"]).await.id;
    let attempt = bed.granted(bed.worker("impl").await, "p").await.attempt.id;
    let owed = Ending {
        work: Work::Owed(Hold::new(HoldKind::Configuration, "no room")),
        ..ending(attempt, completed())
    };
    bed.store.end_attempt(owed, NOW).await.unwrap();
    let ticket = bed.read(id).await;
    assert_eq!(ticket.state, TicketState::OnHold(Hold::new(HoldKind::Configuration, "no room")));
    assert_eq!(ticket.work.unwrap().owed, Some(attempt));
    let detail = bed.store.ticket(id).await.unwrap();
    assert_eq!(detail.comments.len(), 1, "the report was paid for");
    bed.store.resume_ticket(id, Some("review".into()), None, NOW).await.unwrap();
    assert_eq!(bed.store.unprepared().await.unwrap(), [id]);
    bed.store.worktree_ready(id, None, None, super::NOW).await.unwrap();
    assert_eq!(bed.store.unprepared().await.unwrap(), [id], "not before it is committed");
    bed.store.worktree_ready(id, Some(head("d")), None, super::NOW).await.unwrap();
    assert_eq!(bed.store.unprepared().await.unwrap(), []);
    let work = bed.read(id).await.work.unwrap();
    assert_eq!((work.owed, work.head), (None, head("d")));
}

#[tokio::test]
async fn attempts_take_turns_in_a_directory() {
    let bed = Bed::new().await;
    set(&bed, Some(Isolation::Shared), None).await;
    let twin = NewProject {
        name: name("twin"),
        path: "/srv/link-to-shop".into(),
        directory: "/srv/shop".into(),
        isolation: Isolation::Shared,
        on_complete: OnComplete::Keep,
        description: String::new(),
        rules: String::new(),
        patterns: String::new(),
        limits: ProjectLimitsChange::default(),
    };
    bed.store.create_project(twin, NOW).await.unwrap();
    let settings = WorkerTypeSettings::with_prompt("Do.".into());
    bed.store.create_worker_type("twin", name("impl"), settings, NOW).await.unwrap();
    let first = bed.ticket(&["impl"]).await.id;
    let second = bed.ticket(&["review"]).await.id;
    let third = NewTicket { project: name("twin"), ..Bed::new_ticket(&["impl"]) };
    bed.store.create_ticket(third, NOW).await.unwrap();
    let (queues, _) = bed.store.waiting_queues(NOW).await.unwrap();
    assert_eq!(queues.iter().map(|queue| queue.startable).collect::<Vec<_>>(), [1, 1, 1]);
    let attempt = bed.granted(bed.worker("impl").await, "p1").await.attempt.id;
    let reviewer = bed.worker("review").await;
    let twin = bed.store.request_workers("twin", "impl", 1, NOW).await.unwrap()[0].id;
    bed.store.mark_launched(twin, "f".repeat(64), NOW).await.unwrap();
    bed.store.worker_hello(twin, 1, None, NOW).await.unwrap();
    assert_eq!(bed.claim(reviewer, "p2").await, Claim::Nothing);
    assert_eq!(bed.claim(twin, "p3").await, Claim::Nothing);
    let (queues, _) = bed.store.waiting_queues(NOW).await.unwrap();
    assert_eq!(queues.iter().map(|queue| queue.startable).collect::<Vec<_>>(), [0, 0]);
    // Its ticket is closed and its processes are not known to be gone: the directory is still taken.
    bed.store.close_ticket(first, Resolution::Cancelled, None, NOW).await.unwrap();
    assert_eq!(bed.claim(reviewer, "p4").await, Claim::Nothing);
    bed.store.attempt_settled(attempt, Spent::default(), NOW).await.unwrap();
    assert_eq!(bed.granted(reviewer, "p5").await.ticket.id, second);
    assert_eq!(bed.claim(twin, "p6").await, Claim::Nothing);
}

#[tokio::test]
async fn a_ticket_goes_on_where_it_began() {
    let bed = Bed::new().await;
    set(&bed, Some(Isolation::Shared), None).await;
    let shared = bed.ticket(&["impl", "review"]).await.id;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    bed.end(attempt, completed()).await;
    set(&bed, Some(Isolation::Worktree), None).await;
    assert_eq!(bed.store.unprepared().await.unwrap(), [], "its files are in the directory");
    let review = bed.granted(bed.worker("review").await, "p2").await;
    assert_eq!((review.ticket.id, review.ticket.work), (shared, None));
    let alone = bed.ticket(&["impl", "review"]).await.id;
    let granted = bed.granted(worker, "p3").await;
    assert_eq!(granted.ticket.id, alone, "a worktree is nobody's directory");
    set(&bed, Some(Isolation::Shared), None).await;
    bed.store.end_attempt(accepted(granted.attempt.id, head("c")), NOW).await.unwrap();
    let second = bed.granted(bed.worker("review").await, "p4").await;
    assert_eq!(second.ticket.work.map(|work| work.head), Some(head("c")));
}

#[tokio::test]
async fn a_completed_ticket_closes_only_when_its_branch_is_merged() {
    let bed = Bed::new().await;
    set(&bed, None, Some(OnComplete::Merge)).await;
    let id = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    let attempt = bed.granted(worker, "p1").await.attempt.id;
    bed.store.end_attempt(accepted(attempt, head("c")), NOW).await.unwrap();
    assert_eq!(bed.read(id).await.state, TicketState::Running);
    assert_eq!(bed.claim(worker, "p2").await, Claim::Nothing);
    let stage = StageResult {
        outcome: StageOutcome::Completed,
        report: "again".into(),
        tickets: Vec::new(),
    };
    let twice = bed.store.complete_stage(id, "impl", stage.clone(), NOW).await;
    assert_eq!(refusal(twice), Refusal::TicketLanding { ticket: id });
    let landings = bed.store.landings().await.unwrap();
    assert_eq!(landings.iter().map(|ticket| ticket.id).collect::<Vec<_>>(), [id]);
    bed.store
        .landing_refused(id, Hold::new(HoldKind::Conflict, "conflicts in a.rs"), NOW)
        .await
        .unwrap();
    let held = bed.read(id).await;
    assert_eq!(held.state, TicketState::OnHold(Hold::new(HoldKind::Conflict, "conflicts in a.rs")));
    assert_eq!(bed.store.landings().await.unwrap(), []);
    bed.store.landed(id, Some("m".repeat(40)), NOW).await.unwrap();
    assert_eq!(bed.read(id).await.state, held.state, "nobody asked for that any more");
    // The coordinator has fixed it and completes the stage once more.
    bed.store.complete_stage(id, "impl", stage, NOW).await.unwrap();
    bed.store.landed(id, Some("m".repeat(40)), NOW).await.unwrap();
    let closed = bed.read(id).await;
    assert!(matches!(closed.state, TicketState::Closed { resolution: Resolution::Completed, .. }));
    assert_eq!(closed.work.unwrap().merged_commit, Some("m".repeat(40)));
    let ends =
        ["ticket_stage_completed", "ticket_on_hold", "ticket_stage_completed", "ticket_closed"];
    assert!(bed.kinds().await.ends_with(&ends), "{:?}", bed.kinds().await);
}

#[tokio::test]
async fn a_ticket_closed_while_it_is_merged_stays_as_it_was_closed() {
    let bed = Bed::new().await;
    set(&bed, None, Some(OnComplete::Merge)).await;
    let id = bed.ticket(&["impl"]).await.id;
    let attempt = bed.granted(bed.worker("impl").await, "p1").await.attempt.id;
    bed.store.end_attempt(accepted(attempt, head("c")), NOW).await.unwrap();
    bed.store.close_ticket(id, Resolution::Cancelled, None, NOW).await.unwrap();
    assert_eq!(bed.store.landings().await.unwrap(), []);
    bed.store.landed(id, Some("m".repeat(40)), NOW).await.unwrap();
    let closed = bed.read(id).await.state;
    assert!(matches!(closed, TicketState::Closed { resolution: Resolution::Cancelled, .. }));
}

#[tokio::test]
async fn a_ticket_without_work_of_its_own_has_nothing_to_merge() {
    let bed = Bed::new().await;
    set(&bed, None, Some(OnComplete::Merge)).await;
    let id = bed.ticket(&["impl"]).await.id;
    let attempt = bed.granted(bed.worker("impl").await, "p1").await.attempt.id;
    let unchanged = Head { commit: "b".repeat(40), stat: DiffStat::default() };
    bed.store.end_attempt(accepted(attempt, unchanged), NOW).await.unwrap();
    let closed = bed.read(id).await.state;
    assert!(matches!(closed, TicketState::Closed { resolution: Resolution::Completed, .. }));
}
