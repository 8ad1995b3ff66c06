//! The file `.vibe-ensemble.toml`.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::given;
use super::place::Lines;
use super::place::Position;
use super::problem::Problem;
use super::problem::Problems;
use super::problem::Wrong;
use super::reader::Found;
use super::settings::Tables;
use super::tables;

/// Its name, in the directory of the project.
pub const NAME: &str = ".vibe-ensemble.toml";

/// The most bytes of it.
pub const MOST_BYTES: usize = 256 * 1024;

/// What a file sets, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    pub tables: Tables,
    /// The place of each key that it sets, such as `worktree.ports` or `gate.test.command`.
    pub places: BTreeMap<String, Position>,
}

/// Reads the file's content.
pub fn parse(content: &[u8]) -> Result<File, Problems> {
    if content.len() > MOST_BYTES {
        return Err(whole(None, "the file has more than 256 KiB; make it shorter"));
    }
    let text = match std::str::from_utf8(content) {
        Ok(text) => text,
        Err(error) => {
            let good = content.get(..error.valid_up_to()).unwrap_or_default();
            let good = String::from_utf8_lossy(good);
            return Err(whole(
                Some(Lines::of(&good).at(good.len())),
                "the file is not in UTF-8 from here on",
            ));
        }
    };
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What follows an error of syntax may be read as anything.
        let problem = |error: &toml::de::Error| Problem {
            at: Some(lines.at(error.span().map_or(0, |span| span.start))),
            key: String::new(),
            wrong: Wrong::Text(format!("this is not valid TOML: {}", error.message())),
        };
        return Err(Problems(errors.iter().take(1).map(problem).collect()));
    }
    let mut found = Found::default();
    let tables = tables::top(given::rows(&lines, table.get_ref()), &mut found);
    let (tables, places) = found.into_result(tables)?;
    Ok(File { tables, places })
}

fn whole(at: Option<Position>, message: &str) -> Problems {
    Problems(vec![Problem { at, key: String::new(), wrong: Wrong::Text(message.to_owned()) }])
}
