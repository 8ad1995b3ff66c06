//! What a ticket changed, by file.

use std::path::Path;

use crate::git;
use crate::git::Shown;
use crate::mcp::desk::Desk;
use crate::mcp::desk::call::Declined;
use crate::mcp::desk::call::DeskResult;
use crate::mcp::service::id;
use crate::telemetry;

/// A file that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangedFile {
    pub(crate) path: String,
    /// Lines; `None` for a file that is not text.
    pub(crate) added: Option<u64>,
    pub(crate) removed: Option<u64>,
}

/// What became of a look into the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference<T> {
    /// The ticket has no commits of its own: it has not begun, or works in the project's directory.
    NoBranch,
    /// The repository is away or git refuses it.
    Unreadable,
    Shown(T),
}

impl Desk {
    /// The files that a ticket changed.
    pub(crate) async fn changed_files(
        &self,
        ticket: &str,
    ) -> DeskResult<Difference<Vec<ChangedFile>>> {
        let Some((path, base, head)) = self.commits(ticket).await? else {
            return Ok(Difference::NoBranch);
        };
        let listed = git::difference(Path::new(&path), &base, &head, Shown::Numbers).await;
        Ok(shown(ticket, listed.map(|text| numbers(&text))))
    }

    /// The lines of one file that a ticket changed, as git prints them.
    pub(crate) async fn difference_of(
        &self,
        ticket: &str,
        file: &str,
    ) -> DeskResult<Difference<String>> {
        let Some((path, base, head)) = self.commits(ticket).await? else {
            return Ok(Difference::NoBranch);
        };
        let printed = git::difference(Path::new(&path), &base, &head, Shown::File(file)).await;
        Ok(shown(ticket, printed))
    }

    /// The directory of a ticket's project, and the commits between which its work lies.
    async fn commits(&self, ticket: &str) -> DeskResult<Option<(String, String, String)>> {
        let ticket = self.service.store.find_ticket(id("ticket_id", ticket)?).await?;
        let Some(work) = ticket.work else { return Ok(None) };
        let project = self.service.store.project(ticket.project_name.as_str()).await?;
        let is_commit = |id: &str| id.len() >= 7 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_commit(&work.base_commit) || !is_commit(&work.head.commit) {
            return Err(Declined::Failed);
        }
        Ok(Some((project.path, work.base_commit, work.head.commit)))
    }
}

fn shown<T>(ticket: &str, found: Result<T, git::GitError>) -> Difference<T> {
    match found {
        Ok(found) => Difference::Shown(found),
        Err(error) => {
            tracing::debug!(
                ticket,
                error = telemetry::chain(&error),
                "a difference could not be read"
            );
            Difference::Unreadable
        }
    }
}

/// Reads what `git diff --numstat -z` prints without renames: three parts, of which the last one ends with a NUL.
fn numbers(text: &str) -> Vec<ChangedFile> {
    let entries = text.split('\0').filter(|entry| !entry.is_empty());
    let file = |entry: &str| {
        let mut parts = entry.splitn(3, '\t');
        let (added, removed, path) = (parts.next()?, parts.next()?, parts.next()?);
        Some(ChangedFile {
            path: path.to_owned(),
            added: added.trim().parse().ok(),
            removed: removed.trim().parse().ok(),
        })
    };
    entries.filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_its_numbers_whatever_its_name_is() {
        let text = "12\t3\tsrc/a.rs\0-\t-\tlogo.png\x000\t1\tname with\ttab\nand line\0";
        let file =
            |path: &str, added, removed| ChangedFile { path: path.to_owned(), added, removed };
        assert_eq!(
            numbers(text),
            [
                file("src/a.rs", Some(12), Some(3)),
                file("logo.png", None, None),
                file("name with\ttab\nand line", Some(0), Some(1)),
            ]
        );
    }
}
