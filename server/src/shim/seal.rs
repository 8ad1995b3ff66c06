//! Whether an exit record was signed by the shim that it names.

use ed25519_dalek::Signature;
use ed25519_dalek::Verifier as _;
use ed25519_dalek::VerifyingKey;
use shim_protocol::exit;

/// Whether the content of an `exit.json` is sealed with the private half of `key`, which is in hexadecimal digits.
#[must_use]
pub(super) fn is_sealed_by(key: &str, file: &[u8]) -> bool {
    let Some((signature, over)) = exit::seal_of(file) else { return false };
    let (Some(key), Some(signature)) = (unhex::<32>(key), unhex::<64>(signature)) else {
        return false;
    };
    let Ok(key) = VerifyingKey::from_bytes(&key) else { return false };
    key.verify(&over, &Signature::from_bytes(&signature)).is_ok()
}

fn unhex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    if text.len() != 2 * LENGTH || !text.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use ed25519_dalek::Signer as _;
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::domain::text::hex;

    /// A public key, and the content of an `exit.json` sealed with its private half.
    pub(in crate::shim) fn sealed(seed: u8, record: &[u8]) -> (String, Vec<u8>) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let signature = key.sign(&exit::to_sign(record));
        (hex(key.verifying_key().as_bytes()), exit::with_seal(record, &hex(&signature.to_bytes())))
    }

    #[test]
    fn a_seal_is_one_shims_over_one_record() {
        let record = br#"{"attempt_id":"A-1"}"#;
        let (key, file) = sealed(1, record);
        let (other, forged) = sealed(2, record);
        assert!(is_sealed_by(&key, &file) && is_sealed_by(&other, &forged));
        assert!(!is_sealed_by(&key, &forged) && !is_sealed_by(&other, &file));
        assert!(!is_sealed_by(&key, record), "none at all");
        let changed = String::from_utf8(file).unwrap().replace("A-1", "A-2");
        assert!(!is_sealed_by(&key, changed.as_bytes()));
        assert!(!is_sealed_by("", changed.as_bytes()) && !is_sealed_by(&key[1..], &forged));
    }
}
