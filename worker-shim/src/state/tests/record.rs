//! The end of an attempt: the record on disk, over the link, or nowhere.

use super::*;

#[test]
fn nothing_is_announced_before_it_is_sealed() {
    let mut shim = Shim::running(limits());
    shim.feed(Event::ChildExited);
    shim.sealed();
    assert!(!shim.connect().contains(&completed()), "not even on a new link");
    let complaint = "the end of A-1 cannot be recorded: no room".to_owned();
    assert_eq!(shim.feed(no_room()), [Action::Complain(complaint), reported(true)]);
    let retried = shim.pass(seconds(1));
    assert!(matches!(retried[..], [Action::Seal(_)]), "{retried:?}");
    assert_eq!(shim.feed(no_room()), [], "told once; the heartbeats repeat it");
    let retried = shim.pass(seconds(1));
    assert!(matches!(retried[..], [Action::Seal(_)]), "{retried:?}");
    assert_eq!(shim.feed(Event::Sealed(record())), [completed()]);
}

#[test]
fn a_record_that_cannot_be_written_is_offered_until_it_is_taken() {
    let mut shim = Shim::running(limits());
    shim.feed(Event::ChildExited);
    shim.sealed();
    shim.feed(Event::LinkLost);
    assert!(!shim.feed(no_room()).contains(&reported(true)), "there is nobody to offer it to");
    assert_eq!(shim.connect(), [reported(true)]);
    shim.feed(Event::LinkLost);
    shim.pass(seconds(2));
    assert_eq!(shim.connect(), [reported(true)], "as long as nobody has taken it");
    assert!(shim.pass(seconds(30)).contains(&reported(true)));
    assert_eq!(shim.ack(), [Action::Forget, pull(2)]);
}

#[test]
fn a_record_that_cannot_be_written_or_offered_is_given_up_with_its_own_exit_code() {
    let mut shim = Shim::running(limits());
    shim.feed(Event::LinkLost);
    shim.feed(Event::ChildExited);
    shim.sealed();
    shim.feed(no_room());
    shim.now += seconds(600);
    assert_eq!(shim.feed(no_room()), [Action::Leave(Exit::CannotRecord)]);
}

fn no_room() -> Event {
    Event::SealFailed { record: record(), why: "no room".to_owned() }
}

#[test]
fn a_missing_program_is_an_end_like_any_other() {
    let not_started =
        NotStarted { error: "gone".into(), errno: Some(2), stop: None, machinery: false };
    let mut shim = Shim::pulling();
    shim.hear(granted(1, limits()));
    let order = SealOrder { stop: None, not_started: Some(not_started.clone()) };
    assert_eq!(shim.feed(Event::Begun(Begun::NotStarted(not_started))), [Action::Seal(order)]);
    assert_eq!(shim.feed(Event::Sealed(record())), [completed()]);
    assert_eq!(shim.ack(), [Action::Forget, pull(2)]);
}

#[test]
fn a_machine_without_room_for_processes_ends_the_shim_after_the_report() {
    let full = NotStarted { error: "full".into(), errno: Some(11), stop: None, machinery: true };
    let mut shim = Shim::pulling();
    shim.hear(granted(1, limits()));
    shim.feed(Event::Begun(Begun::NotStarted(full)));
    shim.feed(Event::Sealed(record()));
    assert_eq!(shim.ack().last(), Some(&Action::Leave(Exit::CannotSpawn)));
}

#[test]
fn without_a_run_directory_nothing_is_reported() {
    let mut shim = Shim::pulling();
    shim.hear(granted(1, limits()));
    let actions = shim.feed(Event::Begun(Begun::Unrecordable));
    assert_eq!(actions, [Action::Leave(Exit::CannotRecord)], "no goodbye: the grant is open");
}

#[test]
fn a_grant_of_a_newer_format_is_declined() {
    let mut shim = Shim::pulling();
    let newer = Grant { version: 2, ..grant(limits()) };
    let message = ToShim::Grant { pull_id: format!("{:032x}-1", 0xabc), grant: Box::new(newer) };
    let [Action::Decline { .. }] = shim.hear(message)[..] else { panic!("declined") };
}
