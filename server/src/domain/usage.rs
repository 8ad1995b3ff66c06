//! The account's usage limits, as agents learn of them, and their consequences.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::time::Timestamp;

/// The names of windows for a single family of models: first their length, then the family.
const SPANS: [&str; 2] = ["seven_day_", "five_hour_"];

/// The account's usage limit, as the agent learned of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UsageLimit {
    /// A request was refused because of it.
    pub rejected: bool,
    pub resets_at: Option<Timestamp>,
    /// Share of the limit that is used, from 0 to 1.
    pub utilization: Option<f64>,
    /// When the stream reported it; older shims do not say.
    pub told_at: Option<Timestamp>,
    /// Limits that hold for one family of models each.
    pub models: Vec<ModelLimit>,
}

/// A share of a limit that is used. Paid overage goes beyond the whole; nothing goes far beyond it.
const SHARES: RangeInclusive<f64> = 0.0..=10.0;
/// The longest window of the service is a week, plus a day for clocks that disagree.
const LONGEST_WINDOW: Duration = Duration::from_hours(8 * 24);

/// A limit of one family of models.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelLimit {
    /// The service's name for it, such as `seven_day_opus`.
    pub window: String,
    pub rejected: bool,
    pub resets_at: Option<Timestamp>,
    pub utilization: Option<f64>,
}

/// A limit that keeps new work from being started for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    pub of: Held,
    /// The service refused a request; otherwise only the share reserved for the coordinator is
    /// reached.
    pub rejected: bool,
    /// When it ends. `None`: the service refused without saying until when.
    pub until: Option<Timestamp>,
    pub utilization: Option<f64>,
}

impl Hold {
    /// The reason, for people. `reserve` as for [`UsageLimit::holds`].
    #[must_use]
    pub fn reason(&self, reserve: f64) -> String {
        let limit = match &self.of {
            Held::Everything => "the account's usage limit".to_owned(),
            Held::Models(family) => format!("the account's usage limit for {family} models"),
        };
        match (self.rejected, self.until) {
            (true, Some(_)) => format!("{limit} is reached"),
            (true, None) => {
                format!("{limit} is reached, and the service does not say until when")
            }
            (false, _) => format!(
                "{:.0} % of {limit} are used, and {:.0} % are kept for the coordinator (usage_reserve_percent)",
                self.utilization.unwrap_or(1.0) * 100.0,
                reserve * 100.0
            ),
        }
    }
}

/// Which work a limit holds back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    Everything,
    /// Work with models whose name contains this word.
    Models(String),
}

impl UsageLimit {
    /// The same without impossible values: a reset that is further away than any window of the
    /// service, and a share that nobody can have used.
    #[must_use]
    pub fn believed(mut self, now: Timestamp) -> Self {
        let furthest = now.after(LONGEST_WINDOW);
        let is_share = |share: &f64| SHARES.contains(share);
        self.resets_at = self.resets_at.filter(|at| *at <= furthest);
        self.utilization = self.utilization.filter(is_share);
        for limit in &mut self.models {
            limit.resets_at = limit.resets_at.filter(|at| *at <= furthest);
            limit.utilization = limit.utilization.filter(is_share);
        }
        self
    }

    /// Whether the service refused a request, for any limit.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.rejected || self.models.iter().any(|limit| limit.rejected)
    }

    /// When the last of the refused limits is reset, as far as the service said.
    #[must_use]
    pub fn refused_until(&self) -> Option<Timestamp> {
        let own = self.resets_at.filter(|_| self.rejected);
        let models = self.models.iter().filter(|limit| limit.rejected);
        own.into_iter().chain(models.filter_map(|limit| limit.resets_at)).max()
    }

    /// What to hold back, reserving a share (`reserve`, 0 to 1) of each limit for the coordinator.
    /// With 0, only a refusal holds work back: beyond the limit the service may still serve, and it
    /// alone decides.
    #[must_use]
    pub fn holds(&self, reserve: f64) -> Vec<Hold> {
        let hold = |of, rejected: bool, until: Option<Timestamp>, utilization: Option<f64>| {
            let reached = reserve > 0.0 && utilization.is_some_and(|used| used >= 1.0 - reserve);
            let holds = rejected || (reached && until.is_some());
            holds.then_some(Hold { of, rejected, until, utilization })
        };
        let own = hold(Held::Everything, self.rejected, self.resets_at, self.utilization);
        let models = self.models.iter().filter_map(|limit| {
            let of = Held::Models(family(&limit.window));
            hold(of, limit.rejected, limit.resets_at, limit.utilization)
        });
        own.into_iter().chain(models).collect()
    }
}

/// The word that the names of a window's models have in common.
fn family(window: &str) -> String {
    let rest = SPANS.iter().find_map(|span| window.strip_prefix(span)).unwrap_or(window);
    match rest {
        // Claude Code's own table says so (2.1.330).
        "overage_included" => "fable".to_owned(),
        rest => rest.to_lowercase(),
    }
}

/// Whether work with this model, as a worker type names it, is work with that family.
#[must_use]
pub fn is_of(model: &str, family: &str) -> bool {
    !family.is_empty() && model.to_lowercase().contains(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESET: Timestamp = Timestamp::from_millis(1_795_900_000_000);

    fn account(rejected: bool, utilization: f64) -> UsageLimit {
        let utilization = Some(utilization);
        UsageLimit { rejected, resets_at: Some(RESET), utilization, ..UsageLimit::default() }
    }

    #[test]
    fn the_share_of_the_coordinator_holds_everything_until_the_reset() {
        let until = |usage: &UsageLimit, reserve| {
            let holds = usage.holds(reserve);
            assert!(holds.iter().all(|hold| hold.of == Held::Everything));
            holds.first().and_then(|hold| hold.until)
        };
        assert_eq!(until(&account(true, 0.2), 0.0), Some(RESET));
        assert_eq!(until(&account(false, 0.85), 0.2), Some(RESET));
        assert_eq!(until(&account(false, 0.75), 0.2), None);
        assert_eq!(until(&UsageLimit { resets_at: None, ..account(false, 1.0) }, 0.1), None);
    }

    #[test]
    fn without_a_reserve_only_a_refusal_holds() {
        assert_eq!(account(false, 1.0).holds(0.0), []);
        assert_eq!(account(false, 1.4).holds(0.0), []);
        let models = vec![of_a_model("seven_day_opus", false)];
        assert_eq!(UsageLimit { models, ..account(false, 1.0) }.holds(0.0), []);
    }

    #[test]
    fn a_refusal_without_a_reset_time_holds_too() {
        let unknown = UsageLimit { resets_at: None, ..account(true, 1.0) };
        let [hold] = &unknown.holds(0.0)[..] else { panic!("one") };
        assert_eq!((hold.rejected, hold.until), (true, None));
        assert!(unknown.is_refused() && unknown.refused_until().is_none());
    }

    fn of_a_model(window: &str, rejected: bool) -> ModelLimit {
        let (resets_at, utilization) = (Some(RESET), Some(1.0));
        ModelLimit { window: window.to_owned(), rejected, resets_at, utilization }
    }

    #[test]
    fn the_limit_of_a_model_holds_its_models_alone() {
        for (window, models, others) in [
            (
                "seven_day_opus",
                vec!["opus", "claude-opus-4-7", "Opus[1m]", "opusplan"],
                vec!["sonnet", ""],
            ),
            ("seven_day_sonnet", vec!["sonnet", "claude-sonnet-5"], vec!["opus", "haiku"]),
            ("seven_day_overage_included", vec!["fable"], vec!["opus"]),
            ("five_hour_haiku", vec!["claude-haiku-4-5-20251001"], vec!["fable"]),
        ] {
            let models_of = vec![of_a_model(window, true)];
            let usage = UsageLimit { models: models_of, ..account(false, 0.1) };
            let [Hold { of: Held::Models(family), rejected: true, until, .. }] =
                &usage.holds(0.0)[..]
            else {
                panic!("{window}: {:?}", usage.holds(0.0))
            };
            assert_eq!(*until, Some(RESET));
            assert!(models.iter().all(|model| is_of(model, family)), "{family}");
            assert!(!others.iter().any(|model| is_of(model, family)), "{family}");
            assert!(usage.is_refused() && usage.refused_until() == Some(RESET));
        }
    }

    #[test]
    fn a_share_that_nobody_can_have_used_holds_nothing_back() {
        let now = Timestamp::from_millis(1_795_380_000_000);
        for absurd in [1e308, f64::INFINITY, f64::NAN, -1.0] {
            assert_eq!(account(false, absurd).believed(now).holds(0.1), [], "{absurd}");
        }
        assert_eq!(account(false, 1.2).believed(now).holds(0.1).len(), 1);
    }

    #[test]
    fn no_reset_is_further_away_than_the_longest_window() {
        let now = Timestamp::from_millis(1_795_380_000_000);
        let until = |at: Timestamp| {
            let models =
                vec![ModelLimit { resets_at: Some(at), ..of_a_model("seven_day_opus", true) }];
            let usage = UsageLimit { resets_at: Some(at), models, ..account(true, 1.0) };
            let holds = usage.believed(now).holds(0.1);
            assert_eq!(holds[0].until, holds[1].until);
            holds[0].until
        };
        let week = now.after(Duration::from_hours(7 * 24));
        assert_eq!(until(week), Some(week));
        // The year 5138, and the end of time.
        for absurd in [Timestamp::from_millis(99_999_999_999_000), Timestamp::from_millis(i64::MAX)]
        {
            assert_eq!(until(absurd), None);
        }
    }
}
