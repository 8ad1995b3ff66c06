//! Limits: what may be started, and how many dollars it may spend.
//!
//! Dollars are set aside when an attempt is granted: what it may spend at most is neither anybody else's meanwhile nor
//! more than every limit above it has left. That keeps the sum bounded although claude tells a cost only at the end.

use super::id::AttemptId;
use super::id::TicketId;
use super::names::names;
use super::refusal::Refusal;

/// Less than this is nothing: not one request could be paid from it.
pub const LEAST_USD: f64 = 0.01;

/// The limits of a project; `None` means that there is no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProjectLimits {
    /// Workers that may live at once, over all types of the project.
    pub max_workers: Option<i64>,
    /// Dollars of all its tickets together.
    pub max_budget_usd: Option<f64>,
    /// Dollars of one day, in UTC.
    pub max_budget_usd_per_day: Option<f64>,
    /// Dollars of one ticket over its whole life.
    pub max_budget_usd_per_ticket: Option<f64>,
    /// Attempts of one ticket over its whole life.
    pub max_attempts_per_ticket: Option<i64>,
    /// Tickets that one ticket may become, through all generations; `None` means what the server says.
    pub max_descendants: Option<i64>,
}

/// Most tickets that any limit lets one ticket become.
pub const MOST_DESCENDANTS: i64 = 100_000;

impl ProjectLimits {
    /// Checks every field; the first wrong one is named.
    pub fn check(&self) -> Result<(), Refusal> {
        count("max_workers", self.max_workers, 0, 10_000)?;
        dollars("max_budget_usd", self.max_budget_usd)?;
        dollars("max_budget_usd_per_day", self.max_budget_usd_per_day)?;
        dollars("max_budget_usd_per_ticket", self.max_budget_usd_per_ticket)?;
        count("max_attempts_per_ticket", self.max_attempts_per_ticket, 1, 10_000)?;
        count("max_descendants", self.max_descendants, 0, MOST_DESCENDANTS)
    }
}

/// What a call changes about the limits of a project; `None` leaves one as it is. The numbers are those of the tool: where
/// none of something is no sensible limit, 0 stands for no limit; of workers and descendants, where it is one, -1 does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProjectLimitsChange {
    pub max_workers: Option<i64>,
    pub max_budget_usd: Option<f64>,
    pub max_budget_usd_per_day: Option<f64>,
    pub max_budget_usd_per_ticket: Option<f64>,
    pub max_attempts_per_ticket: Option<i64>,
    pub max_descendants: Option<i64>,
}

impl ProjectLimitsChange {
    #[must_use]
    pub fn on(self, old: ProjectLimits) -> ProjectLimits {
        let usd = |new: Option<f64>, old| match new {
            Some(usd) => Some(usd).filter(|usd| *usd != 0.0),
            None => old,
        };
        let count = |new: Option<i64>, old, none: fn(&i64) -> bool| match new {
            Some(count) => Some(count).filter(|count| !none(count)),
            None => old,
        };
        ProjectLimits {
            max_workers: count(self.max_workers, old.max_workers, |n| *n == -1),
            max_budget_usd: usd(self.max_budget_usd, old.max_budget_usd),
            max_budget_usd_per_day: usd(self.max_budget_usd_per_day, old.max_budget_usd_per_day),
            max_budget_usd_per_ticket: usd(
                self.max_budget_usd_per_ticket,
                old.max_budget_usd_per_ticket,
            ),
            max_attempts_per_ticket: count(
                self.max_attempts_per_ticket,
                old.max_attempts_per_ticket,
                |n| *n == 0,
            ),
            max_descendants: count(self.max_descendants, old.max_descendants, |n| *n == -1),
        }
    }
}

/// Checks a limit in dollars.
pub fn dollars(field: &'static str, given: Option<f64>) -> Result<(), Refusal> {
    match given {
        Some(usd) if !(LEAST_USD..=1_000_000.0).contains(&usd) => {
            let allowed = "dollars, at least 0.01 and at most 1000000, or 0 for no limit";
            Err(Refusal::invalid(field, &usd.to_string(), allowed))
        }
        Some(_) | None => Ok(()),
    }
}

fn count(field: &'static str, given: Option<i64>, least: i64, most: i64) -> Result<(), Refusal> {
    match given {
        Some(count) if !(least..=most).contains(&count) => {
            let allowed = format!("a number from {least} to {most}");
            Err(Refusal::invalid(field, &count.to_string(), allowed))
        }
        Some(_) | None => Ok(()),
    }
}

names! {
    /// A limit in dollars, narrowest first: of two that are equally tight the narrower is told.
    #[derive(PartialOrd, Ord)]
    pub enum Limit {
        /// One attempt, by its worker type. Reaching it is the work's fault.
        Attempt = "attempt",
        Ticket = "ticket",
        /// A ticket and all that it became, under the limit of that ticket.
        Family = "family",
        ProjectDay = "project_day",
        Project = "project",
        ServerDay = "server_day",
    }
}

impl Limit {
    /// The end of a sentence: whose dollars are spent, and how to raise them.
    #[must_use]
    pub fn spent(self, limit: f64) -> String {
        match self {
            Self::Attempt => format!(
                "an attempt may cost ${limit:.2}; raise max_budget_usd with update_worker_type"
            ),
            Self::Ticket => format!(
                "this ticket may cost ${limit:.2} over its whole life; raise max_budget_usd with update_ticket, or \
                 max_budget_usd_per_ticket with update_project"
            ),
            Self::Family => format!(
                "the ticket it comes from may cost ${limit:.2} together with all that it became; raise max_budget_usd of \
                 that ticket with update_ticket, or max_budget_usd_per_ticket with update_project"
            ),
            Self::ProjectDay => format!(
                "the project may cost ${limit:.2} a day (UTC); raise max_budget_usd_per_day with update_project, or \
                 wait for tomorrow"
            ),
            Self::Project => {
                format!(
                    "the project may cost ${limit:.2}; raise max_budget_usd with update_project"
                )
            }
            Self::ServerDay => format!(
                "the whole server may cost ${limit:.2} a day (UTC); the operator raises max_usd_per_day in the \
                 configuration, or wait for tomorrow"
            ),
        }
    }
}

/// Why a family may not have so many tickets more: the sentence to hold the ticket with whose result asked for them.
/// `began` is the ticket that the family comes from, `asking` the one that asks.
pub fn descendants(
    began: TicketId,
    asking: TicketId,
    (made, more): (i64, i64),
    most: i64,
) -> Result<(), String> {
    if made.saturating_add(more) <= most {
        return Ok(());
    }
    let whose = if began == asking {
        format!("{began} has become {made} tickets")
    } else {
        format!("{began}, which it comes from, has become {made} tickets through all generations")
    };
    Err(format!(
        "its result asked for {more} more tickets, of which none was created: {whose}, and one ticket may become {most} \
         (max_descendants). Raise max_descendants with update_project, then resume it; it goes on in its session"
    ))
}

/// One limit in dollars and how much of it is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Account {
    pub of: Limit,
    pub limit: f64,
    /// What ended attempts cost, or are assumed to have cost.
    pub spent: f64,
    /// What live attempts may still spend.
    pub reserved: f64,
}

impl Account {
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.limit - self.spent < LEAST_USD
    }

    fn left(&self) -> f64 {
        self.limit - self.spent - self.reserved
    }
}

/// A live attempt and what it may spend; `None` without a bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Given {
    pub attempt: AttemptId,
    pub budget: Option<f64>,
}

/// The live attempts that an account does not cover: all of them once it is spent, else as many of the newest as were
/// given more than is left; one that was given no bound is covered by none. `overshot` is what of the spent is no reason
/// to stop anybody. Oldest first, as `live` is.
#[must_use]
pub fn uncovered(account: &Account, overshot: f64, live: &[Given]) -> Vec<AttemptId> {
    let mut left = account.limit - account.spent + overshot;
    let mut over = Vec::new();
    for one in live {
        match one.budget {
            // Budgets are whole cents, and sums of them are not.
            Some(usd) if !account.is_spent() && usd <= left + 1e-6 => left -= usd,
            Some(_) | None => over.push(one.attempt),
        }
    }
    over
}

/// Whether an attempt may start as far as dollars go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Funds {
    /// It may spend so much, and why not more; `None` when nothing limits it.
    Granted(Option<(f64, Limit)>),
    /// Live attempts hold all that is left. What they do not spend is free when they end.
    Reserved(Limit),
    /// A limit is spent.
    Spent(Account),
}

/// Decides what an attempt may spend: the least that its worker type and every account above it allow.
#[must_use]
pub fn funds(per_attempt: Option<f64>, accounts: &[Account]) -> Funds {
    // The widest first: a project whose money is gone tells more than a ticket whose money is gone too.
    if let Some(spent) = accounts.iter().filter(|a| a.is_spent()).max_by_key(|a| a.of) {
        return Funds::Spent(*spent);
    }
    let own = per_attempt.map(|usd| (usd, Limit::Attempt));
    let above = accounts.iter().map(|account| (account.left(), account.of));
    let tightest =
        own.into_iter().chain(above).min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    match tightest {
        None => Funds::Granted(None),
        Some((usd, of)) if usd < LEAST_USD => Funds::Reserved(of),
        Some((usd, of)) => Funds::Granted(Some((cents(usd), of))),
    }
}

/// Rounded down: claude takes any number, and people read them.
fn cents(usd: f64) -> f64 {
    // The small addition keeps 0.29, which is stored as a little less, from becoming 0.28.
    ((usd + 1e-9) * 100.0).floor() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(of: Limit, limit: f64, spent: f64, reserved: f64) -> Account {
        Account { of, limit, spent, reserved }
    }

    #[test]
    fn nothing_limits_what_has_no_limit() {
        assert_eq!(funds(None, &[]), Funds::Granted(None));
        assert_eq!(funds(Some(2.0), &[]), Funds::Granted(Some((2.0, Limit::Attempt))));
    }

    #[test]
    fn the_tightest_limit_counts_and_what_runs_is_set_aside() {
        let project = account(Limit::Project, 10.0, 4.0, 5.0);
        assert_eq!(funds(Some(2.0), &[project]), Funds::Granted(Some((1.0, Limit::Project))));
        let ticket = account(Limit::Ticket, 1.0, 0.71, 0.0);
        assert_eq!(
            funds(Some(2.0), &[ticket, project]),
            Funds::Granted(Some((0.29, Limit::Ticket)))
        );
        // As tight as each other: the narrower is told.
        assert_eq!(funds(Some(1.0), &[project]), Funds::Granted(Some((1.0, Limit::Attempt))));
    }

    #[test]
    fn reserved_is_a_wait_and_spent_is_not() {
        let all_out = account(Limit::Project, 10.0, 4.0, 6.0);
        assert_eq!(funds(None, &[all_out]), Funds::Reserved(Limit::Project));
        let spent = account(Limit::Project, 10.0, 10.2, 0.0);
        let ticket = account(Limit::Ticket, 1.0, 1.0, 0.0);
        assert_eq!(funds(Some(2.0), &[ticket, spent]), Funds::Spent(spent));
    }

    /// However many attempts start, what they may spend together stays within the limit.
    #[test]
    fn grants_never_add_up_to_more_than_the_limit() {
        let mut project = account(Limit::Project, 1.0, 0.0, 0.0);
        let mut grants = 0;
        while let Funds::Granted(Some((usd, _))) = funds(Some(0.3), &[project]) {
            project.reserved += usd;
            grants += 1;
        }
        assert_eq!(grants, 4, "three of 0.30 and one of 0.10");
        assert!(project.reserved <= project.limit + 1e-6);
    }

    #[test]
    fn a_lowered_limit_covers_the_oldest_and_no_attempt_without_a_budget() {
        let key = AttemptId::from_key;
        let given = |id, budget| Given { attempt: key(id), budget };
        let live = [given(1, Some(2.0)), given(2, None), given(3, Some(2.0)), given(4, Some(0.5))];
        let over = |limit, spent, overshot| {
            uncovered(&account(Limit::Project, limit, spent, 0.0), overshot, &live)
        };
        assert_eq!(over(9.0, 0.0, 0.0), [key(2)]);
        assert_eq!(over(3.0, 0.0, 0.0), [key(2), key(3)]);
        assert_eq!(over(5.0, 0.6, 0.0), [key(2), key(4)]);
        assert_eq!(over(5.0, 0.6, 0.1), [key(2)]);
        assert_eq!(over(5.0, 5.0, 9.0), [key(1), key(2), key(3), key(4)]);
        assert_eq!(
            uncovered(&account(Limit::Project, 0.3, 0.1, 0.0), 0.0, &[given(1, Some(0.2))]),
            []
        );
    }

    #[test]
    fn a_family_grows_to_its_limit_and_no_further() {
        let key = TicketId::from_key;
        assert_eq!(descendants(key(1), key(1), (0, 100), 100), Ok(()));
        assert_eq!(descendants(key(1), key(7), (99, 1), 100), Ok(()));
        let own = descendants(key(1), key(1), (60, 41), 100).unwrap_err();
        assert!(own.contains("asked for 41 more") && own.contains("T-1 has become 60"), "{own}");
        let came = descendants(key(1), key(7), (100, 1), 100).unwrap_err();
        assert!(
            came.contains("T-1, which it comes from") && came.contains("100 (max_desc"),
            "{came}"
        );
        assert!(descendants(key(1), key(1), (0, 1), 0).is_err());
    }

    #[test]
    fn wrong_limits_name_their_field() {
        let field_of = |limits: ProjectLimits| match limits.check() {
            Err(Refusal::InvalidField { field, .. }) => field,
            other => panic!("expected a wrong field, got {other:?}"),
        };
        assert_eq!(ProjectLimits::default().check(), Ok(()));
        let nan = ProjectLimits { max_budget_usd: Some(f64::NAN), ..Default::default() };
        assert_eq!(field_of(nan), "max_budget_usd");
        let none = ProjectLimits { max_attempts_per_ticket: Some(0), ..Default::default() };
        assert_eq!(field_of(none), "max_attempts_per_ticket");
    }
}
