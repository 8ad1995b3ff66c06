//! The entry of this server in Claude Code's list.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use anyhow::bail;
use serde_json::Value;
use serde_json::json;

use crate::cli::client;
use crate::cli::connection::Connection;
use crate::config;
use crate::config::Environment;
use crate::locate;
use crate::state;

/// What the server is called in Claude Code: tools are `mcp__vibe-ensemble__…`.
pub(super) const NAME: &str = "vibe-ensemble";

/// A little more than the longest wait of `list_events`, so that the server's answer comes first.
const CALL_MS: u32 = 3_900_000;

const PROGRAM: &str = "vibe-ensemble";

/// What Claude Code needs to know: where, how to learn the token, how long calls take. Which tools are
/// there at once, each of them says itself.
pub(super) fn entry(connection: &Connection, environment: &Environment) -> anyhow::Result<Value> {
    Ok(json!({
        "type": "http",
        "url": format!("{}/mcp", base(connection, environment)?),
        "headersHelper": helper(connection, environment)?,
        "timeout": CALL_MS,
    }))
}

/// An entry for a file that git commits, and what it cannot say: nothing in it is true on one machine only. Where this server
/// is not the usual one, the variables say where it is; they belong into a file that git does not commit.
pub(super) fn shared_entry(
    connection: &Connection,
    environment: &Environment,
) -> anyhow::Result<(Value, Vec<(&'static str, String)>)> {
    let base = base(connection, environment)?;
    let mut variables = Vec::new();
    let text = |path: PathBuf| {
        let path = std::path::absolute(path)?;
        let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
        anyhow::Ok(text.to_owned())
    };
    let [url, state_dir, runtime_dir, token_file] = VARIABLES;
    if base != USUAL || is_told(connection, environment) {
        variables.push((url, base));
    }
    let named = connection.token_file.is_some() || environment.get(token_file).is_some();
    if named {
        variables.push((token_file, text(client::token_file(connection, environment)?)?));
    } else if is_told(connection, environment) {
        // Claude Code keeps variables with TOKEN in their name from the commands that it runs, so the directories are named.
        let config = config::load(&connection.flags(), environment)?;
        variables.push((state_dir, text(config.state_dir.clone())?));
        variables.push((runtime_dir, text(config.runtime_dir.clone())?));
    }
    let entry = json!({
        "type": "http",
        "url": format!("${{VIBE_ENSEMBLE_URL:-{USUAL}}}/mcp"),
        "headersHelper": format!("{PROGRAM} headers"),
        "timeout": CALL_MS,
    });
    Ok((entry, variables))
}

/// The variables that `connect` writes for a server that is not the usual one.
pub(super) const VARIABLES: [&str; 4] = [
    "VIBE_ENSEMBLE_URL",
    "VIBE_ENSEMBLE_STATE_DIR",
    "VIBE_ENSEMBLE_RUNTIME_DIR",
    "VIBE_ENSEMBLE_TOKEN_FILE",
];

/// Where a server listens that nobody configured.
const USUAL: &str = "http://127.0.0.1:3276";

/// Whether `claude` would find this very program by its name.
pub(super) fn is_in_path(environment: &Environment) -> bool {
    let own = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
    let found = locate::program(Path::new(PROGRAM), environment);
    own.is_some() && found.and_then(|path| path.canonicalize().ok()) == own
}

/// Whether options or variables say that another server is meant than the usual one.
fn is_told(connection: &Connection, environment: &Environment) -> bool {
    connection.directories.state.config.is_some()
        || connection.url.is_some()
        || connection.directories.state.state_dir.is_some()
        || connection.token_file.is_some()
        || environment.iter().any(|(name, _)| name.starts_with("VIBE_ENSEMBLE_"))
}

/// Whether an entry is one that this command writes.
pub(super) fn is_ours(entry: &Value) -> bool {
    let helper = entry["headersHelper"].as_str().unwrap_or_default();
    let begins = |option: &str| helper.contains(&format!(" headers {option} "));
    helper.ends_with(" headers") || begins("--token-file") || begins("--url")
}

/// Without `/mcp`: as told, as a running server says, or as the configuration has it.
fn base(connection: &Connection, environment: &Environment) -> anyhow::Result<String> {
    if let Some(url) = client::given_url(connection, environment) {
        return Ok(client::base_of(url));
    }
    let config = config::load(&connection.flags(), environment)?;
    let running =
        state::holder(&config.runtime_dir).ok().flatten().and_then(|holder| holder.listen);
    let listen = running.unwrap_or(config.listen);
    if listen.port() == 0 {
        bail!(
            "the configuration lets the server choose a port when it starts (listen has port 0); start the server first, or set a port with --listen"
        );
    }
    Ok(locate::url(&listen.to_string()))
}

/// The command that prints the headers. It runs later, without the options and variables of now, so what counted of them
/// is written into it.
fn helper(connection: &Connection, environment: &Environment) -> anyhow::Result<String> {
    let own = std::env::current_exe().context("could not determine the path of this program")?;
    let program = if is_in_path(environment) { PROGRAM.to_owned() } else { quoted(&own)? };
    if !is_told(connection, environment) {
        return Ok(format!("{program} headers"));
    }
    let file = std::path::absolute(client::token_file(connection, environment)?)?;
    // The address as well: with both, the command needs no configuration, which it could not find again by itself.
    let url = base(connection, environment)?;
    let (url, file) = (quoted(Path::new(&url))?, quoted(&file)?);
    Ok(format!("{program} headers --url {url} --token-file {file}"))
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ',' | ':');
    if text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Ok(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::connection::DirectoryArgs;
    use crate::cli::connection::StateArgs;

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        let word = |path: &str| quoted(Path::new(path)).unwrap();
        assert_eq!(word("/usr/bin/vibe-ensemble"), "/usr/bin/vibe-ensemble");
        assert_eq!(word("/home/a b/$x"), "'/home/a b/$x'");
        assert_eq!(word("/it's"), r"'/it'\''s'");
    }

    #[test]
    fn what_counts_now_is_written_into_the_command() {
        let environment =
            Environment::from_pairs([("HOME", "/home/ann"), ("PATH", "/nonexistent")]);
        let connection = Connection::default();
        let plain = entry(&connection, &environment).unwrap();
        let helper = plain["headersHelper"].as_str().unwrap();
        assert!(helper.ends_with(" headers") && is_ours(&plain), "{plain}");
        assert_eq!(plain["url"], "http://127.0.0.1:3276/mcp");
        let there = Connection {
            directories: DirectoryArgs {
                state: StateArgs {
                    state_dir: Some("/srv/state".to_owned()),
                    ..StateArgs::default()
                },
                ..DirectoryArgs::default()
            },
            url: Some("http://127.0.0.1:9/mcp/".to_owned()),
            ..Connection::default()
        };
        let told = entry(&there, &environment).unwrap();
        let helper = told["headersHelper"].as_str().unwrap();
        assert!(
            helper.ends_with(
                " headers --url http://127.0.0.1:9 --token-file /srv/state/tokens/coordinator"
            ) && is_ours(&told),
            "{helper}"
        );
        assert_eq!(told["url"], "http://127.0.0.1:9/mcp");
        assert!(!is_ours(&json!({"type": "stdio", "command": "vibe-ensemble"})));
    }
}
