//! What waits for somebody, as a person wants it: first what needs an answer, then what somebody stopped, and how much of
//! each kind there is.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json;

use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::cli::output;
use crate::domain::hold::HoldKind;
use crate::domain::inbox;
use crate::wire::inbox::Inbox;
use crate::wire::inbox::ItemView;

/// The kind of what somebody stopped, which is no news to them.
const STOPPED: &str = HoldKind::Operator.name();

/// What waits.
#[derive(Debug, Default)]
pub struct Waiting {
    /// As they came.
    pub raw: Vec<Value>,
    /// What needs an answer, oldest first; then what somebody stopped.
    pub items: Vec<ItemView>,
    /// How many of each kind there are, shown or not.
    pub counts: BTreeMap<String, i64>,
}

impl Waiting {
    /// How many there are, shown or not.
    #[must_use]
    pub fn total(&self) -> usize {
        let counted = usize::try_from(self.counts.values().sum::<i64>()).unwrap_or(0);
        counted.max(self.items.len())
    }

    /// Asks the server for at most `most` items.
    ///
    /// # Errors
    ///
    /// When it cannot be asked, or refuses.
    pub async fn read(
        client: &Client,
        project: Option<&str>,
        most: u32,
    ) -> Result<Self, ClientError> {
        let mut arguments = json!({});
        if let Some(project) = project {
            arguments["project"] = json!(project);
        }
        let others: Vec<&str> = inbox::kinds().filter(|kind| *kind != STOPPED).collect();
        let of = |kinds: &[&str]| {
            let mut arguments = arguments.clone();
            arguments["kinds"] = json!(kinds);
            arguments
        };
        let raw = match client.list("list_inbox", "items", of(&others), most).await {
            Ok(mut raw) => {
                let left = most.saturating_sub(u32::try_from(raw.len()).unwrap_or(most));
                if left > 0 {
                    raw.extend(client.list("list_inbox", "items", of(&[STOPPED]), left).await?);
                }
                raw
            }
            // A server of an older version does not know kinds, or not all of ours.
            Err(ClientError::Wrong { wrong, .. })
                if wrong.iter().all(|it| it.root() == "kinds") =>
            {
                client.list("list_inbox", "items", arguments.clone(), most).await?
            }
            Err(error) => return Err(error),
        };
        let mut one = arguments;
        one["limit"] = json!(1);
        let counted: Inbox = client.ask("list_inbox", one).await?;
        let items: Vec<ItemView> = client.read("list_inbox", raw.clone().into())?;
        let mut counts = counted.counts;
        if counts.is_empty() {
            for item in &items {
                *counts.entry(item.kind.clone()).or_default() += 1;
            }
        }
        Ok(Self { raw, items, counts })
    }
}

/// How many of each kind there are, as a list in a sentence: what needs an answer first.
#[must_use]
pub fn counted(counts: &BTreeMap<String, i64>) -> String {
    let mut kinds: Vec<(&String, &i64)> = counts.iter().filter(|(_, count)| **count > 0).collect();
    let place = |kind: &str| inbox::kinds().position(|known| known == kind);
    kinds.sort_by_key(|(kind, _)| (*kind == STOPPED, place(kind).unwrap_or(usize::MAX)));
    let said = kinds.into_iter().map(|(kind, count)| {
        let (one, several) = nouns(kind);
        format!("{count} {}", if *count == 1 { one } else { several })
    });
    said.collect::<Vec<_>>().join(", ")
}

/// What a person calls one item of a kind, and several.
fn nouns(kind: &str) -> (String, String) {
    let (one, several) = match kind {
        "question" => ("question", "questions"),
        "limit" => ("ticket at a limit", "tickets at a limit"),
        "failures" => ("ticket with failures", "tickets with failures"),
        "conflict" => ("conflict", "conflicts"),
        "unfinished" => ("unfinished worktree", "unfinished worktrees"),
        "checkout" => ("merge that a checkout prevents", "merges that a checkout prevents"),
        "configuration" => ("ticket to configure for", "tickets to configure for"),
        "operator" => ("stopped ticket", "stopped tickets"),
        "login" => ("missing login", "missing logins"),
        "queue_paused" => ("paused queue", "paused queues"),
        "project_paused" => ("paused project", "paused projects"),
        "server_paused" => ("pause of the server", "pauses of the server"),
        "stuck" => ("stuck attempt", "stuck attempts"),
        "notification" => ("paused notifier", "paused notifiers"),
        other => {
            let plain = output::plain(&other.replace('_', " "));
            let several = format!("{plain}s");
            return (plain, several);
        }
    };
    (one.to_owned(), several.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_plurals_and_stopped_tickets_come_last() {
        let counts = [("operator", 198), ("question", 12), ("failures", 1), ("new_kind", 2)];
        let counts = counts.map(|(kind, count)| (kind.to_owned(), count)).into();
        assert_eq!(
            counted(&counts),
            "12 questions, 1 ticket with failures, 2 new kinds, 198 stopped tickets"
        );
        assert_eq!(counted(&BTreeMap::new()), "");
    }
}
