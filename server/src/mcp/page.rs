//! Pages of a list: `limit`, a cursor that clients pass back unread, and how much fits into an answer.

use serde::Serialize;

use crate::domain::refusal::Refusal;
use crate::store::Listed;
use crate::store::Page;

const DEFAULT_LIMIT: i64 = 50;
/// The most one list call returns.
pub(crate) const MAX_LIMIT: i64 = 200;

/// The maximum size of an answer in bytes. Claude Code writes an answer of more than 25,000 tokens to a file, where its
/// model finds it late or never; a token of JSON has about three bytes.
const ANSWER_BYTES: usize = 64_000;

/// The room that is left in an answer.
#[derive(Debug)]
pub(crate) struct Room {
    left: usize,
    is_empty: bool,
}

impl Room {
    pub(crate) const fn new() -> Self {
        Self { left: ANSWER_BYTES, is_empty: true }
    }

    /// Takes the room of one more item. The first always fits: a list that shows nothing would never end.
    pub(crate) fn takes(&mut self, item: &impl Serialize) -> bool {
        // A value that cannot be written is reported when the answer is written.
        let bytes = serde_json::to_vec(item).map_or(0, |json| json.len());
        let fits = self.is_empty || bytes <= self.left;
        self.is_empty = false;
        self.left = if fits { self.left.saturating_sub(bytes) } else { 0 };
        fits
    }

    /// As many of the items as fit, from the first on.
    pub(crate) fn fill<T: Serialize>(&mut self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        items.into_iter().take_while(|item| self.takes(item)).collect()
    }
}

/// The lists that have pages. A cursor of one is refused by every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Projects,
    WorkerTypes,
    WorkerTemplates,
    Workers,
    Queues,
    Tickets,
    /// The older comments of a ticket; the key is the one to read before.
    Comments,
    /// Its older attempts.
    Attempts,
}

impl List {
    const fn tool(self) -> &'static str {
        match self {
            Self::Projects => "list_projects",
            Self::WorkerTypes => "list_worker_types",
            Self::WorkerTemplates => "list_worker_templates",
            Self::Workers => "list_workers",
            Self::Queues => "list_queues",
            Self::Tickets => "list_tickets",
            Self::Comments | Self::Attempts => "get_ticket",
        }
    }

    const fn tag(self) -> char {
        match self {
            Self::Projects => 'p',
            Self::WorkerTypes => 'y',
            Self::WorkerTemplates => 'm',
            Self::Workers => 'w',
            Self::Queues => 'q',
            Self::Tickets => 't',
            Self::Comments => 'c',
            Self::Attempts => 'a',
        }
    }

    /// The cursor's name among the arguments of that tool and in its answers.
    const fn cursor(self) -> &'static str {
        match self {
            Self::Projects
            | Self::WorkerTypes
            | Self::WorkerTemplates
            | Self::Workers
            | Self::Queues
            | Self::Tickets => "cursor",
            Self::Comments => "comments_cursor",
            Self::Attempts => "attempts_cursor",
        }
    }

    /// Whether a cursor has the form of this list's cursors; it may still be invalid.
    pub(crate) fn owns(self, cursor: &str) -> bool {
        cursor.starts_with(self.tag())
    }

    /// The page a call asks for.
    pub(crate) fn page(self, limit: Option<i64>, cursor: Option<&str>) -> Result<Page, Refusal> {
        let after = cursor.map(|text| self.read(text)).transpose()?;
        Ok(Page { after, limit: self::limit(limit)? })
    }

    /// The items as they are shown, as many as fit into an answer, and the cursor of the page after them.
    pub(crate) fn show<T, V: Serialize>(
        self,
        listed: Listed<T>,
        view: impl FnMut(T) -> V,
    ) -> (Vec<V>, Option<String>) {
        let Listed { items, keys, next } = listed;
        let views = Room::new().fill(items.into_iter().map(view));
        let last = views.len().checked_sub(1).and_then(|last| keys.get(last).copied());
        let next = if views.len() < keys.len() { last } else { next };
        (views, next.map(|after| self.write(after)))
    }

    pub(crate) fn write(self, after: i64) -> String {
        format!("{}{after:016x}", self.tag())
    }

    pub(crate) fn read(self, text: &str) -> Result<i64, Refusal> {
        let digits = text.strip_prefix(self.tag()).filter(|digits| digits.len() == 16);
        let lower_hex = |d: &&str| d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        digits
            .filter(lower_hex)
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .and_then(|after| i64::try_from(after).ok())
            .ok_or_else(|| {
                let given_as =
                    if self.cursor() == "cursor" { "next_cursor" } else { self.cursor() };
                let allowed =
                    format!("the {given_as} of an earlier {} answer, unchanged", self.tool());
                Refusal::invalid(self.cursor(), text, allowed)
            })
    }
}

/// Checks `limit` again: a caller inside the process has no schema that did so.
pub(crate) fn limit(given: Option<i64>) -> Result<i64, Refusal> {
    let limit = given.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    let allowed = format!("a whole number from 1 to {MAX_LIMIT}");
    Err(Refusal::invalid("limit", &limit.to_string(), allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_an_answer_is_full_and_the_next_begins_there() {
        let listed = |count: i64, next| Listed {
            items: vec!["x".repeat(998); usize::try_from(count).unwrap()],
            keys: (101..=100 + count).collect(),
            next,
        };
        let show = |listed| List::Tickets.show(listed, |item: String| item);
        let (shown, next) = show(listed(200, Some(300)));
        assert_eq!((shown.len(), next), (64, Some(List::Tickets.write(164))));
        let (shown, next) = show(listed(64, None));
        assert_eq!((shown.len(), next), (64, None));
        let (shown, next) = show(listed(3, Some(103)));
        assert_eq!((shown.len(), next), (3, Some(List::Tickets.write(103))));
        assert_eq!(show(listed(0, None)), (Vec::new(), None));
        let large = Listed { items: vec!["x".repeat(1 << 20); 2], keys: vec![1, 2], next: None };
        let (shown, next) = show(large);
        assert_eq!((shown.len(), next), (1, Some(List::Tickets.write(1))), "one is always shown");
    }

    #[test]
    fn cursors_read_back_what_they_write() {
        for after in [0, 1, 255, i64::MAX] {
            assert_eq!(List::Tickets.read(&List::Tickets.write(after)), Ok(after));
        }
    }

    #[test]
    fn garbage_and_cursors_of_other_lists_are_refused() {
        let foreign = List::Workers.write(7);
        for bad in ["", "t", "7", "t7", "t00000000000000zz", "t-000000000000007", &foreign] {
            assert_eq!(
                List::Tickets.read(bad),
                Err(Refusal::invalid(
                    "cursor",
                    bad,
                    "the next_cursor of an earlier list_tickets answer, unchanged"
                )),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_page_has_fifty_items_unless_told_and_never_more_than_two_hundred() {
        let limit_of = |limit| List::Tickets.page(limit, None).map(|page| page.limit).ok();
        assert_eq!(limit_of(None), Some(50));
        assert_eq!(limit_of(Some(200)), Some(200));
        assert_eq!(limit_of(Some(201)), None);
        assert_eq!(limit_of(Some(0)), None);
    }
}
