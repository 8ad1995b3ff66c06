//! Times, dollars, states and ids, shown the same way on every page.

use chrono::DateTime;
use chrono::Utc;
use maud::Markup;
use maud::html;

use crate::domain::text;
use crate::domain::time::Timestamp;
use crate::web::assets::icon;
use crate::web::query::escaped;
use crate::web::text::Hostile;

/// The milliseconds of a time as the tools write it; `None` for anything else.
pub(crate) fn millis(time: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(time).ok().map(|at| at.timestamp_millis())
}

/// How long ago something was, with the exact time beside it.
pub(crate) fn ago(time: &str, now: Timestamp) -> Markup {
    at(time, now, /* counts */ false)
}

/// The same for something that lasts, so that a script may count on.
pub(crate) fn since(time: &str, now: Timestamp) -> Markup {
    at(time, now, /* counts */ true)
}

fn at(time: &str, now: Timestamp, counts: bool) -> Markup {
    let Some(then) = millis(time) else { return html! {} };
    html! {
        time .ago datetime=(time) title=(exact(then)) data-since[counts] { (rough((now.millis() - then) / 1_000)) }
    }
}

/// A time in words for people, to the second.
fn exact(millis: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(millis)
        .map(|at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
        .unwrap_or_default()
}

/// Seconds in words, as short as possible; in the future they are "in 3 min".
pub(crate) fn rough(seconds: i64) -> String {
    let words = |seconds: i64| match seconds {
        0..=4 => "now".to_owned(),
        5..=89 => format!("{seconds} s"),
        90..=5_399 => format!("{} min", (seconds + 30) / 60),
        5_400..=129_599 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} d", (seconds + 43_200) / 86_400),
    };
    if seconds < -4 { format!("in {}", words(-seconds)) } else { words(seconds.max(0)) }
}

/// A length of time in words.
pub(crate) fn lasting(millis: i64) -> String {
    let seconds = millis.max(0) / 1_000;
    match seconds {
        0..=89 => format!("{seconds} s"),
        90..=5_399 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Dollars, what is assumed in addition, and their limit.
pub(crate) fn dollars(cost: f64, assumed: f64, limit: Option<f64>) -> Markup {
    html! {
        span .usd {
            b { (usd(cost)) }
            @if assumed >= 0.005 {
                " " span .assumed title="Assumed for attempts that ended without reporting a cost" { "+ " (usd(assumed)) " assumed" }
            }
            @if let Some(limit) = limit { " " span .of { "of " (usd(limit)) } }
        }
    }
}

pub(crate) fn usd(dollars: f64) -> String {
    // Small sums matter where there is no other.
    if dollars > 0.0 && dollars < 0.995 {
        format!("${dollars:.3}")
    } else {
        format!("${dollars:.2}")
    }
}

/// A number with separators, as people write it.
pub(crate) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    if number < 0 {
        text.push('−');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn bytes(number: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
    let number = number.max(0) as f64;
    match number {
        n if n < 1024.0 => format!("{n:.0} B"),
        n if n < 1024.0 * 1024.0 => format!("{:.0} KiB", n / 1024.0),
        n if n < 1024.0 * 1024.0 * 1024.0 => format!("{:.0} MiB", n / (1024.0 * 1024.0)),
        n => format!("{:.1} GiB", n / (1024.0 * 1024.0 * 1024.0)),
    }
}

/// The state of a ticket; a closed one shows how it ended.
pub(crate) fn ticket_state(state: &str, resolution: Option<&str>) -> Markup {
    let name = resolution.filter(|_| state == "closed").unwrap_or(state);
    named("state", name)
}

pub(crate) fn outcome(name: &str) -> Markup {
    named("outcome", name)
}

/// What a gate found, or that it has found nothing yet.
pub(crate) fn verdict(name: Option<&str>, runs: bool) -> Markup {
    named("verdict", name.unwrap_or(if runs { "running" } else { "pending" }))
}

pub(crate) fn worker_state(name: &str) -> Markup {
    named("worker", name)
}

fn named(kind: &str, name: &str) -> Markup {
    html! { span class={ (kind) " " (kind) "-" (name) } { (icon(name)) " " (name.replace('_', " ")) } }
}

/// A number of things, each called by this noun.
pub(crate) fn counted(number: i64, noun: &str) -> String {
    text::counted(count(number), noun)
}

pub(crate) fn ticket_id(id: &str) -> Markup {
    html! { a .id href=(ticket_href(id)) { (id) } }
}

pub(crate) fn ticket_href(id: &str) -> String {
    format!("/tickets/{}", escaped(id))
}

pub(crate) fn attempt_id(id: &str) -> Markup {
    html! { a .id href={ "/attempts/" (escaped(id)) } { (id) } }
}

pub(crate) fn project(name: &str) -> Markup {
    html! { a href=(project_href(name)) { (Hostile(name)) } }
}

pub(crate) fn project_href(name: &str) -> String {
    format!("/projects/{}", escaped(name))
}

/// The beginning of a string on one line.
pub(crate) fn line(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (cut, is_cut) = crate::web::text::cut(&line, most);
    if is_cut { format!("{}…", cut.trim_end()) } else { cut.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_dollars_and_numbers_read_as_people_write_them() {
        let times = [0, 4, 5, 89, 90, 3_599, 5_400, 129_600, -90, -3].map(rough);
        assert_eq!(
            times,
            ["now", "now", "5 s", "89 s", "2 min", "60 min", "2 h", "2 d", "in 2 min", "now"]
        );
        assert_eq!(
            [0.0, 0.0125, 0.5, 1.0, 1234.5].map(usd),
            ["$0.00", "$0.013", "$0.500", "$1.00", "$1234.50"]
        );
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 5_000, 60_000_000, 3_000_000_000].map(bytes),
            ["0 B", "5 KiB", "57 MiB", "2.8 GiB"]
        );
        assert_eq!([5_000, 125_000, 7_500_000].map(lasting), ["5 s", "2 min", "2 h 05 min"]);
    }

    #[test]
    fn an_exact_time_is_beside_each_rough_one() {
        let now = Timestamp::from_millis(1_795_305_600_000 + 180_000);
        let shown = ago("2026-11-22T00:00:00.000Z", now).into_string();
        assert_eq!(
            shown,
            "<time class=\"ago\" datetime=\"2026-11-22T00:00:00.000Z\" title=\"2026-11-22 00:00:00 UTC\">3 min</time>"
        );
        assert_eq!(ago("yesterday", now).into_string(), "");
    }
}
