use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;

use super::given::Source;
use super::load::load_from;
use super::*;
use crate::domain::event::EventKind;
use crate::domain::notify::Notifier;
use crate::domain::notify::Target;

const NOWHERE: &str = "/nonexistent/config.toml";

fn flags<const N: usize>(given: [(&'static str, &str); N]) -> Flags {
    Flags { config: None, given: given.map(|(name, text)| (name, text.to_owned())).into() }
}

fn home() -> Environment {
    Environment::from_pairs([("HOME", "/home/ada")])
}

fn file(text: &str) -> (tempfile::TempDir, Flags) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("config.toml");
    fs::write(&path, text).expect("writes");
    (dir, Flags { config: Some(path), ..Flags::default() })
}

fn problems(flags: &Flags, environment: &Environment) -> Vec<String> {
    match load_from(flags, environment, Path::new(NOWHERE)) {
        Ok(config) => panic!("expected problems, got {config:?}"),
        Err(Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_default_is_valid_and_is_the_documented_one() {
    let config = load_from(&Flags::default(), &home(), Path::new(NOWHERE)).expect("loads");
    assert_eq!(config.listen, "127.0.0.1:3276".parse::<SocketAddr>().unwrap());
    assert_eq!(config.max_workers, 16);
    assert_eq!(config.agent_command, PathBuf::from("claude"));
    assert_eq!((config.auth, config.launcher), (Auth::Token, Launcher::Auto));
    assert_eq!(config.transcript_segment_bytes, 16 << 20);
    assert_eq!((config.retry_backoff_ms, config.retry_backoff_max_ms), (10_000, 600_000));
    assert_eq!(config.shim, None);
    assert_eq!(config.effective.len(), OPTIONS.len());
    assert_eq!(config.file, None);
}

#[test]
fn the_file_yields_to_the_environment_and_that_to_the_flag() {
    let (dir, mut flags) = file("max_workers = 1\nmax_rework = 1\nlinger_ms = 1_0\n");
    let environment = Environment::from_pairs([
        ("HOME", "/home/ada"),
        ("VIBE_ENSEMBLE_MAX_WORKERS", "2"),
        ("VIBE_ENSEMBLE_MAX_REWORK", "2"),
    ]);
    flags.given.insert("max_workers", "3".to_owned());
    let config = load_from(&flags, &environment, Path::new(NOWHERE)).expect("loads");
    assert_eq!((config.max_workers, config.max_rework, config.linger_ms), (3, 2, 10));
    let source = |name| config.effective.iter().find(|e| e.name == name).unwrap().source.clone();
    assert_eq!(source("max_workers"), Source::Flag("--max-workers".into()));
    assert_eq!(source("max_rework"), Source::Variable("VIBE_ENSEMBLE_MAX_REWORK".into()));
    let path = dir.path().join("config.toml");
    assert_eq!(source("linger_ms"), Source::File { path, line: 3 });
    assert_eq!(source("listen"), Source::Default);
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let (dir, mut flags) = file(
        "listen = \"everywhere\"\nmax_wrokers = 3\nmax_rework = \"3\"\nstate_dir = \"relative\"\n\
         [env]\nVIBE_ENSEMBLE_TOKEN = \"x\"\n",
    );
    flags.given.insert("launcher", "docker".to_owned());
    let environment = Environment::from_pairs([
        ("HOME", "/home/ada"),
        ("VIBE_ENSEMBLE_LISTN", "127.0.0.1:1"),
        ("VIBE_ENSEMBLE_HEARTBEAT_MS", "-5"),
        ("VIBE_ENSEMBLE_TICKET", "T-1"),
        ("VIBE_ENSEMBLE_TEST_ANYTHING", "1"),
    ]);
    let at = |line: u32| format!("{}:{line}", dir.path().join("config.toml").display());
    assert_eq!(
        problems(&flags, &environment),
        [
            format!("{}: the option \"max_wrokers\" does not exist; did you mean \"max_workers\"?", at(2)),
            "VIBE_ENSEMBLE_LISTN: this variable does not exist; did you mean VIBE_ENSEMBLE_LISTEN?".to_owned(),
            format!("listen ({}): \"everywhere\" is not valid; use an IP address and a port, such as 127.0.0.1:3276 or [::1]:0", at(1)),
            format!("state_dir ({}): \"relative\" is not valid; use a directory; in the configuration file, an absolute path", at(4)),
            "launcher (--launcher): \"docker\" is not valid; use one of auto, unit, plain".to_owned(),
            format!("max_rework ({}): \"3\" is not valid; use a whole number from 0 to 1000", at(3)),
            "heartbeat_ms (VIBE_ENSEMBLE_HEARTBEAT_MS): \"-5\" is not valid; use a whole number from 100 to 600000".to_owned(),
            format!("env ({}): a table of VIBE_ENSEMBLE_TOKEN is not valid; use a table of variables whose values are strings, none of them named VIBE_ENSEMBLE_*", at(5)),
        ]
    );
}

#[test]
fn syntax_errors_have_a_line_and_a_missing_file_is_an_error() {
    let (_dir, flags) = file("max_workers = 3\nlisten = \n");
    let found = problems(&flags, &home());
    assert!(found[0].contains("config.toml:2: "), "{found:?}");
    let missing = Flags { config: Some("/nonexistent/x.toml".into()), ..Flags::default() };
    assert_eq!(
        problems(&missing, &home()),
        ["/nonexistent/x.toml:1: this file does not exist; give another with --config"]
    );
}

#[test]
fn no_auth_is_refused_off_loopback() {
    for open in ["0.0.0.0:3276", "[::]:3276", "192.0.2.7:80"] {
        let found = problems(&flags([("auth", "none"), ("listen", open)]), &home());
        assert!(found[0].starts_with("auth (--auth): \"none\" would let anyone"), "{found:?}");
    }
    for closed in ["127.0.0.1:0", "[::1]:0"] {
        let flags = flags([("auth", "none"), ("listen", closed)]);
        load_from(&flags, &home(), Path::new(NOWHERE)).expect("loads");
    }
}

#[test]
fn directories_default_to_systemd_then_xdg_then_home() {
    let places = |environment: &Environment, flags: &Flags| {
        let config = load_from(flags, environment, Path::new(NOWHERE)).expect("loads");
        (config.state_dir.clone(), config.runtime_dir.clone())
    };
    let none = Flags::default();
    let unit = Environment::from_pairs([
        ("HOME", "/home/ada"),
        ("XDG_STATE_HOME", "/xdg/state"),
        ("XDG_RUNTIME_DIR", "/run/user/7"),
        ("STATE_DIRECTORY", "/var/lib/vibe-ensemble:/var/lib/other"),
        ("RUNTIME_DIRECTORY", "/run/vibe-ensemble"),
    ]);
    assert_eq!(
        places(&unit, &none),
        ("/var/lib/vibe-ensemble".into(), "/run/vibe-ensemble".into())
    );
    let session = Environment::from_pairs([
        ("HOME", "/home/ada"),
        ("XDG_STATE_HOME", "/xdg/state"),
        ("XDG_RUNTIME_DIR", "/run/user/7"),
    ]);
    assert_eq!(
        places(&session, &none),
        ("/xdg/state/vibe-ensemble".into(), "/run/user/7/vibe-ensemble".into())
    );
    let relative = Environment::from_pairs([("HOME", "/home/ada"), ("XDG_STATE_HOME", "state")]);
    let state = PathBuf::from("/home/ada/.local/state/vibe-ensemble");
    assert_eq!(places(&relative, &none), (state.clone(), state.join("run")));
    let named = flags([("state_dir", "/srv/ve")]);
    assert_eq!(places(&home(), &named), ("/srv/ve".into(), "/srv/ve/run".into()));
}

#[test]
fn the_token_is_systemds_credential_if_there_is_one_else_the_state_directorys() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let credentials = dir.path().to_str().expect("a path that is text");
    let unit =
        Environment::from_pairs([("HOME", "/home/ada"), ("CREDENTIALS_DIRECTORY", credentials)]);
    let found = |flags: &Flags| {
        let config = load_from(flags, &unit, Path::new(NOWHERE)).expect("loads");
        (config.token_file.clone(), config.source_of("token_file"))
    };
    let own = PathBuf::from("/srv/ve/tokens/coordinator");
    let there = flags([("state_dir", "/srv/ve")]);
    assert_eq!(found(&there), (own, Source::Place("state_dir")));
    let credential = dir.path().join("coordinator-token");
    fs::write(&credential, "").expect("writes");
    assert_eq!(found(&there), (credential, Source::Place("CREDENTIALS_DIRECTORY")));
    let named = flags([("token_file", "/srv/token")]);
    let flag = Source::Flag("--token-file".to_owned());
    assert_eq!(found(&named), ("/srv/token".into(), flag));
}

#[test]
fn without_a_home_the_missing_directories_are_named() {
    let found = problems(&Flags::default(), &Environment::default());
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[0].starts_with("state_dir (default): there is no default because HOME is not set")
    );
}

#[test]
fn the_default_locations_are_tried_in_order() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let system = dir.path().join("etc.toml");
    let user = dir.path().join("vibe-ensemble/config.toml");
    fs::create_dir(user.parent().unwrap()).unwrap();
    let environment = Environment::from_pairs([
        ("HOME", "/home/ada"),
        ("XDG_CONFIG_HOME", dir.path().to_str().unwrap()),
    ]);
    let found = || load_from(&Flags::default(), &environment, &system).expect("loads").file.clone();
    assert_eq!(found(), None);
    fs::write(&user, "").unwrap();
    assert_eq!(found(), Some(user));
    fs::write(&system, "").unwrap();
    assert_eq!(found(), Some(system.clone()));
}

#[test]
fn no_list_of_names_lets_the_token_through() {
    for bad in ["*", "V*", "VIBE_*", "VIBE_ENSEMBLE_TOKEN", "VIBE_ENSEMBLE_TOK*", "A-B", "A,1B"] {
        let found = problems(&flags([("env_pass", bad)]), &home());
        assert!(found[0].starts_with("env_pass (--env-pass)"), "{bad}: {found:?}");
    }
    let good = flags([("env_pass", "CARGO_HOME, AWS_*,")]);
    let config = load_from(&good, &home(), Path::new(NOWHERE)).expect("loads");
    assert_eq!(config.env_pass, ["CARGO_HOME", "AWS_*"]);
}

#[test]
fn a_runtime_directory_must_leave_room_for_the_socket() {
    let long = format!("/{}", "x".repeat(98));
    let found = problems(&flags([("runtime_dir", &long)]), &home());
    assert!(found[0].contains("has 109 bytes"), "{found:?}");
}

#[test]
fn a_reload_reads_the_file_again_and_tells_what_changed() {
    let (dir, flags) = file("max_workers = 1\n");
    let config = load_from(&flags, &home(), Path::new(NOWHERE)).expect("loads");
    fs::write(dir.path().join("config.toml"), "max_workers = 2\nauth = \"none\"\n").unwrap();
    let new = config.reload().expect("loads");
    assert_eq!(
        config.changes(&new),
        [("max_workers", TakesEffect::Reload), ("auth", TakesEffect::Restart)]
    );
    fs::write(dir.path().join("config.toml"), "max_workers = 0\n").unwrap();
    assert!(config.reload().is_err());
}

#[test]
fn the_example_file_is_the_generated_one_and_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/config.example.toml");
    if std::env::vars_os().any(|(name, _)| name == "UPDATE_SNAPSHOTS") {
        fs::write(&path, example()).expect("writes");
    }
    let text = fs::read_to_string(&path).expect("reads the example file");
    assert!(text == example(), "run the tests with UPDATE_SNAPSHOTS=1 and look at the difference");
    let live = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') && !rest.contains('…') => format!("{rest}\n"),
        _ => String::new(),
    };
    let (dir, flags) = file(&text.lines().map(live).collect::<String>());
    let set = load_from(&flags, &home(), Path::new(NOWHERE)).expect("loads");
    let plain = load_from(&Flags::default(), &home(), Path::new(NOWHERE)).expect("loads");
    // The one that depends on where the file is.
    let beside = Settings { templates_dir: dir.path().join("worker-types"), ..(*plain).clone() };
    assert_eq!(*set, beside);
}

const NOTIFIERS: &str = "\
max_workers = 3
[[notify]]
name = \"phone\"
command = [\"tell\", \"--urgent\"]
[[notify]]
name = \"hook\"
url = \"https://hooks.example/T0/secret\"
secret_file = \"/etc/hook-secret\"
events = [\"ticket_closed\", \"budget_warning\"]
projects = [\"shop\"]
quiet_hours = \"22:00-07:00\"
timeout_seconds = 5
max_tries = 3
";

#[test]
fn notifiers_are_tables_of_the_file() {
    let (_dir, flags) = file(NOTIFIERS);
    let config = load_from(&flags, &home(), Path::new(NOWHERE)).expect("loads");
    assert_eq!(config.max_workers, 3);
    let [phone, hook] = config.notifiers.as_slice() else { panic!("{:?}", config.notifiers) };
    assert_eq!(phone.target, Target::Command(vec!["tell".into(), "--urgent".into()]));
    assert_eq!(phone.events, Notifier::usual_events());
    assert_eq!((phone.timeout.as_secs(), phone.max_tries), (30, 20));
    assert_eq!(hook.events, [EventKind::TicketClosed, EventKind::BudgetWarning]);
    assert_eq!((hook.timeout.as_secs(), hook.max_tries), (5, 3));
    assert_eq!(hook.quiet_hours.expect("hours").to_string(), "22:00-07:00");
    // The path of an address is often a secret.
    let shown = config.effective.last().expect("it is shown");
    assert_eq!(shown.name, "notify");
    let text = shown.value.to_string();
    assert!(text.contains("https://hooks.example\"") && !text.contains("T0"), "{text}");
}

#[test]
fn every_mistake_of_a_notifier_is_told_with_its_line() {
    let (dir, flags) = file(
        "[[notify]]\nname = \"a\"\nevents = [\"tickt_closed\"]\ncommnd = [\"tell\"]\n\
         [[notify]]\nname = \"b\"\nurl = \"https://user:password@hooks.example\"\n\
         [[notify]]\ncommand = [\"./tell\"]\nquiet_hours = \"late\"\nmax_tries = 0\n\
         [[notify]]\nname = \"c\"\ncommand = [\"tell\"]\nsecret_file = \"/etc/s\"\n\
         [[notify]]\nname = \"d\"\ncommand = [\"tell\"]\n\
         [[notify]]\nname = \"d\"\ncommand = [\"tell\"]\n",
    );
    let path = dir.path().join("config.toml").display().to_string();
    let found = problems(&flags, &home());
    let told = |line: usize, words: &str| {
        let begin = format!("notify ({path}:{line}): ");
        assert!(
            found.iter().any(|found| found.starts_with(&begin) && found.contains(words)),
            "{line} {words}: {found:#?}"
        );
    };
    told(3, "did you mean \"ticket_closed\"?");
    told(4, "the key \"commnd\" does not exist; did you mean \"command\"?");
    told(1, "neither command nor url");
    told(7, "without a user, a password");
    told(5, "secret_file is missing");
    told(8, "name is missing");
    told(9, "command is [\"./tell\"], which is not valid");
    told(10, "quiet_hours is \"late\"");
    told(11, "a whole number from 1 to 1000");
    told(12, "belong to url");
    told(19, "two notifiers are named \"d\"");
    assert_eq!(found.len(), 11, "{found:#?}");
    assert!(!found.iter().any(|found| found.contains("user:password")), "{found:#?}");

    let (_dir, flags) = file("[notify]\nname = \"a\"\n");
    assert!(problems(&flags, &home())[0].contains("[[notify]]"));
    let (_dir, flags) = file("[[notfy]]\nname = \"a\"\n");
    assert!(problems(&flags, &home())[0].contains("did you mean \"notify\"?"));
}
