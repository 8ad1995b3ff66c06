//! The dependency rule: which module may name which. The table is the one in the design, and the reason why each module
//! can be read, tested and replaced by itself.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// What each module may name of this crate, besides itself. `telemetry` is logging's one helper and free to all but
/// `domain`.
const MAY_NAME: [(&str, &[&str]); 23] = [
    ("domain", &[]),
    ("beneath", &[]),
    ("clock", &["domain"]),
    ("exit", &["domain"]),
    ("config", &["domain"]),
    ("fence", &["domain"]),
    ("journal", &["domain"]),
    ("obstacles", &["domain"]),
    ("proof", &[]),
    ("telemetry", &["config", "journal"]),
    ("templates", &["domain"]),
    ("disk", &["clock", "domain", "journal", "store", "telemetry"]),
    ("store", &["domain", "telemetry"]),
    ("shim", &["domain", "telemetry"]),
    ("git", &["beneath", "domain", "telemetry"]),
    ("sweep", &["beneath", "clock", "disk", "domain", "git", "shim", "store", "telemetry"]),
    (
        "dispatcher",
        &[
            "clock",
            "disk",
            "domain",
            "fence",
            "git",
            "journal",
            "obstacles",
            "shim",
            "store",
            "telemetry",
        ],
    ),
    // Of git only the question whether a directory is a repository.
    (
        "mcp",
        &[
            "clock",
            "disk",
            "domain",
            "fence",
            "git",
            "obstacles",
            "proof",
            "store",
            "telemetry",
            "templates",
        ],
    ),
    ("lifecycle", &["exit", "journal", "telemetry"]),
    ("locate", &["config", "shim"]),
    ("state", &["config", "domain", "telemetry"]),
    // The composition root names whatever it wires together; nothing but the command line names it.
    (
        "serve",
        &[
            "clock",
            "config",
            "disk",
            "dispatcher",
            "domain",
            "exit",
            "fence",
            "git",
            "journal",
            "lifecycle",
            "locate",
            "mcp",
            "shim",
            "state",
            "store",
            "sweep",
            "telemetry",
            "templates",
        ],
    ),
    // A client of the server, and a reader of its files: it starts no worker and moves no ticket by itself. Of git the
    // version and which variables to withhold, of mcp the names of tools, of store the reading of a database.
    (
        "cli",
        &[
            "config",
            "domain",
            "exit",
            "git",
            "locate",
            "mcp",
            "proof",
            "serve",
            "state",
            "store",
            "telemetry",
        ],
    ),
];

/// Crates that only some modules may name, each by its folder or file below `src`.
const GUARDED: [(&str, &[&str]); 8] = [
    ("sqlx", &["store"]),
    ("axum", &["mcp", "cli"]),
    ("hyper", &["mcp"]),
    ("rmcp", &["mcp/sdk"]),
    ("anyhow", &["cli", "serve"]),
    ("clap", &["cli", "config"]),
    (
        "shim_protocol",
        &["disk", "templates", "shim", "sweep", "dispatcher", "mcp", "state", "serve", "cli"],
    ),
    (
        "tokio",
        &[
            "disk",
            "git",
            "store",
            "shim",
            "sweep",
            "dispatcher",
            "mcp",
            "lifecycle",
            "serve",
            "cli",
        ],
    ),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(below).expect("the source folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The module of a file: the first part of its path below `src`.
fn module(file: &Path) -> String {
    let relative = file.strip_prefix(source()).expect("below src");
    let first = relative.iter().next().expect("a part").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Whether a file is the module `home`, or below it.
fn is_below(file: &Path, home: &str) -> bool {
    let relative = file.strip_prefix(source()).expect("below src").with_extension("");
    relative.starts_with(home)
}

/// Code without comments and without strings over several lines, which are the only places where a path is no use of it.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a source file");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The names that follow `prefix` in the code.
fn after<'c>(code: &'c str, prefix: &str) -> Vec<&'c str> {
    code.match_indices(prefix)
        .map(|(at, _)| {
            let rest = &code[at + prefix.len()..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            &rest[..end]
        })
        .collect()
}

#[test]
fn modules_name_only_what_they_may() {
    let rules: BTreeMap<&str, &[&str]> = MAY_NAME.into_iter().collect();
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files(&source()) {
        let module = module(&file);
        if matches!(module.as_str(), "lib" | "main" | "plant" | "snapshot") {
            continue;
        }
        let Some(allowed) = rules.get(module.as_str()) else {
            panic!("the module {module} has no rule; add it to MAY_NAME and to ARCHITECTURE.md");
        };
        seen.insert(module.clone());
        for named in after(&code(&file), "crate::") {
            let is_module = rules.contains_key(named);
            if is_module && named != module && !allowed.contains(&named) {
                broken.push(format!("{} names {named}", file.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    assert!(
        seen.len() >= MAY_NAME.len() - 1,
        "only {seen:?} were found: is the source where it was?"
    );
}

#[test]
fn crates_are_named_only_where_they_belong() {
    let mut broken = Vec::new();
    for file in files(&source()) {
        let module = module(&file);
        if matches!(module.as_str(), "lib" | "main" | "plant" | "snapshot") {
            continue;
        }
        let code = code(&file);
        for (name, homes) in GUARDED {
            let used = code.match_indices(&format!("{name}::")).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
            });
            if used && !homes.iter().any(|home| is_below(&file, home)) {
                broken.push(format!("{} names {name}", file.display()));
            }
        }
        if module == "domain" {
            for forbidden in ["std::fs", "std::process", "std::env", "std::net"] {
                if code.contains(forbidden) {
                    broken.push(format!("{} names {forbidden}", file.display()));
                }
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// Rooms in which no file may name another that names it, directly or over others.
const WITHOUT_CIRCLES: [&str; 3] = ["cli", "serve", "state"];

/// The file that a path of modules below `room` leads to; none for a name that `mod.rs` passes on.
fn target(room: &str, path: &str) -> Option<PathBuf> {
    let mut at = source().join(room);
    for part in path.split("::") {
        let file = at.join(format!("{part}.rs"));
        if file.is_file() {
            return Some(file);
        }
        at.push(part);
        if !at.is_dir() {
            return None;
        }
    }
    None
}

/// What a file names of its own room. A `mod.rs` only lists its files and passes names on, so it has no part in a circle.
fn named_files(room: &str, file: &Path) -> Vec<PathBuf> {
    let code = code(file);
    let whole = format!("crate::{room}::");
    let parent = file.parent().expect("a folder").strip_prefix(source().join(room)).expect("below");
    let beside: Vec<String> = parent.iter().map(|part| part.to_string_lossy().into()).collect();
    let paths = code.lines().filter_map(|line| {
        let used = line.trim().strip_prefix("use ")?.trim_end_matches(';');
        let used = used.split(" as ").next()?;
        let above = used
            .strip_prefix("super::")
            .map(|rest| [&beside[..], &[rest.to_owned()]].concat().join("::"));
        used.strip_prefix(&whole).map(str::to_owned).or(above)
    });
    paths.filter_map(|path| target(room, &path)).filter(|target| target != file).collect()
}

#[test]
fn rooms_have_no_circles_of_files() {
    for room in WITHOUT_CIRCLES {
        let all = files(&source().join(room));
        let all: Vec<PathBuf> = all.into_iter().filter(|file| !file.ends_with("mod.rs")).collect();
        let mut ahead: BTreeMap<PathBuf, Vec<PathBuf>> =
            all.iter().map(|file| (file.clone(), named_files(room, file))).collect();
        assert!(ahead.values().any(|named| !named.is_empty()), "{room}: no file names another");
        // What names nothing that is left is in no circle.
        loop {
            let before = ahead.len();
            let left: BTreeSet<PathBuf> = ahead.keys().cloned().collect();
            ahead.retain(|_, named| named.iter().any(|file| left.contains(file)));
            if ahead.len() == before {
                break;
            }
        }
        let circle: Vec<String> = ahead.keys().map(|file| file.display().to_string()).collect();
        assert_eq!(
            circle,
            Vec::<String>::new(),
            "these files of {room} name each other in a circle"
        );
    }
}
