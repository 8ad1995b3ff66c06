//! Clocks that are set, and machines that sleep: time is never evidence, so nothing is lost and
//! nothing runs twice.

use chrono::DateTime;
use chrono::Utc;
use e2e::bed::Bed;
use e2e::bed::text;
use e2e::clock_shift::ClockShift;
use e2e::server::Setup;
use serde_json::Value;
use serde_json::json;

use crate::fence::agent;

const DAY: i64 = 86_400;

async fn bed_on(clock: &ClockShift) -> Bed {
    let bed = Bed::with(clock.applied_to(Setup::default())).await;
    bed.project("shop", &["build", "review"]).await;
    bed
}

fn assert_in_order(events: &[Value]) {
    let times: Vec<DateTime<Utc>> =
        events.iter().map(|event| text(event, "at").parse().expect("RFC 3339")).collect();
    assert!(times.is_sorted(), "{times:?}");
}

/// The server's clock is really off: otherwise the scenarios below could pass without testing
/// anything.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of this machine is what it is held against"
)]
async fn assert_ahead(bed: &Bed, least: i64) {
    let events = bed.events().await;
    let newest = events.last().expect("a ticket was created");
    let at: DateTime<Utc> = text(newest, "at").parse().expect("RFC 3339");
    assert!((at - Utc::now()).num_seconds() > least, "{at}");
}

#[e2e::scenario]
async fn an_attempt_lives_through_steps_in_both_directions() {
    let clock = ClockShift::build();
    let bed = bed_on(&clock).await;
    // A day is longer than its time limit.
    let ticket = bed.ticket("shop", &["build", "review"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    let agent = agent(&bed, &call);
    for shift in [DAY, -DAY, 2 * DAY] {
        clock.set(shift);
        // Something happens under each of these clocks.
        bed.ticket("shop", &["review"], "").await;
        // Its time is not up: the limit counts the time that really passed.
        agent.ok("get_project", json!({})).await;
    }
    assert_ahead(&bed, DAY).await;
    std::fs::write(call.cwd.join("go"), "").unwrap();
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(2), "{closed}");
    assert_eq!(bed.agents.calls_of(&ticket, "build").len(), 1, "nothing ran twice");
    assert_in_order(&bed.events().await);
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn a_retry_happens_although_the_clock_was_set_back() {
    let clock = ClockShift::build();
    let bed = bed_on(&clock).await;
    let script = "fake: build#1: wait-for go\nfake: build#1: exit 3";
    let ticket = bed.ticket("shop", &["build"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    clock.set(-DAY);
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.completed(&ticket).await;
    assert_in_order(&bed.events().await);
}

#[e2e::scenario]
async fn a_clock_set_back_while_the_server_was_away_delays_nothing() {
    let clock = ClockShift::build();
    clock.set(DAY);
    let mut bed = bed_on(&clock).await;
    let script = "fake: build#1: wait-for go\nfake: build#1: exit 3";
    let ticket = bed.ticket("shop", &["build", "review"], script).await;
    let call = bed.called(&ticket, "build", 1).await;
    bed.server.kill().await;
    clock.set(0);
    std::fs::write(call.cwd.join("go"), "").unwrap();
    bed.launch().await;
    let closed = bed.completed(&ticket).await;
    // The failed run, the question about it, the successful run, and the review.
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(4), "{closed}");
    assert_in_order(&bed.events().await);
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}

#[e2e::scenario]
async fn after_the_machine_slept_attempts_continue_where_they_were() {
    use nix::sys::signal::Signal;

    let clock = ClockShift::build();
    let bed = bed_on(&clock).await;
    let ticket = bed.ticket("shop", &["build", "review"], "fake: build: wait-for go").await;
    let call = bed.called(&ticket, "build", 1).await;
    // Asleep: nothing runs, and the wall clock has advanced when the processes resume.
    let asleep: Vec<i32> = bed.server.descendants().iter().map(|process| process.pid).collect();
    for pid in &asleep {
        assert!(bed.server.send(*pid, Signal::SIGSTOP), "{pid} is there");
    }
    clock.set(DAY);
    std::fs::write(call.cwd.join("go"), "").unwrap();
    for pid in asleep.iter().rev() {
        assert!(bed.server.send(*pid, Signal::SIGCONT), "{pid} is there");
    }
    let closed = bed.completed(&ticket).await;
    assert_eq!(closed["attempts"].as_array().map(Vec::len), Some(2), "{closed}");
    assert_eq!(bed.agents.calls_of(&ticket, "build").len(), 1, "nothing ran twice");
    assert_in_order(&bed.events().await);
    bed.assert_no_overlaps();
    bed.nothing_is_left().await;
}
