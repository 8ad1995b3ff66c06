//! A ticket's history in parts: the newest first, and nothing out of reach.

use crate::domain::attempt::Spent;
use crate::domain::id::AttemptId;
use crate::domain::id::CommentId;
use crate::domain::id::TicketId;
use crate::domain::outcome::Verdict;
use crate::domain::refusal::Refusal;
use crate::store::History;
use crate::store::TicketDetail;
use crate::store::tests::Bed;
use crate::store::tests::NOW;
use crate::store::tests::refusal;

impl Bed {
    async fn history(&self, ticket: TicketId, history: History) -> TicketDetail {
        self.store.ticket_at(ticket, history, NOW).await.expect("the ticket")
    }
}

fn keys(detail: &TicketDetail) -> Vec<i64> {
    detail.comments.iter().map(|comment| comment.id.key()).collect()
}

#[tokio::test]
async fn many_comments_come_in_pages_from_the_newest_on() {
    let bed = Bed::new().await;
    let (ticket, other) = (bed.ticket(&["impl"]).await.id, bed.ticket(&["impl"]).await.id);
    for number in 1..=120 {
        bed.store.add_comment(ticket, format!("remark {number}"), NOW).await.unwrap();
    }
    bed.store.add_comment(other, "elsewhere".into(), NOW).await.unwrap();

    let newest = bed.history(ticket, History::default()).await;
    assert_eq!(newest.comments_total, 120);
    assert_eq!(keys(&newest), (71..=120).collect::<Vec<_>>());
    assert_eq!(newest.comments.last().unwrap().content, "remark 120");
    assert_eq!(newest.comments_before, Some(CommentId::from_key(71)));
    let before = |comments_before| History { comments_before, ..History::default() };
    let middle = bed.history(ticket, before(newest.comments_before)).await;
    assert_eq!(keys(&middle), (21..=70).collect::<Vec<_>>());
    let oldest = bed.history(ticket, before(middle.comments_before)).await;
    assert_eq!(keys(&oldest), (1..=20).collect::<Vec<_>>());
    assert_eq!(oldest.comments_before, None);
}

#[tokio::test]
async fn long_comments_share_the_room_and_one_alone_is_cut_and_shown_whole_when_asked_for() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let long = "ä".repeat(100_000);
    for content in [long.clone(), "y".repeat(15_000), "z".repeat(30_000)] {
        bed.store.add_comment(ticket, content, NOW).await.unwrap();
    }
    let newest = bed.history(ticket, History::default()).await;
    assert_eq!((keys(&newest), &newest.cut), (vec![3], &Vec::new()));
    let before =
        |key| History { comments_before: Some(CommentId::from_key(key)), ..History::default() };
    // The next one fits whole, but the one before it would not fit beside it.
    assert_eq!(keys(&bed.history(ticket, before(3)).await), [2]);
    let oldest = bed.history(ticket, before(2)).await;
    assert_eq!(oldest.cut, [CommentId::from_key(1)]);
    assert_eq!(oldest.comments[0].content, "ä".repeat(40_000));
    let one = |key| History { comment: Some(CommentId::from_key(key)), ..History::default() };
    let whole = bed.history(ticket, one(1)).await;
    assert_eq!((whole.comments[0].content == long, whole.cut), (true, Vec::new()));
    assert_eq!((whole.comments_total, whole.comments_before), (3, None));
    assert_eq!(
        refusal(bed.store.ticket_at(ticket, one(9), NOW).await),
        Refusal::UnknownComment { comment: CommentId::from_key(9), ticket }
    );
}

#[tokio::test]
async fn many_attempts_come_in_pages_and_keep_every_digit() {
    let bed = Bed::new().await;
    let ticket = bed.ticket(&["impl"]).await.id;
    let worker = bed.worker("impl").await;
    for run in 1..=23 {
        let attempt = bed.granted(worker, &format!("p{run}")).await.attempt.id;
        let verdict = Verdict::Interrupted { resume: false };
        let mut ending = super::ending(attempt, verdict);
        // No number of fifteen digits: what is charged must not change on its way.
        ending.spent.cost_usd = (run != 3).then_some(0.1 + 0.2);
        bed.store.end_attempt(ending, NOW).await.unwrap();
        bed.store.attempt_settled(attempt, Spent::default(), NOW).await.unwrap();
    }
    let newest = bed.history(ticket, History::default()).await;
    let ids =
        |detail: &TicketDetail| detail.attempts.iter().map(|a| a.id.key()).collect::<Vec<_>>();
    assert_eq!((newest.attempts_total, ids(&newest)), (23, (4..=23).collect()));
    assert_eq!(newest.attempts[0].spent.cost_usd, Some(0.1 + 0.2));
    assert_eq!(newest.attempts_before, Some(AttemptId::from_key(4)));
    let older = History { attempts_before: newest.attempts_before, ..History::default() };
    let older = bed.history(ticket, older).await;
    assert_eq!((ids(&older), older.attempts_before), (vec![1, 2, 3], None));
    for (at, key) in [(1, 2), (2, 3)] {
        let one = bed.store.attempt(AttemptId::from_key(key)).await.unwrap().unwrap();
        assert_eq!(older.attempts[at], one, "both ways to an attempt read the same");
    }
    assert_eq!(older.attempts[2].spent.cost_usd, None, "nobody said, which is not nothing");
}
