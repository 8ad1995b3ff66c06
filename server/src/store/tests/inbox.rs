//! The inbox: everything that waits for somebody, oldest first, in pages, at a cost that what is closed does not raise.

use super::*;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::outcome::Failure;
use crate::domain::pause::Scope;
use crate::domain::ticket::Resolution;
use crate::store::InboxPlace;
use crate::store::InboxQuery;

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

async fn inbox(bed: &Bed, project: Option<&str>) -> Vec<(String, &'static str)> {
    let page = bed.store.inbox(project, None, 50, NOW).await.unwrap();
    assert!(!page.more);
    page.items.iter().map(|(_, item)| (item.id(), item.kind())).collect()
}

/// Something of each kind, each newer than the one before.
async fn full() -> Bed {
    let bed = Bed::new().await;
    let held = bed.ticket(&["impl"]).await.id;
    let why = Hold::new(HoldKind::Conflict, "conflicts");
    bed.store.worktree_failed(held, why, at(10)).await.unwrap();
    let shop = || Scope::Project(name("shop"));
    bed.store.pause(shop(), Some("a release".into()), at(20)).await.unwrap();
    bed.store.resume(shop(), false, at(21)).await.unwrap();
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    let granted = bed.granted(worker, "a").await;
    let refused =
        Verdict::Failed { failure: Failure::Authentication, detail: "not logged in".into() };
    bed.store.end_attempt(ending(granted.attempt.id, refused), at(30)).await.unwrap();
    bed.store.pause(Scope::Everything, Some("lunch".into()), at(40)).await.unwrap();
    bed.store.pause(shop(), Some("a release".into()), at(50)).await.unwrap();
    let queue = Scope::Queue { project: name("shop"), worker_type: name("review") };
    bed.store.pause(queue, Some("later".into()), at(60)).await.unwrap();
    bed.store.close_ticket(ticket, Resolution::Completed, None, at(70)).await.unwrap();
    bed
}

#[tokio::test]
async fn what_waits_is_listed_oldest_first_whatever_it_is() {
    let bed = full().await;
    let item = |id: &str, kind: &'static str| (id.to_owned(), kind);
    let all = [
        item("T-1", "conflict"),
        item("shop/impl", "login"),
        item("server", "server_paused"),
        item("shop", "project_paused"),
        item("shop/review", "queue_paused"),
    ];
    assert_eq!(inbox(&bed, None).await, all);
    assert_eq!(inbox(&bed, Some("shop")).await, all);
    let other = NewProject {
        name: name("app"),
        path: "/srv/app".into(),
        directory: "/srv/app".into(),
        isolation: Isolation::Shared,
        on_complete: OnComplete::Keep,
        description: String::new(),
        rules: String::new(),
        patterns: String::new(),
        limits: ProjectLimitsChange::default(),
    };
    bed.store.create_project(other, NOW).await.unwrap();
    assert_eq!(inbox(&bed, Some("app")).await, [item("server", "server_paused")]);
}

#[tokio::test]
async fn pages_of_any_size_give_each_item_once() {
    let bed = full().await;
    for index in 0..3 {
        let ticket = bed.ticket(&["plan"]).await.id;
        // The same instant for two of them, and for a pause.
        let why = Hold::new(HoldKind::Configuration, "no room");
        bed.store.worktree_failed(ticket, why, at(60 + index / 2)).await.unwrap();
    }
    let whole = bed.store.inbox(None, None, 50, NOW).await.unwrap().items;
    assert_eq!(whole.len(), 8);
    for limit in 1..4 {
        let (mut found, mut after): (Vec<_>, Option<InboxPlace>) = (Vec::new(), None);
        loop {
            let page = bed.store.inbox(None, after, limit, NOW).await.unwrap();
            after = page.items.last().map(|(place, _)| *place);
            found.extend(page.items);
            if !page.more {
                break;
            }
        }
        assert_eq!(found, whole, "pages of {limit}");
    }
}

#[tokio::test]
async fn each_kind_is_counted_and_listed_by_itself() {
    let bed = full().await;
    for index in 0..3 {
        let ticket = bed.ticket(&["plan"]).await.id;
        let why = Hold::new(HoldKind::Operator, "it was stopped manually");
        bed.store.worktree_failed(ticket, why, at(5 + index)).await.unwrap();
    }
    let counts = [
        ("conflict", 1),
        ("login", 1),
        ("operator", 3),
        ("project_paused", 1),
        ("queue_paused", 1),
        ("server_paused", 1),
    ];
    for project in [None, Some("shop".to_owned())] {
        let of = |kinds: &[&'static str], limit| InboxQuery {
            project: project.clone(),
            kinds: kinds.to_vec(),
            limit,
            ..InboxQuery::default()
        };
        let two = bed.store.inbox_of(of(&["operator"], 2), NOW).await.unwrap();
        let ids: Vec<String> = two.items.iter().map(|(_, item)| item.id()).collect();
        assert_eq!((ids, two.more), (vec!["T-3".to_owned(), "T-4".to_owned()], true));
        assert_eq!(two.counts, counts.into(), "of every kind, whatever is listed");
        let after = two.items.last().map(|(place, _)| *place);
        let rest = InboxQuery { after, ..of(&["operator", "login"], 9) };
        let rest = bed.store.inbox_of(rest, NOW).await.unwrap();
        let ids: Vec<String> = rest.items.iter().map(|(_, item)| item.id()).collect();
        assert_eq!((ids, rest.more), (vec!["T-5".to_owned(), "shop/impl".to_owned()], false));
    }
}

#[tokio::test]
async fn a_stuck_attempt_is_in_the_inbox_until_it_is_settled() {
    let bed = Bed::new().await;
    bed.ticket(&["impl"]).await;
    let worker = bed.worker("impl").await;
    let granted = bed.granted(worker, "a").await;
    assert!(inbox(&bed, None).await.is_empty());
    bed.store.attempt_suspect(granted.attempt.id).await.unwrap();
    assert_eq!(inbox(&bed, None).await, [("A-1".to_owned(), "stuck")]);
    assert_eq!(inbox(&bed, Some("shop")).await.len(), 1);
    bed.end(granted.attempt.id, completed()).await;
    bed.store.attempt_settled(granted.attempt.id, Spent::default(), NOW).await.unwrap();
    assert!(inbox(&bed, None).await.is_empty());
}

#[tokio::test]
async fn work_that_was_accepted_and_not_merged_is_told_apart() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    let granted = bed.granted(worker, "a").await;
    let owed = Ending {
        work: Work::Owed(Hold::new(HoldKind::Unfinished, "in the middle of a merge")),
        ..ending(granted.attempt.id, completed())
    };
    bed.store.end_attempt(owed, NOW).await.unwrap();
    let page = bed.store.inbox(None, None, 50, NOW).await.unwrap();
    let [(_, item)] = page.items.as_slice() else { panic!("{:?}", page.items) };
    assert_eq!(item.ticket(), Some(ticket));
    let tools: Vec<&str> = item.actions().iter().map(|action| action.tool).collect();
    assert_eq!(tools, ["resume_ticket", "complete_ticket_stage", "close_ticket"]);
}
