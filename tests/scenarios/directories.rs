//! Directories that the configuration names and that do not belong to the server.

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Output;

use e2e::bed::Bed;
use e2e::eventually::eventually;
use e2e::server::Setup;

use crate::neighbours::NOBODY;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("is there").mode() & 0o7777
}

/// A directory as somebody else made it, with something in it.
fn directory(bed: &Bed, name: &str, mode: u32) -> PathBuf {
    let path = bed.server.path(name);
    fs::create_dir(&path).expect("a fresh directory");
    fs::write(path.join("somebodys"), "kept").expect("writes");
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("our own");
    path
}

async fn run(bed: &Bed, command: &str, state: &Path, runtime: &Path) -> Output {
    let mut command = tokio::process::Command::from(bed.server.command(command));
    command.env("VIBE_ENSEMBLE_STATE_DIR", state).env("VIBE_ENSEMBLE_RUNTIME_DIR", runtime);
    command.kill_on_drop(true).output().await.expect("the program can be started")
}

#[e2e::scenario]
async fn a_shared_directory_is_left_unchanged_and_the_servers_own_is_below_it() {
    let bed = Bed::prepare(Setup::default());
    for (number, bits) in [0o1777, 0o755, 0o777].into_iter().enumerate() {
        let state = directory(&bed, &format!("s{number}"), 0o755);
        let shared = directory(&bed, &format!("r{number}"), bits);
        // In a directory that others may write, without a sticky bit, they could replace ours.
        let is_safe = bits & 0o022 == 0 || bits & 0o1000 != 0;
        let mut serve = tokio::process::Command::from(bed.server.command("serve"));
        serve.args(["--listen", "127.0.0.1:0", "--launcher", "plain", "--runtime-dir"]);
        serve.arg(&shared).arg("--state-dir").arg(&state).kill_on_drop(true);
        serve.stderr(fs::File::create(bed.server.path("serve.log")).expect("writable"));
        let mut server = serve.spawn().expect("it can be started");
        let own = shared.join("vibe-ensemble");
        if is_safe {
            eventually("it listens", || {
                std::future::ready(
                    fs::read_to_string(own.join("http.addr")).map_err(|e| e.to_string()),
                )
            })
            .await;
            assert_eq!((mode(&own), mode(&state.join("vibe-ensemble"))), (0o700, 0o700));
            let output = run(&bed, "status", &state, &shared).await;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            server.kill().await.expect("our own child");
        } else {
            let status = server.wait().await.expect("our own child");
            assert_eq!(status.code(), Some(78));
        }
        assert_eq!((mode(&shared), mode(&state)), (bits, 0o755), "never changed");
        for place in [&shared, &state] {
            let names = fs::read_dir(place).expect("ours").flatten().map(|entry| entry.file_name());
            let mut names: Vec<_> = names.collect();
            names.retain(|name| name != "vibe-ensemble");
            assert_eq!(names, ["somebodys"], "{}", place.display());
        }
    }
}

#[e2e::scenario]
async fn a_place_that_others_could_change_is_refused_all_the_way_up() {
    let mut bed = Bed::start().await;
    let (state, runtime) = (bed.server.state_dir(), bed.server.runtime_dir());
    let set = |path: &Path, mode: u32| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own");
    };
    let above = bed.server.path("");
    let was = mode(&above);
    let refused = async |bed: &Bed, what: &Path, commands: &[&str]| {
        for command in commands {
            let output = run(bed, command, &state, &runtime).await;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(78), "{command}: {said}");
            assert!(said.contains(&what.display().to_string()), "{command}: {said}");
        }
    };
    let shown = above.display().to_string();
    let above = PathBuf::from(shown.trim_end_matches('/'));
    for (path, before) in [(&above, was), (&runtime, 0o700), (&state, 0o700)] {
        set(path, 0o777);
        refused(&bed, path, &["tickets", "status"]).await;
        set(path, before);
    }
    let output = run(&bed, "tickets", &state, &runtime).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // So are the places of files that commands themselves read and write.
    let shared = bed.server.path("shared");
    fs::create_dir(&shared).expect("a fresh directory");
    fs::copy(state.join("tokens/coordinator"), shared.join("token")).expect("our own");
    set(&shared, 0o777);
    let (token, copy) = (shared.join("token"), shared.join("copy.db"));
    let (token, copy) = (token.display().to_string(), copy.display().to_string());
    for (command, arguments) in
        [("tickets", &["--token-file", token.as_str()][..]), ("backup", &[copy.as_str()])]
    {
        let output = bed.server.operate(command, arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{command}: {said}");
        assert!(said.contains(&shared.display().to_string()), "{command}: {said}");
    }
    set(&state.join("attempts"), 0o777);
    let output = bed.server.operate("logs", &["A-1"]).await;
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    set(&state.join("attempts"), 0o700);
    set(&shared, 0o1777);
    for (command, arguments) in
        [("tickets", &["--token-file", token.as_str()][..]), ("backup", &[copy.as_str()])]
    {
        let output = bed.server.operate(command, arguments).await;
        assert!(output.status.success(), "each takes away only what is his own: {output:?}");
    }
    bed.server.stop().await;
    for (path, before) in [
        (&above, was),
        (&runtime, 0o700),
        (&state, 0o700),
        (&state.join("tokens/coordinator"), 0o600),
        (&state.join("tokens/attempts"), 0o600),
        (&state.join("vibe-ensemble.db"), 0o600),
    ] {
        set(path, 0o666 | before | 0o022);
        refused(&bed, path, &["serve"]).await;
        set(path, before);
    }
    bed.launch().await;
}

#[e2e::scenario(needs(Root))]
async fn a_place_of_another_user_is_refused() {
    let mut bed = Bed::start().await;
    let (state, runtime) = (bed.server.state_dir(), bed.server.runtime_dir());
    bed.server.stop().await;
    for path in [&runtime, &state, &state.join("attempts"), &state.join("tokens/coordinator")] {
        let owner = |uid| std::os::unix::fs::chown(path, Some(uid), None).expect("root may");
        owner(NOBODY);
        let output = run(&bed, "serve", &state, &runtime).await;
        owner(0);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(&path.display().to_string()), "{said}");
    }
    bed.launch().await;
}

#[e2e::scenario(needs(Root))]
async fn a_token_file_that_another_user_could_exchange_is_refused() {
    let bed = Bed::prepare(Setup::default());
    let shared = bed.server.path("shared");
    let (theirs, ours) = (shared.join("theirs"), shared.join("ours"));
    for path in [&shared, &theirs, &ours] {
        fs::create_dir(path).expect("a fresh directory");
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("our own");
    }
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).expect("our own");
    let token = "0123456789abcdef0123456789abcdef";
    for path in [theirs.join("token"), ours.join("token")] {
        fs::write(&path, token).expect("writes");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own");
    }
    let owned_by_them = |path: &Path| {
        std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
    };
    owned_by_them(&theirs);
    let link = |name: &str, to: &Path| {
        let link = shared.join(name);
        std::os::unix::fs::symlink(to, &link).expect("links");
        link
    };
    let [to_theirs, to_ours, their_link] = [
        link("to-theirs", &theirs.join("token")),
        link("to-ours", &ours.join("token")),
        link("their-link", &ours.join("token")),
    ];
    owned_by_them(&their_link);
    let (state, runtime) = (bed.server.state_dir(), bed.server.runtime_dir());
    let start = |token_file: &Path| {
        let mut serve = tokio::process::Command::from(bed.server.command("serve"));
        serve.args(["--listen", "127.0.0.1:0", "--launcher", "plain", "--runtime-dir"]);
        serve.arg(&runtime).arg("--state-dir").arg(&state).arg("--token-file").arg(token_file);
        serve.kill_on_drop(true).stderr(std::process::Stdio::piped());
        serve
    };
    // Their directory; a link to it; a link that they can redirect.
    for (file, at) in
        [(theirs.join("token"), &theirs), (to_theirs, &theirs), (their_link.clone(), &their_link)]
    {
        let output = start(&file).output().await.expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{}: {said}", file.display());
        assert!(said.contains(&at.display().to_string()) && !said.contains(token), "{said}");
    }
    for file in [ours.join("token"), to_ours] {
        let mut server = start(&file).spawn().expect("it can be started");
        eventually("it listens", || {
            let address = fs::read_to_string(runtime.join("http.addr"));
            std::future::ready(address.map_err(|error| error.to_string()))
        })
        .await;
        server.kill().await.expect("our own child");
        fs::remove_file(runtime.join("http.addr")).expect("it was there");
    }
}

#[e2e::scenario]
async fn a_configuration_that_others_can_change_is_refused() {
    let bed = Bed::prepare(Setup::default());
    let place = bed.server.home().join(".config/vibe-ensemble");
    let templates = place.join("worker-types");
    fs::create_dir_all(&templates).expect("a fresh directory");
    let file = place.join("config.toml");
    fs::write(&file, "max_workers = 3\n").expect("our own directory");
    let (state, runtime) = (bed.server.path("of-none"), bed.server.path("run-of-none"));
    for (path, mode, good) in [(&file, 0o666, 0o644), (&templates, 0o777, 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own");
        let output = run(&bed, "serve", &state, &runtime).await;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{words}");
        let told = format!("{} has mode {mode:04o}", path.display());
        assert!(words.contains(&told) && words.contains("chmod go-w"), "{words}");
        assert!(!state.exists(), "nothing was made");
        fs::set_permissions(path, fs::Permissions::from_mode(good)).expect("our own");
    }
}

#[e2e::scenario]
async fn links_to_places_of_our_own_are_followed() {
    let bed = Bed::prepare(Setup::default());
    let large = bed.server.path("large");
    fs::create_dir_all(large.join("attempts")).expect("a fresh directory");
    fs::set_permissions(large.join("attempts"), Permissions::from_mode(0o755)).expect("our own");
    fs::create_dir(bed.server.state_dir()).expect("a fresh directory");
    fs::set_permissions(bed.server.state_dir(), Permissions::from_mode(0o700)).expect("our own");
    std::os::unix::fs::symlink(large.join("attempts"), bed.server.state_dir().join("attempts"))
        .expect("links");
    let mut bed = bed;
    bed.launch().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    assert_eq!(mode(&large.join("attempts")), 0o755, "what a link leads to is left as it is");
}
