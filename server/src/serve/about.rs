//! What the dashboard shows of this server that only the composition root knows.

use anyhow::Context as _;

use crate::config::Config;
use crate::config::OPTIONS;
use crate::config::Source;
use crate::web::Doctor;
use crate::web::Setting;

/// What is in the file besides options: `[[notify]]`.
const TOLD: &str = "Who is notified of events, by a command or a webhook.";

/// Every setting, as it is in effect.
pub(super) fn settings(config: &Config) -> Vec<Setting> {
    let settings = config.effective.iter().map(|effective| {
        let option = OPTIONS.iter().find(|option| option.name == effective.name);
        Setting {
            name: effective.name,
            value: effective.value.clone(),
            source: effective.source.to_string(),
            doc: option
                .and_then(|option| option.doc.first())
                .map_or_else(|| TOLD.to_owned(), |doc| doc.trim().to_owned()),
        }
    });
    settings.collect()
}

/// How to run the checks of `doctor` with the configuration of this very server.
pub(super) fn doctor(config: &Config) -> anyhow::Result<Doctor> {
    let program =
        std::env::current_exe().context("could not determine the path of this program")?;
    let mut arguments = vec!["doctor".to_owned(), "--json".to_owned()];
    if let Some(file) = config.file.as_ref().filter(|_| config.names_its_file()) {
        arguments.extend(["--config".to_owned(), file.display().to_string()]);
    }
    // What only the command line of this server says; the rest it finds as we did.
    for effective in &config.effective {
        if let (Source::Flag(flag), Some(text)) = (&effective.source, text(&effective.value)) {
            arguments.extend([flag.clone(), text]);
        }
    }
    Ok(Doctor { program, arguments })
}

fn text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Array(items) => {
            Some(items.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(","))
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Object(_) => None,
    }
}
