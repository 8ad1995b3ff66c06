//! Defaults that depend on the environment: where state, runtime, token and templates are if no option says.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use super::environment::Environment;
use super::given::Given;
use super::given::Source;
use super::layers::Layer;
use super::shared;

/// The variable in which systemd names the directory of a unit's credentials, and the credential to look for there.
pub const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
const CREDENTIAL: &str = "coordinator-token";
/// The server's own token, in the state directory.
pub const OWN_TOKEN: &str = "tokens/coordinator";

/// The directory of templates, in a directory of configuration.
const TEMPLATES: &str = "worker-types";

/// Fills in the directories and files that no option names. `file` is the configuration file that was read,
/// `system_file` the place where a package puts one.
pub(super) fn fill_in(
    values: &mut Layer,
    environment: &Environment,
    file: Option<&Path>,
    system_file: &Path,
) {
    // systemd lists several directories separated by colons; the first is ours.
    let first = |name: &str| {
        let listed = environment.get(name)?.split(':').next()?;
        Some(PathBuf::from(listed)).filter(|path| path.is_absolute())
    };
    let below = |variable: &str, rest: &str| Some(environment.directory(variable)?.join(rest));
    let state = [
        ("STATE_DIRECTORY", first("STATE_DIRECTORY")),
        ("XDG_STATE_HOME", below("XDG_STATE_HOME", "vibe-ensemble")),
        ("HOME", below("HOME", ".local/state/vibe-ensemble")),
    ];
    fill(values, "state_dir", state);
    settle(values, "state_dir", shared::STATE_MARKS);
    let in_state = |rest: &str| match values.get("state_dir") {
        Some((Given::Text(state), _)) => Some(Path::new(state).join(rest)),
        _ => None,
    };
    let (beside_state, own_token) = (in_state("run"), in_state(OWN_TOKEN));
    let runtime = [
        ("RUNTIME_DIRECTORY", first("RUNTIME_DIRECTORY")),
        ("XDG_RUNTIME_DIR", below("XDG_RUNTIME_DIR", "vibe-ensemble")),
        ("state_dir", beside_state),
    ];
    fill(values, "runtime_dir", runtime);
    settle(values, "runtime_dir", shared::RUNTIME_MARKS);
    // A file that exists but cannot be examined is reported when it is read, and not skipped.
    let credential = environment
        .directory(CREDENTIALS)
        .map(|directory| directory.join(CREDENTIAL))
        .filter(|file| fs::exists(file).unwrap_or(true));
    fill(values, "token_file", [(CREDENTIALS, credential), ("state_dir", own_token)]);
    let beside_file = file.and_then(Path::parent).map(|beside| beside.join(TEMPLATES));
    let in_home = |variable: &str, rest: &str| {
        Some(environment.directory(variable)?.join(rest).join("vibe-ensemble").join(TEMPLATES))
    };
    let templates = [
        ("the configuration file's directory", beside_file),
        ("XDG_CONFIG_HOME", in_home("XDG_CONFIG_HOME", "")),
        ("HOME", in_home("HOME", ".config")),
        ("the system", system_file.parent().map(|beside| beside.join(TEMPLATES))),
    ];
    fill(values, "templates_dir", templates);
}

/// Takes a directory of our own below one that others use, wherever that one was given.
fn settle(values: &mut Layer, name: &'static str, marks: &[&str]) {
    let Some((Given::Text(text), _)) = values.get_mut(name) else { return };
    let named = std::path::absolute(text.as_str()).ok();
    if let Some(own) = named.and_then(|path| shared::own_below(&path, marks)) {
        *text = own.to_string_lossy().into_owned();
    }
}

fn fill<const N: usize>(
    values: &mut Layer,
    name: &'static str,
    choices: [(&'static str, Option<PathBuf>); N],
) {
    let chosen = choices.into_iter().find_map(|(from, path)| Some((from, path?)));
    if let Some((from, path)) = chosen {
        let text = path.to_string_lossy().into_owned();
        values.entry(name).or_insert((Given::Text(text), Source::Place(from)));
    }
}
