//! Limits: what may be started, and how many dollars it may spend.
//!
//! Dollars are set aside when an attempt starts: the most that it may spend is meanwhile nobody
//! else's, and no more than every limit above it has left. That bounds the sum, although claude
//! reports a cost only at the end.

use super::advice;
use super::advice::Knob;
use super::id::AttemptId;
use super::id::TicketId;
use super::names::names;
use super::text::Invalid;

/// Less than this counts as nothing: it pays for not even one request.
pub const LEAST_USD: f64 = 0.01;

/// Checks a limit in dollars.
pub fn dollars(field: &'static str, given: Option<f64>) -> Result<(), Invalid> {
    match given {
        Some(usd) if !(LEAST_USD..=1_000_000.0).contains(&usd) => {
            let allowed = "dollars, at least 0.01 and at most 1000000, or 0 for no limit";
            Err(Invalid::new(field, &usd.to_string(), allowed))
        }
        Some(_) | None => Ok(()),
    }
}

names! {
    /// A dollar limit, narrowest first: of two equally tight ones, the narrower is reported.
    #[derive(PartialOrd, Ord)]
    pub enum Limit {
        /// One attempt, by its worker type. An attempt that reaches it has failed.
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
    /// The settings that raise it.
    #[must_use]
    pub const fn raised_by(self) -> &'static [Knob] {
        match self {
            Self::Attempt => &[Knob::AttemptBudget],
            Self::Ticket | Self::Family => &[Knob::TicketBudget, Knob::TicketBudgets],
            Self::ProjectDay => &[Knob::ProjectBudgetPerDay],
            Self::Project => &[Knob::ProjectBudget],
            Self::ServerDay => &[Knob::ServerBudgetPerDay],
        }
    }

    /// The owner of the limit, as the subject of "may cost".
    #[must_use]
    pub const fn whose(self) -> &'static str {
        match self {
            Self::Attempt => "an attempt",
            Self::Ticket => "this ticket",
            Self::Family => "the ticket that it comes from, with all that this became,",
            Self::ProjectDay | Self::Project => "the project",
            Self::ServerDay => "the whole server",
        }
    }

    /// The end of a sentence for stored texts: whose dollars are spent, and the settings that raise the limit.
    #[must_use]
    pub fn spent(self, limit: f64) -> String {
        let over = match self {
            Self::Attempt | Self::Project => "",
            Self::Ticket | Self::Family => " over its whole life",
            Self::ProjectDay | Self::ServerDay => " per day (UTC)",
        };
        let settings = advice::settings(self.raised_by());
        format!("{} may cost ${limit:.2}{over} ({settings})", self.whose())
    }
}

/// The reason to hold a ticket whose attempt spent all that was left of a limit above its worker type's own.
#[must_use]
pub fn used_up(of: Limit, attempt: AttemptId, usd: f64) -> String {
    let whose = match of {
        Limit::Attempt | Limit::Ticket => "this ticket",
        Limit::Family => "the ticket that it comes from, with all that this became",
        Limit::ProjectDay => "the project today",
        Limit::Project => "the project",
        Limit::ServerDay => "the server today",
    };
    format!(
        "its attempt {attempt} spent the ${usd:.2} that was left for {whose} ({}). Its work is kept and continues in the \
         same session",
        advice::settings(of.raised_by())
    )
}

/// Why a family may not have that many more tickets: the reason to hold the ticket whose result
/// asked for them. `began` is the ticket that the family comes from, `asking` the one that asks.
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
         ({}). Once that is raised, it continues in its session when it is resumed",
        Knob::Descendants.setting()
    ))
}

/// One dollar limit and how much of it has been used.
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

    /// Whether this part of it is spent.
    #[must_use]
    pub fn is_nearly_spent(&self, percent: i64) -> bool {
        let part = f64::from(i32::try_from(percent).unwrap_or(100)) / 100.0;
        // Limits are whole cents, and sums of dollars are not.
        self.spent + 1e-9 >= self.limit * part
    }

    fn left(&self) -> f64 {
        self.limit - self.spent - self.reserved
    }

    /// Why an attempt is stopped whose ticket has spent its limit: the reason to hold the ticket.
    #[must_use]
    pub fn stopped(&self, attempt: AttemptId) -> String {
        let Self { of, limit, spent, .. } = self;
        format!(
            "its attempt {attempt} was stopped because ${spent:.2} has been spent, and {}",
            of.spent(*limit)
        )
    }

    /// Like [`Self::stopped`], for the account of the family that began with the ticket `began`.
    #[must_use]
    pub fn stopped_in_family(&self, attempt: AttemptId, began: TicketId) -> String {
        let Self { of, limit, spent, .. } = self;
        format!(
            "its attempt {attempt} was stopped because {began} and all that it became have cost \
             ${spent:.2}, and {}",
            of.spent(*limit)
        )
    }

    /// Why a scope is paused whose limit is spent.
    #[must_use]
    pub fn paused(&self) -> String {
        format!("${:.2} has been spent, and {}", self.spent, self.of.spent(self.limit))
    }
}

/// A live attempt and how much it may spend; `None` means without a bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Given {
    pub attempt: AttemptId,
    pub budget: Option<f64>,
}

/// The live attempts that an account does not cover: all of them once it is spent, else those whose
/// budget exceeds what the older ones have left. An attempt without a bound is never covered.
/// `overshot` is the part of the spent dollars that is no reason to stop any of them. Oldest first,
/// like `live`.
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

/// Whether an attempt may start as far as dollars are concerned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Funds {
    /// It may spend this much, because of this limit; `None` if nothing limits it.
    Granted(Option<(f64, Limit)>),
    /// Live attempts hold everything that is left; what they do not spend becomes free when they
    /// end.
    Reserved(Limit),
    /// A limit is spent.
    Spent(Account),
}

/// Decides what an attempt may spend: the least that its worker type and every account above it allow.
#[must_use]
pub fn funds(per_attempt: Option<f64>, accounts: &[Account]) -> Funds {
    // The widest first: that the project's money is spent says more than that the ticket's is too.
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
    fn without_a_limit_nothing_is_limited() {
        assert_eq!(funds(None, &[]), Funds::Granted(None));
        assert_eq!(funds(Some(2.0), &[]), Funds::Granted(Some((2.0, Limit::Attempt))));
    }

    #[test]
    fn the_tightest_limit_applies_after_setting_aside_what_runs() {
        let project = account(Limit::Project, 10.0, 4.0, 5.0);
        assert_eq!(funds(Some(2.0), &[project]), Funds::Granted(Some((1.0, Limit::Project))));
        let ticket = account(Limit::Ticket, 1.0, 0.71, 0.0);
        assert_eq!(
            funds(Some(2.0), &[ticket, project]),
            Funds::Granted(Some((0.29, Limit::Ticket)))
        );
        // If both are equally tight, the narrower is reported.
        assert_eq!(funds(Some(1.0), &[project]), Funds::Granted(Some((1.0, Limit::Attempt))));
    }

    #[test]
    fn reserved_dollars_are_waited_for_and_spent_ones_are_not() {
        let all_out = account(Limit::Project, 10.0, 4.0, 6.0);
        assert_eq!(funds(None, &[all_out]), Funds::Reserved(Limit::Project));
        let spent = account(Limit::Project, 10.0, 10.2, 0.0);
        let ticket = account(Limit::Ticket, 1.0, 1.0, 0.0);
        assert_eq!(funds(Some(2.0), &[ticket, spent]), Funds::Spent(spent));
    }

    /// However many attempts start, the sum of what they may spend stays within the limit.
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
}
