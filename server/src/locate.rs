//! Finding programs and servers.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use nix::unistd::AccessFlags;
use nix::unistd::access;

use crate::config::Environment;

/// The program each worker runs in.
pub const SHIM: &str = "vibe-ensemble-shim";

/// A program as the shell would find it: a path as it is, and a name in `PATH`.
#[must_use]
pub fn program(name: &Path, environment: &Environment) -> Option<PathBuf> {
    crate::shim::program::find(name, environment.get("PATH"))
}

/// What is wrong with the agent's command, in one sentence; `None` when it can be run. A warning, not an error: the
/// agent may be installed, or come back, while the server runs.
#[must_use]
pub fn missing_agent(command: &Path, environment: &Environment) -> Option<String> {
    if program(command, environment).is_some() {
        return None;
    }
    let place =
        if command.components().count() > 1 { "is not a program" } else { "is not in PATH" };
    Some(format!(
        "the agent {} {place}; install Claude Code (npm install -g @anthropic-ai/claude-code), or give its path with \
         --agent-command",
        command.display()
    ))
}

/// The shim: the configured one, else beside this program, else in `PATH`.
#[must_use]
pub fn shim(configured: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    if let Some(path) = configured {
        return Some(path.to_owned()).filter(|path| is_program(path));
    }
    let own = std::env::current_exe().ok();
    let beside = own.and_then(|own| Some(own.parent()?.join(SHIM)));
    beside.filter(|path| is_program(path)).or_else(|| program(Path::new(SHIM), environment))
}

/// The URL of a server that listens on `address`. A server that listens everywhere is reached on the loopback.
#[must_use]
pub fn url(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(address) => format!("http://{}", reachable(address)),
        Err(_) => format!("http://{address}"),
    }
}

/// A bound address as programs on this machine reach it: the address that means all of them cannot be dialled.
#[must_use]
pub fn reachable(bound: SocketAddr) -> SocketAddr {
    let loopback = match bound.ip() {
        ip if !ip.is_unspecified() => return bound,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, bound.port())
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_paths_are_not() {
        let environment = Environment::from_pairs([("PATH", "/nonexistent:/bin")]);
        assert_eq!(program(Path::new("sh"), &environment), Some("/bin/sh".into()));
        assert_eq!(program(Path::new("/bin/sh"), &Environment::default()), Some("/bin/sh".into()));
        assert_eq!(program(Path::new("/bin"), &environment), None);
        assert_eq!(program(Path::new("no-such-program"), &environment), None);
    }

    #[test]
    fn everywhere_is_reached_here() {
        assert_eq!(url("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(url("[::]:80"), "http://[::1]:80");
        assert_eq!(url("192.0.2.1:80"), "http://192.0.2.1:80");
    }
}
