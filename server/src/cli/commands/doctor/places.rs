//! The directories and tokens of a server: there, its own, and closed to others.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::AccessFlags;
use nix::unistd::access;
use nix::unistd::geteuid;

use crate::cli::commands::doctor::check::Check;
use crate::config::Config;
use crate::state;
use crate::state::TokenFile;
use crate::state::owned;
use crate::state::owned::Owners;
use crate::telemetry::chain;

pub(super) fn directory(name: &'static str, flag: &str, path: &Path) -> Check {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.ancestors().find(|ancestor| ancestor.exists());
            if parent.is_some_and(|parent| access(parent, AccessFlags::W_OK).is_ok()) {
                return Check::ok(
                    name,
                    format!("{shown} does not exist yet; the first start creates it"),
                );
            }
            let next = format!("create it for the server's user, or give another with {flag}");
            return Check::fail(
                name,
                format!("{shown} does not exist and cannot be created"),
                next,
            );
        }
        Err(error) => {
            let next = format!("run this as the server's user, or give another with {flag}");
            return Check::fail(name, format!("{shown}: {error}"), next);
        }
    };
    if !metadata.is_dir() {
        return Check::fail(
            name,
            format!("{shown} is not a directory"),
            format!("give another with {flag}"),
        );
    }
    if access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
        let next = format!("run this as the server's user, or give another with {flag}");
        return Check::fail(name, format!("{shown} is not writable"), next);
    }
    if let Err(error) = owned::check(path, Owners::of_client(path)) {
        let next =
            format!("fix it, or give another with {flag}; the server does not start with it");
        return Check::fail(name, error.to_string(), next);
    }
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    let me = geteuid();
    // Root looks at the server of another user.
    if owner != me.as_raw() && !me.is_root() {
        let found = format!("{shown} belongs to user {owner}, who can change it");
        return Check::warn(
            name,
            found,
            format!("chown it to the server's user, and chmod 700 {shown}"),
        );
    }
    let of_others = mode & 0o077;
    if of_others == 0 {
        return Check::ok(name, format!("{shown}, mode {mode:04o}"));
    }
    let found = format!("{shown} has mode {mode:04o}: others can read it");
    Check::warn(name, found, format!("chmod 700 {shown}"))
}

/// The coordinator's token, and what the tokens of attempts are made with.
pub(super) fn tokens(config: &Config) -> Check {
    let name = "token";
    let key = config.state_dir.join(state::ATTEMPT_KEY);
    let below = key.parent().unwrap_or(&config.state_dir);
    let file = TokenFile::for_client(config);
    let shown = file.path.display();
    for path in [below, &key, &file.path] {
        // Of a file from outside its reader says what is wrong with it.
        if path == file.path && file.given_by().is_some() {
            continue;
        }
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let found = format!("{}: {error}", path.display());
                return Check::fail(name, found, "run this as the server's user");
            }
            Ok(found) if found.mode() & 0o077 != 0 => return open(name, path, &found),
            Ok(_) => {}
        }
    }
    match (file.read(), file.given_by()) {
        (Ok(_), None) => Check::ok(name, format!("{shown}, mode 0600")),
        (Ok(_), Some(by)) => Check::ok(name, format!("{shown}, as set by {by}")),
        (Err(error), Some(_)) => {
            Check::fail(name, chain(&error), "fix the file: the server reads it when it starts")
        }
        (Err(_), None) if !file.path.exists() => {
            Check::ok(name, format!("{shown} does not exist yet; the first start creates it"))
        }
        (Err(error), None) => Check::fail(
            name,
            chain(&error),
            "remove it, then restart the server: it creates a new token",
        ),
    }
}

fn open(name: &'static str, path: &Path, found: &fs::Metadata) -> Check {
    let shown = path.display();
    let mode = found.mode() & 0o7777;
    if found.is_dir() {
        let found = format!("{shown} has mode {mode:04o}: others can read it");
        return Check::fail(name, found, format!("chmod 700 {shown}"));
    }
    let next = format!(
        "chmod 600 {shown}; if someone may have read it, replace the token of the coordinator with vibe-ensemble rotate-token"
    );
    Check::fail(name, format!("{shown} has mode {mode:04o}: others can read it"), next)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cli::commands::doctor::check::Verdict;
    use crate::config;
    use crate::config::Environment;
    use crate::config::Flags;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("sets");
    }

    #[test]
    fn whatever_is_open_to_others_is_told_with_its_mode() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        set(dir.path(), 0o700);
        let at = |name: &'static str| (name, dir.path().display().to_string());
        let flags = Flags { config: None, given: [at("state_dir"), at("runtime_dir")].into() };
        let config = config::load(&flags, &Environment::default()).expect("loads");
        let look = || {
            let state = directory("state directory", "--state-dir", dir.path());
            (state.verdict, tokens(&config).verdict)
        };
        assert_eq!(look(), (Verdict::Ok, Verdict::Ok), "nothing is there yet");

        let below = dir.path().join("tokens");
        fs::create_dir(&below).expect("makes");
        set(&below, 0o700);
        for name in [state::TOKEN, state::ATTEMPT_KEY] {
            let path = dir.path().join(name);
            fs::write(&path, "0".repeat(64)).expect("writes");
            set(&path, 0o640);
            let found = tokens(&config);
            assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
            assert!(found.found.contains(name) && found.found.contains("0640"), "{found:?}");
            set(&path, 0o600);
        }
        assert_eq!(look(), (Verdict::Ok, Verdict::Ok));
        set(&below, 0o711);
        let found = tokens(&config);
        assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
        assert!(found.next.contains("chmod 700"), "{found:?}");
        set(&below, 0o700);
        set(dir.path(), 0o755);
        let found = directory("state directory", "--state-dir", dir.path());
        assert_eq!(found.verdict, Verdict::Warn, "{found:?}");
        assert!(found.found.contains("can read") && found.next.contains("chmod 700"), "{found:?}");
        set(dir.path(), 0o777);
        let found = directory("state directory", "--state-dir", dir.path());
        assert_eq!(found.verdict, Verdict::Fail, "{found:?}");
        assert!(found.found.contains("chmod go-w"), "{found:?}");
    }
}
