//! A ticket's attempts over time, as a picture: one lane each, with long times in which nothing happened drawn short.

use maud::Markup;
use maud::html;

use crate::domain::time::Timestamp;
use crate::web::parts::values;
use crate::web::parts::values::lasting;
use crate::wire::attempt::AttemptView;
use crate::wire::gate::is_red;

/// The picture is this wide, in its own units; a style makes it as wide as the page.
const WIDTH: i64 = 1_000;
const LANE: i64 = 20;
const TOP: i64 = 18;
/// Times without any attempt are drawn no wider than this.
const IDLE: i64 = 24;

/// A part of an attempt's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    from: i64,
    to: i64,
    class: &'static str,
}

/// A stretch of time and where it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    from: i64,
    to: i64,
    at: i64,
    width: i64,
    idle: bool,
}

pub(crate) fn timeline(attempts: &[AttemptView], now: Timestamp) -> Markup {
    let lives: Vec<(&AttemptView, Vec<Part>)> = attempts
        .iter()
        .map(|attempt| (attempt, parts(attempt, now)))
        .filter(|(_, parts)| !parts.is_empty())
        .collect();
    if lives.is_empty() {
        return html! { p .muted { "No attempt has begun." } };
    }
    let spans: Vec<(i64, i64)> = lives
        .iter()
        .filter_map(|(_, parts)| Some((parts.first()?.from, parts.last()?.to)))
        .collect();
    let stretches = stretches(&spans);
    let place = |at: i64| place(&stretches, at);
    let height = TOP + LANE * i64::try_from(lives.len()).unwrap_or(0) + 4;
    html! {
        svg .timeline viewBox={ "0 0 " (WIDTH) " " (height) } height=(height) role="img" aria-label={ (lives.len()) " attempts over time" } preserveAspectRatio="none" {
            @for stretch in stretches.iter().filter(|stretch| stretch.idle) {
                g .idle {
                    rect .span.span-idle x=(stretch.at) y="0" width=(stretch.width) height=(height) {}
                    title { "Nothing ran for " (lasting(stretch.to - stretch.from)) }
                }
            }
            @for (lane, (attempt, parts)) in lives.iter().enumerate() {
                @let y = TOP + LANE * i64::try_from(lane).unwrap_or(0);
                g .lane {
                    @for part in parts {
                        @let (x, end) = (place(part.from), place(part.to));
                        rect class={ "span span-" (part.class) } x=(x) y=(y) width=((end - x).max(3)) height=(LANE - 4) rx="2" {
                            title { (attempt.attempt_id) " " (attempt.stage) ": " (part.class) " for " (lasting(part.to - part.from)) }
                        }
                    }
                }
            }
        }
        ol .timeline-list { @for (attempt, parts) in &lives {
            li {
                (values::attempt_id(&attempt.attempt_id)) " "
                @for (at, part) in parts.iter().enumerate() { @if at > 0 { ", " } (part.class) " " (lasting(part.to - part.from)) }
            }
        } }
    }
}

fn parts(attempt: &AttemptView, now: Timestamp) -> Vec<Part> {
    let Some(granted) = values::millis(&attempt.granted_at) else { return Vec::new() };
    let started = attempt.started_at.as_deref().and_then(values::millis);
    let end =
        attempt.ended_at.as_deref().and_then(values::millis).unwrap_or(now.millis()).max(granted);
    let mut parts = Vec::new();
    if let Some(started) = started.filter(|started| *started > granted) {
        parts.push(Part { from: granted, to: started, class: "waiting" });
    }
    let class = match attempt.outcome.as_deref() {
        _ if started.is_none() => "waiting",
        Some("succeeded") if is_red(attempt.verdict.as_deref()) => "failed",
        _ if attempt.kind == "gate" => "gate",
        None => "running",
        Some("succeeded") => "succeeded",
        Some(_) => "failed",
    };
    parts.push(Part { from: started.unwrap_or(granted), to: end, class });
    parts
}

/// The whole time in stretches: those in which something ran share the width by their lengths, those between are short.
fn stretches(spans: &[(i64, i64)]) -> Vec<Stretch> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    let mut busy: Vec<(i64, i64)> = Vec::new();
    for (from, to) in sorted {
        match busy.last_mut() {
            Some((_, end)) if from <= *end => *end = (*end).max(to),
            _ => busy.push((from, to)),
        }
    }
    let total: i64 = busy.iter().map(|(from, to)| (to - from).max(1)).sum();
    let gaps = i64::try_from(busy.len().saturating_sub(1)).unwrap_or(0);
    let idle = IDLE.min(WIDTH / 2 / gaps.max(1));
    let room = (WIDTH - gaps * idle).max(1);
    let (mut at, mut found, mut before) = (0, Vec::new(), None);
    for (from, to) in busy {
        if let Some(end) = before {
            found.push(Stretch { from: end, to: from, at, width: idle, idle: true });
            at += idle;
        }
        let width = scaled((to - from).max(1), room, total);
        found.push(Stretch { from, to, at, width, idle: false });
        at += width;
        before = Some(to);
    }
    found
}

fn place(stretches: &[Stretch], at: i64) -> i64 {
    let Some(stretch) = stretches.iter().find(|stretch| at <= stretch.to) else {
        return stretches.last().map_or(0, |last| last.at + last.width);
    };
    stretch.at
        + scaled((at - stretch.from).max(0), stretch.width, (stretch.to - stretch.from).max(1))
}

/// `part` of `whole`, on a length of `room`.
fn scaled(part: i64, room: i64, whole: i64) -> i64 {
    let exact = i128::from(part) * i128::from(room) / i128::from(whole.max(1));
    i64::try_from(exact).unwrap_or(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_nothing_ran_is_short_and_the_rest_shares_the_width() {
        let hour = 3_600_000;
        let found = stretches(&[(0, hour), (100 * hour, 101 * hour)]);
        assert_eq!(found.len(), 3);
        assert!(found[1].idle && found[1].width == IDLE);
        assert_eq!(found[0].width, found[2].width);
        assert_eq!(place(&found, 0), 0);
        assert_eq!(place(&found, 101 * hour), found[2].at + found[2].width);
        assert!(found[2].at + found[2].width <= WIDTH);
        let many: Vec<(i64, i64)> = (0..1_000).map(|n| (n * hour, n * hour + 1)).collect();
        let last = stretches(&many).last().copied().unwrap();
        assert!(last.at + last.width <= WIDTH + 1_000, "{last:?}");
    }

    fn begun() -> AttemptView {
        AttemptView {
            granted_at: "1970-01-01T00:00:01Z".into(),
            started_at: Some("1970-01-01T00:00:03Z".into()),
            ..AttemptView::default()
        }
    }

    #[test]
    fn an_attempt_waits_runs_and_ends() {
        let attempt = begun();
        let now = Timestamp::from_millis(10_000);
        let classes = |attempt: &AttemptView| {
            parts(attempt, now).iter().map(|part| part.class).collect::<Vec<_>>()
        };
        assert_eq!(classes(&attempt), ["waiting", "running"]);
        let ended = AttemptView {
            outcome: Some("lost".into()),
            ended_at: Some("1970-01-01T00:00:05Z".into()),
            ..attempt
        };
        assert_eq!(classes(&ended), ["waiting", "failed"]);
        let gate = |verdict: Option<&str>| AttemptView {
            kind: "gate".into(),
            outcome: verdict.map(|_| "succeeded".into()),
            verdict: verdict.map(str::to_owned),
            ..begun()
        };
        assert_eq!(classes(&gate(None)), ["waiting", "gate"]);
        assert_eq!(classes(&gate(Some("flaky"))), ["waiting", "gate"]);
        assert_eq!(classes(&gate(Some("failed"))), ["waiting", "failed"]);
        assert!(timeline(&[], now).into_string().contains("No attempt has begun"));
    }
}
