//! The settings of a worker type and a change of them, both made from the table.

use serde_json::Map;
use serde_json::Value;

use super::rule;
use super::rule::Rule as _;
use super::table::worker_type_settings;
use crate::domain::refusal::Refusal;

/// Tools that wait for a person or a later time. A headless worker that calls one hangs, so no
/// worker may have them.
pub const ALWAYS_DISALLOWED_TOOLS: [&str; 4] =
    ["ScheduleWakeup", "CronCreate", "Monitor", "Workflow"];

/// The type of one setting.
pub trait Setting: Sized {
    /// The type in which a change gives it.
    type Given;

    /// The value that is meant. An empty string or a zero removes an optional value.
    fn of(given: Self::Given) -> Self;
}

macro_rules! given_as_they_are {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            type Given = Self;

            fn of(given: Self) -> Self {
                given
            }
        }
    )+};
}
given_as_they_are!(String, i64, bool, Vec<String>, Map<String, Value>);

impl Setting for Option<String> {
    type Given = String;

    fn of(given: String) -> Self {
        Some(given).filter(|text| !text.is_empty())
    }
}

impl Setting for Option<i64> {
    type Given = i64;

    fn of(given: i64) -> Self {
        Some(given).filter(|number| *number != 0)
    }
}

impl Setting for Option<f64> {
    type Given = f64;

    fn of(given: f64) -> Self {
        Some(given).filter(|number| *number != 0.0)
    }
}

macro_rules! make {
    ([] $($(#[$doc:meta])+ $name:ident $(as $argument:literal)?: $type:ty = $default:expr, $rule:expr, { $($words:tt)+ })+) => {
        /// Everything about a worker type that `update_worker_type` may change.
        #[derive(Clone, Debug, PartialEq)]
        pub struct WorkerTypeSettings {
            $($(#[$doc])+ pub $name: $type,)+
        }

        /// What `update_worker_type` changes, and what `create_worker_type` sets on top of a template; `None` leaves a
        /// field as it is.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct WorkerTypeChange {
            $(pub $name: Option<<$type as Setting>::Given>,)+
        }

        impl WorkerTypeChange {
            /// The settings with the values of this change. They are not checked yet.
            #[must_use]
            pub fn on(self, old: WorkerTypeSettings) -> WorkerTypeSettings {
                WorkerTypeSettings {
                    $($name: self.$name.map_or(old.$name, <$type as Setting>::of),)+
                }
            }
        }

        impl WorkerTypeSettings {
            /// A type with this system prompt and every default.
            #[must_use]
            pub fn with_prompt(system_prompt: String) -> Self {
                let defaults = Self { $($name: $default,)+ };
                Self { system_prompt, ..defaults }
            }

            /// Checks every field; names the first wrong one.
            pub fn check(&self) -> Result<(), Refusal> {
                $($rule.check([$($argument,)? stringify!($name)][0], &self.$name)?;)+
                Ok(())
            }
        }
    };
}
worker_type_settings!(make!());

impl WorkerTypeSettings {
    /// The type's own list and the tools that no headless worker may have.
    #[must_use]
    pub fn disallowed(&self) -> Vec<String> {
        let mut tools = self.disallowed_tools.clone();
        for tool in ALWAYS_DISALLOWED_TOOLS {
            if !tools.iter().any(|listed| listed == tool) {
                tools.push(tool.to_owned());
            }
        }
        tools
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_wrong_values_name_their_field() {
        let good = WorkerTypeSettings::with_prompt("You test.".to_owned());
        assert_eq!(good.check(), Ok(()));
        let field_of = |settings: WorkerTypeSettings| match settings.check() {
            Err(Refusal::InvalidField(invalid)) => invalid.field,
            other => panic!("expected a wrong field, got {other:?}"),
        };
        assert_eq!(field_of(WorkerTypeSettings { max_workers: -1, ..good.clone() }), "max_workers");
        assert_eq!(
            field_of(WorkerTypeSettings { max_budget_usd: Some(f64::NAN), ..good.clone() }),
            "max_budget_usd"
        );
        assert_eq!(
            field_of(WorkerTypeSettings { model: Some("--evil".into()), ..good.clone() }),
            "model"
        );
        assert_eq!(
            field_of(WorkerTypeSettings { permission_mode: "yolo".into(), ..good }),
            "permission_mode"
        );
    }

    #[test]
    fn a_change_sets_what_it_names_and_can_remove_optional_values() {
        let old = WorkerTypeSettings {
            model: Some("opus".to_owned()),
            stall_seconds: Some(60),
            max_budget_usd: Some(2.0),
            ..WorkerTypeSettings::with_prompt("You test.".to_owned())
        };
        assert_eq!(WorkerTypeChange::default().on(old.clone()), old);
        let change = WorkerTypeChange {
            model: Some(String::new()),
            stall_seconds: Some(0),
            max_budget_usd: Some(0.0),
            max_workers: Some(4),
            ..WorkerTypeChange::default()
        };
        let wanted = WorkerTypeSettings {
            model: None,
            stall_seconds: None,
            max_budget_usd: None,
            max_workers: 4,
            ..old.clone()
        };
        assert_eq!(change.on(old), wanted);
    }
}
