//! The settings of a worker type as the tools take and show them, made from the table in `domain/worker_type`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::domain::worker_type::Setting;
use crate::domain::worker_type::WorkerTypeChange;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::domain::worker_type::rule;
use crate::domain::worker_type::rule::Call;
use crate::domain::worker_type::rule::Rule;
use crate::domain::worker_type::worker_type_settings;

macro_rules! make {
    ([] $($(#[$doc:meta])+ $name:ident $(as $argument:literal)?: $type:ty = $default:expr, $rule:expr, {
        create: $create:literal, update: $update:literal,
    })+) => {
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct Create {
            /// The project.
            pub(super) project: String,
            /// 1 to 64 letters, digits, '-', '_' or '.'.
            pub(super) worker_type: String,
            /// The template to start from.
            pub(super) template: Option<String>,
            $(#[doc = $create]
            $(#[serde(rename = $argument)])?
            #[schemars(transform = saying::<$type>(&$rule, Call::Create))]
            pub(super) $name: Option<<$type as Setting>::Given>,)+
        }

        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct Update {
            /// The project's name.
            pub(super) project: String,
            /// The worker type's name.
            pub(super) worker_type: String,
            $(#[doc = $update]
            $(#[serde(rename = $argument)])?
            #[schemars(transform = saying::<$type>(&$rule, Call::Update))]
            pub(super) $name: Option<<$type as Setting>::Given>,)+
        }

        impl Create {
            pub(super) fn into_change(self) -> WorkerTypeChange {
                WorkerTypeChange { $($name: self.$name,)+ }
            }
        }

        impl Update {
            pub(super) fn into_change(self) -> WorkerTypeChange {
                WorkerTypeChange { $($name: self.$name,)+ }
            }
        }

        // The settings of a type or of a template, among the other fields of its view. No doc comment: it would describe the
        // whole view in its schema.
        #[derive(Serialize, JsonSchema)]
        pub(super) struct SettingsView {
            $($(#[serde(rename = $argument)])? pub(super) $name: $type,)+
        }

        impl From<WorkerTypeSettings> for SettingsView {
            fn from(settings: WorkerTypeSettings) -> Self {
                Self { $($name: settings.$name,)+ }
            }
        }
    };
}
worker_type_settings!(make!());

/// Adds the rule of an argument to its schema.
fn saying<T>(rule: &impl Rule<T>, call: Call) -> impl FnMut(&mut schemars::Schema) {
    let keywords = rule.keywords(call);
    move |schema| {
        for (keyword, value) in &keywords {
            schema.insert((*keyword).to_owned(), value.clone());
        }
    }
}
