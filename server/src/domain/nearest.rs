//! The name that somebody probably meant by a misspelt one.

/// The closest of the known names, however far it is.
pub fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|name| strsim::damerau_levenshtein(given, name))
}

/// The closest of the known names, if it is close enough to have been meant.
pub fn near<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    nearest(given, known).filter(|name| {
        strsim::damerau_levenshtein(given, name) <= name.chars().count().max(3) / 3 + 1
    })
}
