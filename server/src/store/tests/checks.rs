//! What a ticket's file and its coordinator set, ports, and changes that need somebody's agreement.

use serde_json::json;

use super::*;
use crate::domain::checks;
use crate::domain::checks::Tables;
use crate::domain::checks::TablesChange;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::planned;
use crate::domain::project::ProjectChange;
use crate::domain::ticket::Resolution;
use crate::domain::ticket::TicketState;
use crate::store::Begun;
use crate::store::Protection;

const FILE: &str =
    "[worktree]\nports = 10\n\n[[gate]]\nname = \"test\"\ncommand = [\"make\", \"test\"]\n";

const PORTS: &str = "[worktree]\nports = 10\n";

fn kept(text: &str) -> Kept {
    let tables = checks::file::parse(text.as_bytes()).expect("a good file").tables;
    Kept { commit: Some("b".repeat(40)), found: true, tables, copied: None }
}

async fn begin(bed: &Bed, ticket: TicketId, text: &str, busy_ports: &[i64]) -> Begun {
    let new =
        Beginning { work: worktree(ticket), kept: kept(text), busy_ports: busy_ports.to_vec() };
    bed.store.begin_worktree(ticket, new).await.expect("an answer")
}

/// Sets what the coordinator says about the gates of the project.
pub(super) async fn set_gates(bed: &Bed, gates: &serde_json::Value) {
    let gates = Some(checks::json::gates(gates).expect("good settings"));
    set(bed, TablesChange { gates, ..TablesChange::default() }).await;
}

async fn set(bed: &Bed, checks: TablesChange) {
    let change = ProjectChange { checks, ..ProjectChange::default() };
    bed.store.update_project("shop", change, NOW).await.expect("changed");
}

#[tokio::test]
async fn what_the_coordinator_sets_wins_over_what_was_kept_with_a_ticket() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    assert_eq!(bed.store.checks_of(ticket).await.unwrap(), checks::Checks::default());
    assert_eq!(bed.store.kept_checks(ticket).await.unwrap(), None);
    assert_eq!(begin(&bed, ticket, FILE, &[]).await, Begun::Yes);
    assert_eq!(bed.store.kept_checks(ticket).await.unwrap(), Some(kept(FILE)));
    set_gates(&bed, &json!([{"name": "test", "retries": 4}])).await;
    set(
        &bed,
        TablesChange {
            worktree: Some(checks::json::worktree(&json!({"setup": [["true"]]})).unwrap()),
            ..TablesChange::default()
        },
    )
    .await;
    let counts = bed.store.checks_of(ticket).await.unwrap();
    assert_eq!(
        (counts.gates[0].retries, counts.gates[0].command.as_slice()),
        (4, &["make".to_owned(), "test".to_owned()][..])
    );
    assert_eq!((counts.worktree.ports, counts.worktree.setup), (10, vec![vec!["true".to_owned()]]));
    // A call that sets nothing about them changes nothing about them.
    bed.store.update_project("shop", ProjectChange::default(), NOW).await.unwrap();
    assert_eq!(bed.store.checks_of(ticket).await.unwrap().gates[0].retries, 4);
    set_gates(&bed, &json!([])).await;
    assert_eq!(bed.store.checks_of(ticket).await.unwrap().gates[0].retries, 1);
}

#[tokio::test]
async fn no_two_open_tickets_share_a_port() {
    let bed = Bed::new().await;
    let (a, b) = (bed.ticket(&["impl"]).await.id, bed.ticket(&["impl"]).await.id);
    assert_eq!(begin(&bed, a, FILE, &[20_003]).await, Begun::Yes);
    assert_eq!(begin(&bed, b, FILE, &[20_003]).await, Begun::Yes);
    assert_eq!(bed.store.ports_of(a).await.unwrap(), Some((20_004, 10)));
    assert_eq!(bed.store.ports_of(b).await.unwrap(), Some((20_014, 10)));
    let worker = bed.worker("impl").await;
    assert_eq!(bed.granted(worker, "p").await.ready.ports, Some((20_004, 10)));
    bed.store.close_ticket(a, Resolution::Cancelled, None, NOW).await.unwrap();
    assert_eq!(bed.store.ports_of(a).await.unwrap(), None);
    let c = bed.ticket(&["impl"]).await.id;
    assert_eq!(begin(&bed, c, FILE, &[]).await, Begun::Yes);
    assert_eq!(bed.store.ports_of(c).await.unwrap(), Some((20_000, 10)));
}

#[tokio::test]
async fn a_ticket_for_which_no_ports_are_left_does_not_begin() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let full = "INSERT INTO port_block (first, count, ticket_id) VALUES (20000, 12760, ?1)";
    let other = bed.ticket(&["impl"]).await.id;
    sqlx::query(full).bind(other.key()).execute(&mut bed.raw().await).await.unwrap();
    assert_eq!(begin(&bed, ticket, FILE, &[]).await, Begun::NoPorts(10));
    assert_eq!(bed.store.kept_checks(ticket).await.unwrap(), None);
    assert_eq!(bed.read(ticket).await.work, None);
    bed.store.close_ticket(other, Resolution::Cancelled, None, NOW).await.unwrap();
    assert_eq!(begin(&bed, ticket, FILE, &[]).await, Begun::Yes);
}

#[tokio::test]
async fn in_a_directory_the_file_counts_as_it_was_when_the_ticket_was_created() {
    let bed = Bed::new().await;
    let change = ProjectChange { isolation: Some(Isolation::Shared), ..ProjectChange::default() };
    bed.store.update_project("shop", change, NOW).await.unwrap();
    let bad = checks::kept::unusable(None, "line 1, column 1: no");
    let new = Bed::new_ticket(&["plan"]);
    let held =
        bed.store.create_ticket_with(new.clone(), Some(Err(bad.clone())), NOW).await.unwrap();
    assert_eq!(held.state, TicketState::OnHold(bad));
    let found = Kept { commit: None, ..kept(PORTS) };
    let resumed = bed.store.resume_ticket_with(held.id, None, None, Some(found.clone()), NOW).await;
    assert_eq!(resumed.unwrap().state, TicketState::Queued);
    assert_eq!(bed.store.kept_checks(held.id).await.unwrap(), Some(found.clone()));
    bed.store.close_ticket(held.id, Resolution::Cancelled, None, NOW).await.unwrap();

    let ticket = bed.store.create_ticket_with(new, Some(Ok(found.clone())), NOW).await.unwrap();
    assert_eq!(
        bed.store.ports_of(ticket.id).await.unwrap(),
        None,
        "a ticket that waits has no ports"
    );
    let granted = bed.granted(bed.worker("plan").await, "p").await;
    assert_eq!(granted.ready.ports, Some((20_000, 10)));
    assert_eq!(granted.ready.checks.worktree.ports, 10);
    // What an agent does to the file meanwhile does not count for the tickets of its result either.
    let asked = planned::tickets(&json!([{"key": "a", "title": "A", "execution_plan": ["impl"]}]));
    let (outcome, report) = (StageOutcome::Completed, "the plan".into());
    let result = StageResult { outcome, report, tickets: asked.unwrap() };
    bed.end(granted.attempt.id, Verdict::Succeeded(result)).await;
    // They are created when the gates have let the result pass.
    let none = crate::store::Planned::default();
    bed.store.checks_planned(ticket.id, none, NOW).await.unwrap();
    let child = TicketId::from_key(ticket.id.key() + 1);
    assert_eq!(bed.store.kept_checks(child).await.unwrap(), Some(found));
}

fn head(letter: &str) -> Head {
    Head { commit: letter.repeat(40), stat: DiffStat::default() }
}

/// Completes the only stage of a ticket with a commit that was looked at.
async fn done(bed: &Bed, pull: &str, letter: &str, touches: Option<&str>) -> Ticket {
    let granted = bed.granted(bed.worker("impl").await, pull).await;
    let ticket = granted.ticket.id;
    let commit = head(letter).commit;
    bed.store.note_protection(ticket, &commit, touches.map(str::to_owned)).await.unwrap();
    let end =
        Ending { work: Work::Accepted(head(letter)), ..ending(granted.attempt.id, completed()) };
    bed.store.end_attempt(end, NOW).await.unwrap();
    bed.read(ticket).await
}

#[tokio::test]
async fn a_change_of_protected_files_waits_for_somebody_to_agree() {
    let bed = Bed::new().await;
    let id = bed.ticket(&["impl"]).await.id;
    let held = done(&bed, "a", "c", Some("it changes tests")).await;
    assert_eq!(held.state, TicketState::OnHold(Hold::new(HoldKind::Decision, "it changes tests")));
    // Not agreed: the stage runs again, and its next commit is looked at like the first.
    bed.store
        .resume_ticket(id, Some("impl".into()), Some("Leave the tests.".into()), NOW)
        .await
        .unwrap();
    let held = done(&bed, "b", "d", Some("it changes tests")).await;
    assert!(matches!(held.state, TicketState::OnHold(_)), "{:?}", held.state);
    let agreed = bed.store.resume_ticket(id, None, None, NOW).await.unwrap();
    assert_eq!(agreed.state, TicketState::Closed { resolution: Resolution::Completed, at: NOW });
}

#[tokio::test]
async fn what_changes_nothing_that_is_protected_closes_at_once() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    let closed = done(&bed, "a", "c", None).await;
    assert_eq!(closed.state, TicketState::Closed { resolution: Resolution::Completed, at: NOW });
}

#[tokio::test]
async fn a_commit_at_which_nobody_looked_does_not_land() {
    let bed = Bed::new().await;
    let id = bed.ticket(&["impl"]).await.id;
    let granted = bed.granted(bed.worker("impl").await, "a").await;
    bed.store.note_protection(id, &head("x").commit, None).await.unwrap();
    let end = Ending { work: Work::Accepted(head("c")), ..ending(granted.attempt.id, completed()) };
    bed.store.end_attempt(end, NOW).await.unwrap();
    assert_eq!(bed.read(id).await.state, TicketState::Running);
    assert_eq!(bed.store.landings().await.unwrap().len(), 1, "it waits for a look");
    assert_eq!(bed.store.protection_of(id).await.unwrap(), Protection::Unknown);
    bed.store
        .note_protection(id, &head("c").commit, Some("it changes tests".into()))
        .await
        .unwrap();
    assert!(matches!(bed.store.protection_of(id).await.unwrap(), Protection::Undecided(_)));
}

#[tokio::test]
async fn to_complete_the_stage_is_to_agree() {
    let bed = Bed::new().await;
    let id = bed.ticket(&["impl"]).await.id;
    done(&bed, "a", "c", Some("it changes tests")).await;
    let result =
        StageResult { outcome: StageOutcome::Completed, report: "Fine.".into(), tickets: vec![] };
    let completed = bed.store.complete_stage(id, "impl", result, NOW).await.unwrap();
    assert_eq!(completed.state, TicketState::Closed { resolution: Resolution::Completed, at: NOW });
}

#[tokio::test]
async fn tables_are_empty_until_they_are_set() {
    let bed = Bed::new().await;
    let project = bed.store.project("shop").await.unwrap();
    assert_eq!(bed.store.project_checks(project.key).await.unwrap(), Tables::default());
}
