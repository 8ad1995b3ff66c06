//! The directory that a command speaks for: that of a Claude Code session, or the one it is run in. Which project it is, and
//! under which name its sessions mark events.

use std::path::Path;
use std::path::PathBuf;

use serde_json::json;
use sha2::Digest as _;
use sha2::Sha256;

use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::config::Environment;
use crate::domain::text;
use crate::wire::project::ProjectView;

/// Names the directory of the session whose hook, monitor or helper a command is.
const SESSION: &str = "CLAUDE_PROJECT_DIR";

/// Whether a hook, monitor or helper of a Claude Code session runs the command, so that a model reads what it prints.
#[must_use]
pub fn is_of_session(environment: &Environment) -> bool {
    environment.get(SESSION).is_some_and(|path| !path.is_empty())
}

/// Most projects that are compared with the directory.
const MOST: u32 = 1000;

/// The directory, without links. `None` when it is gone.
#[must_use]
pub fn directory(environment: &Environment) -> Option<PathBuf> {
    let session = environment.get(SESSION).filter(|path| !path.is_empty()).map(PathBuf::from);
    let directory = session.or_else(|| std::env::current_dir().ok())?;
    directory.canonicalize().ok()
}

/// The consumer of events of a directory's sessions: one of its own, so that no session marks what another has not seen.
#[must_use]
pub fn consumer(directory: &Path) -> String {
    let named = directory.file_name().and_then(|name| name.to_str()).unwrap_or("root");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let named: String = named.chars().filter(|c| plain(*c)).take(32).collect();
    let hash = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    let hash = text::hex(&hash[..4]);
    format!("dir-{named}-{hash}")
}

/// The name of the project whose directory this is or is in; the innermost one when there are several.
///
/// # Errors
///
/// When the server cannot be asked.
pub async fn project(client: &Client, directory: &Path) -> Result<Option<String>, ClientError> {
    let projects = client.list("list_projects", "projects", json!({}), MOST).await?;
    let projects: Vec<ProjectView> = client.read("list_projects", projects.into())?;
    let place = |project: ProjectView| {
        let path = Path::new(&project.path).canonicalize().ok()?;
        directory.starts_with(&path).then(|| (path.components().count(), project.name))
    };
    Ok(projects.into_iter().filter_map(place).max().map(|(_, name)| name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Name;

    #[test]
    fn each_directory_has_a_consumer_of_its_own_with_a_plain_name() {
        let long = format!("/srv/{}", "x".repeat(300));
        let paths = ["/home/ann/shop", "/home/bob/shop", "/home/ann/läden & co", "/", &long];
        let names: std::collections::BTreeSet<String> =
            paths.iter().map(|path| consumer(Path::new(path))).collect();
        assert_eq!(names.len(), paths.len(), "{names:?}");
        for name in &names {
            assert!(name.is_ascii() && Name::parse("consumer", name).is_ok(), "{name}");
        }
        assert!(consumer(Path::new("/home/ann/shop")).starts_with("dir-shop-"));
    }

    #[test]
    fn the_directory_of_a_session_is_the_one_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let environment = Environment::from_pairs([(SESSION, dir.path().to_str().unwrap())]);
        assert_eq!(directory(&environment), Some(dir.path().canonicalize().unwrap()));
        let none = Environment::from_pairs([("HOME", "/nonexistent")]);
        assert_eq!(directory(&none), std::env::current_dir().unwrap().canonicalize().ok());
    }
}
