//! Pages of a list, by key: they stay stable while rows are added and removed.

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only items after this key.
    pub after: Option<i64>,
    pub limit: i64,
}

/// One page, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// The position of each item, for callers that take fewer of them.
    pub keys: Vec<i64>,
    /// `None` on the last page.
    pub next: Option<i64>,
}

impl Page {
    pub(crate) fn after_key(self) -> i64 {
        self.after.unwrap_or(0)
    }

    /// One more than was asked for: its presence shows that there is a next page.
    pub(crate) fn fetch(self) -> i64 {
        self.limit.saturating_add(1)
    }

    /// Cuts the fetched items to the page; `key` gives the position of an item.
    pub(crate) fn cut<T>(self, mut items: Vec<T>, key: impl Fn(&T) -> i64) -> Listed<T> {
        let limit = usize::try_from(self.limit).unwrap_or(0);
        let more = items.len() > limit;
        items.truncate(limit);
        let keys: Vec<i64> = items.iter().map(key).collect();
        let next = if more { keys.last().copied() } else { None };
        Listed { items, keys, next }
    }
}
