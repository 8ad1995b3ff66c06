//! The inbox: `list_inbox`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::inbox;
use crate::domain::refusal::Refusal;
use crate::mcp::page;
use crate::mcp::page::Room;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::store::InboxPlace;
use crate::store::InboxQuery;
use crate::wire::inbox::Inbox;
use crate::wire::inbox::ItemView;

pub(crate) fn tools() -> Vec<Tool> {
    vec![Tool::new(
        "list_inbox",
        "List what waits for somebody",
        Effect::Reads,
        "Lists what waits for somebody, oldest first: held tickets, pauses, missing logins, stuck attempts. Each says \
             why and has `actions`: calls that settle it (some with a second in `then`), complete but for your answer.",
        list,
    )]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListAll {
    /// Only what waits in it or holds the server.
    project: Option<String>,
    /// Only these.
    kinds: Option<Vec<String>>,
    /// Default 50.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

async fn list(service: Service, given: ListAll) -> Result<Inbox> {
    let after = given.cursor.as_deref().map(read).transpose()?;
    let kinds = kinds(given.kinds.as_deref().unwrap_or_default())?;
    let limit = page::limit(given.limit)?;
    inbox(&service, InboxQuery { project: given.project, kinds, after, limit }).await
}

fn kinds(given: &[String]) -> std::result::Result<Vec<&'static str>, Refusal> {
    let known = |(index, given): (usize, &String)| {
        inbox::kinds().find(|kind| kind == given).ok_or_else(|| {
            let allowed = inbox::kinds().collect::<Vec<_>>().join(", ");
            Refusal::invalid(format!("kinds[{index}]"), given, format!("one of {allowed}"))
        })
    };
    given.iter().enumerate().map(known).collect()
}

/// What `list_inbox` returns.
pub(crate) async fn inbox(service: &Service, query: InboxQuery) -> Result<Inbox> {
    let page = service.store.inbox_of(query, service.now()).await?;
    let places: Vec<InboxPlace> = page.items.iter().map(|(place, _)| *place).collect();
    let items = Room::new().fill(page.items.into_iter().map(|(_, item)| ItemView::from(item)));
    let more = page.more || items.len() < places.len();
    let last = items.len().checked_sub(1).and_then(|last| places.get(last)).filter(|_| more);
    let counts = page.counts.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
    Ok(Inbox { next_cursor: last.map(|place| write(*place)), counts, items })
}

fn write(InboxPlace { since, source, key }: InboxPlace) -> String {
    format!("i{since:016x}{source:02x}{key:016x}")
}

fn read(text: &str) -> std::result::Result<InboxPlace, Refusal> {
    let lower_hex = |d: &&str| d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let digits = text.strip_prefix('i').filter(|digits| digits.len() == 34).filter(lower_hex);
    let number = |text: &str| i64::from_str_radix(text, 16).ok();
    let place = digits.and_then(|digits| {
        let since = number(&digits[..16])?;
        let source = u8::from_str_radix(&digits[16..18], 16).ok()?;
        Some(InboxPlace { since, source, key: number(&digits[18..])? })
    });
    place.ok_or_else(|| {
        let allowed = "the next_cursor of an earlier list_inbox answer, unchanged";
        Refusal::invalid("cursor", text, allowed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back_what_they_write_and_nothing_else() {
        for place in [
            InboxPlace { since: 0, source: 0, key: 0 },
            InboxPlace { since: 1_796_000_000_000, source: 4, key: i64::MAX },
        ] {
            assert_eq!(read(&write(place)), Ok(place));
        }
        for bad in ["", "i", "t0000000000000001", &"i".repeat(35), &format!("i{}", "-".repeat(34))]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
