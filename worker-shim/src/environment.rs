//! The child's environment: built, never inherited.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ffi::OsString;

/// What passes from the shim's own environment; a trailing `*` matches any rest.
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

/// What never reaches a child, whoever asks: the coordinator's secret, and systemd's messages to this very process. A
/// child that answered `NOTIFY_SOCKET` would speak for the shim.
const WITHHELD: [&str; 7] = [
    "VIBE_ENSEMBLE_TOKEN",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

/// This machine, as the lists of hosts without a proxy name it.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Builds the environment from the shim's own, the names the grant lets through, and what the grant sets, which wins.
pub fn build(
    own: impl IntoIterator<Item = (OsString, OsString)>,
    pass: &[String],
    set: &BTreeMap<String, String>,
) -> BTreeMap<OsString, OsString> {
    let passes = |name: &OsStr| {
        let Some(name) = name.to_str() else { return false };
        PASSED.iter().copied().chain(pass.iter().map(String::as_str)).any(|one| matches(one, name))
    };
    let mut built: BTreeMap<OsString, OsString> =
        own.into_iter().filter(|(name, _)| passes(name)).collect();
    built.extend(set.iter().map(|(name, value)| (name.into(), value.into())));
    keep_loopback_direct(&mut built);
    built.retain(|name, _| !WITHHELD.iter().any(|withheld| name == withheld));
    built
}

/// Keeps a proxy from what is on this machine: the agent's token for this server's tools would be told to it.
fn keep_loopback_direct(built: &mut BTreeMap<OsString, OsString>) {
    let proxies =
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    if !proxies.iter().any(|name| built.contains_key(OsStr::new(name))) {
        return;
    }
    // Programs read the one or the other, and some take the one that is there for an answer.
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
    fn only_what_is_listed_passes() {
        let own = ["PATH", "PATHS", "LC_ALL", "AWS_SECRET_KEY", "CLAUDE_CONFIG_DIR", "LD_PRELOAD"];
        let names: Vec<String> = built(&own, &[], &[]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["CLAUDE_CONFIG_DIR", "LC_ALL", "PATH"]);
    }

    #[test]
    fn the_grant_adds_names_and_its_values_win() {
        let set = [("PATH", "/opt"), ("VIBE_ENSEMBLE_TICKET", "T-1")];
        let expected = [("AWS_REGION", "own"), ("PATH", "/opt"), ("VIBE_ENSEMBLE_TICKET", "T-1")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(built(&["PATH", "AWS_REGION", "AWSX"], &["AWS_*"], &set), expected);
    }

    #[test]
    fn no_proxy_is_told_what_goes_to_this_machine() {
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
    fn secrets_are_withheld_even_when_asked_for() {
        let own = ["VIBE_ENSEMBLE_TOKEN", "NOTIFY_SOCKET", "LISTEN_FDS"];
        assert!(built(&own, &["*"], &[("VIBE_ENSEMBLE_TOKEN", "x")]).is_empty());
    }
}
