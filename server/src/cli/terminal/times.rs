//! Times as a person tells them.

use std::time::Duration;

use chrono::DateTime;
use chrono::Utc;

use crate::domain::time::Timestamp;

/// In which form times are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// As they came, RFC 3339 in UTC with milliseconds: for files and programs.
    Exact,
    /// In UTC, to the second.
    Utc,
    /// Relative to now, or in the zone of this machine.
    Local,
}

impl Times {
    /// How long ago it was, or when it will be: for a column.
    #[must_use]
    pub fn ago(self, at: &str, now: Timestamp) -> String {
        let Some(time) = read(at) else { return at.to_owned() };
        match self {
            Self::Exact => at.to_owned(),
            Self::Utc => utc(time, "%Y-%m-%d %H:%M:%SZ"),
            Self::Local => relative(time, now),
        }
    }

    /// The day and the time, and how long ago that was: for a line of its own.
    #[must_use]
    pub fn at(self, at: &str, now: Timestamp) -> String {
        let Some(time) = read(at) else { return at.to_owned() };
        match self {
            Self::Exact => at.to_owned(),
            Self::Utc => utc(time, "%Y-%m-%d %H:%M:%SZ"),
            Self::Local => {
                format!("{} ({})", local(time, "%Y-%m-%d %H:%M"), relative(time, now))
            }
        }
    }

    /// Sentences with the instants in them as a person tells them.
    #[must_use]
    pub fn within(self, text: &str, now: Timestamp) -> String {
        if self == Self::Exact {
            return text.to_owned();
        }
        let (mut told, mut rest) = (String::new(), text);
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let digits = &rest[at..];
            let end = digits.find(|c: char| !is_of_instant(c)).unwrap_or(digits.len());
            // A full stop or a colon may follow.
            let end = digits[..end].find('Z').map_or(end, |z| z + 1);
            told.push_str(&rest[..at]);
            let word = &digits[..end];
            let is_instant = word.len() >= INSTANT.len() && word.ends_with('Z');
            if is_instant && read(word).is_some() {
                told.push_str(&self.at(word, now));
            } else {
                told.push_str(word);
            }
            rest = &digits[end..];
        }
        told.push_str(rest);
        told
    }

    /// The time as a log shows it, always of the same width.
    #[must_use]
    pub fn stamp(self, at: &str) -> String {
        let Some(time) = read(at) else { return at.to_owned() };
        match self {
            Self::Exact => at.to_owned(),
            Self::Utc => utc(time, "%Y-%m-%d %H:%M:%SZ"),
            Self::Local => local(time, "%b %d %H:%M:%S"),
        }
    }

    /// The time of the day.
    #[must_use]
    pub fn clock(self, at: Timestamp) -> String {
        match self {
            Self::Exact | Self::Utc => utc(at, "%H:%M:%SZ"),
            Self::Local => local(at, "%H:%M:%S"),
        }
    }
}

/// The shortest instant in wire form.
const INSTANT: &str = "2026-11-22T00:00:00Z";

const fn is_of_instant(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | 'T' | 'Z')
}

/// An instant in wire form.
#[must_use]
pub fn read(at: &str) -> Option<Timestamp> {
    let at = DateTime::parse_from_rfc3339(at).ok()?;
    Some(Timestamp::from_millis(at.timestamp_millis()))
}

fn utc(time: Timestamp, form: &str) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(time.millis());
    time.map(|time| time.format(form).to_string()).unwrap_or_default()
}

fn local(time: Timestamp, form: &str) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(time.millis());
    // Tests run in many zones.
    #[cfg(test)]
    let zone = Utc;
    #[cfg(not(test))]
    let zone = chrono::Local;
    time.map(|time| time.with_timezone(&zone).format(form).to_string()).unwrap_or_default()
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn relative(time: Timestamp, now: Timestamp) -> String {
    let past = now.since(time).as_secs();
    let future = time.since(now).as_secs();
    if past >= 30 * DAY || future >= 30 * DAY {
        return local(time, "%Y-%m-%d");
    }
    match (past, future) {
        (0, 0) => "now".to_owned(),
        (past, 0) => format!("{} ago", rough(past)),
        (_, future) => format!("in {}", rough(future)),
    }
}

/// The largest unit that says it.
fn rough(seconds: u64) -> String {
    let days = |days: u64| if days == 1 { "1 day".to_owned() } else { format!("{days} days") };
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h", seconds / HOUR),
        _ => days(seconds / DAY),
    }
}

/// How long something took or has been running, in its two largest units.
#[must_use]
pub fn lasted(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min {:02} s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{} h {:02} min", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{} d {:02} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

/// An amount of memory.
#[must_use]
pub fn memory(bytes: i64) -> String {
    let mebibytes = bytes >> 20;
    if mebibytes < 10_240 { format!("{mebibytes} MiB") } else { format!("{} GiB", mebibytes >> 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_305_600_007);

    fn told(back: u64) -> String {
        relative(NOW.before(Duration::from_secs(back)), NOW)
    }

    #[test]
    fn times_of_the_past_are_told_in_their_largest_unit() {
        let told = [0, 42, 60, 3 * 60 + 59, 3_600, 86_399, 86_400, 3 * 86_400].map(told);
        let expected = [
            "now",
            "42 s ago",
            "1 min ago",
            "3 min ago",
            "1 h ago",
            "23 h ago",
            "1 day ago",
            "3 days ago",
        ];
        assert_eq!(told, expected);
        assert_eq!(relative(NOW.after(Duration::from_secs(300)), NOW), "in 5 min");
    }

    #[test]
    fn what_is_long_past_is_told_by_its_day() {
        let day = told(40 * 86_400);
        assert!(day.starts_with("2026-10-"), "{day}");
    }

    #[test]
    fn elsewhere_times_stay_as_they_came() {
        let at = "2026-11-22T00:00:00.007Z";
        assert_eq!(Times::Exact.ago(at, NOW), at);
        assert_eq!(Times::Utc.ago(at, NOW), "2026-11-22 00:00:00Z");
        assert_eq!(Times::Local.ago(at, NOW), "now");
        for times in [Times::Exact, Times::Utc, Times::Local] {
            assert_eq!(times.ago("yesterday", NOW), "yesterday");
            assert_eq!(times.at("", NOW), "");
        }
        // Whatever the zone, a log's column stays straight.
        assert_eq!(Times::Local.stamp(at).len(), "Nov 22 00:00:00".len());
    }

    #[test]
    fn instants_within_a_sentence_are_told_and_nothing_else_changes() {
        let text = "The queue T-42 is paused since 2026-11-22T00:00:00.007Z: 3.5 of 7; retried at 2026-11-22T00:05:00.007Z.";
        assert_eq!(
            Times::Local.within(text, NOW),
            "The queue T-42 is paused since 2026-11-22 00:00 (now): 3.5 of 7; retried at 2026-11-22 00:05 (in 5 min)."
        );
        assert_eq!(Times::Exact.within(text, NOW), text);
        assert_eq!(Times::Local.within("", NOW), "");
    }

    #[test]
    fn durations_have_two_units() {
        let seconds = [7, 61, 3_600, 90_000].map(Duration::from_secs);
        assert_eq!(seconds.map(lasted), ["7 s", "1 min 01 s", "1 h 00 min", "1 d 01 h"]);
    }
}
