//! Loading: file < environment < flag, the whole checked, every problem reported together.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeValue;

use super::environment::Environment;
use super::environment::PREFIX;
use super::file;
use super::flags::Flags;
use super::given::Given;
use super::given::Source;
use super::layers::Effective;
use super::layers::Layer;
use super::layers::Layers;
use super::notify;
use super::options::OPTIONS;
use super::options::Opt;
use super::options::Settings;
use super::options::Unset;
use super::places;
use super::problem::Fault;
use super::problem::Problem;
use super::problem::Problems;
use super::rule::Auth;
use crate::domain::nearest::nearest;
use crate::domain::notify::Notifier;

/// Variables with our prefix that are not options: what a worker gets, what clients read, what tests set.
const OTHER_VARIABLES: &[&str] = &[
    "PROJECT",
    "TICKET",
    "STAGE",
    "ATTEMPT",
    "WORKER",
    "PORT",
    "SERVER_ID",
    "TOKEN",
    "CRASH_AT",
    "CRASH_ONCE",
];
const TEST_VARIABLES: &str = "TEST_";
/// Variables for client commands, beside the options.
const CLIENT_VARIABLES: &[&str] = &["CONFIG", "URL"];

/// The longest path a Unix socket may have, without its closing NUL.
const SOCKET_PATH_BYTES: usize = 107;

/// The checked configuration and where it came from. Its settings are read as its own fields.
#[derive(Clone, Debug)]
pub struct Config {
    settings: Settings,
    /// Who is notified of events.
    pub notifiers: Vec<Notifier>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// Every effective value, with its source.
    pub effective: Vec<Effective>,
    origin: Arc<Origin>,
}

#[derive(Debug)]
struct Origin {
    flags: Flags,
    environment: Environment,
    system_file: PathBuf,
}

impl Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl Config {
    /// Reads the file again; flags and environment are those of the start. Nothing changes if the file is refused.
    pub fn reload(&self) -> Result<Self, Problems> {
        let origin = &self.origin;
        load_from(&origin.flags, &origin.environment, &origin.system_file)
    }

    /// Whether somebody named the file, instead of it being found where it usually is.
    #[must_use]
    pub fn names_its_file(&self) -> bool {
        self.origin.flags.config.is_some()
            || self.origin.environment.get("VIBE_ENSEMBLE_CONFIG").is_some()
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

/// Like [`load`], with the system's file elsewhere.
pub(super) fn load_from(
    flags: &Flags,
    environment: &Environment,
    system_file: &Path,
) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let named =
        flags.config.clone().or_else(|| environment.get("VIBE_ENSEMBLE_CONFIG").map(Into::into));
    let file = named.or_else(|| file::find(environment, system_file));
    let read = file.as_deref().map(|path| file::read(path, &mut problems)).unwrap_or_default();
    let from_variables = variables(environment, &mut problems);
    let from_flags = flags.given.iter().filter_map(|(name, text)| {
        let option = OPTIONS.iter().find(|option| option.name == *name)?;
        Some((
            option.name,
            (Given::Text(text.clone()), Source::Flag(format!("--{}", option.flag()))),
        ))
    });

    let mut values: Layer = literals();
    values.extend(read.options);
    values.extend(from_variables);
    values.extend(from_flags);
    places::fill_in(&mut values, environment, file.as_deref(), system_file);

    let mut layers = Layers::new(&values, &mut problems);
    let settings = Settings::resolve(&mut layers);
    let checked = settings.inspect(|settings| together(settings, &mut layers));
    let effective = checked.as_ref().map(|settings| {
        let mut shown = settings.show(&layers);
        shown.extend(read.notifiers.as_ref().map(|(notifiers, source)| Effective {
            name: notify::KEY,
            value: notify::show(notifiers),
            source: source.clone(),
        }));
        shown
    });
    match (checked, effective) {
        (Some(settings), Some(effective)) if problems.is_empty() => {
            let origin = Origin {
                flags: flags.clone(),
                environment: environment.clone(),
                system_file: system_file.to_owned(),
            };
            let notifiers = read.notifiers.map(|(notifiers, _)| notifiers).unwrap_or_default();
            Ok(Config { settings, notifiers, file, effective, origin: Arc::new(origin) })
        }
        _ => Err(Problems(problems)),
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

/// What the variables with our prefix say. An unknown one is refused: it is a misspelt setting.
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
            problems.push(Problem { option: None, source, message, fault: Fault::Value });
        }
    }
    layer
}

/// Checks what depends on more than one option.
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
