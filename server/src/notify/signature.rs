//! Signatures of [Standard Webhooks](https://www.standardwebhooks.com).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use hmac::KeyInit as _;
use hmac::Mac as _;
use sha2::Sha256;

/// A shorter key could be guessed. It is the shortest of Standard Webhooks.
const SHORTEST: usize = 24;
const PREFIX: &str = "whsec_";

/// The key in a file: `whsec_` and base64, or a line of any characters.
///
/// # Errors
///
/// What is wrong with it, as a clause.
pub(super) fn key(content: &[u8]) -> Result<Vec<u8>, String> {
    let line = std::str::from_utf8(content).map_err(|_| "it is not text".to_owned())?.trim();
    let key = match line.strip_prefix(PREFIX) {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| format!("what follows {PREFIX} is not valid base64"))?,
        None => line.as_bytes().to_vec(),
    };
    if key.len() < SHORTEST {
        return Err(format!("it has {} bytes, and a secret has at least {SHORTEST}", key.len()));
    }
    Ok(key)
}

/// The value of the header `webhook-signature`. `timestamp` is in seconds.
pub(super) fn sign(key: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let mut keyed = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    keyed.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(keyed.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification and of its reference libraries.
    #[test]
    fn the_published_example_has_the_published_signature() {
        let key = key(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("a key");
        assert_eq!(
            sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_may_be_any_line_that_is_long_enough() {
        assert_eq!(key(b"  0123456789abcdef01234567\n").expect("a key").len(), 24);
        assert!(key(b"short").expect_err("short").contains("at least 24"));
        assert!(key(b"whsec_c2hvcnQ=").expect_err("short").contains("at least 24"));
        assert!(
            key(b"whsec_not base64 at all, though long").expect_err("broken").contains("base64")
        );
        assert!(key(&[0xff; 40]).is_err());
    }
}
