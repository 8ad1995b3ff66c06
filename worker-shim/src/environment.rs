//! The child's environment: built, never inherited.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ffi::OsString;

/// The variables that the child gets from the shim's own environment; a trailing `*` matches any
/// suffix.
const PASSED: [&str; 19] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "SSH_AUTH_SOCK",
    "ANTHROPIC_*",
    "CLAUDE_*",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Variables that never reach a child, whatever the configuration says: the coordinator's secret,
/// and those that systemd sets for this very process. A child that wrote to `NOTIFY_SOCKET` would
/// speak for the shim.
const WITHHELD: [&str; 7] = [
    "VIBE_ENSEMBLE_TOKEN",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

/// Variables that identify the Claude Code session that started the server, by their whole name or
/// its beginning. A worker that inherited one would write into that session, answer in its place,
/// or inherit its effort level. The file or socket that such a variable names may also be gone by the
/// time the worker runs.
const OF_A_SESSION: [&str; 34] = [
    "CLAUDECODE",
    "CLAUDE_AGENT",
    "CLAUDE_BG_*",
    "CLAUDE_BRIDGE_*",
    "CLAUDE_CODE_AGENT",
    "CLAUDE_CODE_AGENT_ID",
    "CLAUDE_CODE_AGENT_NAME",
    "CLAUDE_CODE_BRIDGE_*",
    "CLAUDE_CODE_CHILD_*",
    "CLAUDE_CODE_EFFORT*",
    "CLAUDE_CODE_ENTRYPOINT*",
    "CLAUDE_CODE_LAUNCHED_BY_*",
    "CLAUDE_CODE_MESSAGING_*",
    "CLAUDE_CODE_PARENT_*",
    "CLAUDE_CODE_PROJECTS_SESSION",
    "CLAUDE_CODE_REMOTE*",
    "CLAUDE_CODE_RESUME_*",
    "CLAUDE_CODE_SESSION*",
    "CLAUDE_CODE_SSE_*",
    "CLAUDE_CODE_TASK_LIST_ID",
    "CLAUDE_CODE_TEAM_*",
    "CLAUDE_CODE_TMUX_*",
    "CLAUDE_CODE_TOOL_USE_ID",
    "CLAUDE_CODE_TRIGGER_ID",
    "CLAUDE_CODE_USER_DELEGATED_*",
    "CLAUDE_EFFORT",
    "CLAUDE_ENV_FILE",
    "CLAUDE_INTERNAL_*",
    "CLAUDE_JOB_*",
    "CLAUDE_PID",
    "CLAUDE_PLUGIN_*",
    "CLAUDE_PROJECT_DIR",
    "CLAUDE_RUNNER_*",
    "CLAUDE_SESSION_*",
];

/// Endings of `CLAUDE_*` names that also mark a session variable: file descriptors (which no worker
/// inherits), sockets, and other session ids.
const OF_A_SESSION_BY_END: [&str; 7] =
    ["_FD", "_FILE_DESCRIPTOR", "_SESSION", "_SESSION_ID", "_SESSION_UUID", "_SOCK", "_SOCKET"];

/// Whether the variable belongs to a session of Claude Code rather than to its user.
fn is_of_a_session(name: &str) -> bool {
    OF_A_SESSION.iter().any(|one| matches(one, name))
        || (name.starts_with("CLAUDE_")
            && !name.ends_with("_PER_SESSION")
            && OF_A_SESSION_BY_END.iter().any(|end| name.ends_with(end)))
}

/// The names of this machine in a `no_proxy` list.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Builds the environment from the shim's own variables, the names that the grant passes on, and
/// what the grant sets, which takes precedence.
///
/// Variables that identify a session pass only if the grant sets them, or passes them on by their
/// whole name.
pub fn build(
    own: impl IntoIterator<Item = (OsString, OsString)>,
    pass: &[String],
    set: &BTreeMap<String, String>,
) -> BTreeMap<OsString, OsString> {
    let passes = |name: &OsStr| {
        let Some(name) = name.to_str() else { return false };
        let listed = pass.iter().map(String::as_str);
        if is_of_a_session(name) {
            return listed.into_iter().any(|one| one == name);
        }
        PASSED.iter().copied().chain(listed).any(|one| matches(one, name))
    };
    let mut built: BTreeMap<OsString, OsString> =
        own.into_iter().filter(|(name, _)| passes(name)).collect();
    built.extend(set.iter().map(|(name, value)| (name.into(), value.into())));
    keep_loopback_direct(&mut built);
    built.retain(|name, _| !WITHHELD.iter().any(|withheld| name == withheld));
    built
}

/// The variables of the account that pays for agents.
const OF_THE_ACCOUNT: [&str; 2] = ["ANTHROPIC_*", "CLAUDE_*"];

/// Builds the environment of commands that are no agent. What they run is the agent's work, so they
/// get nothing with which anybody could work as the account: neither its variables nor those that
/// an operator passes on to agents.
pub fn without_account(
    own: impl IntoIterator<Item = (OsString, OsString)>,
    set: &BTreeMap<String, String>,
) -> BTreeMap<OsString, OsString> {
    let is_of_the_account = |name: &OsStr| {
        name.to_str().is_none_or(|name| OF_THE_ACCOUNT.iter().any(|one| matches(one, name)))
    };
    build(own.into_iter().filter(|(name, _)| !is_of_the_account(name)), &[], set)
}

/// Keeps connections to this machine away from proxies: a proxy would learn the token with which
/// the agent uses this server's tools.
fn keep_loopback_direct(built: &mut BTreeMap<OsString, OsString>) {
    let proxies =
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    if !proxies.iter().any(|name| built.contains_key(OsStr::new(name))) {
        return;
    }
    // Programs read either spelling, and some use only the first one that is set.
    let told = ["no_proxy", "NO_PROXY"].map(|name| built.get(OsStr::new(name)).cloned());
    let [lower, upper] = told;
    for (name, own) in
        [("no_proxy", lower.clone().or(upper.clone())), ("NO_PROXY", upper.or(lower))]
    {
        let mut direct = own.and_then(|own| own.into_string().ok()).unwrap_or_default();
        for host in LOOPBACK {
            if !direct.split(',').any(|one| one.trim() == host) {
                let comma = if direct.is_empty() { "" } else { "," };
                direct = format!("{direct}{comma}{host}");
            }
        }
        built.insert(name.into(), direct.into());
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(own: &[&str], pass: &[&str], set: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = own.iter().map(|name| (OsString::from(name), OsString::from("own")));
        let pass: Vec<String> = pass.iter().copied().map(String::from).collect();
        let set = set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let text = |os: OsString| os.into_string().expect("text");
        build(own, &pass, &set).into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn only_listed_variables_pass() {
        let own = ["PATH", "PATHS", "LC_ALL", "AWS_SECRET_KEY", "CLAUDE_CONFIG_DIR", "LD_PRELOAD"];
        let names: Vec<String> = built(&own, &[], &[]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["CLAUDE_CONFIG_DIR", "LC_ALL", "PATH"]);
    }

    #[test]
    fn variables_of_the_session_that_started_the_server_are_not_passed_on() {
        let of_a_session = [
            "CLAUDECODE",
            "CLAUDE_BG_SOCKET_TOKENS_PATH",
            "CLAUDE_CODE_ARTIFACT_FD",
            "CLAUDE_CODE_CHILD_SESSION",
            "CLAUDE_CODE_CLOUD_SESSION_ID",
            "CLAUDE_CODE_EFFORT_LEVEL",
            "CLAUDE_CODE_ENTRYPOINT",
            "CLAUDE_CODE_MESSAGING_SOCKET",
            "CLAUDE_CODE_MESSAGING_TOKEN",
            "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR",
            "CLAUDE_CODE_REMOTE_SESSION_ID",
            "CLAUDE_CODE_RUNNER_MODEL_SOCKET",
            "CLAUDE_CODE_SESSION_ACCESS_TOKEN",
            "CLAUDE_CODE_SESSION_ID",
            "CLAUDE_CODE_SSE_PORT",
            "CLAUDE_EFFORT",
            "CLAUDE_ENV_FILE",
            "CLAUDE_PID",
            "CLAUDE_PROJECT_DIR",
            "CLAUDE_SESSION_ID",
        ];
        let of_the_user = [
            "CLAUDE_CODE_API_KEY_HELPER_TTL_MS",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "CLAUDE_CODE_MAX_RETRIES",
            "CLAUDE_CODE_MAX_SUBAGENTS_PER_SESSION",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CONFIG_DIR",
        ];
        let own: Vec<&str> = of_a_session.into_iter().chain(of_the_user).collect();
        let names = |pass: &[&str], set: &[(&str, &str)]| {
            built(&own, pass, set).into_iter().map(|(name, _)| name).collect::<Vec<String>>()
        };
        assert_eq!(names(&[], &[]), of_the_user);
        assert_eq!(
            names(&["*", "CLAUDE_*"], &[]),
            of_the_user,
            "patterns do not match session variables"
        );
        let asked_for = names(&["CLAUDE_EFFORT"], &[("CLAUDE_CODE_EFFORT_LEVEL", "low")]);
        for asked in ["CLAUDE_EFFORT", "CLAUDE_CODE_EFFORT_LEVEL"] {
            assert!(
                asked_for.iter().any(|name| name == asked),
                "{asked} was asked for: {asked_for:?}"
            );
        }
    }

    #[test]
    fn the_grant_adds_names_and_its_values_win() {
        let set = [("PATH", "/opt"), ("VIBE_ENSEMBLE_TICKET", "T-1")];
        let expected = [("AWS_REGION", "own"), ("PATH", "/opt"), ("VIBE_ENSEMBLE_TICKET", "T-1")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(built(&["PATH", "AWS_REGION", "AWSX"], &["AWS_*"], &set), expected);
    }

    #[test]
    fn no_proxy_receives_requests_to_this_machine() {
        let direct = "localhost,127.0.0.1,::1";
        let of = |set: &[(&str, &str)]| built(&[], &[], set);
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(&[("no_proxy", "x")]), [own("no_proxy", "x")]);
        let proxy = ("HTTPS_PROXY", "http://proxy");
        assert_eq!(
            of(&[proxy]),
            [own(proxy.0, proxy.1), own("NO_PROXY", direct), own("no_proxy", direct)]
        );
        let said = "corp.example, 127.0.0.1";
        let with = "corp.example, 127.0.0.1,localhost,::1";
        assert_eq!(
            of(&[proxy, ("no_proxy", said)]),
            [own(proxy.0, proxy.1), own("NO_PROXY", with), own("no_proxy", with)]
        );
    }

    #[test]
    fn commands_that_are_no_agent_get_no_key_of_the_account() {
        let own = ["PATH", "ANTHROPIC_API_KEY", "CLAUDE_CONFIG_DIR", "AWS_SECRET_KEY", "LANG"];
        let own = own.iter().map(|name| (OsString::from(name), OsString::from("own")));
        let set = BTreeMap::from([("DATABASE_URL".to_owned(), "x".to_owned())]);
        let built = without_account(own, &set);
        let names: Vec<&str> = built.keys().filter_map(|name| name.to_str()).collect();
        assert_eq!(names, ["DATABASE_URL", "LANG", "PATH"]);
    }

    #[test]
    fn secrets_are_withheld_even_when_asked_for() {
        let own = ["VIBE_ENSEMBLE_TOKEN", "NOTIFY_SOCKET", "LISTEN_FDS"];
        assert!(built(&own, &["*"], &[("VIBE_ENSEMBLE_TOKEN", "x")]).is_empty());
    }
}
