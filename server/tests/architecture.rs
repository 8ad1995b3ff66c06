//! The dependency rules: which module may name which, which floor of the store may name which, and that no files name each
//! other in a circle. They are the reason why each module can be read, tested and replaced by itself.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// What each module may name of this crate, besides itself. `telemetry` is logging's one helper and free to all but
/// `domain`.
const MAY_NAME: [(&str, &[&str]); 28] = [
    ("domain", &[]),
    ("beneath", &[]),
    ("clock", &["domain"]),
    ("exit", &["domain"]),
    ("config", &["domain"]),
    ("fence", &["domain"]),
    ("journal", &["domain"]),
    ("obstacles", &["domain"]),
    ("project_file", &["beneath", "domain"]),
    ("proof", &[]),
    ("telemetry", &["config", "journal"]),
    ("templates", &["domain"]),
    ("sessions", &["domain", "state", "telemetry"]),
    ("disk", &["clock", "domain", "journal", "store", "telemetry"]),
    ("store", &["domain", "telemetry"]),
    ("shim", &["beneath", "domain", "telemetry"]),
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
    // Of git only the question whether a directory is a repository and, for pages, what a ticket changed.
    (
        "mcp",
        &[
            "clock",
            "disk",
            "domain",
            "fence",
            "git",
            "notify",
            "obstacles",
            "project_file",
            "proof",
            "sessions",
            "store",
            "telemetry",
            "templates",
            "wire",
        ],
    ),
    // What pages show and do, they ask of `mcp`: of its tools and of its desk, and so never of the store.
    ("web", &["domain", "mcp", "proof", "sessions", "telemetry", "wire"]),
    ("notify", &["clock", "domain", "journal", "state", "store", "telemetry", "wire"]),
    ("lifecycle", &["exit", "journal", "telemetry"]),
    ("locate", &["config", "shim"]),
    ("state", &["beneath", "config", "domain", "telemetry"]),
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
            "notify",
            "sessions",
            "shim",
            "state",
            "store",
            "sweep",
            "telemetry",
            "templates",
            "web",
        ],
    ),
    // A client of the server, and a reader of its files: it starts no worker and moves no ticket by itself. Of git the
    // version and which variables to withhold, of mcp the names of tools, of store the reading of a database.
    (
        "cli",
        &[
            "clock",
            "config",
            "domain",
            "exit",
            "git",
            "locate",
            "mcp",
            "notify",
            "project_file",
            "proof",
            "serve",
            "state",
            "store",
            "telemetry",
            "wire",
        ],
    ),
    // What both sides of the HTTP server share.
    ("wire", &["domain"]),
];

/// Crates that only some modules may name, each by its folder or file below `src`.
const GUARDED: [(&str, &[&str]); 22] = [
    // Both stand between what an agent wrote and a page.
    ("ammonia", &["web/text"]),
    ("pulldown_cmark", &["web/text"]),
    ("maud", &["web"]),
    ("anstyle", &["cli/terminal"]),
    ("globset", &["domain/globs"]),
    ("ignore", &["git/carry"]),
    ("quick_xml", &["domain/judging/junit"]),
    ("crossterm", &["cli/terminal"]),
    ("unicode_segmentation", &["cli/terminal"]),
    ("unicode_width", &["cli/terminal"]),
    ("sqlx", &["store"]),
    ("axum", &["mcp", "web", "cli"]),
    ("hyper", &["mcp", "notify/webhook", "web"]),
    // The server speaks TLS to webhooks alone.
    ("rustls", &["notify/tests", "notify/tls", "notify/webhook"]),
    ("tokio_rustls", &["notify/tests", "notify/tls"]),
    ("rmcp", &["mcp/sdk"]),
    ("schemars", &["mcp", "wire"]),
    ("anyhow", &["cli", "serve"]),
    ("clap", &["cli", "config"]),
    // `state`: who holds the server's own locks.
    ("shim_evidence", &["git", "shim", "state"]),
    (
        "shim_protocol",
        &[
            "cli",
            "disk",
            "dispatcher",
            "git",
            "journal",
            "mcp",
            "serve",
            "sessions",
            "shim",
            "state",
            "sweep",
            "telemetry",
            "templates",
            "web",
        ],
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
            "notify",
            "serve",
            "web",
            "cli",
        ],
    ),
];

/// What each floor of `store` may name of the others.
const STORE_FLOORS: [(&str, &[&str]); 5] = [
    ("db", &[]),
    ("rows", &["db"]),
    ("money", &["db", "rows"]),
    ("moves", &["db", "rows", "money"]),
    ("views", &["db", "rows", "money"]),
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
        if matches!(module.as_str(), "lib" | "main" | "snapshot") {
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
        if matches!(module.as_str(), "lib" | "main" | "snapshot") {
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

/// Records are read by people: `Counts { open: 3 }` is how the program sees it.
#[test]
fn no_record_of_the_log_has_a_value_as_rust_writes_it() {
    let mut broken = Vec::new();
    for file in files(&source()) {
        let code = code(&file);
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (at, _) in code.match_indices("tracing::") {
            let rest = &code[at..];
            let name = rest["tracing::".len()..].split('(').next().unwrap_or_default();
            if !["trace!", "debug!", "info!", "warn!", "error!", "event!"].contains(&name) {
                continue;
            }
            let record = rest.split_once(';').map_or(rest, |(record, _)| record);
            let record = record.split("=> ").next().unwrap_or_default();
            let has_sigil = record.match_indices('?').any(|(at, _)| {
                let before = record[..at].trim_end().chars().next_back();
                let after = record[at + 1..].chars().next();
                matches!(before, Some('(' | ',' | '=')) && after.is_some_and(char::is_alphabetic)
            });
            if has_sigil || record.contains(":?}") {
                broken.push(format!("{}: {record}", file.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn floors_of_the_store_name_only_those_below_them() {
    let rules: BTreeMap<&str, &[&str]> = STORE_FLOORS.into_iter().collect();
    let mut broken = Vec::new();
    let mut seen = BTreeSet::new();
    for (floor, allowed) in &rules {
        for file in files(&source().join("store").join(floor)) {
            seen.insert(*floor);
            for named in after(&code(&file), "crate::store::") {
                if named != *floor && !allowed.contains(&named) {
                    broken.push(format!("{} names store::{named}", file.display()));
                }
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    assert_eq!(seen.len(), STORE_FLOORS.len(), "only {seen:?} were found");
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let files = modules();
    let arrows: BTreeMap<&str, BTreeSet<&str>> =
        files.iter().map(|(name, code)| (name.as_str(), named_by(name, code, &files))).collect();
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 500, "hardly any name was found");
    let found: BTreeSet<Vec<&str>> = circles(&arrows);
    assert!(
        found.is_empty(),
        "files name each other in a circle; move what they share below them: {found:#?}"
    );
}

/// The modules that have a file of their own, by path, with their code. Tests are left out: they may look at everything.
fn modules() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for file in files(&source()) {
        let relative = file.strip_prefix(source()).expect("below src").with_extension("");
        let mut parts: Vec<String> =
            relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if parts.last().is_some_and(|last| last == "mod") {
            parts.pop();
        }
        let is_test = parts.iter().any(|part| part == "tests" || part == "testing");
        if is_test || parts == ["lib"] || parts == ["main"] {
            continue;
        }
        let code = code(&file);
        let own = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        found.insert(parts.join("::"), own.to_owned());
    }
    found
}

/// The modules whose files `code`, that of the module `own`, names by a path from the crate, from itself or from above.
fn named_by<'f>(own: &str, code: &str, files: &'f BTreeMap<String, String>) -> BTreeSet<&'f str> {
    let mut named = BTreeSet::new();
    for path in paths(code) {
        let mut parts = path.split("::");
        let mut at: Vec<&str> = own.split("::").collect();
        match parts.next() {
            Some("crate") => at.clear(),
            Some("super") => {
                at.pop();
            }
            Some(_) | None => {}
        }
        // The longest part of the path that is a module; what follows is an item in it.
        let mut module = None;
        for part in parts {
            if part == "super" {
                at.pop();
                continue;
            }
            at.push(part);
            match files.get_key_value(&at.join("::")) {
                Some((name, _)) => module = Some(name.as_str()),
                None => break,
            }
        }
        if module.is_none() {
            // An item of the module that the path begins in.
            at.pop();
            module = files.get_key_value(&at.join("::")).map(|(name, _)| name.as_str());
        }
        named.extend(module.filter(|name| *name != own));
    }
    named
}

/// The paths in the code that begin with `crate`, `self` or `super`.
fn paths(code: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    ["crate::", "self::", "super::"]
        .into_iter()
        .flat_map(|start| code.match_indices(start))
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| is_part(c) || c == ':'))
        .map(|(at, _)| {
            let rest = &code[at..];
            let end = rest.find(|c: char| !is_part(c) && c != ':').unwrap_or(rest.len());
            rest[..end].trim_end_matches(':')
        })
        .collect()
}

/// The sets of modules that reach each other, each in the order of the alphabet.
fn circles<'f>(arrows: &BTreeMap<&'f str, BTreeSet<&'f str>>) -> BTreeSet<Vec<&'f str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|start| (*start, reached(start, arrows))).collect();
    let together = |start: &'f str| -> Vec<&'f str> {
        let all = reach[start].iter().copied();
        all.filter(|other| reach[other].contains(start)).collect()
    };
    arrows.keys().map(|start| together(start)).filter(|circle| circle.len() > 1).collect()
}

/// The modules that can be reached from `start`, in at least one step.
fn reached<'f>(start: &str, arrows: &BTreeMap<&'f str, BTreeSet<&'f str>>) -> BTreeSet<&'f str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = arrows[start].iter().copied().collect();
    while let Some(module) = next.pop() {
        if found.insert(module) {
            next.extend(&arrows[module]);
        }
    }
    found
}
