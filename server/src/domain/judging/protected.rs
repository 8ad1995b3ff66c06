//! Changes that land only after somebody agrees.

use crate::domain::checks::Checks;
use crate::domain::checks::file;
use crate::domain::globs::Globs;

/// A changed file, and what protects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// From the top of the repository.
    pub file: String,
    pub by: Protector,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protector {
    /// It is the file that defines the gates of later tickets.
    Settings,
    Gate(String),
    /// It was copied from the project's checkout, whose commits do not have it: it may be a secret.
    Copied,
}

/// The reason of a hold for a change with more files than are looked at.
pub const TOO_MANY: &str = "it changes so many files that they were not looked at, and somebody has to agree before they land";

/// The most files that a sentence names.
const NAMED: usize = 5;

/// The changed files that are protected, in the order in which they are given.
#[must_use]
pub fn touched(checks: &Checks, files: &[String], prefix: &str) -> Vec<Touched> {
    let gates: Vec<(&str, Globs)> = checks
        .gates
        .iter()
        .filter(|gate| !gate.protected.is_empty())
        .map(|gate| (gate.name.as_str(), Globs::new(&gate.protected)))
        .collect();
    let protector = |path: &String| {
        let below = path.strip_prefix(prefix)?;
        if below == file::NAME {
            return Some(Protector::Settings);
        }
        let gate = gates.iter().find(|(_, globs)| globs.matches(below));
        gate.map(|(name, _)| Protector::Gate((*name).to_owned()))
    };
    let found = files.iter().filter_map(|path| Some((path, protector(path)?)));
    found.map(|(path, by)| Touched { file: path.clone(), by }).collect()
}

/// The reason of a hold for them, without a full stop. Empty if nothing is touched.
#[must_use]
pub fn reason(touched: &[Touched]) -> String {
    let named = |one: &Touched| {
        let file = crate::domain::text::shown(&one.file);
        match &one.by {
            Protector::Settings => format!("{file} (it defines the gates)"),
            Protector::Gate(gate) => format!("{file} (protected by the gate {gate})"),
            Protector::Copied => {
                format!(
                    "{file} (copied from the project's checkout, where git ignores it; it may be a secret)"
                )
            }
        }
    };
    let mut files: Vec<String> = touched.iter().take(NAMED).map(named).collect();
    if let Some(more) = touched.len().checked_sub(NAMED).filter(|more| *more > 0) {
        files.push(format!("{more} more"));
    }
    if let [.., last] = files.as_mut_slice()
        && touched.len() > NAMED
    {
        *last = format!("and {last}");
    }
    if files.is_empty() {
        return String::new();
    }
    format!("it changes what lands only after somebody agrees: {}", files.join(", "))
}
