//! What an agent can leave to lead its supervisor astray, or to have it wait for ever.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;
use crate::beneath;
use crate::git::GitError;
use crate::git::removal::Removal;

/// Somebody else's repository, with something that is not committed.
struct Canary {
    path: PathBuf,
    before: String,
}

impl Canary {
    fn beside(bed: &Bed) -> Self {
        let path = bed.user().with_file_name("canary");
        fs::create_dir(&path).unwrap();
        git_in(&path, &["init", "--quiet", "--initial-branch=main"]);
        write(&path, "a.txt", "committed\n");
        git_in(&path, &["add", "."]);
        git_in(&path, &["commit", "--quiet", "-m", "Begin"]);
        write(&path, "a.txt", "precious\n");
        write(&path, "precious.txt", "precious\n");
        let before = picture(&path);
        Self { path, before }
    }

    fn assert_untouched(&self, case: &str) {
        assert_eq!(picture(&self.path), self.before, "{case}");
        git_in(&self.path, &["fsck", "--strict"]);
    }
}

/// Every file below a directory, with its content.
fn picture(path: &Path) -> String {
    let mut found = Vec::new();
    let mut waiting = vec![path.to_owned()];
    while let Some(place) = waiting.pop() {
        for entry in fs::read_dir(place).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push(format!("{} {:?}", path.display(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found.join("\n")
}

fn pipe(path: &Path) {
    mkfifo(path, Mode::from_bits_truncate(0o600)).unwrap();
}

fn admin_of(bed: &Bed) -> PathBuf {
    bed.user().join(".git/worktrees/T-42")
}

#[tokio::test]
async fn a_link_in_the_place_of_a_worktree_or_on_the_way_to_it_leads_nowhere() {
    type Attack = fn(&Bed, &Worktree, &Path);
    let attacks: [(&str, Attack); 3] = [
        ("the worktree", |_, work, to| {
            fs::remove_dir_all(&work.path).unwrap();
            symlink(to, &work.path).unwrap();
        }),
        ("the directory above", |bed, work, to| {
            let above = Path::new(&work.path).parent().unwrap();
            fs::rename(above, bed.user().with_file_name("moved")).unwrap();
            // The canary under the name of the worktree.
            let other = to.with_file_name("other");
            fs::create_dir(&other).unwrap();
            fs::rename(to, other.join("T-42")).unwrap();
            symlink(&other, above).unwrap();
            symlink(other.join("T-42"), to).unwrap();
        }),
        ("a file", |_, work, to| {
            fs::remove_dir_all(&work.path).unwrap();
            fs::write(&work.path, to.display().to_string()).unwrap();
        }),
    ];
    for (name, attack) in attacks {
        let bed = Bed::new();
        let canary = Canary::beside(&bed);
        let work = bed.work(42).await;
        attack(&bed, &work, &canary.path);
        let repository = bed.repository().await;
        let refused = repository.accept(&work, &author(1)).await.expect_err("nothing to accept");
        let is_told = matches!(refused, GitError::Led { .. } | GitError::Replaced { .. });
        assert!(is_told && refused.is_lasting(), "{name}: {refused}");
        canary.assert_untouched(name);
        let removal = repository.remove(&work).await.unwrap();
        let is_above = name == "the directory above";
        assert_eq!(matches!(removal, Removal::Kept(_)), is_above, "{name}: {removal:?}");
        canary.assert_untouched(name);

        // The next attempt's worktree is made anew, where the way to it is clear.
        let made = repository.stand_up(&work, Place::Used).await;
        let put_back = repository.put_back(&work, Place::Used).await;
        canary.assert_untouched(name);
        if is_above {
            assert!(matches!(made, Err(GitError::Led { .. })), "{made:?}");
            assert!(matches!(put_back, Err(GitError::Led { .. })), "{put_back:?}");
        } else {
            made.and(put_back).unwrap();
            assert_eq!(read(&work, "a.txt"), "one\n", "{name}");
            assert!(!Path::new(&work.path).is_symlink());
        }
    }
}

#[tokio::test]
async fn what_an_agent_wrote_into_the_administration_leads_nowhere() {
    type Attack = fn(&Bed, &Worktree, &Path);
    let attacks: [(&str, Attack); 11] = [
        (".git is a link to another repository's", |_, work, to| {
            let link = Path::new(&work.path).join(".git");
            fs::remove_file(&link).unwrap();
            symlink(to.join(".git"), link).unwrap();
        }),
        (".git names another repository", |_, work, to| {
            put(work, ".git", &format!("gitdir: {}\n", to.join(".git").display()));
        }),
        (".git is a pipe", |_, work, _| {
            let link = Path::new(&work.path).join(".git");
            fs::remove_file(&link).unwrap();
            pipe(&link);
        }),
        ("the administration is a link to another repository", |bed, _, to| {
            fs::remove_dir_all(admin_of(bed)).unwrap();
            symlink(to.join(".git"), admin_of(bed)).unwrap();
        }),
        ("commondir names another repository", |bed, _, to| {
            let theirs = to.join(".git").display().to_string();
            write(&admin_of(bed), "commondir", &theirs);
        }),
        ("gitdir names another worktree", |bed, _, to| {
            write(&admin_of(bed), "gitdir", &to.join(".git").display().to_string());
        }),
        ("its index is a link", |bed, _, to| {
            let index = admin_of(bed).join("index");
            fs::remove_file(&index).unwrap();
            symlink(to.join("precious.txt"), index).unwrap();
        }),
        ("its logs are a link", |bed, _, to| {
            let logs = admin_of(bed).join("logs");
            fs::remove_dir_all(&logs).unwrap();
            symlink(to, logs).unwrap();
        }),
        ("its HEAD is a pipe", |bed, _, _| {
            fs::remove_file(admin_of(bed).join("HEAD")).unwrap();
            pipe(&admin_of(bed).join("HEAD"));
        }),
        ("its HEAD is gone", |bed, _, _| fs::remove_file(admin_of(bed).join("HEAD")).unwrap()),
        ("the lock is a link", |bed, _, to| {
            let lock = bed.user().join(".git/vibe-ensemble.lock");
            fs::remove_file(&lock).unwrap();
            symlink(to.join("new.lock"), lock).unwrap();
        }),
    ];
    for (name, attack) in attacks {
        let bed = Bed::new();
        let canary = Canary::beside(&bed);
        let mut work = bed.work(42).await;
        put(&work, "left.txt", "left\n");
        attack(&bed, &work, &canary.path);
        let repository = bed.repository().await;
        let head = repository.accept(&work, &author(1)).await.expect(name);
        assert_eq!(repository.accept(&work, &author(1)).await.expect(name), head, "{name}");
        canary.assert_untouched(name);
        assert_eq!(bed.git(&["show", &format!("{}:left.txt", head.commit)]), "left", "{name}");
        // The next agent's git is where it should be.
        assert_eq!(at(&work, &["rev-parse", "--show-toplevel"]), work.path, "{name}");
        assert_eq!(at(&work, &["status", "--porcelain"]), "", "{name}");
        work.head = head;
        repository.put_back(&work, Place::Used).await.expect(name);
        repository.remove(&work).await.expect(name);
        canary.assert_untouched(name);
        assert!(Path::new(&work.path).symlink_metadata().is_err(), "{name}");
        bed.assert_sound();
    }
}

#[tokio::test]
async fn whatever_is_in_the_place_of_a_lock_stops_nobody_for_long() {
    type Attack = fn(&Path);
    let attacks: [(&str, Attack); 4] = [
        ("a directory", |path| fs::create_dir_all(path.join("inside")).unwrap()),
        ("a pipe", pipe),
        ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
        ("a link", |path| symlink("nowhere", path).unwrap()),
    ];
    for (what, attack) in attacks {
        let bed = Bed::new();
        let mut work = bed.work(42).await;
        put(&work, "new.txt", "new\n");
        bed.git(&["checkout", "--quiet", "--detach"]);
        for name in ["vibe-ensemble.lock", "refs/heads/main.lock", "packed-refs.lock"] {
            let path = bed.user().join(".git").join(name);
            beneath::remove(&path).unwrap();
            attack(&path);
        }
        let repository = bed.repository().await;
        work.head = repository.accept(&work, &author(1)).await.expect(what);
        let landed = repository.land(&work, "a piece of work").await.expect(what);
        assert_eq!(
            landed,
            crate::git::merge::Landing::Landed(bed.git(&["rev-parse", "main"])),
            "{what}"
        );
        bed.assert_sound();
    }
    // One that a killed git left there.
    let bed = Bed::new();
    let mut work = bed.work(42).await;
    put(&work, "new.txt", "new\n");
    bed.git(&["checkout", "--quiet", "--detach"]);
    let lock = fs::File::create(bed.user().join(".git/refs/heads/main.lock")).unwrap();
    lock.set_modified(lock.metadata().unwrap().modified().unwrap() - Duration::from_secs(60))
        .unwrap();
    let repository = bed.repository().await;
    work.head = repository.accept(&work, &author(1)).await.unwrap();
    repository.land(&work, "a piece of work").await.unwrap();
    assert_eq!(bed.git(&["show", "main:new.txt"]), "new");
}

#[tokio::test]
async fn a_repository_made_in_the_place_of_the_git_file_is_kept() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    fs::remove_file(Path::new(&work.path).join(".git")).unwrap();
    at(&work, &["init", "--quiet"]);
    put(&work, "left.txt", "left\n");
    at(&work, &["add", "."]);
    at(&work, &["commit", "--quiet", "-m", "In a repository of its own"]);
    let head = bed.repository().await.accept(&work, &author(1)).await.unwrap();
    assert_eq!(bed.git(&["show", &format!("{}:left.txt", head.commit)]), "left");
    let aside = Path::new(&work.path).with_extension("aside-1");
    assert_eq!(git_in(&aside, &["log", "--format=%s"]), "In a repository of its own");
}

#[tokio::test]
async fn pipes_that_git_would_open_are_named_or_removed_and_hold_nobody() {
    for name in [".gitignore", ".gitattributes", ".gitmodules", "deep/er/.gitignore"] {
        let bed = Bed::new();
        let work = bed.work(42).await;
        let place = Path::new(&work.path).join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        if place.exists() {
            fs::remove_file(&place).unwrap();
        }
        pipe(&place);
        put(&work, "left.txt", "left\n");
        let repository = bed.repository().await;
        let refused = repository.accept(&work, &author(1)).await.expect_err("has a pipe");
        assert!(refused.to_string().contains(name), "{refused}");
        let kept = repository.put_aside(&work, &author(1)).await.unwrap().unwrap();
        assert_eq!(bed.git(&["show", &format!("{kept}:left.txt")]), "left");
        repository.put_back(&work, Place::Used).await.unwrap();
        assert_eq!(at(&work, &["status", "--porcelain"]), "", "{name}");
        bed.assert_sound();
    }
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_file_that_git_knows_is_named() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    fs::remove_file(Path::new(&work.path).join("a.txt")).unwrap();
    pipe(&Path::new(&work.path).join("a.txt"));
    let repository = bed.repository().await;
    let refused = repository.accept(&work, &author(1)).await.expect_err("is no file");
    assert!(refused.to_string().contains("a.txt"), "{refused}");
    repository.put_aside(&work, &author(1)).await.unwrap();
    repository.put_back(&work, Place::Used).await.unwrap();
    assert_eq!(read(&work, "a.txt"), "one\n");
}

#[tokio::test]
async fn a_git_that_waits_for_ever_is_ended_and_the_repository_is_free() {
    let bed = Bed::new();
    let mut work = bed.work(42).await;
    put(&work, "a.txt", "changed\n");
    // Nobody looks for a pipe in the user's own part of the repository.
    let exclude = bed.user().join(".git/info/exclude");
    fs::create_dir_all(exclude.parent().unwrap()).unwrap();
    fs::write(&exclude, "").unwrap();
    fs::remove_file(&exclude).unwrap();
    pipe(&exclude);
    let repositories = Repositories::default().with_idle(Duration::from_millis(400));
    let common = bed.user().join(".git");
    let repository = repositories.open(&common).await.unwrap();
    let hung = repository.accept(&work, &author(1)).await.expect_err("hangs");
    assert!(matches!(hung, GitError::Hung { .. }) && hung.is_lasting(), "{hung}");
    drop(repository);

    // So does a filter that does not answer, with what it began itself.
    fs::remove_file(&exclude).unwrap();
    let script = bed.user().with_file_name("filter");
    let pids = bed.user().with_file_name("pids");
    let text = format!("#!/bin/sh\nsetsid sleep 600 &\necho $! $$ >> {}\nwait\n", pids.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    bed.git(&["config", "filter.slow.clean", script.to_str().unwrap()]);
    put(&work, ".gitattributes", "*.txt filter=slow\n");
    let repository = repositories.open(&common).await.unwrap();
    let hung = repository.accept(&work, &author(1)).await.expect_err("hangs");
    assert!(matches!(hung, GitError::Hung { .. }), "{hung}");
    let pids = fs::read_to_string(pids).unwrap();
    let first = pids.split_whitespace().nth(1).unwrap();
    assert!(!Path::new("/proc").join(first).join("fd/0").exists(), "the filter lives");
    drop(repository);
    for pid in pids.lines().filter_map(|line| line.split(' ').next()?.parse::<i32>().ok()) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).unwrap();
    }

    bed.git(&["config", "--remove-section", "filter.slow"]);
    fs::remove_file(Path::new(&work.path).join(".gitattributes")).unwrap();
    let repository = repositories.open(&common).await.unwrap();
    work.head = repository.accept(&work, &author(1)).await.expect("the lock is free");
    bed.assert_sound();
}

#[tokio::test]
async fn what_one_agent_leaves_in_its_administration_stops_no_step_of_another_ticket() {
    let bed = Bed {
        repositories: Repositories::default().with_idle(Duration::from_secs(2)),
        ..Bed::new()
    };
    bed.work(42).await;
    let mut key = 100;
    for name in ["HEAD", "gitdir", "commondir", "locked", "index"] {
        let place = admin_of(&bed).join(name);
        let leave: [(&str, &dyn Fn()); 4] = [
            ("a pipe", &|| pipe(&place)),
            ("a link to a device", &|| symlink("/dev/zero", &place).unwrap()),
            ("a directory", &|| fs::create_dir(&place).unwrap()),
            ("a file without an end", &|| {
                fs::File::create(&place).unwrap().set_len(1 << 40).unwrap();
            }),
        ];
        for (what, leave) in leave {
            if name == "index" && what == "a file without an end" {
                // Git maps it, and an index may be large.
                continue;
            }
            beneath::remove(&place).unwrap();
            leave();
            let mut other = bed.work(key).await;
            put(&other, "a.txt", what);
            let repository = bed.repository().await;
            let accepted = repository.accept(&other, &author(key)).await;
            other.head = accepted.unwrap_or_else(|error| panic!("{name} is {what}: {error}"));
            let removed = repository.remove(&other).await;
            assert!(matches!(removed, Ok(Removal::Done { .. })), "{name} is {what}: {removed:?}");
            key += 1;
        }
    }
}

#[tokio::test]
async fn a_git_that_its_server_left_hanging_is_ended_by_the_next() {
    let bed = Bed::new();
    drop(bed.repository().await);
    let common = bed.user().join(".git");
    let lock = fs::File::options().append(true).open(common.join("vibe-ensemble.lock")).unwrap();
    lock.lock().unwrap();
    let program = bed.user().with_file_name("git");
    fs::copy("/bin/sleep", &program).unwrap();
    let mut orphan = Command::new(&program).arg("600").stdin(lock).spawn().unwrap();
    let repositories = Repositories::default().with_idle(Duration::from_millis(400));
    repositories.open(&common).await.expect("it is free");
    assert!(orphan.wait().unwrap().code().is_none(), "it was killed");
}

#[tokio::test]
async fn an_agents_process_that_holds_the_lock_is_ended_and_another_is_named() {
    let bed = Bed::new();
    drop(bed.repository().await);
    let common = bed.user().join(".git");
    let take = |place: &str| {
        let lock = fs::File::options().append(true).open(common.join("vibe-ensemble.lock"));
        let lock = lock.unwrap();
        lock.lock().unwrap();
        let mut command = Command::new("sleep");
        command
            .arg("600")
            .env("VIBE_ENSEMBLE_ATTEMPT", "A-1")
            .env("VIBE_ENSEMBLE_SERVER_ID", "server")
            .env("VIBE_ENSEMBLE_PLACE", place);
        command.stdin(lock).spawn().unwrap()
    };
    let repositories =
        Repositories::of_server("server", "here").with_idle(Duration::from_millis(400));
    let mut ours = take("here");
    drop(repositories.open(&common).await.expect("it is free"));
    assert!(ours.wait().unwrap().code().is_none(), "it was killed");

    // A process of a copy of this server's database is not ours to end.
    let mut other = take("elsewhere");
    let words = std::sync::Mutex::new(String::new());
    let told = tokio::sync::Notify::new();
    let held_by = |holder: &str| {
        holder.clone_into(&mut words.lock().unwrap());
        told.notify_one();
    };
    tokio::select! {
        opened = repositories.open_telling(&common, held_by) => panic!("it is held: {opened:?}"),
        () = told.notified() => {}
    }
    assert_eq!(*words.lock().unwrap(), format!("process {} (sleep)", other.id()));
    assert_eq!(other.try_wait().unwrap(), None);
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn closed_directories_of_a_failed_attempt_are_in_nobodys_way() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    let modes = [("cache/module", 0o000), ("cache", 0o555), ("sub", 0o555)];
    let close = || {
        put(&work, "cache/module/file.txt", "cached\n");
        for (name, mode) in modes {
            let path = Path::new(&work.path).join(name);
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    };
    close();
    let repository = bed.repository().await;
    let kept = repository.put_aside(&work, &author(1)).await.unwrap().unwrap();
    assert_eq!(bed.git(&["show", &format!("{kept}:cache/module/file.txt")]), "cached");
    repository.put_back(&work, Place::Used).await.unwrap();
    assert!(!Path::new(&work.path).join("cache").exists());
    let mode = fs::metadata(Path::new(&work.path).join("sub")).unwrap().permissions().mode();
    assert_eq!(mode & 0o700, 0o700, "the next attempt can write there");

    put(&work, ".gitignore", "cache\n*.cache\n");
    close();
    let mut work = work;
    work.head = repository.accept(&work, &author(1)).await.unwrap();
    repository.remove(&work).await.unwrap();
    assert!(!Path::new(&work.path).exists());
    bed.assert_sound();
}

#[tokio::test]
async fn a_file_too_large_to_be_committed_is_named_before_git_copies_it() {
    for prefix in ["", "deep/er/"] {
        let bed = Bed::new();
        let work = bed.work(42).await;
        put(&work, "left.txt", "left\n");
        let name = format!("{prefix}hole");
        put(&work, &name, "");
        let large = fs::File::options().write(true).open(Path::new(&work.path).join(&name));
        // It takes no room on its disk, and git would take an hour for its zeros.
        large.unwrap().set_len(1 << 40).unwrap();
        let repository = bed.repository().await;
        for refused in [
            repository.accept(&work, &author(1)).await.map(drop),
            repository.put_aside(&work, &author(1)).await.map(drop),
        ] {
            let refused = refused.expect_err("it cannot be held");
            assert!(matches!(refused, GitError::Large { .. }), "{refused}");
            assert!(refused.is_of_the_work() && !refused.is_passing(), "{refused}");
            assert!(
                refused.to_string().contains(&format!("{name} in it has 1024 GiB")),
                "{refused}"
            );
        }
        // What is ignored is no work.
        put(&work, ".gitignore", "hole\n");
        let head = repository.accept(&work, &author(1)).await.unwrap();
        assert_eq!(bed.git(&["show", &format!("{}:left.txt", head.commit)]), "left");
        bed.assert_sound();
    }
}

#[tokio::test]
async fn a_known_file_that_has_grown_beyond_all_bounds_is_named_too() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    let known = fs::File::options().write(true).open(Path::new(&work.path).join("a.txt"));
    known.unwrap().set_len(1 << 40).unwrap();
    let refused = bed.repository().await.accept(&work, &author(1)).await.expect_err("too large");
    assert!(refused.to_string().contains("a.txt"), "{refused}");
}

#[tokio::test]
async fn names_of_every_kind_are_accepted_as_they_are() {
    use std::os::unix::ffi::OsStrExt as _;

    let bed = Bed::new();
    let mut work = bed.work(42).await;
    let names: [&[u8]; 9] = [
        b"new\nline",
        b"\xff\xfe not text",
        b"-rf",
        b":(exclude)a.txt",
        b"\x1b[2Jescape",
        b"*",
        "\u{202e}right to left".as_bytes(),
        b" \t ",
        &[b'x'; 255],
    ];
    for name in names {
        let path = Path::new(&work.path).join(std::ffi::OsStr::from_bytes(name));
        fs::write(path, "odd\n").unwrap();
    }
    // As deep as a path may be.
    let mut deep = PathBuf::from(&work.path);
    while deep.as_os_str().len() < 3_900 {
        deep.push("d".repeat(100));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep\n").unwrap();
    let repository = bed.repository().await;
    work.head = repository.accept(&work, &author(1)).await.unwrap();
    assert_eq!(work.head.stat.files_changed, 10, "each of them");
    repository.put_back(&work, Place::Used).await.unwrap();
    assert!(matches!(repository.remove(&work).await.unwrap(), Removal::Done { .. }));
    bed.assert_sound();
}

const HOOKS: [&str; 16] = [
    "pre-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "post-checkout",
    "post-merge",
    "pre-merge-commit",
    "reference-transaction",
    "post-index-change",
    "pre-auto-gc",
    "post-rewrite",
    "fsmonitor-watchman",
    "applypatch-msg",
    "pre-rebase",
    "sendemail-validate",
    "pre-push",
];

/// Settings that name a program.
const PROGRAMS: [&str; 40] = [
    "core.fsmonitor",
    "core.editor",
    "core.pager",
    "core.sshCommand",
    "core.askPass",
    "core.gitProxy",
    "core.alternateRefsCommand",
    "credential.helper",
    "sequence.editor",
    "diff.external",
    "diff.odd.command",
    "diff.odd.textconv",
    "gpg.program",
    "gpg.ssh.program",
    "gpg.x509.program",
    "interactive.diffFilter",
    "uploadpack.packObjectsHook",
    "trailer.odd.command",
    "trailer.odd.cmd",
    "pager.status",
    "pager.diff-tree",
    "alias.status",
    "alias.add",
    "alias.merge",
    "tar.odd.command",
    "browser.odd.cmd",
    "man.odd.cmd",
    "mergetool.odd.cmd",
    "difftool.odd.cmd",
    "guitool.odd.cmd",
    "remote.origin.uploadpack",
    "remote.origin.receivepack",
    "remote.origin.vcs",
    "submodule.odd.update",
    "init.templateDir",
    "maintenance.odd",
    "imap.tunnel",
    "sendemail.smtpserver",
    "web.browser",
    "instaweb.browser",
];

/// Every program that git can be told to run, by the key that names it. Those that decide what files are as objects and how
/// they are merged are the user's, and run; all others would run an agent's program outside of its unit for nothing.
#[tokio::test]
async fn of_the_programs_that_a_configuration_names_only_filters_and_merge_drivers_run() {
    let bed = Bed::new();
    let ran = bed.user().with_file_name("ran");
    fs::create_dir(&ran).unwrap();
    let program = |name: &str, then: &str| {
        let path = bed.user().with_file_name(format!("program-{name}"));
        fs::write(&path, format!("#!/bin/sh\ntouch '{}/{name}'\n{then}\n", ran.display())).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    };
    let hooks = bed.user().join(".git/hooks");
    let mut beyond = Vec::new();
    for hook in HOOKS {
        fs::create_dir_all(&hooks).unwrap();
        let name = format!("hook-{hook}");
        fs::rename(program(&name, "exit 0"), hooks.join(hook)).unwrap();
        beyond.push(name);
    }
    for key in PROGRAMS {
        let name = key.replace('.', "-");
        let run = program(&name, "cat");
        bed.git(&["config", key, &if key.starts_with("alias") { format!("!{run}") } else { run }]);
        beyond.push(name);
    }
    bed.git(&["config", "core.hooksPath", hooks.to_str().unwrap()]);
    bed.git(&["config", "commit.gpgSign", "true"]);
    bed.git(&["config", "filter.odd.clean", &program("clean", "cat")]);
    bed.git(&["config", "filter.odd.smudge", &program("smudge", "cat")]);
    bed.git(&["config", "merge.odd.driver", &format!("{} %A", program("merge", "exit 0"))]);
    fs::write(bed.user().join(".gitattributes"), "*.txt filter=odd diff=odd merge=odd\n").unwrap();
    for arguments in [&["add", "."][..], &["commit", "--quiet", "-m", "Attributes"]] {
        let off = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"];
        bed.git(
            &[&off[..], &["-c", "alias.add=", "-c", "commit.gpgSign=false"], arguments].concat(),
        );
    }
    for entry in fs::read_dir(&ran).unwrap().flatten() {
        fs::remove_file(entry.path()).unwrap();
    }

    let mut work = bed.work(42).await;
    put(&work, "a.txt", "changed\n");
    put(&work, "new.txt", "new\n");
    let repository = bed.repository().await;
    repository.put_aside(&work, &author(1)).await.unwrap();
    work.head = repository.accept(&work, &author(2)).await.unwrap();
    let tree = bed.git(&["rev-parse", "main^{tree}"]);
    let other = repository.commit(&tree, &["main"], "Other").await.unwrap();
    let results = [("T-1".to_owned(), work.head.commit.clone()), ("T-2".to_owned(), other)];
    repository.together(&work.base_commit, &results).await.unwrap().unwrap();
    repository.land(&work, "a piece of work").await.unwrap();
    repository.put_back(&work, Place::Used).await.unwrap();
    repository.remove(&work).await.unwrap();
    let names = fs::read_dir(&ran).unwrap().flatten();
    let mut names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let astray: Vec<&String> = names.iter().filter(|name| beyond.contains(name)).collect();
    assert_eq!(astray, Vec::<&String>::new(), "of {} programs", beyond.len());
    assert!(
        names.contains(&"clean".to_owned()),
        "files are what the user's filters make: {names:?}"
    );
}

#[tokio::test]
async fn what_is_no_file_where_git_reads_the_repository_itself_has_a_clear_end() {
    let places = [
        "objects/info/alternates",
        "shallow",
        "info/attributes",
        "info/grafts",
        "packed-refs",
        "config",
        "HEAD",
        "refs/heads/vibe-ensemble/T-42",
        "objects/info/commit-graph",
    ];
    for name in places {
        let bed = Bed {
            repositories: Repositories::default().with_idle(Duration::from_millis(600)),
            ..Bed::new()
        };
        let work = bed.work(42).await;
        put(&work, "left.txt", "left\n");
        let place = bed.user().join(".git").join(name);
        let was = fs::read(&place).ok();
        beneath::remove(&place).unwrap();
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        pipe(&place);
        let repository = bed.repository().await;
        // Whatever comes of it, it ends, and the repository is free for the next.
        let accepted = repository.accept(&work, &author(1)).await;
        if let Err(error) = &accepted {
            assert!(!error.is_passing(), "{name}: {error}");
        }
        drop(repository);
        fs::remove_file(&place).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Some(was) = was {
            fs::write(&place, was).unwrap();
        }
        let repository = bed.repository().await;
        let head = repository.accept(&work, &author(1)).await;
        let head = head.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(bed.git(&["show", &format!("{}:left.txt", head.commit)]), "left", "{name}");
        bed.assert_sound();
    }
}

#[tokio::test]
async fn a_forged_shallow_file_hides_nothing_of_what_is_accepted() {
    let bed = Bed::new();
    let first = bed.git(&["rev-parse", "HEAD"]);
    bed.write("a.txt", "second\n");
    bed.git(&["commit", "--quiet", "-am", "Second"]);
    let second = bed.git(&["rev-parse", "HEAD"]);
    let mut work = bed.work(42).await;
    put(&work, "left.txt", "left\n");
    // As if the history before the second commit were somewhere else.
    fs::write(bed.user().join(".git/shallow"), format!("{second}\n")).unwrap();
    let repository = bed.repository().await;
    let accepted = repository.accept(&work, &author(1)).await;
    work.head = accepted.unwrap();
    assert!(repository.contains(&work.head.commit, &second).await.unwrap());
    repository.put_back(&work, Place::Used).await.unwrap();
    fs::remove_file(bed.user().join(".git/shallow")).unwrap();
    assert!(repository.contains(&work.head.commit, &first).await.unwrap());
    // One that nobody can read as such.
    fs::write(bed.user().join(".git/shallow"), "nonsense\n").unwrap();
    put(&work, "left.txt", "again\n");
    let refused = repository.accept(&work, &author(2)).await.expect_err("git refuses it");
    assert!(refused.to_string().contains("shallow"), "{refused}");
    fs::remove_file(bed.user().join(".git/shallow")).unwrap();
    repository.accept(&work, &author(2)).await.unwrap();
    bed.assert_sound();
}
