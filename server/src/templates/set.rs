//! All templates there are: the built-in ones and the operator's.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use shim_protocol::plain_file;

use super::file;
use super::file::Template;
use crate::domain::names::names;
use crate::domain::refusal::Refusal;
use crate::domain::text::Name;

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        /// In the order in which work usually meets them.
        const BUILT_IN: &[(&str, &str)] = &[$((
            $name,
            include_str!(concat!("../../../packaging/worker-types/", $name, ".md")),
        )),+];
    };
}

built_in!(
    "planning",
    "research",
    "design",
    "implementation",
    "testing",
    "review",
    "documentation",
    "deployment",
);

const EXTENSION: &str = "md";
/// The longest file that is read, in bytes: a system prompt may have a mebibyte.
const MOST_BYTES: u64 = 2 << 20;

names! {
    /// Where a template comes from.
    pub enum Source {
        BuiltIn = "built_in",
        /// A file of the operator.
        Configuration = "configuration",
    }
}

/// A template, or what is wrong with its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub name: String,
    pub source: Source,
    pub read: Result<Template, String>,
}

/// The templates of one server. Reading them reads files.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    directory: Option<PathBuf>,
}

impl Templates {
    /// With the files of a directory beside the built-in ones. It need not exist.
    #[must_use]
    pub fn with_files_of(directory: PathBuf) -> Self {
        Self { directory: Some(directory) }
    }

    /// Every template: the built-in ones, each replaced by a file of its name, then the other files by name.
    #[must_use]
    pub fn all(&self) -> Vec<Found> {
        let mut all: Vec<Found> = BUILT_IN
            .iter()
            .map(|(name, text)| Found {
                name: (*name).to_owned(),
                source: Source::BuiltIn,
                read: file::parse(text),
            })
            .collect();
        for own in self.directory.iter().flat_map(|directory| own(directory)) {
            match all.iter_mut().find(|found| found.name == own.name) {
                Some(found) => *found = own,
                None => all.push(own),
            }
        }
        all
    }

    /// The template of that name; a refusal names those there are.
    pub fn get(&self, name: &str) -> Result<Template, Refusal> {
        let all = self.all();
        let Some(found) = all.iter().find(|found| found.name == name) else {
            let template = name.chars().take(64).collect();
            let known = all.into_iter().map(|found| found.name).collect();
            return Err(Refusal::UnknownTemplate { template, known });
        };
        found.read.clone().map_err(|problem| {
            let template = found.name.clone();
            Refusal::TemplateBroken { template, problem }
        })
    }
}

/// The operator's files, by name. A directory that cannot be read is reported in the place of its files.
fn own(directory: &Path) -> Vec<Found> {
    let failed = |problem: String| Found {
        name: "(the directory of the configuration)".to_owned(),
        source: Source::Configuration,
        read: Err(problem),
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![failed(format!("its templates cannot be listed: {error}"))],
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => paths.push(entry.path()),
            Err(error) => return vec![failed(format!("its templates cannot be listed: {error}"))],
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
    paths.sort();
    paths.iter().filter_map(|path| one(path)).collect()
}

fn one(path: &Path) -> Option<Found> {
    let name = path.file_stem()?.to_string_lossy().into_owned();
    // Editors keep such files beside the one they edit.
    if name.starts_with('.') {
        return None;
    }
    let shown = path.file_name()?.to_string_lossy().into_owned();
    let read = match Name::parse("template", &name) {
        Ok(_) => read(path).and_then(|text| file::parse(&text)),
        Err(_) => {
            Err("its name is not valid for a template: use letters, digits, '-', '_' or '.'"
                .to_owned())
        }
    };
    let read = read.map_err(|problem| format!("{shown}: {problem}"));
    Some(Found { name, source: Source::Configuration, read })
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: io::Error| format!("it cannot be read: {error}");
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > MOST_BYTES {
        return Err(format!("it has {length} bytes; at most {MOST_BYTES} are read"));
    }
    plain_file::read_linked(path, MOST_BYTES).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)]) -> (tempfile::TempDir, Templates) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let templates = Templates::with_files_of(dir.path().to_owned());
        (dir, templates)
    }

    fn file(prompt: &str) -> String {
        format!("+++\ndescription = \"Own.\"\nhands_on = \"It.\"\n+++\n{prompt}\n")
    }

    #[test]
    fn the_built_in_ones_are_good_and_only_the_planner_creates_tickets() {
        let all = Templates::default().all();
        let names: Vec<&str> = all.iter().map(|found| found.name.as_str()).collect();
        let wanted = BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names, wanted);
        for found in &all {
            let template =
                found.read.as_ref().unwrap_or_else(|why| panic!("{}: {why}", found.name));
            let prompt = &template.settings.system_prompt;
            assert!(template.hands_on.len() > 40, "{}", found.name);
            assert!(template.settings.description.len() > 40, "{}", found.name);
            for part in ["What you hand over", "completed", "rework", "blocked"] {
                assert!(prompt.contains(part), "{} does not say {part}", found.name);
            }
            assert_eq!(template.settings.may_create_tickets, found.name == "planning");
            assert!(prompt.len() <= 4096, "{}: longer ones go by file", found.name);
        }
    }

    #[test]
    fn files_take_the_place_of_built_in_ones_and_add_others() {
        let (_dir, templates) = with(&[
            ("testing.md", &file("You test our way.")),
            ("translation.md", &file("You translate.")),
            ("notes.txt", "no template"),
            (".testing.md.swp", "no template"),
            (".hidden.md", "no template"),
        ]);
        let all = templates.all();
        assert_eq!(all.len(), BUILT_IN.len() + 1);
        let own: Vec<&str> = all
            .iter()
            .filter(|found| found.source == Source::Configuration)
            .map(|found| found.name.as_str())
            .collect();
        assert_eq!(own, ["testing", "translation"]);
        let prompt = |name: &str| templates.get(name).unwrap().settings.system_prompt;
        assert_eq!(prompt("testing"), "You test our way.");
        assert_eq!(prompt("translation"), "You translate.");
        assert!(prompt("review").contains("You are a reviewer."));
        assert_eq!(Templates::with_files_of("/nonexistent".into()).all().len(), BUILT_IN.len());
    }

    #[test]
    fn a_wrong_file_is_told_and_does_not_fall_back() {
        let (dir, templates) = with(&[("testing.md", "You test."), ("a b.md", &file("x"))]);
        fs::write(dir.path().join("bytes.md"), [0xff, 0xfe]).unwrap();
        fs::create_dir(dir.path().join("directory.md")).unwrap();
        for (name, part) in [
            ("testing", "testing.md: its first line"),
            ("a b", "its name"),
            ("bytes", "bytes.md: it cannot be read"),
            ("directory", "it cannot be read"),
        ] {
            match templates.get(name) {
                Err(Refusal::TemplateBroken { template, problem }) => {
                    assert_eq!(template, name);
                    assert!(problem.contains(part), "{problem}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        let Err(Refusal::UnknownTemplate { known, .. }) = templates.get("tester") else {
            panic!("there is none")
        };
        assert!(known.contains(&"testing".to_owned()), "{known:?}");
    }
}
