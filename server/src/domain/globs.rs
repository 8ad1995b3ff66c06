//! Matching changed files against globs.

use globset::GlobBuilder;
use globset::GlobSet;
use globset::GlobSetBuilder;

/// The glob that a pattern means: `*` stays within one directory, `**` does not.
#[must_use]
pub fn glob(pattern: &str) -> Option<globset::Glob> {
    let mut builder = GlobBuilder::new(pattern);
    builder.literal_separator(true).backslash_escape(true).build().ok()
}

/// Several globs, one of which must match.
#[derive(Clone, Debug)]
pub struct Globs {
    set: GlobSet,
    /// A pattern of an older version that this one cannot read: then everything matches, so that nothing is passed over.
    unreadable: bool,
}

impl Globs {
    #[must_use]
    pub fn new(patterns: &[String]) -> Self {
        let mut builder = GlobSetBuilder::new();
        let mut unreadable = false;
        for pattern in patterns {
            match glob(pattern) {
                Some(glob) => {
                    builder.add(glob);
                }
                None => unreadable = true,
            }
        }
        match builder.build() {
            Ok(set) => Self { set, unreadable },
            Err(_) => Self { set: GlobSet::empty(), unreadable: true },
        }
    }

    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.unreadable || self.set.is_match(path)
    }
}
