//! The query of an address, and what a form sends: pairs of texts.

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::percent_decode_str;
use percent_encoding::utf8_percent_encode;

/// Pairs in their order; a name may be there more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

/// What needs no escape in a part of an address.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Query {
    /// Reads the form that browsers send, in an address or a body.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decoded(name), decoded(value))
                })
                .collect(),
        )
    }

    /// The first value of a name; none if it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let named = self.0.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str());
        named.into_iter().find(|value| !value.is_empty())
    }

    /// The values of a name that are not empty.
    pub(crate) fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        let named = self.0.iter().filter(move |(own, _)| own == name);
        named.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same with one value for a name, or with none.
    pub(crate) fn with(&self, name: &str, value: Option<&str>) -> Self {
        let mut pairs: Vec<_> = self.0.iter().filter(|(own, _)| own != name).cloned().collect();
        pairs.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        Self(pairs)
    }

    /// The same with one more pair.
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The address of a path with this query.
    pub(crate) fn on(&self, path: &str) -> String {
        let mut address = path.to_owned();
        for (at, (name, value)) in self.0.iter().filter(|(_, value)| !value.is_empty()).enumerate()
        {
            address.push(if at == 0 { '?' } else { '&' });
            address.extend([escaped(name).as_str(), "=", escaped(value).as_str()]);
        }
        address
    }
}

/// A string as a part of an address.
pub(crate) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_changed_and_written() {
        let query = Query::parse("state=queued&state=running&q=a+b%26c&empty=&flag");
        assert_eq!(query.all("state").collect::<Vec<_>>(), ["queued", "running"]);
        assert_eq!(
            (query.get("q"), query.get("empty"), query.get("none")),
            (Some("a b&c"), None, None)
        );
        let other = query.with("state", Some("on hold")).with("q", None);
        assert_eq!(other.on("/tickets"), "/tickets?state=on%20hold");
        assert_eq!(Query::parse(&other.on("")[1..]).get("state"), Some("on hold"));
    }
}
