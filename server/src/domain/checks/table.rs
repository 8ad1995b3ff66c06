//! Every key of the two tables, each with its rule and its default. A new key is one row here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use super::reader::Reader;
use super::rule;
use super::rule::Command;
use super::stages::Stages;

macro_rules! table {
    (
        $(#[$meta:meta])* $settings:ident;
        $(#[$table_meta:meta])* $table:ident;
        $($(#[doc = $doc:literal])+ $name:ident: $type:ty, $rule:expr, $default:expr;)+
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $settings {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for $settings {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        $(#[$table_meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $table {
            $(
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $name: Option<$type>,
            )+
        }

        impl $table {
            pub const KEYS: &[&str] = &[$(stringify!($name)),+];

            /// Takes every key that is set; the reader notes what is wrong.
            pub(super) fn read(reader: &mut Reader<'_>) -> Self {
                let read = Self { $($name: reader.value(stringify!($name), &$rule),)+ };
                reader.refuse_others(Self::KEYS);
                read
            }

            /// Key by key: what is set here, else what is set in `other`.
            #[must_use]
            pub fn over(self, other: Self) -> Self {
                Self { $($name: self.$name.or(other.$name),)+ }
            }

            /// What applies.
            #[must_use]
            pub fn settings(self) -> $settings {
                let unset = $settings::default();
                $settings { $($name: self.$name.unwrap_or(unset.$name),)+ }
            }
        }
    };
}

/// The longest time limit, in seconds: a day.
const MOST_SECONDS: i64 = 86_400;

/// The most ports of one ticket.
const MOST_PORTS: i64 = 100;

table! {
    /// What is done to a new worktree, and to one that is about to be removed.
    WorktreeSettings;
    /// What one source sets about worktrees.
    WorktreeTable;
    /// Which ignored files of the project's checkout are copied into it, as the lines of a `.gitignore`.
    copy: Vec<String>, rule::CopyPatterns, Vec::new();
    /// Commands that run one after the other before the ticket's first attempt.
    setup: Vec<Command>, rule::Commands, Vec::new();
    /// How long all of them together may take.
    setup_timeout_seconds: i64, rule::Whole(1, MOST_SECONDS), 900;
    /// Commands that run one after the other before the worktree is removed.
    cleanup: Vec<Command>, rule::Commands, Vec::new();
    /// How many ports each open ticket has to itself; 0 for none.
    ports: i64, rule::Whole(0, MOST_PORTS), 0;
}

table! {
    /// A command that decides whether a stage is done.
    Gate;
    /// What one source sets about one gate.
    GateTable;
    /// Unique in its project.
    name: String, rule::GateName, String::new();
    /// The program and its arguments.
    command: Command, rule::Argv, Vec::new();
    /// After which stages it runs.
    stages: Stages, rule::Stages, Stages::Changed;
    /// Globs of changed files, one of which must match for the gate to run; empty: it always runs.
    when_changed: Vec<String>, rule::Globs { least: 1 }, Vec::new();
    /// How long one run may take.
    timeout_seconds: i64, rule::Whole(1, MOST_SECONDS), 900;
    /// How often a run that failed is repeated at the same commit.
    retries: i64, rule::Whole(0, 5), 1;
    /// Whether what fails on the base commit too is forgiven.
    baseline: bool, rule::Truth, true;
    /// A report of single tests that the command writes, below the project's directory; empty: there is none.
    junit: String, rule::PathBelow, String::new();
    /// Globs of files whose change lands only after somebody agrees.
    protected: Vec<String>, rule::Globs { least: 0 }, Vec::new();
    /// Whether the command may use the network.
    network: bool, rule::Truth, true;
    /// Variables that are added to its environment.
    env: BTreeMap<String, String>, rule::Variables, BTreeMap::new();
    /// Where it runs, below the project's directory; empty: in it.
    directory: String, rule::PathBelow, String::new();
}

impl Gate {
    /// The report of single tests, below the project's directory.
    #[must_use]
    pub fn junit(&self) -> Option<&str> {
        Some(self.junit.as_str()).filter(|path| !path.is_empty())
    }
}
