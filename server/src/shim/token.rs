//! Worker tokens: how a shim proves that it is the process the server launched.

use sha2::Digest as _;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::domain::text;

/// A fresh token: 32 random bytes, in hex.
pub fn mint() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(text::hex(&bytes))
}

/// What the database keeps of a token. The token has 256 random bits, so a plain hash cannot be guessed back.
#[must_use]
pub fn hash(token: &str) -> String {
    text::hex(&Sha256::digest(token.as_bytes()))
}

/// Whether `token` is the one whose hash was kept; takes the same time for every wrong token.
#[must_use]
pub fn matches(token: &str, kept_hash: &str) -> bool {
    hash(token).as_bytes().ct_eq(kept_hash.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_token_matches() {
        let (one, other) = (mint().expect("random"), mint().expect("random"));
        assert_eq!(one.len(), 64);
        assert!(matches(&one, &hash(&one)));
        assert!(!matches(&other, &hash(&one)));
        assert!(!matches("", &hash(&one)));
    }
}
