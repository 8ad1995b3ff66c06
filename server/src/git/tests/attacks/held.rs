//! Attacks that would hold a repository forever.

use super::*;

#[tokio::test]
async fn whatever_is_in_the_place_of_a_lock_blocks_nobody_for_long() {
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
    // A lock that a killed git left there.
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
async fn a_git_that_waits_forever_is_ended_and_frees_the_repository() {
    let bed = Bed::new();
    let mut work = bed.work(42).await;
    put(&work, "a.txt", "changed\n");
    // Nobody looks for a pipe where the user's own configuration leads.
    let (config, included) =
        (bed.user().join(".git/config"), bed.user().with_file_name("included"));
    let was = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{was}[include]\n\tpath = {}\n", included.display())).unwrap();
    pipe(&included);
    let repositories = Repositories::default().with_idle(Duration::from_millis(400));
    let common = bed.user().join(".git");
    let repository = repositories.open(&common).await.unwrap();
    let hung = repository.accept(&work, &author(1)).await.expect_err("hangs");
    assert!(matches!(hung, GitError::Hung { .. }) && hung.is_lasting(), "{hung}");
    drop(repository);

    // A filter that does not answer holds it too, together with the filter's own child.
    fs::write(&config, was).unwrap();
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
async fn nothing_in_one_worktrees_administration_blocks_another_ticket() {
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
                // Git maps the index into memory, so it may be large.
                continue;
            }
            beneath::remove(&place).unwrap();
            leave();
            let mut other = bed.work(key).await;
            put(&other, "a.txt", what);
            let repository = bed.repository().await;
            let accepted = repository.accept(&other, &author(key)).await;
            other.head = accepted.unwrap_or_else(|error| panic!("{name} is {what}: {error}"));
            let removed = repository.remove(&other, None).await;
            assert!(matches!(removed, Ok(Removal::Done { .. })), "{name} is {what}: {removed:?}");
            key += 1;
        }
    }
}

#[tokio::test]
async fn a_hanging_git_of_an_earlier_server_is_ended_by_the_next() {
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

    // A process that belongs to a copy of this server's database is not ours to end.
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

/// A filter is the user's own program, or an agent's; git passes on what it prints.
#[tokio::test]
async fn endless_error_output_of_a_filter_takes_no_memory_and_its_end_is_reported() {
    let bed = Bed::new();
    let work = bed.work(42).await;
    let program = bed.user().with_file_name("filter");
    fs::write(&program, "#!/bin/sh\nyes | head -c 50000000 >&2\necho last words >&2\nexit 1\n")
        .unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    bed.git(&["config", "filter.odd.clean", program.to_str().unwrap()]);
    bed.git(&["config", "filter.odd.required", "true"]);
    put(&work, ".gitattributes", "left.txt filter=odd\n");
    put(&work, "left.txt", "left\n");
    let error = bed.repository().await.accept(&work, &author(1)).await.unwrap_err();
    assert!(error.to_string().len() < 2000, "{error}");
    assert!(error.to_string().contains("filter 'odd' failed") || error.to_string().contains("odd"));
    bed.git(&["config", "--remove-section", "filter.odd"]);
    bed.repository().await.accept(&work, &author(2)).await.unwrap();
}
