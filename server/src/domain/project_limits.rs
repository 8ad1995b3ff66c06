//! The limits of a project, in one table. A new limit is one row here and one migration that adds
//! its column.
//!
//! The table generates the values, their checks and the changes here, the SQL in
//! `store/money/limits`, and the copies in `wire/project` and `mcp/tools/projects`. What a limit
//! means is decided where it is enforced.

use super::limits::dollars;
use super::text::Invalid;

/// The most tickets that any limit lets one ticket become.
pub const MOST_DESCENDANTS: i64 = 100_000;

/// Passes every row, after the other arguments, to the macro `$make`.
///
/// A row is `name: type, rule, none`: the name of the column and of the argument, which values are
/// valid, and the number with which a caller removes the limit. That number is 0 where a limit of 0
/// makes no sense; for workers and descendants, where it does, it is -1.
macro_rules! project_limits {
    ($make:ident!($($with:tt)*)) => { $make! { [$($with)*]
        /// Workers that may run at the same time, over all types of the project.
        max_workers: i64, Within(0, 10_000), -1;
        /// Dollars of all its tickets together.
        max_budget_usd: f64, Dollars, 0.0;
        /// Dollars of one day, in UTC.
        max_budget_usd_per_day: f64, Dollars, 0.0;
        /// Dollars of one ticket over its whole life.
        max_budget_usd_per_ticket: f64, Dollars, 0.0;
        /// Attempts of one ticket over its whole life.
        max_attempts_per_ticket: i64, Within(1, 10_000), 0;
        /// Tickets that one ticket may become, through all generations; `None` means the limit of the server.
        max_descendants: i64, Within(0, MOST_DESCENDANTS), -1;
    } };
}
pub(crate) use project_limits;

macro_rules! make {
    ([] $($(#[$doc:meta])+ $name:ident: $type:ty, $rule:expr, $none:expr;)+) => {
        /// The limits of a project; `None` means that there is no such limit.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct ProjectLimits {
            $($(#[$doc])+ pub $name: Option<$type>,)+
        }

        /// What a call changes about the limits of a project; `None` leaves a limit as it is. The
        /// numbers are those of the tool, one of which removes the limit.
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct ProjectLimitsChange {
            $(pub $name: Option<$type>,)+
        }

        impl ProjectLimits {
            /// Checks every field and names the first invalid one.
            pub fn check(&self) -> Result<(), Invalid> {
                $($rule.check(stringify!($name), self.$name)?;)+
                Ok(())
            }
        }

        impl ProjectLimitsChange {
            #[must_use]
            pub fn on(self, old: ProjectLimits) -> ProjectLimits {
                ProjectLimits {
                    $($name: match self.$name {
                        Some(new) => Some(new).filter(|new| *new != $none),
                        None => old.$name,
                    },)+
                }
            }
        }
    };
}
project_limits!(make!());

/// Which values of a limit are valid.
trait Rule<T> {
    fn check(&self, field: &'static str, given: Option<T>) -> Result<(), Invalid>;
}

/// Dollars, at least a cent.
struct Dollars;

impl Rule<f64> for Dollars {
    fn check(&self, field: &'static str, given: Option<f64>) -> Result<(), Invalid> {
        dollars(field, given)
    }
}

/// A number in a range.
struct Within(i64, i64);

impl Rule<i64> for Within {
    fn check(&self, field: &'static str, given: Option<i64>) -> Result<(), Invalid> {
        let Self(least, most) = *self;
        match given {
            Some(count) if !(least..=most).contains(&count) => {
                let allowed = format!("a number from {least} to {most}");
                Err(Invalid::new(field, &count.to_string(), allowed))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_limits_name_their_field() {
        let field_of = |limits: ProjectLimits| match limits.check() {
            Err(Invalid { field, .. }) => field,
            other => panic!("expected a wrong field, got {other:?}"),
        };
        assert_eq!(ProjectLimits::default().check(), Ok(()));
        let nan = ProjectLimits { max_budget_usd: Some(f64::NAN), ..Default::default() };
        assert_eq!(field_of(nan), "max_budget_usd");
        let none = ProjectLimits { max_attempts_per_ticket: Some(0), ..Default::default() };
        assert_eq!(field_of(none), "max_attempts_per_ticket");
    }
}
