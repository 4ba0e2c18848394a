//! Local time: what the clocks on the wall show where the device is. A zone is a value; who reads it from the system is
//! `sense/zone`.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::WallTime;

/// A time zone with all its changes to daylight saving time and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A date of the local calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(Date);

/// What a local clock shows: a date and the seconds since its 00:00, below 86 400 whatever happened to the clock that day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Local {
    /// The date.
    pub day: Day,
    /// Seconds since 00:00 as the clock shows them.
    pub second: u32,
}

impl Zone {
    /// Where clocks show UTC.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// This zone.
    pub fn of(zone: TimeZone) -> Self {
        Self(zone)
    }

    /// Its name (`Europe/Berlin`), if it has one.
    pub fn name(&self) -> Option<&str> {
        self.0.iana_name()
    }

    /// What a clock there shows at this time.
    pub fn local(&self, at: WallTime) -> Local {
        let shown = self.0.to_datetime(timestamp(at));
        let (hour, minute, second) = (shown.hour(), shown.minute(), shown.second());
        let second = (i32::from(hour) * 60 + i32::from(minute)) * 60 + i32::from(second);
        Local { day: Day(shown.date()), second: second.unsigned_abs() }
    }

    /// When a clock there shows `minute` minutes after 00:00 of `day`: never if it is set forward past that, twice if it is
    /// set back over it. 1440 is 00:00 of the next day.
    pub fn when(&self, day: Day, minute: u16) -> impl Iterator<Item = WallTime> {
        let shown = day.at(minute);
        let offsets = shown.map(|shown| (shown, self.0.to_ambiguous_timestamp(shown).offset()));
        let times = match offsets {
            Some((shown, AmbiguousOffset::Unambiguous { offset })) => [offset.to_timestamp(shown).ok(), None],
            Some((shown, AmbiguousOffset::Fold { before, after })) => {
                [before, after].map(|offset| offset.to_timestamp(shown).ok())
            }
            Some((_, AmbiguousOffset::Gap { .. })) | None => [None, None],
        };
        times.into_iter().flatten().map(wall)
    }

    /// When clocks there are set forward or back, or the zone changes otherwise, after `from` and not after `until`.
    pub fn changes(&self, from: WallTime, until: WallTime) -> impl Iterator<Item = WallTime> {
        let changes = self.0.following(timestamp(from)).map(|change| wall(change.timestamp()));
        // Where a file of the tz database gives no rule for what comes after its last change, jiff gives that one for ever.
        let mut last = from;
        changes.take_while(move |change| *change > std::mem::replace(&mut last, *change) && *change <= until)
    }
}

impl Day {
    /// Reads what [`Display`](std::fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// The day so many days later, or earlier.
    pub fn plus(self, days: i8) -> Self {
        let span = jiff::Span::new().days(days);
        Self(self.0.saturating_add(span))
    }

    fn at(self, minute: u16) -> Option<DateTime> {
        let day = if minute < 1_440 { self } else { self.plus(1) };
        let minute = minute % 1_440;
        let (hour, minute) = (i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?);
        Some(day.0.at(hour, minute, 0, 0))
    }
}

impl std::fmt::Display for Day {
    /// `2026-11-28`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Local {
    /// The time of day, `22:05`.
    pub fn time(self) -> String {
        format!("{:02}:{:02}", self.second / 3_600, self.second / 60 % 60)
    }
}

fn timestamp(wall: WallTime) -> Timestamp {
    let micros = i64::try_from(wall.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

fn wall(timestamp: Timestamp) -> WallTime {
    // Before the epoch no clock of ours shows anything.
    WallTime::from_micros(u64::try_from(timestamp.as_microsecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of the tz database as it was until 2005 (RFC 9636, version 1): an hour is added then, and what comes later is
    /// not said.
    fn old_file(change: i32) -> Vec<u8> {
        let mut file = b"TZif".to_vec();
        file.resize(20, 0);
        // No flags (two counts) nor leap seconds; one change; two kinds of time and their names.
        file.extend([0, 0, 0, 1, 2, 8].iter().flat_map(|count| [0, 0, 0, *count]));
        file.extend(change.to_be_bytes());
        file.push(1);
        for (ahead, name) in [(0i32, 0), (3_600, 4)] {
            file.extend(ahead.to_be_bytes());
            file.extend([0, name]);
        }
        file.extend(b"OLD\0NEW\0");
        file
    }

    #[test]
    fn a_file_that_says_no_more_has_no_more_changes() {
        let at = |second: i32| WallTime::from_micros(u64::from(second.unsigned_abs()) * 1_000_000);
        let zone = Zone::of(TimeZone::tzif("", &old_file(1_000)).expect("a zone"));
        for (from, until, expected) in [(0, 2_000, vec![at(1_000)]), (0, 999, vec![]), (1_500, 2_000, vec![])] {
            let changes: Vec<WallTime> = zone.changes(at(from), at(until)).take(9).collect();
            assert_eq!(changes, expected, "{from} {until}");
        }
    }
}
