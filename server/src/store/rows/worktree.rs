//! A worktree's row, read together with its ticket's, and whether a shared directory is free.

use sqlx::FromRow;

use crate::domain::id::AttemptId;
use crate::domain::worktree::DiffStat;
use crate::domain::worktree::Head;
use crate::domain::worktree::Worktree;

/// The columns of `worktree` beside a ticket's; all absent when it has none.
#[derive(FromRow)]
pub(crate) struct WorktreeRow {
    repository: Option<String>,
    work_path: Option<String>,
    prefix: Option<String>,
    branch: Option<String>,
    base_branch: Option<String>,
    base_commit: Option<String>,
    head_commit: Option<String>,
    files_changed: Option<i64>,
    insertions: Option<i64>,
    deletions: Option<i64>,
    owed_attempt_id: Option<i64>,
    landing: Option<bool>,
    merged_commit: Option<String>,
    removed_at: Option<i64>,
    set_up: bool,
}

impl From<WorktreeRow> for Option<Worktree> {
    fn from(row: WorktreeRow) -> Self {
        // The columns are NOT NULL, so if one is present, all are.
        Some(Worktree {
            repository: row.repository?,
            path: row.work_path?,
            prefix: row.prefix?,
            branch: row.branch?,
            base_branch: row.base_branch,
            base_commit: row.base_commit?,
            head: Head {
                commit: row.head_commit?,
                stat: DiffStat {
                    files_changed: row.files_changed?,
                    insertions: row.insertions?,
                    deletions: row.deletions?,
                },
            },
            owed: row.owed_attempt_id.map(AttemptId::from_key),
            landing: row.landing?,
            merged_commit: row.merged_commit,
            removed: row.removed_at.is_some(),
            set_up: row.set_up,
            directory: None,
        })
    }
}
