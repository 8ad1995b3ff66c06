//! Looks whether accepted work changes what lands only after somebody agrees.

use std::path::Path;

use super::tend::Worktrees;
use super::trouble::Trouble;
use crate::domain::id::TicketId;
use crate::domain::judging::protected;
use crate::domain::judging::protected::Protector;
use crate::domain::judging::protected::Touched;
use crate::domain::worktree::Worktree;
use crate::git::Repository;
use crate::store::Protection;

impl Worktrees {
    /// Looks at an accepted commit, before the database hears that it was accepted: what is not known to be free does not land.
    pub(super) async fn look_for_protected(
        &self,
        repository: &Repository,
        ticket: TicketId,
        work: &Worktree,
        commit: &str,
    ) -> Result<(), Trouble> {
        let reason = match repository.changed_files(&work.base_commit, commit).await? {
            None => Some(protected::TOO_MANY.to_owned()),
            Some(files) => {
                let checks = self.store.checks_of(ticket).await?;
                let mut touched = protected::touched(&checks, &files, &work.prefix);
                let project = self.store.find_ticket(ticket).await?.project_name;
                let project = self.store.project(project.as_str()).await?;
                let checkout = Path::new(&project.path);
                let copied = &checks.worktree.copy;
                for file in repository.carried_in(work, commit, checkout, copied).await? {
                    // What is a secret is named first.
                    touched.insert(0, Touched { file, by: Protector::Copied });
                }
                Some(protected::reason(&touched)).filter(|reason| !reason.is_empty())
            }
        };
        Ok(self.store.note_protection(ticket, commit, reason).await?)
    }

    /// Refuses to land work to which somebody has to agree first.
    pub(super) async fn assert_agreed(
        &self,
        repository: &Repository,
        ticket: TicketId,
        work: &Worktree,
    ) -> Result<(), Trouble> {
        let mut known = self.store.protection_of(ticket).await?;
        if known == Protection::Unknown {
            self.look_for_protected(repository, ticket, work, &work.head.commit).await?;
            known = self.store.protection_of(ticket).await?;
        }
        match known {
            Protection::Free | Protection::Unknown => Ok(()),
            Protection::Undecided(why) => Err(Trouble::Refused(why)),
        }
    }
}
