//! What bounds the next attempt at a ticket, apart from the dollars that it shares with other
//! tickets.

use super::advice::Knob;
use super::id::TicketId;
use super::limits::Account;
use super::limits::LEAST_USD;
use crate::domain::text;

/// How much a ticket has used of its limits, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// The account of the ticket alone; `None` without such a limit.
    pub own: Option<Account>,
    /// The part of its dollars that is assumed, for attempts that could not report a cost.
    pub assumed_usd: f64,
    /// The first ticket of its family.
    pub began: TicketId,
    /// The account of the family; `None` without a family and without such a limit.
    pub family: Option<Account>,
    /// The next attempt only asks for an outcome.
    pub asks: bool,
    /// How many attempts one ticket may have over its whole life.
    pub attempts_ever: Option<i64>,
    /// How many attempts have ended and count: those that succeeded, and those that were charged.
    pub made: Option<i64>,
    /// The same for the whole family.
    pub made_by_family: Option<i64>,
    /// How many charged attempts this stage has had, and how many it may have.
    pub used: i64,
    pub max_attempts: Option<i64>,
}

/// A limit that would put a ticket on hold again right after it is resumed, and how much of it has
/// been used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reached {
    /// The dollars of this ticket, which is the held one or the first of its family.
    Dollars { ticket: TicketId, limit: f64, spent: f64 },
    /// The attempts that a ticket of the project may have.
    Attempts { most: i64, made: i64 },
}

impl Bounds {
    /// The limit behind [`Self::exhausted`] of `ticket`; `None` when there is none, or resuming the ticket lifts it.
    #[must_use]
    pub fn reached(&self, ticket: TicketId) -> Option<Reached> {
        let dollars = |account: &Option<Account>, ticket| {
            let Account { limit, spent, .. } = account.filter(Account::is_spent)?;
            Some(Reached::Dollars { ticket, limit, spent })
        };
        let attempts = || {
            let most = self.attempts_ever?;
            let made = self.made.max(self.made_by_family).filter(|made| *made >= most)?;
            Some(Reached::Attempts { most, made }).filter(|_| !self.asks)
        };
        dollars(&self.own, ticket).or_else(|| dollars(&self.family, self.began)).or_else(attempts)
    }

    /// Why the ticket may not have another attempt, whatever other tickets do: the sentence to hold it with.
    #[must_use]
    pub fn exhausted(&self) -> Option<String> {
        let is_spent = |account: &&Account| account.is_spent();
        if let Some(account) = self.own.as_ref().filter(is_spent) {
            let assumed = match self.assumed_usd {
                usd if usd < LEAST_USD => String::new(),
                usd => format!(
                    " (${usd:.2} of that is assumed, for attempts that were stopped before they could report a cost)"
                ),
            };
            return Some(format!(
                "it has cost ${:.2}{assumed}, and {}",
                account.spent,
                account.of.spent(account.limit)
            ));
        }
        if let Some(account) = self.family.as_ref().filter(is_spent) {
            return Some(format!(
                "{} has cost ${:.2} with all that it became, and {}",
                self.began,
                account.spent,
                account.of.spent(account.limit)
            ));
        }
        // A question about an attempt that was counted is not counted again.
        if self.asks {
            return None;
        }
        if let Some((most, made)) = self.attempts_ever.zip(self.made)
            && made >= most
        {
            return Some(format!(
                "it has had {}, and a ticket of this project may have {most} over its whole life ({})",
                text::counted(made, "attempt"),
                Knob::TicketAttempts.setting()
            ));
        }
        if let Some((most, made)) = self.attempts_ever.zip(self.made_by_family)
            && made >= most
        {
            return Some(format!(
                "{} has had {}, with all that it became, and a ticket of this project may have {most} over its \
                 whole life ({})",
                self.began,
                text::counted(made, "attempt"),
                Knob::TicketAttempts.setting()
            ));
        }
        let used = self.used;
        // The limit was lowered while the ticket waited for its next attempt.
        self.max_attempts.filter(|most| used >= *most).map(|most| {
            format!(
                "its stage has had {}, and may have {most} ({})",
                text::counted(used, "attempt"),
                Knob::StageAttempts.setting()
            )
        })
    }
}
