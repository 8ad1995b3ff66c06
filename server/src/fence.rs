//! The tokens with which an attempt's agent speaks to this server.
//!
//! A token is the attempt's id and a keyed hash of it, so the server keeps no token and can write the same one again
//! when a grant has to be repeated. The key is in a file of the state directory and in no database, hence in no backup
//! of one. A token says who calls; the database decides at each call whether that attempt may still use the server.

use std::sync::Arc;

use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::domain::id::AttemptId;
use crate::domain::text;

/// Makes the tokens of one server's attempts and recognises them. Cheap to clone.
#[derive(Clone)]
pub struct Fence {
    keyed: Arc<Hmac<Sha256>>,
}

impl std::fmt::Debug for Fence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fence").finish_non_exhaustive()
    }
}

impl Fence {
    /// `server_id` keeps apart two databases that share a key, such as a copied state directory: both have an `A-1`.
    #[must_use]
    pub fn new(key: &str, server_id: &str) -> Self {
        // A hash of the key, so that a key of any length fits the block.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&Sha256::digest(key.as_bytes()));
        let mut keyed = Hmac::<Sha256>::new(&block.into());
        keyed.update(server_id.as_bytes());
        keyed.update(b"\0");
        Self { keyed: Arc::new(keyed) }
    }

    /// The token of an attempt, `A-17.` and 64 hexadecimal digits.
    #[must_use]
    pub fn token(&self, attempt: AttemptId) -> String {
        let mut keyed = (*self.keyed).clone();
        keyed.update(attempt.to_string().as_bytes());
        format!("{attempt}.{}", text::hex(&keyed.finalize().into_bytes()))
    }

    /// The attempt whose token this is; takes as long for every wrong one of an attempt.
    #[must_use]
    pub fn attempt_of(&self, token: &str) -> Option<AttemptId> {
        let (attempt, _) = token.split_once('.')?;
        let attempt: AttemptId = attempt.parse().ok()?;
        let own: bool = self.token(attempt).as_bytes().ct_eq(token.as_bytes()).into();
        own.then_some(attempt)
    }
}

/// Whether a token has the form of an attempt's, valid or not.
#[must_use]
pub fn is_of_an_attempt(token: &str) -> bool {
    token.split_once('.').is_some_and(|(attempt, _)| attempt.parse::<AttemptId>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_attempts_and_nobody_elses() {
        let fence = Fence::new("key", "server");
        let (one, two) = (AttemptId::from_key(1), AttemptId::from_key(12));
        let token = fence.token(one);
        assert_eq!(token.len(), "A-1.".len() + 64);
        assert_eq!(fence.token(one), token, "a grant that is repeated holds the same");
        assert_eq!(fence.attempt_of(&token), Some(one));
        assert_ne!(fence.token(two)[5..], token[4..]);
        let (_, secret) = token.split_once('.').expect("two parts");
        for bad in [
            format!("A-12.{secret}"),
            format!("A-01.{secret}"),
            format!("A-1.{}", &secret[1..]),
            format!("A-1.{secret}0"),
            format!("A-1.{}", secret.to_uppercase()),
            "A-1.".to_owned(),
            "A-1".to_owned(),
            secret.to_owned(),
            String::new(),
        ] {
            assert_eq!(fence.attempt_of(&bad), None, "{bad}");
        }
        for other in [Fence::new("key", "server2"), Fence::new("other", "server")] {
            assert_eq!(other.attempt_of(&token), None);
        }
        assert!(!format!("{fence:?}").contains(secret));
    }

    #[test]
    fn the_form_tells_whose_a_token_claims_to_be() {
        assert!(is_of_an_attempt("A-7.nonsense"));
        for other in ["deadbeef", "A-7", "A-x.1", "W-7.1"] {
            assert!(!is_of_an_attempt(other), "{other}");
        }
    }
}
