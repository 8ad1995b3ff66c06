//! The key with which a shim signs its exit records: every process that can write to a run
//! directory can forge a record, but only this process can sign one.
//!
//! The key is made here and exists only in this process's memory, which other processes of its user
//! cannot read. The server learns the public half over the link.

use std::fs::File;
use std::io;
use std::io::Read as _;

use ed25519_dalek::Signature;
use ed25519_dalek::Signer as _;
use ed25519_dalek::SigningKey;
use ed25519_dalek::Verifier as _;
use shim_protocol::exit;

/// The private half.
pub struct SealKey(SigningKey);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealKey").finish_non_exhaustive()
    }
}

impl SealKey {
    pub fn make() -> io::Result<Self> {
        let mut seed = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The public half, in hexadecimal digits.
    #[must_use]
    pub fn public(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }

    /// The contents of `exit.json` for an encoded record.
    #[must_use]
    pub fn seal(&self, record: &[u8]) -> Vec<u8> {
        let signature = self.0.sign(&exit::to_sign(record));
        exit::with_seal(record, &hex(&signature.to_bytes()))
    }

    /// Whether this key has sealed the contents of an `exit.json`.
    #[must_use]
    pub fn has_sealed(&self, file: &[u8]) -> bool {
        let Some((signature, over)) = exit::seal_of(file) else { return false };
        let Some(bytes) = unhex(signature) else { return false };
        self.0.verifying_key().verify(&over, &Signature::from_bytes(&bytes)).is_ok()
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half & 0xf)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn unhex(text: &str) -> Option<[u8; 64]> {
    let mut bytes = [0; 64];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..text.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_sealed_a_record_recognizes_it() {
        let (own, other) = (SealKey::make().unwrap(), SealKey::make().unwrap());
        let file = own.seal(br#"{"attempt_id":"A-1"}"#);
        assert!(own.has_sealed(&file));
        assert!(!other.has_sealed(&file));
        let text = String::from_utf8(file).unwrap();
        assert!(!own.has_sealed(text.replace("A-1", "A-2").as_bytes()));
        assert!(!own.has_sealed(br#"{"attempt_id":"A-1"}"#));
        assert!(!own.has_sealed(br#"{"seal":"zz","attempt_id":"A-1"}"#));
        assert_eq!(own.public().len(), 64);
        assert!(!format!("{own:?}").contains(&own.public()));
    }
}
