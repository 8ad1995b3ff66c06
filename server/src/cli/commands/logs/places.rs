//! Which attempts there are, where their files are, and what the server made of them.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::json;
use shim_protocol::grant::GrantKind;
use shim_protocol::run_dir;

use crate::cli::client::Client;
use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::wire::ticket::TicketDetailView;

/// Most pages of a ticket's attempts that are read: 2,000 attempts or more.
const MOST_PAGES: usize = 100;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Attempt(AttemptId),
    Ticket(TicketId),
}

impl FromStr for Subject {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let attempt = text.parse().map(Self::Attempt);
        attempt
            .or_else(|_| text.parse().map(Self::Ticket))
            .map_err(|_| "it must be an attempt such as A-17 or a ticket such as T-42")
    }
}

/// The run directories, and the server if it runs.
#[derive(Debug)]
pub(super) struct Places {
    attempts: PathBuf,
    client: Option<Client>,
}

impl Places {
    pub(super) fn new(attempts: PathBuf, client: Option<Client>) -> Self {
        Self { attempts, client }
    }

    /// The run directory of an attempt, if it is kept.
    pub(super) fn directory(&self, attempt: AttemptId) -> Option<PathBuf> {
        let path = self.attempts.join(attempt.to_string());
        path.is_dir().then_some(path)
    }

    /// The same, or why there is none.
    pub(super) fn kept(&self, attempt: AttemptId) -> anyhow::Result<PathBuf> {
        self.directory(attempt).with_context(|| {
            format!(
                "there is no run directory {}: it was removed, or the attempt belongs to another server (--state-dir)",
                self.attempts.join(attempt.to_string()).display()
            )
        })
    }

    /// The ticket of an attempt, as its grant has it.
    pub(super) fn ticket_of(&self, attempt: AttemptId) -> Option<TicketId> {
        let grant = run_dir::read_grant(&self.attempts.join(attempt.to_string())).ok().flatten()?;
        grant.ticket_id.parse().ok()
    }

    /// What an attempt runs, as its grant has it.
    pub(super) fn kind_of(&self, attempt: AttemptId) -> GrantKind {
        let grant = run_dir::read_grant(&self.attempts.join(attempt.to_string())).ok().flatten();
        grant.map(|grant| grant.kind).unwrap_or_default()
    }

    /// What the server knows of a ticket, with all its attempts, oldest first; none without a server.
    pub(super) async fn ticket(
        &self,
        ticket: TicketId,
    ) -> anyhow::Result<Option<TicketDetailView>> {
        let Some(client) = &self.client else { return Ok(None) };
        let mut arguments = json!({"ticket_id": ticket.to_string()});
        let mut detail: TicketDetailView = client.ask("get_ticket", arguments.clone()).await?;
        for _ in 1..MOST_PAGES {
            let Some(cursor) = detail.attempts_cursor.take() else { break };
            arguments["attempts_cursor"] = json!(cursor);
            let older: TicketDetailView = client.ask("get_ticket", arguments.clone()).await?;
            detail.attempts.splice(0..0, older.attempts);
            detail.attempts_cursor = older.attempts_cursor;
        }
        Ok(Some(detail))
    }

    /// The attempts of a ticket whose run directories are kept, oldest first, from the files alone.
    pub(super) fn attempts_of(&self, ticket: TicketId) -> anyhow::Result<Vec<AttemptId>> {
        let mut found = listed(&self.attempts)?;
        found.retain(|attempt| self.ticket_of(*attempt) == Some(ticket));
        found.sort_unstable();
        if found.is_empty() {
            bail!(
                "{ticket} has no attempt in {}, and no server is running",
                self.attempts.display()
            );
        }
        Ok(found)
    }
}

fn listed(attempts: &Path) -> anyhow::Result<Vec<AttemptId>> {
    let unreadable = || format!("could not read {}", attempts.display());
    let mut found = Vec::new();
    let entries = match fs::read_dir(attempts) {
        // No attempt was ever started.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries.with_context(unreadable)?,
    };
    for entry in entries {
        let name = entry.with_context(unreadable)?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse::<AttemptId>().ok()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_id_says_what_one_looks_like() {
        assert!(matches!("A-17".parse(), Ok(Subject::Attempt(_))));
        assert!(matches!("T-42".parse(), Ok(Subject::Ticket(_))));
        let refused = "W-1".parse::<Subject>().expect_err("a worker");
        assert!(refused.contains("an attempt such as A-17"), "{refused}");
    }

    #[test]
    fn what_is_not_kept_says_where_it_was_looked_for() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let places = Places::new(dir.path().to_owned(), None);
        let words =
            places.kept("A-1".parse().expect("an id")).expect_err("is not there").to_string();
        assert!(words.contains("no run directory"), "{words}");
        let words =
            places.attempts_of("T-1".parse().expect("an id")).expect_err("no attempt").to_string();
        assert!(words.starts_with("T-1 has no attempt in "), "{words}");
    }
}
