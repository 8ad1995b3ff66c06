//! One template file: how it is read, and what is wrong with it.

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value;

use crate::domain::refusal::Refusal;
use crate::domain::text::Invalid;
use crate::domain::worker_type::Setting;
use crate::domain::worker_type::WorkerTypeChange;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::domain::worker_type::worker_type_settings;

/// The line before and after the settings.
const FENCE: &str = "+++";

/// A template, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// What the stage hands to the next one. Read by the coordinator when it plans.
    pub hands_on: String,
    /// The worker type as it would be without anything else being said.
    pub settings: WorkerTypeSettings,
}

macro_rules! make {
    ([] $($(#[$doc:meta])+ $name:ident $(as $key:literal)?: $type:ty = $default:expr, $rule:expr, { $($words:tt)+ })+) => {
        /// The settings a file may have; each means what it means to `create_worker_type`.
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Front {
            hands_on: String,
            $($(#[serde(rename = $key)])? $name: Option<<$type as Setting>::Given>,)+
        }

        impl Front {
            fn into_parts(self) -> (String, WorkerTypeChange) {
                (self.hands_on, WorkerTypeChange { $($name: self.$name,)+ })
            }
        }
    };
}
worker_type_settings!(make!());

/// Reads the text of a file. The sentence of a refusal is for the operator.
pub(super) fn parse(text: &str) -> Result<Template, String> {
    let (front, prompt) = parts(text)?;
    let front: Front = toml::from_str(front).map_err(|error| {
        // Counted from the first line of the settings, which is the second of the file.
        let line = error.span().map(|span| front[..span.start].lines().count().max(1) + 1);
        let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        format!("{line}{}", error.message())
    })?;
    let (hands_on, change) = front.into_parts();
    if change.description.is_none() {
        return Err("missing field `description`".to_owned());
    }
    if change.system_prompt.is_some() {
        return Err("system_prompt is what follows the second +++, and no setting".to_owned());
    }
    let settings = change.on(WorkerTypeSettings::with_prompt(prompt.trim().to_owned()));
    if settings.system_prompt.is_empty() {
        return Err("after the second +++ it has no system prompt".to_owned());
    }
    settings.check().map_err(|refusal| {
        if let Refusal::InvalidField(Invalid { field, given, allowed }) = &refusal {
            return format!("{field} cannot be {given:?}; allowed is {allowed}");
        }
        // The check of settings refuses nothing else.
        "its settings are refused".to_owned()
    })?;
    Ok(Template { hands_on, settings })
}

/// The settings and the system prompt, as text.
fn parts(text: &str) -> Result<(&str, &str), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut at = 0;
    let mut begin = None;
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        match begin {
            None if line.trim_end() == FENCE => begin = Some(next),
            None => return Err("its first line is not +++".to_owned()),
            Some(begin) if line.trim_end() == FENCE => {
                return Ok((&text[begin..at], &text[next..]));
            }
            Some(_) => {}
        }
        at = next;
    }
    Err("it has no second line +++, which ends its settings".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_settings_and_its_prompt() {
        let text = "+++\r\ndescription = \"Tests.\"\r\nhands_on = \"A verdict.\"\r\nmax_budget_usd = 2.5\r\n\
                    settings = { hooks = {} }\r\n[mcp_servers.db]\r\ncommand = \"db\"\r\n+++\r\n\r\nYou test.\r\n+++\r\n";
        let template = parse(text).unwrap();
        assert_eq!(template.hands_on, "A verdict.");
        let settings = template.settings;
        assert_eq!(settings.system_prompt, "You test.\r\n+++");
        assert_eq!((settings.description.as_str(), settings.max_budget_usd), ("Tests.", Some(2.5)));
        assert_eq!(settings.mcp_servers["db"]["command"], "db");
        assert!(settings.claude_settings["hooks"].is_object());
        assert_eq!(settings.timeout_seconds, 3600, "what is left out is the default");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| parse(text).expect_err(text);
        let with = |line: &str| {
            wrong(&format!("+++\ndescription = \"\"\nhands_on = \"\"\n{line}\n+++\nYou test.\n"))
        };
        assert!(wrong("You test.").contains("first line is not +++"));
        assert!(wrong("").contains("no second line"));
        assert!(wrong("+++\nhands_on = \"\"\n").contains("no second line"));
        assert!(wrong("+++\nhands_on = \"\"\n+++\nx").contains("description"));
        let empty = "+++\ndescription = \"\"\nhands_on = \"\"\n+++\n \n";
        assert!(wrong(empty).contains("no system prompt"));
        for (line, part) in [
            ("max_workers = \"two\"", "line 4: "),
            ("max_wrokers = 2", "max_wrokers"),
            ("permission_mode = \"yolo\"", "permission_mode cannot be \"yolo\""),
            ("timeout_seconds = 0", "timeout_seconds"),
            ("[mcp_servers.vibe-ensemble]\ncommand = \"x\"", "mcp_servers"),
            ("model = ", "line 4: "),
        ] {
            let why = with(line);
            assert!(why.contains(part), "{line}: {why}");
        }
    }
}
