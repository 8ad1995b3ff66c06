//! Keys and tokens that an agent printed: people look at pages over shoulders and in screenshots.
//!
//! Only what has the form of a known kind of key is masked. It is still in the transcript, which is a file of the server.

use std::borrow::Cow;

/// A kind of key: how it begins, how many characters of a key follow at least, and which characters those are.
struct Kind {
    begins: &'static str,
    least: usize,
    with: fn(char) -> bool,
}

const fn kind(begins: &'static str, least: usize, with: fn(char) -> bool) -> Kind {
    Kind { begins, least, with }
}

const KINDS: [Kind; 25] = [
    kind("sk-ant-", 20, is_word),
    kind("sk-proj-", 20, is_word),
    kind("sk-svcacct-", 20, is_word),
    kind("sk_live_", 16, is_word),
    kind("sk_test_", 16, is_word),
    kind("rk_live_", 16, is_word),
    kind("whsec_", 16, is_base64),
    kind("ghp_", 30, is_word),
    kind("gho_", 30, is_word),
    kind("ghu_", 30, is_word),
    kind("ghs_", 30, is_word),
    kind("ghr_", 30, is_word),
    kind("github_pat_", 30, is_word),
    kind("glpat-", 16, is_word),
    kind("npm_", 30, is_word),
    kind("pypi-", 40, is_word),
    kind("crates-io-", 20, is_word),
    kind("hf_", 30, is_word),
    kind("xoxb-", 20, is_word),
    kind("xoxp-", 20, is_word),
    kind("AKIA", 16, is_capital),
    kind("ASIA", 16, is_capital),
    kind("AIza", 30, is_word),
    kind("ya29.", 30, is_word),
    kind("eyJ", 60, is_token),
];

/// What follows a header of this name, up to the end of the line, is a secret.
const AFTER: [&str; 2] = ["authorization: bearer ", "authorization: basic "];

const PRIVATE_KEY: (&str, &str) = ("-----BEGIN ", "PRIVATE KEY-----");
const END_OF_KEY: &str = "-----END ";

const MASK: &str = "…[masked]";

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=".contains(c)
}

fn is_capital(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit()
}

/// Three parts with dots between them.
fn is_token(c: char) -> bool {
    is_word(c) || c == '.'
}

/// The text with its keys masked; how a key begins is left, so that one knows which it was.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let mut hidden: Option<String> = None;
    let (mut done, mut at) = (0, 0);
    while at < text.len() {
        let Some((keep, end)) = secret(text, at) else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let masked = hidden.get_or_insert_with(|| String::with_capacity(text.len()));
        masked.push_str(&text[done..at + keep]);
        masked.push_str(MASK);
        (done, at) = (end, end);
    }
    match hidden {
        Some(mut masked) => {
            masked.push_str(&text[done..]);
            masked.into()
        }
        None => text.into(),
    }
}

/// The secret that begins at `at`: how much of it may be shown, and where it ends.
fn secret(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..];
    match rest.as_bytes().first()? {
        b'-' => return private_key(rest).map(|(keep, end)| (keep, at + end)),
        b'a' | b'A' => {
            if let Some((keep, end)) = header(rest) {
                return Some((keep, at + end));
            }
        }
        b's' | b'r' | b'w' | b'g' | b'n' | b'p' | b'c' | b'h' | b'x' | b'y' | b'e' => {}
        _ => return None,
    }
    // In the middle of a word there is no key.
    if text[..at]
        .chars()
        .next_back()
        .is_some_and(|before| before.is_ascii_alphanumeric() || before == '_')
    {
        return None;
    }
    let kind = KINDS.iter().find(|kind| rest.starts_with(kind.begins))?;
    let key = &rest[kind.begins.len()..];
    let length = key.find(|c| !(kind.with)(c)).unwrap_or(key.len());
    (length >= kind.least).then(|| (kind.begins.len(), at + kind.begins.len() + length))
}

fn header(rest: &str) -> Option<(usize, usize)> {
    let named =
        |name: &&&str| rest.get(..name.len()).is_some_and(|own| own.eq_ignore_ascii_case(name));
    let name = AFTER.iter().find(named)?;
    let value = &rest[name.len()..];
    let length =
        value.find(|c: char| c.is_whitespace() || "\"'\\,".contains(c)).unwrap_or(value.len());
    (length >= 8).then(|| (name.len(), name.len() + length))
}

fn private_key(rest: &str) -> Option<(usize, usize)> {
    let kind = rest.strip_prefix(PRIVATE_KEY.0)?;
    let line = &kind[..kind.len().min(64)];
    let heading = line.find(PRIVATE_KEY.1)? + PRIVATE_KEY.0.len() + PRIVATE_KEY.1.len();
    let end = rest[heading..].find(END_OF_KEY).map_or(rest.len(), |end| heading + end);
    Some((heading, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_key_is_masked_and_its_kind_is_left() {
        let long = "abcDEF0123456789abcDEF0123456789abcDEF0123456789abcDEF0123456789";
        for begins in ["sk-ant-", "ghp_", "github_pat_", "npm_", "xoxb-", "eyJ"] {
            let text = format!("key={begins}{long}, and more");
            assert_eq!(masked(&text), format!("key={begins}…[masked], and more"));
        }
        assert_eq!(masked("AKIAABCDEFGHIJKLMNOP"), "AKIA…[masked]");
        assert_eq!(
            masked("AUTHORIZATION: Bearer abcdefghij\nx"),
            "AUTHORIZATION: Bearer …[masked]\nx"
        );
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nx";
        assert_eq!(
            masked(key),
            "-----BEGIN RSA PRIVATE KEY-----…[masked]-----END RSA PRIVATE KEY-----\nx"
        );
        assert_eq!(
            masked("-----BEGIN PRIVATE KEY-----\nMIIE"),
            "-----BEGIN PRIVATE KEY-----…[masked]"
        );
    }

    #[test]
    fn other_words_are_left_alone() {
        for text in [
            "",
            "task-sk-ant-is-short",
            "ghp_short",
            "the eyJ prefix",
            "npm_config_registry",
            "risk_live_abcdefghijklmnopqrst",
            "AKIA is how they begin",
            "-----BEGIN CERTIFICATE-----\nMIIE",
            "Größe – 価格",
        ] {
            assert!(matches!(masked(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
