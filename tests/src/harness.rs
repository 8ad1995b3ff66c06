//! The test harness of the scenarios: the command line of `cargo test`, with one difference. A scenario whose
//! [needs](crate::needs) are not met is reported as ignored, with the reason; the built-in harness could only report it
//! as passed.
//!
//! Invariant: a scenario that did nothing is never reported as passed.

use std::num::NonZero;
use std::process::ExitCode;

use libtest_mimic::Arguments;
use libtest_mimic::Completion;
use libtest_mimic::Failed;
use libtest_mimic::Trial;

use crate::needs::Missing;
use crate::needs::Need;

#[doc(hidden)]
pub use inventory::submit;

/// Names the needs that must be met: `all`, or their names, separated by commas. A scenario that lacks one of them fails
/// instead of being ignored. `.ci/run` sets it.
pub const REQUIRED: &str = "VIBE_ENSEMBLE_TEST_REQUIRE";

/// One registered test. Made by `#[e2e::scenario]`.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    module: &'static str,
    name: &'static str,
    needs: &'static [Need],
    run: fn(),
}

inventory::collect!(Scenario);

impl Scenario {
    #[must_use]
    pub const fn new(
        module: &'static str,
        name: &'static str,
        needs: &'static [Need],
        run: fn(),
    ) -> Self {
        Self { module, name, needs, run }
    }

    /// `trees::a_daemon_is_ended`: the path within the test program, as the built-in harness shows
    /// it.
    fn path(&self) -> String {
        match self.module.split_once("::") {
            Some((_program, module)) => format!("{module}::{}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The first of its needs that is not met.
    fn missing(&self) -> Option<Missing> {
        self.needs.iter().find_map(|need| need.look().err())
    }
}

/// Runs the scenarios of this program as its command line requests. The `main` of a test program.
#[must_use]
pub fn main() -> ExitCode {
    let (options, filters) = parted(std::env::args());
    let mut arguments = Arguments::from_iter(options);
    arguments.test_threads.get_or_insert_with(at_a_time);
    let required = Required::of_the_environment();
    let mut scenarios: Vec<(String, &Scenario)> = inventory::iter::<Scenario>
        .into_iter()
        .map(|scenario| (scenario.path(), scenario))
        .collect();
    scenarios.retain(|(path, _)| is_wanted(path, &filters, arguments.exact));
    scenarios.sort_by(|(one, _), (other, _)| one.cmp(other));
    let trials = scenarios.into_iter().map(|(path, scenario)| {
        trial(path, scenario, &required, arguments.list || arguments.ignored)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// How many scenarios run at a time, unless the command line says it. They mostly wait for processes.
fn at_a_time() -> usize {
    std::thread::available_parallelism().map_or(2, NonZero::get) * 2
}

/// The options of a command line, and its filters. The library takes one filter; the built-in
/// harness takes many.
fn parted(arguments: impl Iterator<Item = String>) -> (Vec<String>, Vec<String>) {
    const WITH_A_VALUE: [&str; 6] =
        ["--test-threads", "--logfile", "--skip", "--color", "--format", "-Z"];
    let (mut options, mut filters) = (Vec::new(), Vec::new());
    let mut is_value = true;
    for argument in arguments {
        if is_value || argument.starts_with('-') {
            is_value = WITH_A_VALUE.contains(&argument.as_str());
            options.push(argument);
        } else {
            filters.push(argument);
        }
    }
    (options, filters)
}

fn is_wanted(path: &str, filters: &[String], exactly: bool) -> bool {
    let is_met =
        |filter: &String| if exactly { path == filter } else { path.contains(filter.as_str()) };
    filters.is_empty() || filters.iter().any(is_met)
}

/// A program such as nextest lists the tests first, then starts each in a process of its own and
/// learns from the process only whether it passed. Such a program must learn from the list what
/// will be ignored; `--ignored` selects the same. Everyone else learns it, with the reason, when
/// the scenario's turn comes.
fn trial(path: String, scenario: &'static Scenario, required: &Required, flagged: bool) -> Trial {
    let required = required.clone();
    let ignored =
        flagged && scenario.missing().is_some_and(|missing| !required.contains(missing.need));
    let run = move || match scenario.missing() {
        None => {
            (scenario.run)();
            Ok(Completion::Completed)
        }
        Some(missing) if required.contains(missing.need) => {
            Err(Failed::from(format!("could not run, and {REQUIRED} says it must: {missing}")))
        }
        Some(missing) => Ok(Completion::ignored_with(missing)),
    };
    Trial::ignorable_test(path, run).with_ignored_flag(ignored)
}

/// Which needs must be met.
#[derive(Debug, Clone)]
struct Required(String);

impl Required {
    #[expect(clippy::disallowed_methods, reason = "a test has no configuration")]
    fn of_the_environment() -> Self {
        Self(std::env::var(REQUIRED).unwrap_or_default())
    }

    fn contains(&self, need: Need) -> bool {
        self.0.split(',').map(str::trim).any(|name| name == "all" || name == need.name())
    }
}

/// Runs an asynchronous scenario to its end.
pub fn block_on(scenario: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs a few file descriptors only")
        .block_on(scenario);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(needs: &str) -> Required {
        Required(needs.to_owned())
    }

    #[test]
    fn a_need_is_required_by_its_name_or_by_all() {
        assert!(required("all").contains(Need::Mounts));
        assert!(required("claude, mcp-tools").contains(Need::McpTools));
        assert!(!required("claude").contains(Need::Root));
        assert!(!required("").contains(Need::Claude), "nothing is required by default");
    }

    #[test]
    fn any_number_of_filters_is_taken() {
        let line = ["e2e", "--skip", "slow", "trees::", "--exact", "--test-threads=1", "limits::"];
        let (options, filters) = parted(line.map(str::to_owned).into_iter());
        assert_eq!(options, ["e2e", "--skip", "slow", "--exact", "--test-threads=1"]);
        assert_eq!(filters, ["trees::", "limits::"]);
        assert!(is_wanted("limits::of_a_day", &filters, false));
        assert!(!is_wanted("limits::of_a_day", &filters, true), "exactly that name");
        assert!(is_wanted("limits::of_a_day", &[], true));
    }

    #[test]
    fn a_scenario_has_the_path_the_built_in_harness_would_give_it() {
        let of = |module| Scenario::new(module, "runs", &[], || ()).path();
        assert_eq!(of("e2e::trees"), "trees::runs");
        assert_eq!(of("out_of_memory"), "runs");
    }
}
