//! The set-up for one user in one directory: nothing of it is where git would commit it.

use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::entry::NAME;
use super::files;
use super::files::Mode;
use super::files::Step;
use super::merge;
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
    let local = files::merged(&dir.join(SETTINGS), |text| merge::approval(text, NAME))?;
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
    let settings = files::merged(&local, |text| merge::without_approval(text, NAME))
        .with_context(|| format!("could not look at {}", local.display()))?;
    steps.push(settings.carry_out(mode)?);
    Ok(steps)
}

/// What Claude Code keeps for one user in one directory.
pub(super) const SETTINGS: &str = ".claude/settings.local.json";
