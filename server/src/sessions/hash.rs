//! Keyed hashes, and random texts to hash.

use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::domain::text;

/// Bytes of a secret and of a code.
const SECRET: usize = 32;

/// A random text of 64 hexadecimal digits. Errors when the system has no random numbers.
pub(super) fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; SECRET];
    getrandom::fill(&mut bytes)?;
    Ok(text::hex(&bytes))
}

/// What `text` is under `key`, for this purpose and no other.
pub(super) fn keyed(key: &str, purpose: &str, text: &str) -> String {
    // A hash of the key, so that a key of any length fits the block.
    let mut block = [0; 64];
    block[..32].copy_from_slice(&Sha256::digest(key.as_bytes()));
    let mut keyed = Hmac::<Sha256>::new(&block.into());
    for part in ["vibe-ensemble dashboard", purpose, text] {
        keyed.update(part.as_bytes());
        keyed.update(b"\0");
    }
    text::hex(&keyed.finalize().into_bytes())
}

/// Compares in time that does not depend on where the two differ.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_the_key_and_on_what_it_is_for() {
        let all = [
            keyed("k", "cookie", "s"),
            keyed("l", "cookie", "s"),
            keyed("k", "csrf", "s"),
            keyed("k", "cookie", "t"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(one.len(), 64);
            assert!(all.iter().skip(at + 1).all(|other| !is_same(one, other)), "{all:?}");
        }
        assert!(is_same(&all[0], &keyed("k", "cookie", "s")));
        assert_ne!(random().unwrap(), random().unwrap());
    }
}
