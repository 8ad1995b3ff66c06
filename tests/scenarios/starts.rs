//! What a server refuses to start on: it never silently starts empty, and changes nothing on the
//! way.

use std::fs;
use std::process::Output;

use e2e::bed::Bed;
use e2e::server::Server;
use e2e::server::Setup;

/// Tries to start, which must fail with 1; returns the output.
async fn refused(server: &Server) -> String {
    let Output { status, stderr, .. } = server.operate("serve", &["--listen", "127.0.0.1:0"]).await;
    let words = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(1), "{words}");
    words
}

/// A server that has run one ticket and was stopped.
async fn used() -> Bed {
    let mut bed = Bed::start().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    bed.nothing_is_left().await;
    bed.server.stop().await;
    bed
}

#[e2e::scenario]
async fn a_missing_database_beside_run_directories_is_not_an_empty_start() {
    let mut bed = used().await;
    let state = bed.server.state_dir();
    let kept = state.join("kept.db");
    fs::rename(state.join("vibe-ensemble.db"), &kept).unwrap();

    let words = refused(&bed.server).await;

    assert!(words.contains("vibe-ensemble.db") && words.contains("backup"), "{words}");
    assert!(words.contains("to start empty"), "{words}");
    assert!(!state.join("vibe-ensemble.db").exists(), "nothing was made in its place");
    fs::rename(&kept, state.join("vibe-ensemble.db")).unwrap();
    bed.launch().await;
    assert_eq!(bed.get("T-1").await["resolution"], "completed");

    // An operator who wants to start empty moves the run directories away.
    bed.server.stop().await;
    fs::remove_file(state.join("vibe-ensemble.db")).unwrap();
    fs::remove_dir_all(state.join("attempts")).unwrap();
    bed.launch().await;
    assert!(bed.reachable().await);
}

#[e2e::scenario]
async fn a_damaged_database_is_reported_and_left_alone() {
    let bed = used().await;
    let path = bed.server.state_dir().join("vibe-ensemble.db");
    let whole = fs::read(&path).unwrap();
    let mut torn = whole.clone();
    torn[4096..3 * 4096].fill(0xa5);
    for content in [torn, b"this is a letter to my aunt\n".repeat(400)] {
        fs::write(&path, &content).unwrap();
        let words = refused(&bed.server).await;
        assert!(words.contains("damaged") && words.contains("backup"), "{words}");
        assert!(fs::read(&path).unwrap() == content, "the file was changed");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let words = refused(&bed.server).await;
    assert!(words.contains("vibe-ensemble.db"), "{words}");
}

#[e2e::scenario(needs(Mounts))]
async fn a_read_only_state_directory_is_reported() {
    let mut server = Server::start(Setup { state_mib: Some(64), ..Setup::default() }).await;
    server.stop().await;
    server.state_on().set_read_only(true);

    let words = refused(&server).await;

    assert!(words.contains(&server.state_dir().display().to_string()), "{words}");
    assert!(words.contains("read-only") && words.contains("--state-dir"), "{words}");
    server.state_on().set_read_only(false);
    server.launch().await;
}

#[e2e::scenario]
async fn damage_found_after_a_start_ends_the_server_and_is_remembered() {
    // As with a database so large that a start cannot check all of it.
    let mut bed = Bed::prepare(Setup::default().arg("--start-check-ms").arg("0"));
    bed.launch().await;
    bed.project("shop", &["build"]).await;
    let ticket = bed.ticket("shop", &["build"], "").await;
    bed.completed(&ticket).await;
    let long = "a long story ".repeat(8_000);
    let kept = bed.ticket("shop", &["build"], &long).await;
    bed.completed(&kept).await;
    bed.nothing_is_left().await;
    bed.server.stop().await;
    let path = bed.server.state_dir().join("vibe-ensemble.db");
    let whole = fs::read(&path).unwrap();
    // A page in the middle of the text, which no start reads: it claims that the next page is far
    // outside.
    let page = whole
        .chunks(4096)
        .position(|page| {
            page[4..].windows(13).all(|w| w.iter().all(|b| b.is_ascii_lowercase() || *b == b' '))
        })
        .expect("the story takes whole pages");
    let mut torn = whole.clone();
    torn[page * 4096..page * 4096 + 4].fill(0x7f);
    fs::write(&path, &torn).unwrap();

    // It may end before it reports where it listens.
    let ended = match bed.server.try_launch().await {
        Ok(()) => bed.server.ended().await,
        Err(status) => status,
    };
    assert_eq!(ended.code(), Some(1));
    assert!(bed.server.log().contains("damaged"), "{}", bed.server.log());
    assert!(bed.server.state_dir().join("vibe-ensemble.db-damaged").exists());
    let words = refused(&bed.server).await;
    assert!(words.contains("damaged") && words.contains("backup"), "{words}");
    assert!(fs::read(&path).unwrap().len() == torn.len(), "the file is kept");

    for file in ["vibe-ensemble.db-wal", "vibe-ensemble.db-shm"] {
        drop(fs::remove_file(bed.server.state_dir().join(file)));
    }
    fs::write(&path, &whole).unwrap();
    bed.launch().await;
    assert!(!bed.server.state_dir().join("vibe-ensemble.db-damaged").exists());
    let next = bed.ticket("shop", &["build"], "").await;
    bed.completed(&next).await;
}

#[e2e::scenario]
async fn half_of_a_database_is_reported_at_once() {
    let bed = used().await;
    let path = bed.server.state_dir().join("vibe-ensemble.db");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2 / 4096 * 4096]).unwrap();
    let words = refused(&bed.server).await;
    assert!(words.contains("damaged") && words.contains("backup"), "{words}");
}

/// The numbers of all migrations, smallest first.
fn migrations() -> Vec<u64> {
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
    let mut numbers: Vec<u64> = fs::read_dir(migrations)
        .expect("the migrations are there")
        .filter_map(|file| file.ok()?.file_name().to_str()?.split('_').next()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// Gives an applied migration another number, in the table and in its index. The order of all
/// migrations must stay.
fn renumbered(database: &[u8], from: u64, to: u64) -> Vec<u8> {
    let number = |version: u64| version.to_be_bytes()[2..].to_vec();
    let (from, to) = (number(from), number(to));
    let mut changed = database.to_vec();
    let mut found = 0;
    for at in 0..changed.len() - from.len() {
        if changed[at..].starts_with(&from) {
            changed[at..at + to.len()].copy_from_slice(&to);
            found += 1;
        }
    }
    assert!(found >= 2, "{found} places");
    changed
}

#[e2e::scenario]
async fn a_database_of_a_newer_version_is_reported_and_left_alone() {
    let bed = used().await;
    let path = bed.server.state_dir().join("vibe-ensemble.db");
    let newest = *migrations().last().unwrap();
    // The newest migration becomes one of the next century.
    let newer = renumbered(&fs::read(&path).unwrap(), newest, newest + 1_000_000_000_000);
    fs::write(&path, &newer).unwrap();

    let words = refused(&bed.server).await;

    assert!(words.contains("newer version") && words.contains("backup"), "{words}");
    assert!(fs::read(&path).unwrap() == newer, "the file was changed");
}

#[e2e::scenario]
async fn a_database_from_before_the_first_release_is_refused_with_the_way_to_begin_anew() {
    let mut bed = used().await;
    let state = bed.server.state_dir();
    let path = state.join("vibe-ensemble.db");
    let first = migrations()[0];
    // The first migration becomes one that only unreleased versions had.
    let old = renumbered(&fs::read(&path).unwrap(), first, 20_261_122_180_000);
    fs::write(&path, &old).unwrap();

    let words = refused(&bed.server).await;

    assert!(words.contains("before its first release"), "{words}");
    assert!(words.contains("To begin anew") && words.contains(state.to_str().unwrap()), "{words}");
    let doctor = bed.server.operate("doctor", &[]).await;
    let found = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert_eq!(doctor.status.code(), Some(1), "{found}");
    assert!(found.contains("before its first release"), "{found}");
    let copy = state.join("copy.db");
    let backup = bed.server.operate("backup", &[copy.to_str().unwrap()]).await;
    assert_eq!(backup.status.code(), Some(1));
    let refusal = String::from_utf8_lossy(&backup.stderr).into_owned();
    assert!(refusal.contains("before its first release") && !copy.exists(), "{refusal}");
    assert!(fs::read(&path).unwrap() == old, "the file was changed");

    // The way that the refusal names.
    fs::rename(&state, state.with_extension("old")).unwrap();
    bed.launch().await;
    assert!(bed.reachable().await);
    assert!(fs::read(state.with_extension("old").join("vibe-ensemble.db")).unwrap() == old);
}
