//! What an attempt cost by its agent's report, and what is assumed where it could not report.
//!
//! claude reports its cost with its result. An attempt that was killed, was stopped or ran out of time has none, and
//! killing attempts must not bypass a dollar limit. So such an attempt is counted with an assumption on the high side:
//! the tokens in its stream, at the price of other attempts with the same model, and never more than it was allowed to
//! spend. What an agent reports is bounded before it is stored, so that it cannot ruin the sums.

use super::attempt::Spent;

/// The most dollars that one attempt can be counted with: more than any limit can be set to.
pub const MOST_USD: f64 = 1e6;

/// The most dollars that a sum shows: finite, whatever is stored.
pub const MOST_USD_IN_ALL: f64 = 1e12;

/// The most tokens, or turns, that one attempt can be counted with; thousands of times what a day of work takes.
pub const MOST_TOKENS: i64 = 1_000_000_000_000;

/// The highest count that JSON can hold exactly.
pub const MOST_IN_ALL: i64 = (1 << 53) - 1;

/// Tokens, by what they are billed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub cache_written: u64,
    pub cache_read: u64,
    pub output: u64,
}

impl Tokens {
    /// The equivalent in uncached input tokens, since the prices of every model have the same proportions.
    ///
    /// A stream reports the output of a message only as it was at its beginning (2.1.330). That does not matter as long
    /// as prices are learned from streams too: they are higher by what is missing here.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn worth(self) -> f64 {
        let Self { input, cache_written, cache_read, output } = self;
        input as f64 + 1.25 * cache_written as f64 + 0.1 * cache_read as f64 + 5.0 * output as f64
    }
}

/// Attempts worth less than this teach no price: most of their worth would be missing from the
/// stream.
pub const TELLING: i64 = 1000;

/// Dollars per input token until an attempt has taught a price: twice the price of the most expensive model in November
/// 2026.
const DEAREST: f64 = 30e-6;

/// The highest price that an attempt can teach. A stream shows little of the output, so it may be well above the most
/// expensive model; but one with nonsense in it must not make all others expensive.
const DEAREST_LEARNED: f64 = 10.0 * DEAREST;

/// The worth of a request that was under way when the attempt ended and is not in its stream.
const UNDER_WAY: f64 = 25_000.0;

/// What is known about an attempt that could not report its cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The worth of what its stream reported; `None` when unknown.
    pub worth: Option<f64>,
    /// A request may have been under way at its end; not for an attempt that never had a session, that the service
    /// refused, or that ended by itself.
    pub under_way: bool,
}

/// The dollars to count. `price`: dollars per input token that others with the same model paid. `budget`: what the
/// attempt was allowed to spend.
#[must_use]
pub fn assumed(seen: Seen, price: Option<f64>, budget: Option<f64>) -> f64 {
    let price = price.unwrap_or(DEAREST).min(DEAREST_LEARNED);
    let under_way = if seen.under_way { UNDER_WAY } else { 0.0 };
    let estimate = match (seen.worth, budget) {
        // All that is known is what it could not exceed.
        (None, Some(budget)) => budget,
        (worth, _) => (worth.unwrap_or(0.0) + under_way) * price,
    };
    estimate.min(budget.unwrap_or(MOST_USD)).min(MOST_USD)
}

/// What an attempt owes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Owed {
    pub usd: f64,
    /// It includes what earlier attempts of the session used and could not report.
    pub pays_for_earlier: bool,
}

/// Two sums that differ by less are equal; they were added in different orders.
const SAME_USD: f64 = 1e-6;

/// What an attempt owes that continued a session.
///
/// claude reports the running total of a session, so only the increase belongs to this attempt; it may include what a
/// run before it used and could not report. Some resumed runs begin their total at zero: a total lower than the
/// previous one is owed in full. `own` is exact, where it is reported, but covers this run only. `before` is the
/// previous total of the session.
#[must_use]
pub fn owed(total: Option<f64>, own: Option<f64>, before: f64) -> Option<Owed> {
    match (total, own) {
        (None, None) => None,
        (None, Some(own)) => Some(Owed { usd: own, pays_for_earlier: false }),
        (Some(total), None) if total + SAME_USD < before => {
            Some(Owed { usd: total, pays_for_earlier: false })
        }
        (Some(total), None) => {
            Some(Owed { usd: (total - before).max(0.0), pays_for_earlier: true })
        }
        (Some(total), Some(own)) => {
            // The part of the total that belongs to earlier runs, of which `before` was reported.
            let earlier = total - own;
            let goes_on = earlier > SAME_USD && earlier + SAME_USD >= before;
            let usd = if goes_on { (total - before).max(own) } else { own };
            Some(Owed { usd, pays_for_earlier: goes_on })
        }
    }
}

/// What an agent reports as used, within bounds.
#[must_use]
pub fn bounded(spent: &Spent) -> Spent {
    let usd =
        |usd: Option<f64>| usd.filter(|usd| !usd.is_nan()).map(|usd| usd.clamp(0.0, MOST_USD));
    let count = |count: Option<i64>| count.map(|count| count.clamp(0, MOST_TOKENS));
    #[expect(clippy::cast_precision_loss, reason = "a bound")]
    let worth = |worth: f64| worth.clamp(0.0, 10.0 * MOST_TOKENS as f64);
    Spent {
        num_turns: count(spent.num_turns),
        cost_usd: usd(spent.cost_usd),
        own_usd: usd(spent.own_usd),
        input_tokens: count(spent.input_tokens),
        output_tokens: count(spent.output_tokens),
        cached_tokens: count(spent.cached_tokens),
        peak_memory_bytes: spent.peak_memory_bytes.map(|bytes| bytes.clamp(0, MOST_IN_ALL)),
        seen_worth: spent.seen_worth.map(worth),
        untold_worth: worth(spent.untold_worth),
        idle: spent.idle,
        ran: spent.ran,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} for {b}");
    }

    #[test]
    fn tokens_are_weighed_by_their_relative_prices() {
        let tokens = Tokens { input: 100, cache_written: 1000, cache_read: 10_000, output: 10 };
        assert!((tokens.worth() - 2400.0).abs() < 1e-6, "{}", tokens.worth());
    }

    #[test]
    fn an_assumption_covers_what_was_seen_and_never_exceeds_the_budget() {
        let assumed =
            |worth, price, budget| assumed(Seen { worth, under_way: true }, price, budget);
        near(assumed(Some(75_000.0), Some(4e-6), None), 0.4);
        near(assumed(Some(75_000.0), Some(4e-6), Some(0.3)), 0.3);
        // Without a price, the highest one applies.
        near(assumed(Some(75_000.0), None, Some(10.0)), 3.0);
        // Nothing is known about what it did.
        near(assumed(None, Some(4e-6), Some(7.0)), 7.0);
        near(assumed(None, Some(4e-6), None), 0.1);
        // A nonsensical attempt costs no other attempt anything.
        near(assumed(Some(75_000.0), Some(1000.0), None), 30.0);
        near(assumed(Some(f64::MAX), Some(f64::MAX), None), MOST_USD);
    }

    #[test]
    fn without_a_request_under_way_only_what_was_seen_is_assumed() {
        let seen = |worth| Seen { worth: Some(worth), under_way: false };
        near(assumed(seen(0.0), None, Some(5.0)), 0.0);
        near(assumed(seen(10_000.0), Some(4e-6), None), 0.04);
    }

    #[test]
    fn a_session_owes_the_increase_and_a_restarted_total_in_full() {
        let owes = |total, own, before, usd, pays| {
            let owed = owed(total, own, before).expect("it was reported");
            near(owed.usd, usd);
            assert_eq!(owed.pays_for_earlier, pays, "{total:?} {own:?} {before}");
        };
        assert_eq!(owed(None, None, 1.0), None);
        owes(Some(1.5), None, 1.0, 0.5, true);
        owes(Some(1.0), None, 1.0, 0.0, true);
        owes(Some(0.5), None, 1.0, 0.5, false);
        // With the run's own dollars: 0.2 of a run in between were never reported.
        owes(Some(1.5), Some(0.3), 1.0, 0.5, true);
        owes(Some(1.5), Some(0.5), 1.0, 0.5, true);
        // The total began at zero, although it grew beyond the previous one.
        owes(Some(1.5), Some(1.5), 1.0, 1.5, false);
        owes(Some(0.5), Some(0.5), 1.0, 0.5, false);
        owes(None, Some(0.25), 1.0, 0.25, false);
        // The first report of a session, which includes what earlier attempts could not report.
        owes(Some(0.75), Some(0.5), 0.0, 0.75, true);
        owes(Some(0.5), Some(0.5), 0.0, 0.5, false);
    }

    #[test]
    fn reported_usage_is_bounded() {
        let absurd = Spent {
            num_turns: Some(i64::MAX),
            cost_usd: Some(1e308),
            own_usd: Some(f64::INFINITY),
            input_tokens: Some(i64::MAX),
            output_tokens: Some(-1),
            cached_tokens: Some(7),
            peak_memory_bytes: Some(i64::MAX),
            seen_worth: Some(1e300),
            untold_worth: f64::INFINITY,
            ..Spent::default()
        };
        let bounded = bounded(&absurd);
        assert_eq!((bounded.cost_usd, bounded.own_usd), (Some(MOST_USD), Some(MOST_USD)));
        assert_eq!(
            (bounded.num_turns, bounded.input_tokens),
            (Some(MOST_TOKENS), Some(MOST_TOKENS))
        );
        assert_eq!((bounded.output_tokens, bounded.cached_tokens), (Some(0), Some(7)));
        assert_eq!(bounded.peak_memory_bytes, Some(MOST_IN_ALL));
        assert_eq!((bounded.seen_worth, bounded.untold_worth), (Some(1e13), 1e13));
    }
}
