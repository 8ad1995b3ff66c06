//! What makes a new worktree ready to build: the file's settings, ports, and ignored files of the checkout.

use std::path::Path;

use super::tend::Worktrees;
use super::trouble::Trouble;
use crate::domain::checks::Copied;
use crate::domain::checks::Kept;
use crate::domain::checks::file;
use crate::domain::checks::kept;
use crate::domain::project::Project;
use crate::domain::ticket::Ticket;
use crate::domain::worktree::Worktree;
use crate::git::FileAt;
use crate::git::Repository;

impl Worktrees {
    /// What the project's file sets at the commit from which a ticket begins.
    pub(super) async fn settings_at(
        &self,
        repository: &Repository,
        project: &Project,
        base: &str,
        prefix: &str,
    ) -> Result<Kept, Trouble> {
        let unusable = |why: &str| Trouble::Refused(kept::unusable(Some(base), why));
        let path = format!("{prefix}{}", file::NAME);
        let (found, tables) = match repository.file_at(base, &path, file::MOST_BYTES).await? {
            FileAt::Nothing => (false, file::File::default().tables),
            FileAt::Odd => return Err(unusable("it is not a regular file")),
            FileAt::TooLarge => return Err(unusable("it has more than 256 KiB")),
            FileAt::Content(content) => match file::parse(&content) {
                Ok(file) => (true, file.tables),
                Err(problems) => return Err(unusable(&problems.first())),
            },
        };
        let set = self.store.project_checks(project.key).await?;
        if let Err(problems) = set.over(tables.clone()).complete() {
            return Err(Trouble::Refused(kept::incomplete(&problems)));
        }
        Ok(Kept { commit: Some(base.to_owned()), found, tables, copied: None })
    }

    /// Copies ignored files of the project's checkout into the worktree of a ticket. Files that are there stay as they are.
    pub(super) async fn copy_ignored(
        &self,
        repository: &Repository,
        project: &Project,
        ticket: &Ticket,
        work: &Worktree,
    ) -> Result<(), Trouble> {
        let patterns = self.store.checks_of(ticket.id).await?.worktree.copy;
        let carried = repository.carry(work, Path::new(&project.path), &patterns).await?;
        let carried =
            carried.map_err(|why| Trouble::Refused(kept::too_much_to_copy(&why.to_string())))?;
        if carried.files == 0 && carried.left.is_empty() {
            return Ok(());
        }
        let left = carried.left.iter().map(|(path, why)| format!("{path} {why}."));
        let copied = Copied { files: carried.files, bytes: carried.bytes, left: left.collect() };
        self.store.files_copied(ticket.id, copied).await?;
        Ok(())
    }
}

/// The TCP ports that something on this machine listens on. What cannot be read listens on nothing: a port that is taken is
/// then found by the step that needs it.
pub(super) fn busy_ports() -> Vec<i64> {
    let mut busy: Vec<i64> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| listening(&table))
        .collect();
    busy.sort_unstable();
    busy.dedup();
    busy
}

/// The local ports of the sockets in state LISTEN.
fn listening(table: &str) -> Vec<i64> {
    const LISTEN: &str = "0A";
    let port = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
        let (_, port) = local.rsplit_once(':')?;
        (state == LISTEN).then(|| i64::from_str_radix(port, 16).ok())?
    };
    table.lines().filter_map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_something_listens_on_is_busy() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = i64::from(listener.local_addr().unwrap().port());
        assert!(busy_ports().contains(&port));
        drop(listener);
        let table = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:4E20 00000000:0000 0A 00000000:00000000\n   \
                     1: 0100007F:4E21 0100007F:1F90 01 00000000:00000000\nbroken\n";
        assert_eq!(listening(table), [20_000]);
    }
}
