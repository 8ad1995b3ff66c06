//! Places in the event log: where the last events begin, and the first one since a time.
//!
//! The log is read forwards only, from a number on; what matches a filter may be rare in it.

use serde_json::Value;
use serde_json::json;

use crate::cli::client::Client;
use crate::cli::client::ClientError;
use crate::cli::terminal::read_time;
use crate::domain::time::Timestamp;
use crate::wire::event::Events;

/// Events per call.
const PAGE: usize = 200;

/// After every event there is: only `last_seq` comes back.
const THE_END: i64 = 1 << 53;

/// The number of the newest event.
pub async fn newest(client: &Client) -> Result<i64, ClientError> {
    let end = json!({"after": THE_END, "include_processed": true, "limit": 1});
    Ok(client.ask::<Events>("list_events", end).await?.last_seq)
}

/// The number after which the events since `time` begin.
pub async fn since(client: &Client, time: Timestamp) -> Result<i64, ClientError> {
    let (mut low, mut high) = (0, newest(client).await?);
    // Numbers and times grow together, so the place is halved down to.
    while low < high {
        let middle = low + (high - low) / 2;
        let next = json!({"after": middle, "include_processed": true, "limit": 1});
        let next: Events = client.ask("list_events", next).await?;
        match next.events.first() {
            Some(event) if read_time(&event.at).is_none_or(|at| at < time) => {
                low = event.seq.max(middle + 1);
            }
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The number after which the last `count` events begin that `query` selects, among those after `from`.
pub async fn last(
    client: &Client,
    query: &Value,
    from: i64,
    count: usize,
) -> Result<i64, ClientError> {
    let mut high = newest(client).await?;
    if count == 0 {
        return Ok(high);
    }
    let mut found: Vec<i64> = Vec::new();
    let mut width = i64::try_from(count.max(50)).unwrap_or(i64::MAX);
    while high > from && found.len() < count {
        let low = high.saturating_sub(width).max(from);
        let mut part = within(client, query, low, high).await?;
        part.append(&mut found);
        found = part;
        high = low;
        width = width.saturating_mul(4);
    }
    let first = found.len().checked_sub(count).and_then(|skipped| found.get(skipped));
    Ok(first.map_or(from, |first| first - 1))
}

/// The numbers of the selected events after `low`, up to `high`.
async fn within(
    client: &Client,
    query: &Value,
    low: i64,
    high: i64,
) -> Result<Vec<i64>, ClientError> {
    let mut query = query.clone();
    query["limit"] = json!(PAGE);
    let mut seqs = Vec::new();
    let mut after = low;
    loop {
        query["after"] = json!(after);
        let page: Events = client.ask("list_events", query.clone()).await?;
        let Some(last) = page.events.last().map(|event| event.seq) else { return Ok(seqs) };
        let wanted = page.events.iter().map(|event| event.seq).take_while(|seq| *seq <= high);
        seqs.extend(wanted);
        if last >= high {
            return Ok(seqs);
        }
        after = last;
    }
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::Router;
    use axum::routing::post;

    use super::*;

    /// A log of a thousand events, one a second, of which every hundredth closes a ticket.
    async fn answer(Json(request): Json<Value>) -> Json<Value> {
        let arguments = &request["params"]["arguments"];
        let after = arguments["after"].as_i64().unwrap_or(0);
        let limit = usize::try_from(arguments["limit"].as_u64().unwrap_or(50)).unwrap_or(50);
        let rare = arguments["kinds"].is_array();
        let event =
            |seq: i64| json!({"seq": seq, "at": Timestamp::from_millis(seq * 1000).to_string()});
        let events: Vec<Value> = (after + 1..=1000)
            .filter(|seq| !rare || seq % 100 == 0)
            .take(limit)
            .map(event)
            .collect();
        let answer = json!({"events": events, "last_seq": 1000});
        Json(json!({"jsonrpc": "2.0", "id": 1, "result": {"structuredContent": answer}}))
    }

    async fn client() -> Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let router = Router::new().route("/mcp", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Client::to(&format!("http://{address}"), None).expect("a client")
    }

    #[tokio::test]
    async fn the_last_events_are_found_however_rare_they_are() {
        let client = client().await;
        let all = json!({});
        let rare = json!({"kinds": ["ticket_closed"]});
        assert_eq!(last(&client, &all, 0, 10).await.unwrap(), 990);
        assert_eq!(last(&client, &all, 0, 0).await.unwrap(), 1000);
        assert_eq!(last(&client, &all, 0, 700).await.unwrap(), 300);
        assert_eq!(last(&client, &rare, 0, 3).await.unwrap(), 799);
        assert_eq!(last(&client, &rare, 0, 50).await.unwrap(), 0);
        assert_eq!(last(&client, &rare, 850, 3).await.unwrap(), 850);
    }

    #[tokio::test]
    async fn the_first_event_since_a_time_is_found() {
        let client = client().await;
        for (seconds, expected) in [(0, 0), (1, 0), (500, 499), (1000, 999), (2000, 1000)] {
            let time = Timestamp::from_millis(seconds * 1000);
            assert_eq!(since(&client, time).await.unwrap(), expected, "{seconds}");
        }
    }
}
