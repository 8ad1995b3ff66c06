//! Reads a report of single tests in the form of `JUnit`.
//!
//! The file was written by a command that an agent's work controls, so nothing in it is believed beyond names: it is
//! bounded, no entity of its own is expanded, and what cannot be read is no report.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;

use super::report::Tests;
use crate::domain::text::shown;

/// The most bytes of a report.
pub const MOST_BYTES: usize = 32 << 20;
/// The most tests that are counted.
const MOST_TESTS: usize = 200_000;
/// The deepest nesting of elements.
const MOST_DEPTH: usize = 100;

/// Why a report cannot be used, as the end of a sentence about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("has more than 32 MiB")]
    TooLong,
    #[error("has more than 200000 tests")]
    TooMany,
    #[error("is nested too deeply")]
    TooDeep,
    #[error("is not valid XML")]
    Invalid,
    #[error("has no tests")]
    Empty,
}

/// How a test ended, as far as its elements say so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Passed,
    Failed,
    Skipped,
}

/// Reads a report. A test counts as failed if any of its cases has a `failure` or an `error`; reruns that passed in the end
/// (`flakyFailure`, `rerunFailure`) are no failures.
pub fn read(content: &[u8]) -> Result<Tests, Unreadable> {
    if content.len() > MOST_BYTES {
        return Err(Unreadable::TooLong);
    }
    let text = std::str::from_utf8(content).map_err(|_| Unreadable::Invalid)?;
    let mut reader = Reader::from_str(text);
    let mut tests = Tests::default();
    let mut suites: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    let mut case: Option<(String, Ended, usize)> = None;
    loop {
        match reader.read_event().map_err(|_| Unreadable::Invalid)? {
            Event::Start(element) => {
                depth += 1;
                if depth > MOST_DEPTH {
                    return Err(Unreadable::TooDeep);
                }
                begin(&element, depth, &mut suites, &mut case)?;
            }
            Event::Empty(element) => {
                begin(&element, depth + 1, &mut suites, &mut case)?;
                end(element.local_name().as_ref(), depth + 1, &mut suites, &mut case, &mut tests)?;
            }
            Event::End(element) => {
                end(element.local_name().as_ref(), depth, &mut suites, &mut case, &mut tests)?;
                depth = depth.checked_sub(1).ok_or(Unreadable::Invalid)?;
            }
            Event::Eof if depth == 0 => break,
            // A report that was cut off says nothing about what is missing.
            Event::Eof => return Err(Unreadable::Invalid),
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
    if tests.count() == 0 { Err(Unreadable::Empty) } else { Ok(tests) }
}

fn begin(
    element: &BytesStart<'_>,
    depth: usize,
    suites: &mut Vec<String>,
    case: &mut Option<(String, Ended, usize)>,
) -> Result<(), Unreadable> {
    match element.local_name().as_ref() {
        "testsuite" => suites.push(attribute(element, "name")?.unwrap_or_default()),
        "testcase" => {
            let name = attribute(element, "name")?.unwrap_or_default();
            let class = attribute(element, "classname")?.filter(|class| !class.is_empty());
            let class = class.or_else(|| suites.last().cloned()).unwrap_or_default();
            let whole = if class.is_empty() { name } else { format!("{class}::{name}") };
            *case = Some((whole, Ended::Passed, depth));
        }
        "failure" | "error" => {
            // Only directly in a test: a suite's own `error` names no test.
            if let Some((_, ended, at)) = case
                && depth == *at + 1
            {
                *ended = Ended::Failed;
            }
        }
        "skipped" => {
            if let Some((_, ended, at)) = case
                && depth == *at + 1
                && *ended == Ended::Passed
            {
                *ended = Ended::Skipped;
            }
        }
        _ => {}
    }
    Ok(())
}

fn end(
    name: &str,
    depth: usize,
    suites: &mut Vec<String>,
    case: &mut Option<(String, Ended, usize)>,
    tests: &mut Tests,
) -> Result<(), Unreadable> {
    if name == "testsuite" {
        suites.pop();
    }
    let Some((test, ended, _)) = case.take_if(|(_, _, at)| name == "testcase" && depth == *at)
    else {
        return Ok(());
    };
    match ended {
        Ended::Failed => {
            tests.passed.remove(&test);
            tests.failed.insert(test);
        }
        Ended::Passed if !tests.failed.contains(&test) => {
            tests.passed.insert(test);
        }
        Ended::Passed | Ended::Skipped => {}
    }
    if tests.count() > MOST_TESTS { Err(Unreadable::TooMany) } else { Ok(()) }
}

/// An attribute as text on one line, at most 300 characters.
fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, Unreadable> {
    let found = element.try_get_attribute(name).map_err(|_| Unreadable::Invalid)?;
    let text =
        found.map(|found| found.normalized_value(XmlVersion::Implicit1_0).map(|text| shown(&text)));
    text.transpose().map_err(|_| Unreadable::Invalid)
}
