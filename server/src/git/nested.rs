//! Repositories inside a worktree, which an agent leaves that runs `git init`, `git clone` or a
//! generator that does.
//!
//! Git writes such a directory into a commit as a bare link to a commit of the inner repository.
//! Without that repository the link is worth nothing: anyone who checks the branch out finds an
//! empty directory, and removing the worktree removes the only copy. A submodule is such a link
//! too, but `.gitmodules` says where its commits come from.

use std::path::Path;

use super::error::GitError;
use super::repository::Repository;

/// The mode of a link to a commit of another repository.
const LINK: &str = "160000";

impl Repository {
    /// The inner repositories to which `after` links and `before` did not, except submodules: their
    /// files are on no branch.
    pub(super) async fn nested_since(
        &self,
        before: &str,
        after: &str,
    ) -> Result<Vec<String>, GitError> {
        if before == after {
            return Ok(Vec::new());
        }
        let changed = self.git("diff-tree")?.args(["-r", "-z", "--no-renames", before, after]);
        let changed = changed.run().await?.bytes().to_vec();
        let links = new_links(&String::from_utf8_lossy(&changed));
        let links: Vec<String> = links.into_iter().map(|(path, _)| path).collect();
        if links.is_empty() {
            return Ok(links);
        }
        let modules = format!("{after}:.gitmodules");
        let known = self.git("config")?.args(["--null", "--blob", &modules, "--get-regexp"]);
        // Without the file, or without an entry, git prints nothing and exits with an error code.
        let known = known.arg(r"^submodule\..*\.path$").ask().await?.bytes().to_vec();
        let known = submodule_paths(&String::from_utf8_lossy(&known));
        Ok(links.into_iter().filter(|path| !known.contains(path)).collect())
    }
}

/// The links in the output of `diff-tree -r -z`: `:<mode> <mode> <object> <object> <letter>`, then
/// the path. Each with the commit it leads to.
pub(super) fn new_links(raw: &str) -> Vec<(String, String)> {
    let mut parts = raw.split('\0');
    let mut links = Vec::new();
    while let (Some(change), Some(path)) = (parts.next(), parts.next()) {
        let fields: Vec<&str> = change.split(' ').collect();
        if let [_, LINK, _, commit, ..] = fields.as_slice() {
            links.push((path.to_owned(), (*commit).to_owned()));
        }
    }
    links
}

/// The values in the output of `config --null --get-regexp`: the name, a line feed, the value, a
/// NUL.
fn submodule_paths(raw: &str) -> Vec<String> {
    let entries = raw.split('\0').filter_map(|entry| entry.split_once('\n'));
    entries.map(|(_, path)| path.to_owned()).collect()
}

/// The paths in the output of `ls-files --stage -z` that are links and whose repository exists.
pub(super) fn present(staged: &str, worktree: &Path) -> Vec<String> {
    let entries = staged.split('\0').filter(|entry| entry.starts_with(LINK));
    let paths = entries.filter_map(|entry| entry.split_once('\t')).map(|(_, path)| path.to_owned());
    paths.filter(|path| worktree.join(path).join(".git").symlink_metadata().is_ok()).collect()
}
