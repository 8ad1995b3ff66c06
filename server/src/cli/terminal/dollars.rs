//! Dollars, and whether they were reported.

/// What a mark before dollars means.
pub const MARK: &str =
    "~ includes dollars that are assumed: an attempt ended without reporting its cost.";

/// The least that is worth a mark: less is not seen in the number.
const SEEN: f64 = 0.005;

/// Whether part of a sum is assumed.
#[must_use]
pub fn is_assumed(assumed: f64) -> bool {
    assumed >= SEEN
}

/// A sum for a column; `assumed` is the part of it that nobody reported.
#[must_use]
pub fn dollars(sum: f64, assumed: f64) -> String {
    let mark = if is_assumed(assumed) { "~" } else { "" };
    format!("{mark}${sum:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_assumed_is_marked() {
        assert_eq!(dollars(0.75, 0.0), "$0.75");
        assert_eq!(dollars(0.75, 0.75), "~$0.75");
        assert_eq!(dollars(1.0, 0.001), "$1.00");
    }
}
