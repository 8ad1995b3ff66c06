//! The kinds of records that can be asked for by number.

/// The server serves.
pub const SERVER_STARTED: &str = "server_started";
/// The server stops; its workers keep running.
pub const SERVER_STOPPING: &str = "server_stopping";
/// A worker's process is gone without a goodbye.
pub const WORKER_LOST: &str = "worker_lost";
/// A worker could not be started.
pub const WORKER_NOT_LAUNCHED: &str = "worker_not_launched";
/// An attempt failed because the kernel killed it for lack of memory. In place of `ticket_attempt_failed`.
pub const OUT_OF_MEMORY: &str = "out_of_memory";
/// An attempt's evidence contradicts itself; a person has to look.
pub const ATTEMPT_SUSPECT: &str = "attempt_suspect";
/// An attempt's time is up and its shim does nothing about it; the server ends its processes.
pub const ATTEMPT_OVERDUE: &str = "attempt_overdue";
/// Nothing new is started until there is room.
pub const DISK_LOW: &str = "disk_low";
/// A notifier failed too often and waits for somebody.
pub const NOTIFIER_PAUSED: &str = "notifier_paused";
/// There is room again.
pub const DISK_RECOVERED: &str = "disk_recovered";

/// Every kind of record that can be asked for by number. Kinds are added; no number is changed or used again. Those of
/// state changes have the names of the coordinator's events.
pub(super) const KINDS: &[(&str, &str)] = &[
    ("server_started", "ee784c845fed4a8289bdea6c30e88471"),
    ("server_stopping", "38635b32666542ca982cc0c28bd5d4d2"),
    ("worker_lost", "a86401bcd57c41ac81e0c7defa7c6b63"),
    ("worker_not_launched", "0aed686fddb5479c81f29c61ac3fd715"),
    ("out_of_memory", "a110fc2a9c624c338e9df2a0a9fb19c9"),
    ("attempt_suspect", "1662cc9cbb0b4edaa068f587f39016ed"),
    ("attempt_overdue", "dcad4ee21bc042d5907b8e448c3426a2"),
    ("disk_low", "87eb44ef9ba042a5ade92fc79d0545bd"),
    ("disk_recovered", "1166923f50b44abf9690fdadc60ae990"),
    ("ticket_created", "c25f663d8ca04fc981a0646283e16d91"),
    ("ticket_stage_started", "c1e10d57d0e8482fbfc3931efeaf20f9"),
    ("ticket_stage_completed", "fdffcbfca631460e9a24a620ee0a03b9"),
    ("ticket_sent_back", "97572802c5e443bda000f92e3d375701"),
    ("ticket_attempt_failed", "abc238c1cff045b89dfb8b4d4a1c628e"),
    ("ticket_on_hold", "8dd89710f03c423388defd0b11a55063"),
    ("ticket_resumed", "4335483727a6489eaa99526235dda191"),
    ("ticket_waits", "b94c1f3d5e7a4c0f8d2e6a1b7c9053e4"),
    ("ticket_unblocked", "c2712d2c15f04ed9963e86dd2daeee41"),
    ("ticket_closed", "a1d91df1ca644447b6228231ebd1449c"),
    ("worker_started", "3ce610cc8af54678950aa1937deb62c3"),
    ("worker_stopped", "d3df00cbc51049d7a06fb93ce5ed9946"),
    ("ticket_updated", "982270dd73374668a76b068b8112924a"),
    ("queue_paused", "7075fcc7dcf74814ae3a74576ddd846a"),
    ("queue_resumed", "bc04faabea5543f89e718b674413ce9f"),
    ("project_paused", "5d6d13510c2f41a88e9f6b464de0a694"),
    ("project_resumed", "7d8654872ff8446ba44807410996d55b"),
    ("server_paused", "4eb9ae8abdac4ec4acb4d2247f9753ba"),
    ("server_resumed", "e71c530ffe634e8c87bc8e1b5e58aa35"),
    ("gate_passed", "53aa56f121c84a818aba02ce83fe281f"),
    ("gate_failed", "585227225d0f4143836ff9c2b65c18d9"),
    ("setup_failed", "d075b2ba74e5468e9a085b81a14f035a"),
    ("cleanup_failed", "c00f53185ac344c0bba456e0e73418c3"),
    ("budget_warning", "5f33048ea8b546ce8a7c300f7ec59119"),
    ("notifier_paused", "5726446a47fa4534a40990390abc02a0"),
];

/// The `MESSAGE_ID` of a kind of record.
pub(super) fn number(kind: &str) -> Option<&'static str> {
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::event::EventKind;

    #[test]
    fn every_kind_has_a_number_of_its_own_in_the_journals_form() {
        let names: BTreeSet<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        let ids: BTreeSet<&str> = KINDS.iter().map(|(_, id)| *id).collect();
        assert_eq!((names.len(), ids.len()), (KINDS.len(), KINDS.len()));
        for id in ids {
            let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            assert!(id.len() == 32 && id.bytes().all(hex), "{id}");
        }
        for kind in EventKind::ALL {
            assert!(names.contains(kind.name()), "{}", kind.name());
        }
    }

    #[test]
    fn the_manual_lists_what_is_alerted_on() {
        let manual = include_str!("../../../packaging/OPERATING.md");
        for name in [
            SERVER_STARTED,
            WORKER_LOST,
            WORKER_NOT_LAUNCHED,
            OUT_OF_MEMORY,
            ATTEMPT_SUSPECT,
            DISK_LOW,
            NOTIFIER_PAUSED,
            "budget_warning",
            "ticket_on_hold",
            "ticket_attempt_failed",
            "queue_paused",
        ] {
            let (_, id) = KINDS.iter().find(|(kind, _)| *kind == name).expect("listed");
            assert!(manual.contains(name) && manual.contains(id), "{name} {id}");
        }
    }

    /// Every source file below `at`.
    fn sources(at: &std::path::Path, into: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }

    /// The records that are no state changes are written where something happens to a machine, so they are read from the
    /// source: level, kind, fields and message as they stand there.
    #[test]
    fn the_records_of_what_happens_to_the_server_are_the_reviewed_ones() {
        let mut files = Vec::new();
        sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let mut found = std::collections::BTreeSet::new();
        for file in files {
            let text = std::fs::read_to_string(file).unwrap();
            for (at, _) in text.match_indices("name: journal::") {
                let Some(begin) = text[..at].rfind("tracing::") else { continue };
                let Some(end) = text[at..].find(");") else { continue };
                let lines = text[begin..at + end].split_whitespace();
                found.insert(lines.collect::<Vec<_>>().join(" ") + ")");
            }
        }
        assert!(found.len() >= 8, "{found:?}");
        let text = found.into_iter().collect::<Vec<_>>().join("\n");
        crate::snapshot::holds("journal-of-the-server", &text);
    }
}
