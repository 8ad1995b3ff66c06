//! What each key allows. A rule reads a value, or says what the value must be.

use std::collections::BTreeMap;

use super::given::Given;
use super::given::Kind;
use super::place::Position;
use super::problem::Wrong;
use crate::domain::globs::glob;
use crate::domain::text::GIVEN_CHARS;
use crate::domain::text::Name;
use crate::domain::text::shortened;
use crate::domain::text::shown;

/// What is wrong with a value, and where: an item of a list is not where the list begins.
pub(super) struct Refused {
    pub(super) at: Option<Position>,
    /// The way from the key to the item, such as `[2]`.
    pub(super) below: String,
    pub(super) wrong: Wrong,
}

impl Refused {
    fn new(given: &Given, allowed: impl Into<String>) -> Self {
        let wrong = Wrong::value(&given.words(), allowed);
        Self { at: given.at, below: String::new(), wrong }
    }

    fn within(self, part: &str) -> Self {
        Self { below: format!("{part}{}", self.below), ..self }
    }
}

/// The argv of a program: 1 or more strings.
pub type Command = Vec<String>;

pub(super) trait Rule {
    type Value;

    fn read(&self, given: &Given) -> Result<Self::Value, Refused>;

    /// What is allowed, as the end of "it must be".
    fn allowed(&self) -> String;
}

/// A whole number in a range.
pub(super) struct Whole(pub(super) i64, pub(super) i64);

impl Rule for Whole {
    type Value = i64;

    fn read(&self, given: &Given) -> Result<i64, Refused> {
        if let Kind::Whole(number) = given.kind
            && (self.0..=self.1).contains(&number)
        {
            return Ok(number);
        }
        Err(Refused::new(given, self.allowed()))
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.0, self.1)
    }
}

/// `true` or `false`.
pub(super) struct Truth;

impl Rule for Truth {
    type Value = bool;

    fn read(&self, given: &Given) -> Result<bool, Refused> {
        let Kind::Truth(truth) = given.kind else {
            return Err(Refused::new(given, self.allowed()));
        };
        Ok(truth)
    }

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }
}

/// A string that passes a check.
struct Text {
    good: fn(&str) -> bool,
    allowed: &'static str,
}

impl Rule for Text {
    type Value = String;

    fn read(&self, given: &Given) -> Result<String, Refused> {
        if let Kind::Text(text) = &given.kind
            && (self.good)(text)
        {
            return Ok(text.clone());
        }
        Err(Refused::new(given, self.allowed()))
    }

    fn allowed(&self) -> String {
        self.allowed.to_owned()
    }
}

/// A list with a least and a greatest number of items.
struct List<R> {
    item: R,
    least: usize,
    most: usize,
    /// The plural of the items.
    items: &'static str,
}

impl<R: Rule> Rule for List<R> {
    type Value = Vec<R::Value>;

    fn read(&self, given: &Given) -> Result<Self::Value, Refused> {
        let Kind::List(items) = &given.kind else {
            return Err(Refused::new(given, self.allowed()));
        };
        if !(self.least..=self.most).contains(&items.len()) {
            return Err(Refused::new(given, self.allowed()));
        }
        let read = |(index, item)| {
            self.item.read(item).map_err(|refused| refused.within(&format!("[{index}]")))
        };
        items.iter().enumerate().map(read).collect()
    }

    fn allowed(&self) -> String {
        match self.least {
            0 => format!("a list of at most {} {}", self.most, self.items),
            least => format!("a list of {least} to {} {}", self.most, self.items),
        }
    }
}

/// The name of a gate.
pub(super) struct GateName;

impl Rule for GateName {
    type Value = String;

    fn read(&self, given: &Given) -> Result<String, Refused> {
        name("1 to 64 letters, digits, '-', '_' or '.', beginning with a letter or digit")
            .read(given)
    }

    fn allowed(&self) -> String {
        "the name of the gate".to_owned()
    }
}

fn name(allowed: &'static str) -> Text {
    Text { good: |text| Name::parse("name", text).is_ok(), allowed }
}

/// Names of stages.
pub(super) struct Stages;

impl Stages {
    fn list() -> List<Text> {
        List { item: name("the name of a worker type"), least: 0, most: 32, items: "stages" }
    }
}

impl Rule for Stages {
    type Value = super::stages::Stages;

    fn read(&self, given: &Given) -> Result<Self::Value, Refused> {
        Self::list().read(given).map(super::stages::Stages::Named)
    }

    fn allowed(&self) -> String {
        Self::list().allowed()
    }
}

/// The most bytes of all the arguments of one command.
const COMMAND_BYTES: usize = 32 * 1024;

/// The argv of one program.
pub(super) struct Argv;

impl Rule for Argv {
    type Value = Command;

    fn read(&self, given: &Given) -> Result<Command, Refused> {
        let item = Text { good: |text| !text.contains('\0'), allowed: "a string without NUL" };
        // What people write first is a line for a shell.
        let Kind::List(_) = given.kind else { return Err(Refused::new(given, self.allowed())) };
        let argv = List { item, least: 1, most: 200, items: "strings" }.read(given)?;
        if argv.first().is_none_or(|program| program.trim().is_empty()) {
            return Err(Refused::new(given, "a list whose first string is a program"));
        }
        if argv.iter().map(String::len).sum::<usize>() > COMMAND_BYTES {
            return Err(Refused::new(given, "a list with at most 32 KiB of text"));
        }
        Ok(argv)
    }

    fn allowed(&self) -> String {
        r#"a list of 1 to 200 strings, the program and its arguments, such as ["npm", "ci"]"#
            .to_owned()
    }
}

/// Programs that run one after the other.
pub(super) struct Commands;

impl Rule for Commands {
    type Value = Vec<Command>;

    fn read(&self, given: &Given) -> Result<Self::Value, Refused> {
        if let Kind::List(items) = &given.kind
            && items.iter().all(|item| matches!(item.kind, Kind::List(_)))
        {
            return List { item: Argv, least: 0, most: 20, items: "commands" }.read(given);
        }
        Err(Refused::new(given, self.allowed()))
    }

    fn allowed(&self) -> String {
        r#"a list of at most 20 commands, each a list of strings, such as [["npm", "ci"]]"#
            .to_owned()
    }
}

/// The most bytes of a pattern or a path.
const PATH_BYTES: usize = 1000;

/// Patterns of files to copy, as the lines of a `.gitignore`.
pub(super) struct CopyPatterns;

impl CopyPatterns {
    fn list() -> List<Text> {
        let good = |line: &str| is_copy_pattern(line);
        let allowed = "a pattern as in .gitignore, below the project's directory";
        List {
            item: Text { good, allowed },
            least: 0,
            most: 100,
            items: "patterns as in .gitignore",
        }
    }
}

impl Rule for CopyPatterns {
    type Value = Vec<String>;

    fn read(&self, given: &Given) -> Result<Self::Value, Refused> {
        Self::list().read(given)
    }

    fn allowed(&self) -> String {
        Self::list().allowed()
    }
}

fn is_copy_pattern(line: &str) -> bool {
    let plain = line.strip_prefix('!').unwrap_or(line);
    let inner = plain.trim_matches('/');
    !inner.trim().is_empty()
        && !line.starts_with('#')
        && plain.len() <= PATH_BYTES
        && !plain.contains(['\0', '\n', '\r'])
        && !inner.split('/').any(|part| part == ".." || part == ".")
        && glob(inner.trim_start_matches("**/")).is_some()
}

/// Globs of paths below the project's directory.
pub(super) struct Globs {
    pub(super) least: usize,
}

impl Globs {
    fn list(&self) -> List<Text> {
        let good = |pattern: &str| is_below(pattern) && glob(pattern).is_some();
        let allowed = "a glob of paths below the project's directory, such as \"src/**/*.rs\"";
        List { item: Text { good, allowed }, least: self.least, most: 100, items: "globs" }
    }
}

impl Rule for Globs {
    type Value = Vec<String>;

    fn read(&self, given: &Given) -> Result<Self::Value, Refused> {
        self.list().read(given)
    }

    fn allowed(&self) -> String {
        self.list().allowed()
    }
}

/// A path that stays below the directory from which it is taken.
pub(super) struct PathBelow;

impl Rule for PathBelow {
    type Value = String;

    fn read(&self, given: &Given) -> Result<String, Refused> {
        let path = Text {
            good: is_below,
            allowed: "a path below the project's directory, without \"..\"",
        };
        path.read(given).map(|path| path.trim_end_matches('/').to_owned())
    }

    fn allowed(&self) -> String {
        "a path below the project's directory".to_owned()
    }
}

/// Whether a relative path or glob leads nowhere else. `.git` is where a worktree's administration begins.
fn is_below(path: &str) -> bool {
    let part = |part: &str| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git");
    path.len() <= PATH_BYTES
        && !path.contains(|c: char| c.is_control())
        && path.strip_suffix('/').unwrap_or(path).split('/').all(part)
}

/// Variables of the environment.
pub(super) struct Variables;

/// The most bytes of the values of all variables.
const VARIABLES_BYTES: usize = 32 * 1024;

impl Rule for Variables {
    type Value = BTreeMap<String, String>;

    fn read(&self, given: &Given) -> Result<Self::Value, Refused> {
        // A value may be a secret: what is wrong with it is said without it.
        let refused = |given: &Given, at, allowed: &str| Refused {
            at,
            below: String::new(),
            wrong: Wrong::value(given.sort(), allowed),
        };
        let Kind::Table(rows) = &given.kind else {
            return Err(refused(given, given.at, &self.allowed()));
        };
        if rows.len() > 100 {
            return Err(Refused::new(given, self.allowed()));
        }
        let mut variables = BTreeMap::new();
        for row in rows {
            let value = &row.value;
            let key = shortened(&shown(&row.key), GIVEN_CHARS);
            if !is_variable(&row.key) {
                let allowed = "a table whose names have letters, digits and '_', and do not begin with VIBE_ENSEMBLE_";
                let wrong = Wrong::value(&format!("a table with {key:?}"), allowed);
                return Err(Refused { at: row.at, below: String::new(), wrong });
            }
            let part = format!(".{key}");
            let text = match &value.kind {
                Kind::Text(text) if !text.contains('\0') => text.clone(),
                Kind::Text(_) => {
                    return Err(refused(value, value.at, "a string without NUL").within(&part));
                }
                Kind::Null
                | Kind::Whole(_)
                | Kind::Truth(_)
                | Kind::List(_)
                | Kind::Table(_)
                | Kind::Other(_) => {
                    return Err(refused(value, value.at, "a string").within(&part));
                }
            };
            variables.insert(row.key.clone(), text);
        }
        if variables.values().map(String::len).sum::<usize>() > VARIABLES_BYTES {
            return Err(Refused::new(given, "a table with at most 32 KiB of text"));
        }
        Ok(variables)
    }

    fn allowed(&self) -> String {
        "a table of at most 100 variables with strings".to_owned()
    }
}

fn is_variable(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first
        && name.len() <= 200
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with("VIBE_ENSEMBLE_")
}
