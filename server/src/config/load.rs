//! Loading: file < environment < flag, the whole checked, every problem reported together.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use toml::de::DeValue;

use super::environment::Environment;
use super::environment::PREFIX;
use super::file;
use super::file::Layer;
use super::flags::Flags;
use super::given::Given;
use super::given::Source;
use super::options::OPTIONS;
use super::options::Opt;
use super::options::Settings;
use super::options::Unset;
use super::problem::Problem;
use super::problem::Problems;
use super::problem::nearest;
use super::rule::Auth;
use super::rule::Rule;
use super::shared;

/// Variables with our prefix that are not options: what a worker gets, what clients read, what tests set.
const OTHER_VARIABLES: &[&str] = &[
    "PROJECT",
    "TICKET",
    "STAGE",
    "ATTEMPT",
    "WORKER",
    "SERVER_ID",
    "TOKEN",
    "CRASH_AT",
    "CRASH_ONCE",
];
const TEST_VARIABLES: &str = "TEST_";
/// Variables for client commands, beside the options.
const CLIENT_VARIABLES: &[&str] = &["CONFIG", "URL"];

/// The variable in which systemd names the directory of a unit's credentials, and the one that is looked for there.
pub const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
const CREDENTIAL: &str = "coordinator-token";
/// The server's own token, in the state directory.
pub const OWN_TOKEN: &str = "tokens/coordinator";

/// The directory of templates, in a directory of configuration.
const TEMPLATES: &str = "worker-types";

/// The longest path a Unix socket may have, without its closing NUL.
const SOCKET_PATH_BYTES: usize = 107;

/// The checked configuration and where it came from. Its settings are read as its own fields.
#[derive(Clone, Debug)]
pub struct Config {
    settings: Settings,
    /// The file that was read, when there was one.
    pub file: Option<PathBuf>,
    /// Every value as it counts, with its source.
    pub effective: Vec<Effective>,
    origin: Arc<Origin>,
}

#[derive(Debug)]
struct Origin {
    flags: Flags,
    environment: Environment,
    system_file: PathBuf,
}

/// One effective value.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    pub name: &'static str,
    pub value: Value,
    pub source: Source,
}

impl Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl Config {
    /// Reads the file again; flags and environment are those of the start. Nothing changes when it is refused.
    pub fn reload(&self) -> Result<Self, Problems> {
        let origin = &self.origin;
        load_from(&origin.flags, &origin.environment, &origin.system_file)
    }

    /// Where the value of an option came from.
    #[must_use]
    pub fn source_of(&self, option: &str) -> Source {
        let found = self.effective.iter().find(|effective| effective.name == option);
        found.map_or(Source::Default, |effective| effective.source.clone())
    }

    /// The environment the process was started with.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.origin.environment
    }
}

/// Loads and checks the configuration.
pub fn load(flags: &Flags, environment: &Environment) -> Result<Config, Problems> {
    load_from(flags, environment, Path::new(file::SYSTEM))
}

/// As [`load`], with the system's file elsewhere.
pub(super) fn load_from(
    flags: &Flags,
    environment: &Environment,
    system_file: &Path,
) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let named =
        flags.config.clone().or_else(|| environment.get("VIBE_ENSEMBLE_CONFIG").map(Into::into));
    let file = named.or_else(|| file::find(environment, system_file));
    let from_file = file.as_deref().map(|path| file::read(path, &mut problems));
    let from_variables = variables(environment, &mut problems);
    let from_flags = flags.given.iter().filter_map(|(name, text)| {
        let option = OPTIONS.iter().find(|option| option.name == *name)?;
        Some((
            option.name,
            (Given::Text(text.clone()), Source::Flag(format!("--{}", option.flag()))),
        ))
    });

    let mut values: Layer = literals();
    values.extend(from_file.into_iter().flatten());
    values.extend(from_variables);
    values.extend(from_flags);
    places(&mut values, environment);
    let beside_file = file.as_deref().and_then(Path::parent).map(|beside| beside.join(TEMPLATES));
    let in_home = |variable: &str, rest: &str| {
        Some(environment.directory(variable)?.join(rest).join("vibe-ensemble").join(TEMPLATES))
    };
    let templates = [
        ("the configuration file's directory", beside_file),
        ("XDG_CONFIG_HOME", in_home("XDG_CONFIG_HOME", "")),
        ("HOME", in_home("HOME", ".config")),
        ("the system", system_file.parent().map(|beside| beside.join(TEMPLATES))),
    ];
    fill(&mut values, "templates_dir", templates);

    let mut layers = Layers { values: &values, problems: &mut problems };
    let settings = Settings::resolve(&mut layers);
    let checked = settings.inspect(|settings| together(settings, &mut layers));
    let effective = checked.as_ref().map(|settings| settings.show(&layers));
    match (checked, effective) {
        (Some(settings), Some(effective)) if problems.is_empty() => {
            let origin = Origin {
                flags: flags.clone(),
                environment: environment.clone(),
                system_file: system_file.to_owned(),
            };
            Ok(Config { settings, file, effective, origin: Arc::new(origin) })
        }
        _ => Err(Problems(problems)),
    }
}

/// The effective values, before they are checked.
pub(super) struct Layers<'a> {
    values: &'a Layer,
    problems: &'a mut Vec<Problem>,
}

impl Layers<'_> {
    pub(super) fn resolve<T>(&mut self, name: &'static str, rule: &Rule<T>) -> Option<T> {
        let Some((given, source)) = self.values.get(name) else {
            self.problems.push(Problem {
                option: Some(name),
                source: Source::Default,
                message: "there is no default because HOME is not set; set HOME or this option"
                    .to_owned(),
            });
            return None;
        };
        let value = (rule.parse)(given, source);
        if value.is_none() {
            self.problems.push(Problem::value(name, source, given, &rule.allowed));
        }
        value
    }

    pub(super) fn source(&self, name: &str) -> Source {
        self.values.get(name).map_or(Source::Default, |(_, source)| source.clone())
    }

    fn refuse(&mut self, name: &'static str, message: String) {
        let source = self.source(name);
        self.problems.push(Problem { option: Some(name), source, message });
    }
}

/// The built-in values, read by the same code as a file.
fn literals() -> Layer {
    let value = |option: &Opt| match option.unset {
        Unset::Value(literal) => {
            let value = DeValue::parse(literal).ok()?;
            Some((option.name, (Given::from_toml(value.get_ref()), Source::Default)))
        }
        Unset::Place(_) => None,
    };
    OPTIONS.iter().filter_map(value).collect()
}

/// Fills in the directories nobody named.
fn places(values: &mut Layer, environment: &Environment) {
    // systemd lists several directories separated by colons; the first is ours.
    let first = |name: &str| {
        let listed = environment.get(name)?.split(':').next()?;
        Some(PathBuf::from(listed)).filter(|path| path.is_absolute())
    };
    let below = |variable: &str, rest: &str| Some(environment.directory(variable)?.join(rest));
    let state = [
        ("STATE_DIRECTORY", first("STATE_DIRECTORY")),
        ("XDG_STATE_HOME", below("XDG_STATE_HOME", "vibe-ensemble")),
        ("HOME", below("HOME", ".local/state/vibe-ensemble")),
    ];
    fill(values, "state_dir", state);
    settle(values, "state_dir", shared::STATE_MARKS);
    let in_state = |rest: &str| match values.get("state_dir") {
        Some((Given::Text(state), _)) => Some(Path::new(state).join(rest)),
        _ => None,
    };
    let (beside_state, own_token) = (in_state("run"), in_state(OWN_TOKEN));
    let runtime = [
        ("RUNTIME_DIRECTORY", first("RUNTIME_DIRECTORY")),
        ("XDG_RUNTIME_DIR", below("XDG_RUNTIME_DIR", "vibe-ensemble")),
        ("state_dir", beside_state),
    ];
    fill(values, "runtime_dir", runtime);
    settle(values, "runtime_dir", shared::RUNTIME_MARKS);
    // One that exists and cannot be examined is reported when it is read, and not passed over.
    let credential = environment
        .directory(CREDENTIALS)
        .map(|directory| directory.join(CREDENTIAL))
        .filter(|file| fs::exists(file).unwrap_or(true));
    fill(values, "token_file", [(CREDENTIALS, credential), ("state_dir", own_token)]);
}

/// Takes a directory of our own below one that others use, wherever that one was given.
fn settle(values: &mut Layer, name: &'static str, marks: &[&str]) {
    let Some((Given::Text(text), _)) = values.get_mut(name) else { return };
    let named = std::path::absolute(text.as_str()).ok();
    if let Some(own) = named.and_then(|path| shared::own_below(&path, marks)) {
        *text = own.to_string_lossy().into_owned();
    }
}

fn fill<const N: usize>(
    values: &mut Layer,
    name: &'static str,
    choices: [(&'static str, Option<PathBuf>); N],
) {
    let chosen = choices.into_iter().find_map(|(from, path)| Some((from, path?)));
    if let Some((from, path)) = chosen {
        let text = path.to_string_lossy().into_owned();
        values.entry(name).or_insert((Given::Text(text), Source::Place(from)));
    }
}

/// What the variables with our prefix say. One that is nobody's is refused: it is a misspelt setting.
fn variables(environment: &Environment, problems: &mut Vec<Problem>) -> Layer {
    let by_variable: BTreeMap<String, &Opt> = OPTIONS
        .iter()
        .filter(|option| !option.is_file_only())
        .map(|option| (option.variable(), option))
        .collect();
    let mut layer = Layer::new();
    for (name, value) in environment.iter() {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let source = Source::Variable(name.to_owned());
        if let Some(option) = by_variable.get(name) {
            layer.insert(option.name, (Given::Text(value.to_owned()), source));
        } else if !OTHER_VARIABLES.contains(&rest)
            && !CLIENT_VARIABLES.contains(&rest)
            && !rest.starts_with(TEST_VARIABLES)
        {
            let known = nearest(name, by_variable.keys().map(String::as_str)).unwrap_or("");
            let message = format!("this variable does not exist; did you mean {known}?");
            problems.push(Problem { option: None, source, message });
        }
    }
    layer
}

/// Checks what no option can check alone.
fn together(settings: &Settings, layers: &mut Layers<'_>) {
    if settings.auth == Auth::None && !settings.listen.ip().is_loopback() {
        layers.refuse(
            "auth",
            format!(
                "\"none\" would let anyone who can reach {} run commands here; use \"token\", or listen on a loopback address",
                settings.listen
            ),
        );
    }
    if settings.retry_backoff_ms > settings.retry_backoff_max_ms {
        layers.refuse(
            "retry_backoff_ms",
            format!(
                "{} is greater than retry_backoff_max_ms, which is {}; change one of them",
                settings.retry_backoff_ms, settings.retry_backoff_max_ms
            ),
        );
    }
    let socket = settings.runtime_dir.join("shim.sock");
    let length = socket.as_os_str().len();
    if length > SOCKET_PATH_BYTES {
        layers.refuse(
            "runtime_dir",
            format!(
                "{} has {length} bytes, but the path of a socket can have at most {SOCKET_PATH_BYTES}; choose a directory with a shorter path",
                socket.display()
            ),
        );
    }
}
