use super::Bed;
use super::NOW;
use super::completed;
use super::ending;
use super::refusal;
use crate::domain::attempt::Spent;
use crate::domain::refusal::Refusal;
use crate::store::Ending;
use crate::store::GroupBy;
use crate::store::Usage;
use crate::store::UsageFilter;

#[tokio::test]
async fn runs_of_gates_are_counted_beside_the_dollars_and_flaky_ones_by_themselves() {
    let bed = Bed::new().await;
    let file = super::gates::FILE.replace("retries = 0", "retries = 1");
    let id = bed.gated(&["impl"], &file).await;
    bed.work("impl", "p").await;
    bed.plan(id).await;
    bed.judged("red", super::gates::RED).await;
    bed.judged("green", crate::domain::gates::ran::Ran::Passed).await;
    for by in GroupBy::ALL {
        let page = bed.store.usage(UsageFilter::default(), by, 0, 50).await.unwrap();
        let sums = page.groups.iter().fold((0, 0), |(runs, flaky), group| {
            (runs + group.gate_runs, flaky + group.gate_flaky)
        });
        assert_eq!(sums, (2, 1), "{}", by.name());
        assert_eq!((page.total.attempts, page.total.gate_runs), (3, 2));
        assert_eq!(page.total.gate_peak_memory_bytes, Some(1 << 20));
        assert!((page.total.cost_usd - 0.25).abs() < 1e-9, "a gate costs no dollars");
    }
}

#[tokio::test]
async fn sums_are_the_same_however_they_are_grouped() {
    let bed = Bed::new().await;
    let mut pulls = 0;
    for ticket in [["plan", "impl"], ["plan", "impl"]] {
        bed.ticket(&ticket).await;
        for kind in ticket {
            let worker = bed.worker(kind).await;
            pulls += 1;
            let attempt = bed.granted(worker, &format!("p{pulls}")).await.attempt.id;
            bed.store.attempt_started(attempt, 1, NOW, NOW).await.unwrap();
            let spent = Spent {
                num_turns: Some(3),
                // One of them was killed and could not say.
                cost_usd: (pulls != 4).then_some(0.5),
                input_tokens: Some(100),
                output_tokens: Some(10),
                cached_tokens: Some(40),
                peak_memory_bytes: Some(pulls * 1000),
                ..Spent::default()
            };
            let ended = NOW.after(std::time::Duration::from_millis(1500));
            let ending = Ending { spent, ..ending(attempt, completed()) };
            bed.store.end_attempt(ending, ended).await.unwrap();
        }
    }
    let usage = async |by, filter| bed.store.usage(filter, by, 0, 50).await.unwrap();
    let total = Usage {
        attempts: 4,
        unpriced: 1,
        turns: 12,
        input_tokens: 400,
        cached_tokens: 160,
        output_tokens: 40,
        cost_usd: 1.5,
        assumed_usd: 0.75,
        wall_ms: 6000,
        peak_memory_bytes: Some(4000),
        ..Usage::default()
    };
    let groups = [
        (GroupBy::Day, 1),
        (GroupBy::Project, 1),
        (GroupBy::WorkerType, 2),
        (GroupBy::Ticket, 2),
        (GroupBy::Stage, 4),
        (GroupBy::Attempt, 4),
    ];
    for (by, count) in groups {
        let page = usage(by, UsageFilter::default()).await;
        assert_eq!(page.groups.len(), count, "{by:?}");
        assert_eq!(page.count, i64::try_from(count).ok(), "{by:?}");
        let first = bed.store.usage(UsageFilter::default(), by, 0, 1).await.unwrap();
        assert_eq!((first.groups.len(), first.count), (1, page.count), "{by:?}");
        assert_eq!(page.total, total, "{by:?}");
        let cost: f64 = page.groups.iter().map(|group| group.cost_usd).sum();
        assert!((cost - 1.5).abs() < 1e-9, "{by:?}");
    }
    // Events are pruned and deleted projects are gone from lists; what was spent stays spent.
    let future = NOW.after(std::time::Duration::from_secs(90 * 86_400));
    assert!(bed.store.prune_events(future, future).await.unwrap() > 0);
    assert_eq!(usage(GroupBy::Ticket, UsageFilter::default()).await.total, total);
    let page = usage(GroupBy::WorkerType, UsageFilter::default()).await;
    assert_eq!(page.groups[0].worker_type.as_deref(), Some("plan"), "dearest first");
    assert_eq!(page.groups[1].unpriced, 1);
    let day = usage(GroupBy::Day, UsageFilter::default()).await.groups.remove(0).day;
    assert_eq!(day.as_deref(), Some("1970-01-01"));

    let one = UsageFilter { worker_type: Some("impl".into()), ..UsageFilter::default() };
    assert_eq!(usage(GroupBy::Stage, one.clone()).await.count, Some(2));
    assert_eq!(usage(GroupBy::Day, one).await.total.attempts, 2);
    let later = NOW.after(std::time::Duration::from_secs(60));
    let none = UsageFilter { since: Some(later), ..UsageFilter::default() };
    assert_eq!(usage(GroupBy::Day, none).await.total, Usage::default());
    let page = bed.store.usage(UsageFilter::default(), GroupBy::Attempt, 3, 1).await.unwrap();
    assert_eq!((page.groups.len(), page.more), (1, false));
    let unknown = UsageFilter { project: Some("nowhere".into()), ..UsageFilter::default() };
    let wrong = bed.store.usage(unknown, GroupBy::Day, 0, 50).await;
    assert!(matches!(refusal(wrong), Refusal::UnknownProject { .. }));
}

#[tokio::test]
async fn absurd_numbers_are_bounded_and_sums_of_them_stay_numbers() {
    let bed = Bed::new().await;
    let worker = bed.worker("impl").await;
    let mut tickets = Vec::new();
    for pull in ["p1", "p2"] {
        tickets.push(bed.ticket(&["impl"]).await.id);
        let attempt = bed.granted(worker, pull).await.attempt.id;
        let spent = Spent {
            cost_usd: Some(1e308),
            num_turns: Some(i64::MAX),
            input_tokens: Some(i64::MAX),
            output_tokens: Some(i64::MAX),
            cached_tokens: Some(i64::MAX),
            peak_memory_bytes: Some(i64::MAX),
            seen_worth: Some(f64::INFINITY),
            ..Spent::default()
        };
        let ending = Ending { spent, ..ending(attempt, completed()) };
        bed.store.end_attempt(ending, NOW).await.unwrap();
    }
    let total = async || {
        bed.store.usage(UsageFilter::default(), GroupBy::Ticket, 0, 50).await.unwrap().total
    };
    let sums = total().await;
    assert_eq!((sums.cost_usd, sums.input_tokens), (2e6, 2_000_000_000_000));
    assert_eq!(bed.read(tickets[0]).await.cost_usd.to_bits(), 1e6_f64.to_bits());

    // Rows that are older than the bounds.
    let absurd = "UPDATE attempt SET cost_usd = 1e308, input_tokens = 9223372036854775807,
        num_turns = 9223372036854775807, output_tokens = 9223372036854775807, assumed_usd = 9e999";
    for sql in [absurd, "UPDATE ticket SET cost_usd = 9e999, assumed_usd = 1e308"] {
        bed.store
            .writer
            .write(move |c| {
                Box::pin(async move {
                    sqlx::query(sql).execute(c).await?;
                    Ok(())
                })
            })
            .await
            .unwrap();
    }
    let sums = total().await;
    // An attempt is never counted with more than a million dollars.
    assert_eq!((sums.cost_usd, sums.assumed_usd), (2e6, 2e6));
    assert_eq!((sums.input_tokens, sums.turns), ((1 << 53) - 1, (1 << 53) - 1));
    let ticket = bed.read(tickets[1]).await;
    assert_eq!((ticket.cost_usd, ticket.assumed_usd), (1e12, 1e12));
    let detail = bed.store.ticket(tickets[1]).await.unwrap();
    assert!(detail.attempts.iter().all(|one| one.assumed_usd.is_some_and(f64::is_finite)));
}
