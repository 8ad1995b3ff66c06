//! Every point at which a test may kill the server or a shim, read from the macros of the crate
//! `faults` in their source.

use std::fs;
use std::path::Path;

use crate::plants;

/// Every point of both programs, in the order of their names. Panics if a name occurs twice.
#[must_use]
pub fn all() -> Vec<String> {
    let mut found = Vec::new();
    for program in ["server/src", "worker-shim/src"] {
        collect(&plants::source().join(program), &mut found);
    }
    found.sort();
    for two in found.windows(2) {
        assert_ne!(two[0], two[1], "two points have one name");
    }
    found
}

fn collect(directory: &Path, found: &mut Vec<String>) {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source is text");
            found.extend(named_in(&text));
        }
    }
}

/// The points that a source file names.
fn named_in(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, called) in source.match_indices("faults::point") {
        let rest = &source[at + called.len()..];
        let (groups, arguments) = match (rest.strip_prefix("!("), rest.strip_prefix("s!(")) {
            (Some(arguments), _) => (false, arguments),
            (None, Some(arguments)) => (true, arguments),
            (None, None) => continue,
        };
        let (arguments, _) = arguments.split_once(')').expect("the call of a macro ends");
        let names: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
        match *names {
            [prefix] if groups => found.extend(
                ["before_begin", "before_commit", "after_commit"]
                    .map(|stage| format!("{prefix}.{stage}")),
            ),
            _ => found.extend(names.into_iter().map(str::to_owned)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_the_macros_is_read() {
        let source = r#"
            const END: faults::Points = faults::points!("server.end");
            const SEAL: faults::Sides =
                faults::points!(
                    "shim.exit_written", "shim.exit_named");
            fn run() { faults::point!("shim.before_exit"); }
            // faults::Points and faults::Sides pass them on.
        "#;
        let expected = [
            "server.end.before_begin",
            "server.end.before_commit",
            "server.end.after_commit",
            "shim.exit_written",
            "shim.exit_named",
            "shim.before_exit",
        ];
        assert_eq!(named_in(source), expected);
    }

    #[test]
    fn every_name_occurs_once_and_begins_with_its_program() {
        let points = all();
        assert!(points.len() >= 100, "{} points", points.len());
        for point in points {
            assert!(point.starts_with("server.") || point.starts_with("shim."), "{point}");
        }
    }
}
