//! How a listener proves that it has the coordinator's token, to a client that must not send it to another program.
//!
//! Any process may be the first to listen on a port, and a client that shows its token to the wrong one has given it
//! away. So a client may ask first: only a process that has the token can answer its challenge, and the answer reveals
//! nothing about the token.
//!
//! Invariant: an answer names where it was given, so that it is of no use to a process that passes the challenge on.

use std::net::SocketAddr;

use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

/// Where a challenge is sent, with the challenge as a query.
pub const PATH: &str = "/proof";
/// Characters of a challenge: 32 bytes in hexadecimal.
const CHALLENGE: usize = 64;

/// Whether a string can be a challenge. Others are not answered: nothing else is ever signed here.
#[must_use]
pub fn is_challenge(text: &str) -> bool {
    text.len() == CHALLENGE && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The answer of a listener at exactly this address.
#[must_use]
pub fn at(token: &str, challenge: &str, address: SocketAddr) -> String {
    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
    of(token, challenge, &address.to_string())
}

/// The answer of a listener with this port, at any address: for one that is reached by an address it does not have
/// itself.
#[must_use]
pub fn at_port(token: &str, challenge: &str, port: u16) -> String {
    of(token, challenge, &format!("port {port}"))
}

/// Whether two answers are the same.
#[must_use]
pub fn is_same(given: &str, wanted: &str) -> bool {
    given.as_bytes().ct_eq(wanted.as_bytes()).into()
}

fn of(token: &str, challenge: &str, place: &str) -> String {
    use std::fmt::Write as _;
    // A hash of the token, so that one of any length fits the block.
    let mut block = [0; 64];
    block[..32].copy_from_slice(&Sha256::digest(token.as_bytes()));
    let mut keyed = Hmac::<Sha256>::new(&block.into());
    for part in ["vibe-ensemble listener", challenge, place] {
        keyed.update(part.as_bytes());
        keyed.update(b"\0");
    }
    let mut answer = String::new();
    for byte in keyed.finalize().into_bytes() {
        write!(answer, "{byte:02x}").expect("writing to a String cannot fail");
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_for_one_token_one_challenge_and_one_place() {
        let (one, two) = ("1".repeat(64), "2".repeat(64));
        let address = |text: &str| text.parse().expect("an address");
        let here = at("token", &one, address("127.0.0.1:3276"));
        assert!(is_same(&here, &at("token", &one, address("[::ffff:127.0.0.1]:3276"))));
        for other in [
            at("tokem", &one, address("127.0.0.1:3276")),
            at("token", &two, address("127.0.0.1:3276")),
            at("token", &one, address("127.0.0.2:3276")),
            at("token", &one, address("[::1]:3276")),
            at("token", &one, address("127.0.0.1:3277")),
            at_port("token", &one, 3276),
            String::new(),
        ] {
            assert!(!is_same(&here, &other), "{other}");
        }
        assert_eq!(here.len(), 64);
        assert!(is_challenge(&one) && !is_challenge(&one[1..]) && !is_challenge(&"x".repeat(64)));
    }
}
