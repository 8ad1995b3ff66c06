//! `/failures`: how often attempts failed, by class and day.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::html;
use serde_json::json;

use crate::domain::time::DAY_MS;
use crate::domain::time::Timestamp;
use crate::mcp::desk::DeskResult;
use crate::mcp::desk::FailureRow;
use crate::web::pages::events;
use crate::web::parts::values;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::visit::Visit;
use crate::wire::usage::UsageSums;

/// Days that are offered.
const DAYS: [i64; 3] = [7, 30, 90];
/// Events that are shown.
const NEWEST: i64 = 30;
/// Columns of days in the table; older ones are in the sum.
const COLUMNS: i64 = 14;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

async fn make(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let asked = visit.query.get("days").and_then(|days| days.parse().ok());
    let days = asked.filter(|days| DAYS.contains(days)).unwrap_or(DAYS[0]);
    let project = visit.query.get("project");
    let at = site.desk.now();
    let today = at.millis().div_euclid(DAY_MS);
    let first = today - days + 1;
    let rows = site.desk.failures(first, project).await?;
    let since = Timestamp::from_millis(first * DAY_MS).to_string();
    let usage: UsageSums = site
        .desk
        .ask(
            "get_usage",
            json!({"group_by": "day", "project": project, "since": since, "limit": 1}),
        )
        .await?;
    let kinds = ["ticket_attempt_failed".to_owned()];
    let newest = site.desk.past_events(project, None, &kinds, None, NEWEST).await?;
    let failed: i64 = rows.iter().map(|row| row.attempts).sum();
    let body = html! {
        nav .tabs aria-label="How many days" { @for count in DAYS {
            a .tab href=(visit.query.with("days", Some(&count.to_string())).on("/failures")) aria-current=[(count == days).then_some("page")] { (count) " days" }
        } }
        section #failures .panel data-live="tickets" {
            @if rows.is_empty() { div .empty { p { "No attempt failed in these days." } } } @else {
                (by_class(&rows, today, days.min(COLUMNS)))
                h2 { "By stage" }
                (by_stage(&rows))
            }
        }
        section #newest .panel data-live="tickets" {
            header .panel-head { h2 { "Newest" } }
            @if newest.is_empty() { p .muted { "None." } } @else { (events::table(&newest, at)) }
        }
    };
    let sub = html! {
        span #failure-count data-live="tickets" {
            (values::count(failed)) " of " (values::count(usage.total.attempts)) " attempts failed"
            @if usage.total.attempts > 0 { " (" (failed * 100 / usage.total.attempts) " %)" }
        }
    };
    Ok(Page::new("failures", "Failures", body).sub(sub))
}

fn by_class(rows: &[FailureRow], today: i64, days: i64) -> Markup {
    let mut classes: BTreeMap<&str, (i64, BTreeMap<i64, i64>, &FailureRow)> = BTreeMap::new();
    for row in rows {
        let entry = classes.entry(&row.failure).or_insert_with(|| (0, BTreeMap::new(), row));
        entry.0 += row.attempts;
        *entry.1.entry(row.day).or_default() += row.attempts;
        if row.newest.key() > entry.2.newest.key() {
            entry.2 = row;
        }
    }
    let mut classes: Vec<_> = classes.into_iter().collect();
    classes.sort_by_key(|(_, (sum, ..))| std::cmp::Reverse(*sum));
    let columns: Vec<i64> = (0..days).map(|back| today - days + 1 + back).collect();
    html! {
        div .table-wrap { table .grid {
            thead { tr { th { "Class" } th .num { "Sum" } @for day in &columns { th .num { (date(*day)) } } th { "Newest" } } }
            tbody data-list { @for (class, (sum, by_day, newest)) in &classes {
                tr data-item data-href={ "/attempts/" (newest.newest) } {
                    td { (class.replace('_', " ")) }
                    td .num { (values::count(*sum)) }
                    @for day in &columns { td .num { @if let Some(count) = by_day.get(day) { (count) } @else { span .muted { "·" } } } }
                    td { (values::attempt_id(&newest.newest.to_string())) }
                }
            } }
        } }
    }
}

fn by_stage(rows: &[FailureRow]) -> Markup {
    let mut stages: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for row in rows {
        *stages.entry((&row.project, &row.stage)).or_default() += row.attempts;
    }
    let mut stages: Vec<_> = stages.into_iter().collect();
    stages.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
    html! {
        table .grid {
            thead { tr { th { "Stage" } th .num { "Failures" } } }
            tbody { @for ((project, stage), sum) in &stages { tr {
                td { (values::project(project)) " / " (Hostile(stage)) } td .num { (values::count(*sum)) }
            } } }
        }
    }
}

/// A day as month and day.
fn date(day: i64) -> String {
    let text = Timestamp::from_millis(day * DAY_MS).to_string();
    text.get(5..10).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_named_by_its_month_and_day() {
        assert_eq!(date(20_779), "11-22");
    }
}
