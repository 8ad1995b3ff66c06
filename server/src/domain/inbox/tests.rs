use serde_json::Value;

use super::*;
use crate::domain::bounds::Reached;
use crate::domain::hold::Hold;
use crate::domain::hold::HoldKind;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::id::WorkerId;
use crate::domain::limits::Account;
use crate::domain::limits::Limit;
use crate::domain::outcome::Failure;
use crate::domain::pause::Cause;
use crate::domain::pause::Pause;
use crate::domain::pause::Scope;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;

fn name(text: &str) -> Name {
    Name::from_row(text.to_owned())
}

fn held(kind: HoldKind) -> Matter {
    Matter::Held(Held {
        ticket: TicketId::from_key(42),
        title: "Refuse expired coupons".to_owned(),
        stage: name("implement"),
        hold: Hold::new(kind, "Should an expired coupon count as used?"),
        reached: None,
        has_type: kind != HoldKind::Configuration,
        is_done: matches!(kind, HoldKind::Conflict | HoldKind::Unfinished),
        red: if kind == HoldKind::Gate { vec!["test".to_owned()] } else { Vec::new() },
    })
}

fn pause(scope: Scope, cause: Cause, until: Option<i64>) -> Pause {
    let until = until.map(Timestamp::from_millis);
    Pause { scope, cause, reason: "the reason".to_owned(), since: Timestamp::from_millis(0), until }
}

/// Every kind of matter, with its words.
fn matters() -> Vec<Matter> {
    let queue = || Scope::Queue { project: name("shop"), worker_type: name("implement") };
    let project = || Scope::Project(name("shop"));
    let plain = |pause| Matter::Paused { pause, failure: None, limit: None };
    let login = pause(queue(), Cause::Failure, None);
    let spent = |of, limit, spent| Some(Account { of, limit, spent, reserved: 0.0 });
    let budget = |until, limit| Matter::Paused {
        pause: pause(project(), Cause::Budget, until),
        failure: None,
        limit,
    };
    let stuck = |trouble: Option<&str>| Matter::Stuck {
        attempt: AttemptId::from_key(17),
        ticket: TicketId::from_key(42),
        worker: WorkerId::from_key(7),
        trouble: trouble.map(str::to_owned),
    };
    let mut all: Vec<Matter> = HoldKind::ALL.into_iter().map(held).collect();
    let ticket = TicketId::from_key(42);
    for reached in [
        Reached::Dollars { ticket, limit: 5.0, spent: 5.25 },
        Reached::Attempts { most: 10, made: 11 },
    ] {
        let Matter::Held(plain) = held(HoldKind::Limit) else { unreachable!("it is held") };
        all.push(Matter::Held(Held { reached: Some(reached), ..plain }));
    }
    all.extend([
        Matter::Paused { pause: login, failure: Some(Failure::Authentication), limit: None },
        plain(pause(queue(), Cause::Failure, Some(60_000))),
        plain(pause(project(), Cause::Coordinator, None)),
        budget(Some(60_000), spent(Limit::ProjectDay, 5.0, 5.25)),
        budget(None, spent(Limit::Project, 5.0, 5.0)),
        plain(pause(Scope::Everything, Cause::Coordinator, None)),
        plain(pause(Scope::Everything, Cause::Budget, Some(60_000))),
        stuck(None),
        stuck(Some("No space left on device (os error 28)")),
        Matter::Unheard {
            notifier: name("phone"),
            error: "it answered 503 Service Unavailable".to_owned(),
        },
    ]);
    all
}

#[test]
fn the_items_are_the_reviewed_ones() {
    let mut text = String::new();
    for matter in matters() {
        let project = Some(name("shop"));
        let item = Item { since: Timestamp::from_millis(0), project, matter };
        text.extend([item.kind(), " ", &item.id(), ": ", &item.sentence(), "\n"]);
        for Action { label, tool, arguments, then, command } in item.actions() {
            let given = Value::Object(arguments).to_string();
            text.extend(["  ", &label, ": ", tool, " ", &given]);
            if let Some(Call { tool, arguments }) = then {
                text.extend([", then ", tool, " ", &Value::Object(arguments).to_string()]);
            }
            text.extend(["\n    ", &command, "\n"]);
        }
    }
    crate::snapshot::holds("inbox", &text);
}

#[test]
fn every_kind_has_an_example() {
    let found: Vec<&str> = matters()
        .into_iter()
        .map(|matter| Item { since: Timestamp::from_millis(0), project: None, matter }.kind())
        .collect();
    for kind in kinds() {
        assert!(found.contains(&kind), "{kind}");
    }
}
