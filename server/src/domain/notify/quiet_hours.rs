//! Hours of the day in which messages are held.

use std::fmt;

const MINUTES_OF_A_DAY: u16 = 24 * 60;

/// From one minute of the day, local time, up to another one, which may be on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietHours {
    from: u16,
    until: u16,
}

impl QuietHours {
    /// How a configuration writes them, as the end of "use".
    pub const ALLOWED: &str = "two different times of the day, such as \"22:00-07:00\"";

    /// Reads `22:00-07:00`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (from, until) = text.split_once('-')?;
        let (from, until) = (minute(from.trim())?, minute(until.trim())?);
        (from != until).then_some(Self { from, until })
    }

    /// How many minutes are left of them at this minute of the day; none outside of them.
    ///
    /// The clocks of a place may change in between. A caller that waits looks again now and then.
    #[must_use]
    pub fn left(self, minute: u16) -> Option<u16> {
        let since = (minute + MINUTES_OF_A_DAY - self.from) % MINUTES_OF_A_DAY;
        let length = (self.until + MINUTES_OF_A_DAY - self.from) % MINUTES_OF_A_DAY;
        (since < length).then(|| length - since)
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str, most: u16| -> Option<u16> {
        let good = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse().ok().filter(|number| good && *number <= most)
    };
    Some(number(hour, 23)? * 60 + number(minute, 59)?)
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_may_last_over_midnight() {
        let night = QuietHours::parse("22:00-07:00").expect("hours");
        let at = |hour: u16, minute: u16| night.left(hour * 60 + minute);
        assert_eq!(at(21, 59), None);
        assert_eq!(at(22, 0), Some(9 * 60));
        assert_eq!(at(0, 0), Some(7 * 60));
        assert_eq!(at(6, 59), Some(1));
        assert_eq!(at(7, 0), None);
        assert_eq!(at(12, 0), None);
        let noon = QuietHours::parse("12:00 - 13:30").expect("hours");
        assert_eq!(noon.left(12 * 60 + 15), Some(75));
        assert_eq!(noon.left(13 * 60 + 30), None);
        assert_eq!(noon.to_string(), "12:00-13:30");
    }

    #[test]
    fn what_names_no_hours_is_refused() {
        for bad in [
            "",
            "22:00",
            "22-07",
            "24:00-07:00",
            "22:60-07:00",
            "7:00-8:00",
            "08:00-08:00",
            "+1:00-02:00",
        ] {
            assert_eq!(QuietHours::parse(bad), None, "{bad:?}");
        }
    }
}
