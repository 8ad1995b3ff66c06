//! The set-up for one user in one directory: the directory gets a file of settings that is not for committing.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::entry::NAME;
use super::files;
use super::files::Mode;
use super::files::Step;
use super::hook;
use super::merge;
use super::merge::MergeError;
use super::skills;
use super::user;
use super::user::Where;
use crate::config::Environment;

/// Sets it up: the entry in Claude Code's own file for the directory, its approval beside it, the skills for this user.
pub(super) fn connect(
    dir: &Path,
    entry: &Value,
    environment: &Environment,
    mode: Mode,
) -> anyhow::Result<Vec<Step>> {
    let local = files::merged(&dir.join(SETTINGS), |text| settings(text, entry, &[]))?;
    let mut steps = vec![user::add(Where::Directory(dir), entry, environment, mode)?];
    steps.push(local.carry_out(mode)?);
    steps.extend(skills::write(&user::directory(environment)?.join("skills"), mode)?);
    Ok(steps)
}

/// Takes it out again.
pub(super) fn disconnect(
    dir: &Path,
    environment: &Environment,
    mode: Mode,
) -> anyhow::Result<Vec<Step>> {
    let local = dir.join(SETTINGS);
    let mut steps: Vec<Step> =
        user::remove(Where::Directory(dir), environment, mode)?.into_iter().collect();
    let settings = files::merged(&local, without_settings)
        .with_context(|| format!("could not look at {}", local.display()))?;
    steps.push(settings.carry_out(mode)?);
    Ok(steps)
}

/// The text of a directory's settings with the server approved, the line that a session begins with, and these variables.
pub(super) fn settings(
    text: &str,
    entry: &Value,
    variables: &[(&'static str, String)],
) -> Result<Option<String>, MergeError> {
    let approved = merge::approval(text, NAME)?;
    let hook = hook::command(entry);
    let hooked = hook::put(approved.as_deref().unwrap_or(text), &hook)?.or(approved);
    let with = merge::variables(hooked.as_deref().unwrap_or(text), variables)?;
    Ok(with.or(hooked))
}

/// The text of a directory's settings without what `settings` puts in.
pub(super) fn without_settings(text: &str) -> Result<Option<String>, MergeError> {
    let silent = hook::without(text)?;
    let bare = merge::without_approval(silent.as_deref().unwrap_or(text), NAME)?;
    Ok(bare.or(silent))
}

/// What Claude Code keeps for one user in one directory.
pub(super) const SETTINGS: &str = ".claude/settings.local.json";
