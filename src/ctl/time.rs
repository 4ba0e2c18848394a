//! Times on the command line and in the output: relative ones, and RFC 3339 in UTC.

use std::time::Duration;

use toml::value::{Datetime, Offset};

use crate::config::parse_duration;
use crate::model::WallTime;
use crate::sense::clock;

/// A time to come, as given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// So long from now.
    In(Duration),
    /// Then.
    At(WallTime),
}

impl When {
    /// Reads `2h`, `15 min`, or RFC 3339 with an offset, `2026-05-01T12:00:00Z`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(duration) = parse_duration(text) {
            return Ok(Self::In(duration));
        }
        let wrong = || format!("{text:?} is neither a duration (\"2h\", \"15 min\") nor a time (2026-05-01T12:00:00Z)");
        text.parse().ok().and_then(wall).map(Self::At).ok_or_else(wrong)
    }

    /// The time it means now.
    pub(super) fn wall(self, now: WallTime) -> WallTime {
        match self {
            Self::In(duration) => now + duration,
            Self::At(wall) => wall,
        }
    }
}

/// The wall clock.
pub(super) fn now() -> WallTime {
    clock::now().wall
}

/// Days since the epoch of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // http://howardhinnant.github.io/date_algorithms.html, days_from_civil
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn wall(time: Datetime) -> Option<WallTime> {
    let (date, clock) = (time.date?, time.time?);
    let offset = match time.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let minutes = days * 1_440 + i64::from(clock.hour) * 60 + i64::from(clock.minute) - offset;
    let seconds = minutes * 60 + i64::from(clock.second.unwrap_or(0));
    let micros = u64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
    Some(WallTime::from_micros(micros + u64::from(clock.nanosecond.unwrap_or(0)) / 1_000))
}

/// `2026-05-01T12:00:00Z`.
pub(super) fn rfc3339(wall: WallTime) -> String {
    // http://howardhinnant.github.io/date_algorithms.html, civil_from_days
    let seconds = wall.as_micros() / 1_000_000;
    let shifted = seconds / 86_400 + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `12 s ago`, `in 3 min`, `now`; the largest unit that is not a fraction.
pub(super) fn relative(wall: WallTime, now: WallTime) -> String {
    let (past, distance) = match wall <= now {
        true => (true, now.saturating_since(wall)),
        false => (false, wall.saturating_since(now)),
    };
    match (distance.as_secs(), past) {
        (0, _) => "now".to_owned(),
        (_, true) => format!("{} ago", length(distance)),
        (_, false) => format!("in {}", length(distance)),
    }
}

/// `12 s`, `3 min`, `2 h`, `5 days`.
pub(super) fn length(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_come_are_durations_or_rfc_3339() {
        let at = |text: &str| match When::parse(text) {
            Ok(When::At(wall)) => wall.as_micros(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(When::parse("2h"), Ok(When::In(Duration::from_secs(7_200))));
        assert_eq!(at("1970-01-01T00:00:00Z"), 0);
        assert_eq!(at("2000-02-29T12:30:45.5Z"), 951_827_445_500_000);
        assert_eq!(at("2026-05-01T12:00:00+02:00"), at("2026-05-01T10:00:00Z"));
        for text in ["", "tomorrow", "2026-05-01", "2026-05-01T12:00:00", "12:00:00", "1950-01-01T00:00:00Z"] {
            assert!(When::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for seconds in [0, 68_169_599, 68_169_600, 951_827_445, 1_709_164_800, 4_102_444_799] {
            let wall = WallTime::from_micros(seconds * 1_000_000);
            assert_eq!(When::parse(&rfc3339(wall)), Ok(When::At(wall)), "{}", rfc3339(wall));
        }
        assert_eq!(rfc3339(WallTime::from_micros(951_827_445_999_999)), "2000-02-29T12:30:45Z");
    }

    #[test]
    fn distances_read_as_people_say_them() {
        let now = WallTime::from_micros(1_000_000_000_000);
        let table = [
            (0, "now"),
            (-12, "12 s ago"),
            (119, "in 119 s"),
            (180, "in 3 min"),
            (-7_200, "2 h ago"),
            (200_000, "in 2 days"),
        ];
        for (seconds, expected) in table {
            let wall = WallTime::from_micros(now.as_micros().saturating_add_signed(seconds * 1_000_000));
            assert_eq!(relative(wall, now), expected);
        }
    }
}
