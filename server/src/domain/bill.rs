//! What an attempt is counted with that could not say what it cost.
//!
//! claude tells its cost with its result. An attempt that was killed, stopped or ran out of time has none, and a limit in
//! dollars that a kill evades is no limit. So such an attempt is counted with an assumption that is rather too high: the
//! tokens its stream told of, at the price of other attempts with the same model, and never more than it was allowed to
//! spend.

/// Tokens, by what they are billed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    pub input: u64,
    pub cache_written: u64,
    pub cache_read: u64,
    pub output: u64,
}

impl Tokens {
    /// The same in input tokens that no cache had, which is how every model's prices relate to each other.
    ///
    /// A stream tells of the output of a message only what was there at its beginning (2.1.330). That does not matter as
    /// long as prices are learned from streams too: they are too high by what is missing here.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn worth(self) -> f64 {
        let Self { input, cache_written, cache_read, output } = self;
        input as f64 + 1.25 * cache_written as f64 + 0.1 * cache_read as f64 + 5.0 * output as f64
    }
}

/// Attempts worth less than this teach no price: what a stream does not tell would be most of it.
pub const TELLING: i64 = 1000;

/// Dollars per input token while no attempt has taught a price: twice what the dearest model cost in November 2026.
const DEAREST: f64 = 30e-6;

/// Worth of the request that was under way when the attempt ended and that its stream told nothing of.
const UNDER_WAY: f64 = 25_000.0;

/// The dollars to count. `seen`: the worth of what its stream told of; `None` when nobody knows. `price`: dollars per
/// input token, as others with the same model paid it. `budget`: what it was allowed to spend.
#[must_use]
pub fn assumed(seen: Option<f64>, price: Option<f64>, budget: Option<f64>) -> f64 {
    let price = price.unwrap_or(DEAREST);
    let estimate = match (seen, budget) {
        // Nothing is known but what it could not exceed.
        (None, Some(budget)) => budget,
        (seen, _) => (seen.unwrap_or(0.0) + UNDER_WAY) * price,
    };
    estimate.min(budget.unwrap_or(f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_worth_what_they_cost_beside_each_other() {
        let tokens = Tokens { input: 100, cache_written: 1000, cache_read: 10_000, output: 10 };
        assert!((tokens.worth() - 2400.0).abs() < 1e-6, "{}", tokens.worth());
    }

    #[test]
    fn an_assumption_is_what_was_seen_and_never_more_than_was_allowed() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} for {b}");
        near(assumed(Some(75_000.0), Some(4e-6), None), 0.4);
        near(assumed(Some(75_000.0), Some(4e-6), Some(0.3)), 0.3);
        // Without a price the dearest counts.
        near(assumed(Some(75_000.0), None, Some(10.0)), 3.0);
        // Nobody knows what it did.
        near(assumed(None, Some(4e-6), Some(7.0)), 7.0);
        near(assumed(None, Some(4e-6), None), 0.1);
    }
}
