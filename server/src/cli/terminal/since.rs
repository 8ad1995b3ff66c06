//! `--since`: a time, in any of the ways that people give one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::NaiveDate;
use chrono::NaiveTime;

use super::times;
use crate::domain::time::Timestamp;

/// A time, given as how long ago it was, as a day, or as an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long before now.
    Ago(Duration),
    At(Timestamp),
}

impl Since {
    /// The instant that is meant.
    #[must_use]
    pub fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(duration) => now.before(duration),
            Self::At(at) => at,
        }
    }
}

/// Why a string is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTime;

impl std::error::Error for NoTime {}

impl fmt::Display for NoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "give how long ago (90s, 30m, 2h, 7d, 4w), a day (2026-11-22, UTC) or an instant (2026-11-22T12:00:00Z)",
        )
    }
}

impl FromStr for Since {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        if let Ok(day) = text.parse::<NaiveDate>() {
            let start = day.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
            return Ok(Self::At(Timestamp::from_millis(start)));
        }
        if let Some(at) = times::read(text) {
            return Ok(Self::At(at));
        }
        let unit = text.chars().next_back().ok_or(NoTime)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return Err(NoTime),
        };
        let number = &text[..text.len() - unit.len_utf8()];
        // A sign or a space is no digit; the library would take the first.
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoTime);
        }
        let count: u32 = number.parse().map_err(|_| NoTime)?;
        Ok(Self::Ago(Duration::from_secs(u64::from(count) * seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_giving_a_time_is_read() {
        let ago = |seconds| Ok(Since::Ago(Duration::from_secs(seconds)));
        let given = ["90s", "30m", "2h", "7d", "4w"].map(str::parse);
        assert_eq!(given, [ago(90), ago(1_800), ago(7_200), ago(604_800), ago(2_419_200)]);
        let at = |millis| Ok(Since::At(Timestamp::from_millis(millis)));
        assert_eq!("1970-01-02".parse(), at(86_400_000));
        assert_eq!("1970-01-01T00:00:01+00:00".parse(), at(1_000));
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "7", "d", "-7d", "+7d", "7 d", "7y", "yesterday", "99999999999d", "7ä"] {
            assert_eq!(text.parse::<Since>(), Err(NoTime), "{text}");
        }
    }
}
