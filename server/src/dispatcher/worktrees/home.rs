//! Before git works in a ticket's worktree: has it be the ticket's own directory, and not one that an agent has put in its
//! place.

use std::path::Path;
use std::path::PathBuf;

use super::tend::Worktrees;
use super::trouble::Trouble;
use crate::domain::id::TicketId;
use crate::domain::worktree::Worktree;
use crate::git;
use crate::git::GitError;
use crate::git::Home;

impl Worktrees {
    /// The worktree, with the directory that it is. Another ticket's is never accepted, put back or removed in its place;
    /// one that nobody else has may be what the ticket's own agent made there.
    pub(super) async fn at_home(
        &self,
        ticket: TicketId,
        work: &Worktree,
    ) -> std::result::Result<Worktree, Trouble> {
        let path = PathBuf::from(&work.path);
        let own = self.store.directory_of_worktree(ticket).await?;
        let (place, all, wanted) = (path.clone(), self.directory.clone(), own.clone());
        let looked = off_thread(&path, move || {
            let cleared = git::clear_above(&place, wanted.as_deref())?;
            let home = wanted.map(|own| git::bring_home(&place, &own, &all)).transpose()?;
            Ok((cleared, home))
        });
        let (cleared, home) = looked.await?;
        if cleared {
            tracing::warn!(%ticket, path = work.path, "something else was in the place of the directory of a project's worktrees and was moved out of the way");
        }
        if let Some((own, home)) = own.zip(home) {
            match home {
                Home::There => return Ok(Worktree { directory: Some(own), ..work.clone() }),
                Home::Again(from) => {
                    tracing::warn!(%ticket, path = work.path, from = %from.display(), "the worktree of a ticket had been moved and was brought back to its place");
                    return Ok(Worktree { directory: Some(own), ..work.clone() });
                }
                Home::Lost => {}
            }
        }
        let place = path.clone();
        let mut directory = off_thread(&path, move || git::directory_at(&place)).await?;
        if let Some(found) = &directory
            && let Some((other, its_own)) = self.store.worktree_of_directory(found).await?
            && other != ticket
        {
            tracing::warn!(%ticket, %other, path = work.path, "the worktree of another ticket had been put in the place of a ticket's and was moved back");
            let place = path.clone();
            off_thread(&path, move || git::hand_over(&place, Path::new(&its_own))).await?;
            directory = None;
        }
        Ok(Worktree { directory, ..work.clone() })
    }
}

/// Looks at files, which may take long on some file systems.
async fn off_thread<T: Send + 'static>(
    path: &Path,
    look: impl FnOnce() -> std::result::Result<T, GitError> + Send + 'static,
) -> std::result::Result<T, GitError> {
    let looked = tokio::task::spawn_blocking(look).await;
    looked.unwrap_or_else(|error| {
        let source = std::io::Error::other(error);
        Err(GitError::File { path: path.to_owned(), source })
    })
}
