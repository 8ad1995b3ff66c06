//! How many requests per second one client may send.
//!
//! A client with a token is counted by its identity, so that no other client can use up its share. A client without one
//! is counted by its address, in a small share of its own.

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
use crate::sessions::SessionId;

/// How many seconds' worth of requests a client may send at once after a quiet time: a coordinator sends many when it
/// starts.
const BURST_SECONDS: u32 = 10;
/// Requests per second without a valid token. Guessing one takes 2^255 tries on average.
const STRANGERS_PER_SECOND: NonZeroU32 = NonZeroU32::new(20).expect("is not zero");
/// Challenges per second to which the server answers with a proof. They are cheap, and a client that must not trust the
/// listener yet can ask nothing else, so requests that will be refused do not use them up.
const PROOFS_PER_SECOND: NonZeroU32 = NonZeroU32::new(500).expect("is not zero");
/// From this many entries on, those of quiet clients are dropped, so that no number of addresses or attempts fills the
/// memory.
const MOST_ENTRIES: usize = 4_096;

/// The limits of every client, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests per second of one client with a token; `None` for no limit.
    pub requests_per_second: Option<NonZeroU32>,
    /// Calls of one client that may wait at the same time.
    pub waiting_calls: usize,
    /// Connections of all clients that may be open at the same time.
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

/// A client with a share of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Caller(Caller),
    /// A browser; without a session where none is required.
    Browser(Option<SessionId>),
}

/// Counts requests.
pub(crate) struct Rates {
    known: Option<Keyed<Client>>,
    strangers: Keyed<Origin>,
    proofs: Keyed<Origin>,
    clock: DefaultClock,
}

/// Where a request without a token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    /// This machine: its users may choose any of 16 million loopback addresses.
    Here,
    Address(IpAddr),
    /// The first 64 bits of an IPv6 address; its owner chooses the rest.
    Net(u64),
}

impl Origin {
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
        let proofs = RateLimiter::hashmap(quota(PROOFS_PER_SECOND));
        Self { known, strangers, proofs, clock: DefaultClock::default() }
    }

    /// Counts a request of a client with a token or a session; an error says how long the client should wait.
    pub(crate) fn count(&self, client: Client) -> Result<(), Duration> {
        match &self.known {
            Some(known) => {
                if known.len() > MOST_ENTRIES {
                    known.retain_recent();
                }
                known.check_key(&client).map_err(|until| until.wait_time_from(self.clock.now()))
            }
            None => Ok(()),
        }
    }

    /// Counts a request that will be refused. `from` is unknown when the request did not arrive by a socket.
    pub(crate) fn count_stranger(&self, from: Option<IpAddr>) -> Result<(), Duration> {
        self.count_origin(&self.strangers, from)
    }

    /// Counts a challenge to the server, which needs no token.
    pub(crate) fn count_proof(&self, from: Option<IpAddr>) -> Result<(), Duration> {
        self.count_origin(&self.proofs, from)
    }

    fn count_origin(&self, counts: &Keyed<Origin>, from: Option<IpAddr>) -> Result<(), Duration> {
        if counts.len() > MOST_ENTRIES {
            counts.retain_recent();
        }
        let origin = from.map_or(Origin::Here, Origin::of);
        let counted = counts.check_key(&origin);
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

    const COORDINATOR: Client = Client::Caller(Caller::Coordinator);

    fn rates(per_second: u32) -> Rates {
        let requests_per_second = NonZeroU32::new(per_second);
        Rates::new(Limits { requests_per_second, ..Limits::default() })
    }

    #[test]
    fn a_flood_is_stopped_and_the_wait_is_named() {
        let rates = rates(1);
        let refused = (0..1_000).find_map(|_| rates.count(COORDINATOR).err());
        assert!(refused.is_some_and(|wait| wait > Duration::ZERO), "{refused:?}");
    }

    #[test]
    fn clients_without_a_token_use_up_only_their_own_share() {
        let rates = rates(1);
        let flood = (0..10_000).filter(|_| rates.count_stranger(None).is_err()).count();
        assert!(flood > 5_000, "{flood}");
        assert_eq!(rates.count(COORDINATOR), Ok(()));
        let elsewhere = Some("192.0.2.7".parse().unwrap());
        assert_eq!(rates.count_stranger(elsewhere), Ok(()));
        assert_eq!(rates.count_proof(None), Ok(()), "who must prove itself still can");
    }

    #[test]
    fn a_browser_uses_up_no_share_but_its_own() {
        let rates = rates(1);
        let one = Client::Browser(Some(SessionId::from_number(1)));
        assert!((0..1_000).any(|_| rates.count(one).is_err()));
        let two = Client::Browser(Some(SessionId::from_number(2)));
        assert_eq!((rates.count(two), rates.count(COORDINATOR)), (Ok(()), Ok(())));
    }

    #[test]
    fn without_a_limit_nothing_is_refused() {
        let rates = Rates::new(Limits { requests_per_second: None, ..Limits::default() });
        assert!((0..100_000).all(|_| rates.count(COORDINATOR).is_ok()));
    }

    #[test]
    fn many_addresses_of_one_owner_are_one_origin() {
        let place = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(place("127.0.0.1"), place("127.200.3.4"));
        assert_eq!(place("127.0.0.1"), place("::1"));
        assert_eq!(place("::ffff:192.0.2.7"), place("192.0.2.7"));
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff:1"));
        assert_ne!(place("2001:db8::1"), place("2001:db8:0:1::1"));
        assert_ne!(place("192.0.2.7"), place("192.0.2.8"));
    }
}
