//! Where the result of a ticket is, and how to take it.

use std::path::Path;

use serde_json::json;

use crate::cli::client::Client;
use crate::cli::terminal::Line;
use crate::cli::terminal::Page;
use crate::cli::terminal::Tone;
use crate::domain::text::shell_word;
use crate::git;
use crate::wire::project::ProjectWithCounts;
use crate::wire::ticket::TicketView;

/// The commits between which the work of a ticket lies, and the repository that has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// The project's directory.
    pub path: String,
    pub branch: Option<String>,
    pub base: String,
    pub head: String,
    pub merged: Option<String>,
}

impl Work {
    /// The work of a ticket; none where attempts work in the project's own directory, or nothing has begun.
    pub async fn of(ticket: &TicketView, client: &Client) -> anyhow::Result<Option<Self>> {
        let (Some(base), Some(head)) = (&ticket.base_commit, &ticket.head_commit) else {
            return Ok(None);
        };
        let project = json!({"project": ticket.project});
        let project: ProjectWithCounts = client.ask("get_project", project).await?;
        Ok(Some(Self {
            path: project.project.path,
            branch: ticket.branch.clone(),
            base: base.clone(),
            head: head.clone(),
            merged: ticket.merged_commit.clone(),
        }))
    }

    /// What it changed, as git prints it. What is given to git are commits and nothing else.
    pub async fn difference(&self, shown: git::Shown<'_>) -> anyhow::Result<String> {
        let is_commit = |id: &str| id.len() >= 7 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        anyhow::ensure!(
            is_commit(&self.base) && is_commit(&self.head),
            "the server named commits that are none: {:?} and {:?}",
            self.base,
            self.head
        );
        Ok(git::difference(Path::new(&self.path), &self.base, &self.head, shown).await?)
    }

    /// Whether anything was accepted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.base == self.head
    }

    /// The command that looks at it, to be typed in a shell.
    #[must_use]
    pub fn look(&self) -> String {
        let until = self.branch.as_deref().unwrap_or(&self.head);
        let until = if self.merged.is_some() { short(&self.head) } else { until };
        format!(
            "git -C {} diff {}..{}",
            shell_word(&self.path),
            short(&self.base),
            shell_word(until)
        )
    }

    /// The command that takes it, to be typed in a shell; none once it is merged.
    #[must_use]
    pub fn take(&self) -> Option<String> {
        let branch =
            self.branch.as_deref().filter(|_| self.merged.is_none() && !self.is_empty())?;
        Some(format!("git -C {} merge {}", shell_word(&self.path), shell_word(branch)))
    }

    /// The branch, what changed and the two lines that look at it and take it. `stat` is what git says of the files.
    pub fn add_to(&self, page: &mut Page, summary: Option<&str>, stat: &str) {
        page.heading("Result");
        if let Some(branch) = &self.branch {
            page.field("branch", Line::new().toned(branch, Tone::Pointer));
        }
        if let Some(merged) = &self.merged {
            page.field("merged as", short(merged));
        }
        if let Some(summary) = summary {
            page.field("changes", summary);
        }
        // The last line is the sum, which is there already.
        let files: Vec<&str> = stat.lines().collect();
        for file in files.iter().take(files.len().saturating_sub(1)) {
            page.line(Line::verbatim(format!("    {}", file.trim_start())));
        }
        if !self.is_empty() {
            page.field("look at it", Line::verbatim("").toned(self.look(), Tone::Pointer));
        }
        if let Some(take) = self.take() {
            page.field("take it", Line::verbatim("").toned(take, Tone::Pointer));
        }
    }
}

/// A commit as people name it.
fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_but_commits_is_given_to_git() {
        let work =
            Work { base: "--output=/etc/passwd".into(), head: "HEAD".into(), ..Work::default() };
        let refused = work.difference(git::Shown::Lines).await.expect_err("no commits");
        assert!(refused.to_string().contains("commits that are none"), "{refused}");
    }
}
