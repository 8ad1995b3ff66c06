//! The settings of a worker type as columns of its row, made from the table in `domain/worker_type`: each setting is
//! the column of its name.

use serde_json::Map;
use serde_json::Value;
use sqlx::FromRow;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use crate::domain::id::ProjectKey;
use crate::domain::text::Name;
use crate::domain::time::Timestamp;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::domain::worker_type::worker_type_settings;
use crate::store::db::error::StoreError;
use crate::store::db::row;
use crate::store::db::row::Place;

/// A type of setting that a column can hold.
trait Stored: Sized {
    type Column;

    fn column(self) -> Self::Column;
    fn read(column: Self::Column, place: Place, name: &'static str) -> Result<Self, StoreError>;
}

macro_rules! stored_as_they_are {
    ($($type:ty),+) => {$(
        impl Stored for $type {
            type Column = Self;

            fn column(self) -> Self {
                self
            }

            fn read(column: Self, _place: Place, _name: &'static str) -> Result<Self, StoreError> {
                Ok(column)
            }
        }
    )+};
}
stored_as_they_are!(String, Option<String>, i64, Option<i64>, Option<f64>, bool);

impl Stored for Vec<String> {
    type Column = String;

    fn column(self) -> String {
        row::json_list(&self)
    }

    fn read(column: String, place: Place, name: &'static str) -> Result<Self, StoreError> {
        place.list(&column, name)
    }
}

impl Stored for Map<String, Value> {
    type Column = String;

    fn column(self) -> String {
        Value::Object(self).to_string()
    }

    fn read(column: String, place: Place, name: &'static str) -> Result<Self, StoreError> {
        place.object(&column, name)
    }
}

macro_rules! make {
    ([] $($(#[$doc:meta])+ $name:ident $(as $argument:literal)?: $type:ty = $default:expr, $rule:expr, { $($words:tt)+ })+) => {
        /// The columns of the settings.
        #[derive(FromRow)]
        pub(crate) struct SettingsRow {
            $($name: <$type as Stored>::Column,)+
        }

        impl SettingsRow {
            pub(crate) fn settings(self, place: Place) -> Result<WorkerTypeSettings, StoreError> {
                Ok(WorkerTypeSettings {
                    $($name: <$type as Stored>::read(self.$name, place, stringify!($name))?,)+
                })
            }
        }

        /// Inserts a type, unless its project has one of that name.
        pub(crate) fn insert(
            project: ProjectKey,
            name: Name,
            settings: WorkerTypeSettings,
            now: Timestamp,
        ) -> Query<'static, Sqlite, SqliteArguments> {
            sqlx::query(concat!(
                "INSERT INTO worker_type (project_id, name, created_at, updated_at",
                $(", ", stringify!($name),)+
                ") VALUES (?, ?, ?, ?",
                $(parameter!($name),)+
                ") ON CONFLICT (project_id, name) DO NOTHING",
            ))
            .bind(project.0)
            .bind(name.into_string())
            .bind(now.millis())
            .bind(now.millis())
            $(.bind(settings.$name.column()))+
        }

        /// Changes the settings of a type.
        pub(crate) fn update(
            project: ProjectKey,
            name: Name,
            settings: WorkerTypeSettings,
            now: Timestamp,
        ) -> Query<'static, Sqlite, SqliteArguments> {
            sqlx::query(concat!(
                "UPDATE worker_type SET updated_at = ?",
                $(", ", stringify!($name), " = ?",)+
                " WHERE project_id = ? AND name = ?",
            ))
            .bind(now.millis())
            $(.bind(settings.$name.column()))+
            .bind(project.0)
            .bind(name.into_string())
        }
    };
}

/// The place of one parameter.
macro_rules! parameter {
    ($name:ident) => {
        ", ?"
    };
}

worker_type_settings!(make!());
