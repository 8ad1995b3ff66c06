//! How much one client may ask: requests per second, and calls that wait at one time.
//!
//! Whoever shows a token is counted by who that is, so that nobody else can use up his share. Whoever shows none is
//! counted by where he comes from, in a small share of its own.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use governor::RateLimiter;
use governor::clock::Clock as _;
use governor::clock::DefaultClock;
use governor::state::keyed::HashMapStateStore;

use crate::mcp::call::Caller;
use crate::mcp::seats;

/// Seconds' worth of requests a client may send at once after it was quiet: a coordinator that starts asks for much.
const BURST_SECONDS: u32 = 10;
/// Requests per second without a token that counts. Whoever guesses tokens needs 2^255 tries on average.
const STRANGERS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("is not zero");
/// From here on those that have been quiet are forgotten, so that no number of addresses or attempts fills the memory.
const PLACES: usize = 4_096;

/// What every client may ask, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests per second of one client with a token; `None` for any number.
    pub requests_per_second: Option<NonZeroU32>,
    /// Calls of one client that may wait at one time.
    pub waiting_calls: usize,
    /// Connections of all clients that may be open at one time.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: NonZeroU32::new(1_000),
            waiting_calls: seats::DEFAULT,
            connections: 500,
        }
    }
}

type Keyed<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// Counts requests.
pub(crate) struct Rates {
    known: Option<Keyed<Caller>>,
    strangers: Keyed<Place>,
    clock: DefaultClock,
}

/// Where a request without a token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// All of this machine: a user of it may choose any of 16 million loopback addresses.
    Here,
    Address(IpAddr),
    /// The first 64 bits of an IPv6 address; the rest is its owner's to choose.
    Net(u64),
}

impl Place {
    fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Self::Here;
        }
        match address {
            IpAddr::V4(_) => Self::Address(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self::Net([a, b, c, d].into_iter().fold(0, |net, part| net << 16 | u64::from(part)))
            }
        }
    }
}

impl Rates {
    pub(crate) fn new(limits: Limits) -> Self {
        let known = limits.requests_per_second.map(|rate| RateLimiter::hashmap(quota(rate)));
        let strangers = RateLimiter::hashmap(quota(STRANGERS_PER_SECOND));
        Self { known, strangers, clock: DefaultClock::default() }
    }

    /// Counts a request of a client that showed its token; an error says how long it should be quiet.
    pub(crate) fn count(&self, caller: Caller) -> Result<(), Duration> {
        match &self.known {
            Some(known) => {
                if known.len() > PLACES {
                    known.retain_recent();
                }
                known.check_key(&caller).map_err(|until| until.wait_time_from(self.clock.now()))
            }
            None => Ok(()),
        }
    }

    /// Counts a request that will be refused. `from` is not known when the request came through no socket.
    pub(crate) fn count_stranger(&self, from: Option<IpAddr>) -> Result<(), Duration> {
        if self.strangers.len() > PLACES {
            self.strangers.retain_recent();
        }
        let place = from.map_or(Place::Here, Place::of);
        let counted = self.strangers.check_key(&place);
        counted.map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

fn quota(per_second: NonZeroU32) -> Quota {
    let burst = per_second.saturating_mul(NonZeroU32::new(BURST_SECONDS).expect("is not zero"));
    Quota::per_second(per_second).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(per_second: u32) -> Rates {
        let requests_per_second = NonZeroU32::new(per_second);
        Rates::new(Limits { requests_per_second, ..Limits::default() })
    }

    #[test]
    fn a_flood_is_stopped_and_told_how_long_to_be_quiet() {
        let rates = rates(1);
        let refused = (0..1_000).find_map(|_| rates.count(Caller::Coordinator).err());
        assert!(refused.is_some_and(|wait| wait > Duration::ZERO), "{refused:?}");
    }

    #[test]
    fn strangers_use_up_nothing_but_their_own() {
        let rates = rates(1);
        let flood = (0..10_000).filter(|_| rates.count_stranger(None).is_err()).count();
        assert!(flood > 5_000, "{flood}");
        assert_eq!(rates.count(Caller::Coordinator), Ok(()));
        let elsewhere = Some("192.0.2.7".parse().unwrap());
        assert_eq!(rates.count_stranger(elsewhere), Ok(()));
    }

    #[test]
    fn without_a_limit_nothing_is_refused() {
        let rates = Rates::new(Limits { requests_per_second: None, ..Limits::default() });
        assert!((0..100_000).all(|_| rates.count(Caller::Coordinator).is_ok()));
    }

    #[test]
    fn many_addresses_of_one_owner_are_one_place() {
        let place = |text: &str| Place::of(text.parse().unwrap());
        assert_eq!(place("127.0.0.1"), place("127.200.3.4"));
        assert_eq!(place("127.0.0.1"), place("::1"));
        assert_eq!(place("::ffff:192.0.2.7"), place("192.0.2.7"));
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff:1"));
        assert_ne!(place("2001:db8::1"), place("2001:db8:0:1::1"));
        assert_ne!(place("192.0.2.7"), place("192.0.2.8"));
    }
}
