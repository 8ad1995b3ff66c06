//! The ledger: `get_usage`.

use chrono::DateTime;
use chrono::NaiveDate;
use chrono::NaiveTime;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::id::AttemptId;
use crate::domain::id::TicketId;
use crate::domain::names::Named;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::mcp::page;
use crate::mcp::page::Room;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::service::id;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::store::GroupBy;
use crate::store::Usage;
use crate::store::UsageFilter;
use crate::wire::usage::UsageSums;
use crate::wire::usage::UsageView;

pub(crate) fn tools() -> Vec<Tool> {
    vec![Tool::new(
        "get_usage",
        "See what the work has used",
        Effect::Reads,
        "Sums what attempts used: dollars, tokens, turns, wall time and peak memory, per day (the default), project, \
         worker_type, ticket, stage of a ticket, or attempt, over all projects or what the filters select. `total` \
         covers everything that matches. Dollars are what claude reported at its list prices; attempts that ended \
         without reporting a cost are counted in `unpriced`, and what limits assume for them in `assumed_usd`. `gate_…` is \
         the part of gates. Days are listed newest first, everything else most expensive first. `next_cursor` is absent on the last page.",
        usage,
    )]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ask {
    /// What to sum by; default day.
    #[schemars(extend("enum" = GroupBy::NAMES))]
    group_by: Option<String>,
    /// Only this project.
    project: Option<String>,
    /// Only this ticket, such as T-42.
    ticket_id: Option<String>,
    /// Only this worker type.
    worker_type: Option<String>,
    /// Only attempts from this day (2026-11-22, UTC) or instant (RFC 3339) on.
    since: Option<String>,
    /// Only attempts before this day or instant.
    until: Option<String>,
    /// Maximum number of groups to return; default 50.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page; leave it out for the first page.
    cursor: Option<String>,
}

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "centuries of milliseconds fit")]
        let seconds = |ms: i64| ms as f64 / 1000.0;
        Self {
            day: usage.day,
            project: usage.project,
            worker_type: usage.worker_type,
            ticket_id: usage.ticket.map(|key| TicketId::from_key(key).to_string()),
            attempt_id: usage.attempt.map(|key| AttemptId::from_key(key).to_string()),
            attempts: usage.attempts,
            unpriced: usage.unpriced,
            num_turns: usage.turns,
            input_tokens: usage.input_tokens,
            cached_tokens: usage.cached_tokens,
            output_tokens: usage.output_tokens,
            cost_usd: usage.cost_usd,
            assumed_usd: usage.assumed_usd,
            wall_seconds: seconds(usage.wall_ms),
            peak_memory_bytes: usage.peak_memory_bytes,
            gate_runs: usage.gate_runs,
            gate_wall_seconds: seconds(usage.gate_wall_ms),
            gate_peak_memory_bytes: usage.gate_peak_memory_bytes,
            gate_flaky: usage.gate_flaky,
        }
    }
}

async fn usage(service: Service, given: Ask) -> Result<UsageSums> {
    let by = GroupBy::parse_given("group_by", given.group_by.as_deref())?.unwrap_or(GroupBy::Day);
    let limit = page::limit(given.limit)?;
    let skip = given.cursor.as_deref().map(position).transpose()?.unwrap_or(0);
    let filter = UsageFilter {
        project: given.project,
        ticket: given.ticket_id.as_deref().map(|text| id("ticket_id", text)).transpose()?,
        worker_type: given.worker_type,
        since: given.since.as_deref().map(|text| instant("since", text)).transpose()?,
        until: given.until.as_deref().map(|text| instant("until", text)).transpose()?,
    };
    let found = service.store.usage(filter, by, skip, limit).await?;
    let groups = found.groups.len();
    let usage = Room::new().fill(found.groups.into_iter().map(UsageView::from));
    let more = found.more || usage.len() < groups;
    let shown = i64::try_from(usage.len()).unwrap_or(limit);
    let next_cursor = more.then(|| format!("u{:016x}", skip + shown));
    Ok(UsageSums { usage, groups: found.count, total: found.total.into(), next_cursor })
}

/// How many groups the previous pages had.
fn position(cursor: &str) -> std::result::Result<i64, Refusal> {
    let digits = cursor.strip_prefix('u').filter(|digits| digits.len() == 16);
    digits
        .and_then(|digits| i64::from_str_radix(digits, 16).ok())
        .filter(|position| *position >= 0)
        .ok_or_else(|| {
            let allowed = "the next_cursor of an earlier get_usage answer, unchanged";
            Refusal::invalid("cursor", cursor, allowed)
        })
}

/// The beginning of a day in UTC, or an instant.
fn instant(field: &str, given: &str) -> std::result::Result<Timestamp, Refusal> {
    let day = given.parse::<NaiveDate>().ok();
    let day = day.map(|day| day.and_time(NaiveTime::MIN).and_utc().timestamp_millis());
    let exact = || DateTime::parse_from_rfc3339(given).ok().map(|at| at.timestamp_millis());
    day.or_else(exact).map(Timestamp::from_millis).ok_or_else(|| {
        let allowed = "a day such as 2026-11-22 or an instant such as 2026-11-22T12:00:00Z";
        Refusal::invalid(field, given, allowed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_instants_are_read_and_nothing_else() {
        let millis = |text: &str| instant("since", text).map(Timestamp::millis).ok();
        assert_eq!(millis("1970-01-02"), Some(86_400_000));
        assert_eq!(millis("1970-01-01T00:00:01+00:00"), Some(1000));
        assert_eq!(millis("yesterday"), None);
    }

    #[test]
    fn a_cursor_is_taken_back_and_a_foreign_one_is_not() {
        assert_eq!(position("u0000000000000032"), Ok(50));
        for bad in ["", "u", "t0000000000000032", "uffffffffffffffff", "u-00000000000001"] {
            assert!(position(bad).is_err(), "{bad}");
        }
    }
}
