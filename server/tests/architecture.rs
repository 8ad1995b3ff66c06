//! The dependency rule: which module may name which. The table is the one in the design, and the reason why each module
//! can be read, tested and replaced by itself.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// What each module may name of this crate, besides itself. `telemetry` is logging's one helper and free to all but
/// `domain`.
const MAY_NAME: [(&str, &[&str]); 21] = [
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
    ("cli", &["config"]),
    (
        "commands",
        &[
            "cli",
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
            "mcp",
            "proof",
            "shim",
            "store",
            "sweep",
            "telemetry",
            "templates",
        ],
    ),
];

/// Crates that only some modules may name, each by its folder or file below `src`.
const GUARDED: [(&str, &[&str]); 7] = [
    ("sqlx", &["store"]),
    ("axum", &["mcp", "commands"]),
    ("hyper", &["mcp"]),
    ("rmcp", &["mcp/sdk"]),
    ("anyhow", &["commands"]),
    ("shim_protocol", &["disk", "templates", "shim", "sweep", "dispatcher", "mcp", "commands"]),
    (
        "tokio",
        &["disk", "git", "store", "shim", "sweep", "dispatcher", "mcp", "lifecycle", "commands"],
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
