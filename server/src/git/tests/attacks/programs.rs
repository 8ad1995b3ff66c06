//! Programs that a git configuration names.

use super::*;

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

/// Every program that git can be configured to run, by its key. Those that decide how files become
/// objects and how they are merged belong to the user, and run; all others would run an agent's
/// program outside its unit for no benefit.
#[tokio::test]
async fn of_all_configured_programs_only_filters_and_merge_drivers_run() {
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
    repository.remove(&work, None).await.unwrap();
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

/// A clone without blobs, whose configuration names the program that would fetch them.
#[tokio::test]
async fn objects_that_a_clone_lacks_are_not_fetched_and_the_error_says_what_to_do() {
    let bed = Bed::new();
    bed.write("a.txt", "second\n");
    bed.git(&["commit", "--quiet", "-am", "Second"]);
    bed.git(&["config", "uploadpack.allowFilter", "true"]);
    let (partial, ran) = (bed.user().with_file_name("partial"), bed.user().with_file_name("ran"));
    let from = format!("file://{}", bed.user().display());
    let to = partial.display().to_string();
    bed.git(&["clone", "--quiet", "--no-local", "--filter=blob:none", &from, &to]);
    let program = bed.user().with_file_name("fetch");
    fs::write(
        &program,
        format!("#!/bin/sh\ntouch '{}'\nexec git-upload-pack \"$@\"\n", ran.display()),
    )
    .unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    git_in(&partial, &["config", "remote.origin.uploadpack", program.to_str().unwrap()]);
    // What is checked out is present, so a ticket can begin and be accepted.
    let work = work_of(&bed, &partial, 42).await;
    put(&work, "new.txt", "new\n");
    let repository = bed.repositories.open(&partial.join(".git")).await.unwrap();
    repository.accept(&work, &author(1)).await.unwrap();
    assert!(!ran.exists());
    // A file that exists only in an older commit is not.
    let back = git_in(&partial, &["rev-parse", "HEAD~1"]);
    let work = Worktree { head: Head { commit: back, stat: DiffStat::default() }, ..work };
    let error = repository.put_back(&work, Place::Used).await.unwrap_err();
    assert!(!ran.exists(), "a program of the configuration ran");
    assert!(error.to_string().contains("git fetch --refetch"), "{error}");
    assert!(!error.is_passing(), "{error}");
}
