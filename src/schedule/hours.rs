//! Whether a strategy's hours have come, and when that changes: by the local clock, which is set forward and back.

use crate::model::{Day, Local, WallTime, Window, Zone};

/// How far to look for the next change. A span may fall into what the clock leaves out, and a zone may leave out a day.
const DAYS_AHEAD: i8 = 4;

/// Whether `window` is open: whether a clock on the wall shows one of its times. An hour that comes twice counts twice.
pub(super) fn is_open(window: &Window, at: WallTime, zone: &Zone) -> bool {
    window.is_always() || {
        let Local { second, .. } = zone.local(at);
        window.spans().iter().any(|span| span.has(second))
    }
}

/// When [`is_open`] next changes; `None` if it does not within [`DAYS_AHEAD`], as with spans that cover the day.
pub(super) fn next_change(window: &Window, now: WallTime, zone: &Zone) -> Option<WallTime> {
    if window.is_always() {
        return None;
    }
    let open = is_open(window, now, zone);
    let edges = window.spans().iter().flat_map(|span| [span.from(), span.to()]);
    let today = zone.local(now).day;
    let shown = edges.flat_map(|minute| days(today).flat_map(move |day| zone.when(day, minute)));
    first(shown, now, zone, |at| is_open(window, at, zone) != open)
}

/// When the first day after `day` begins, if that is soon: at its midnight, or later if the clock leaves that out.
pub(super) fn end_of(day: Day, now: WallTime, zone: &Zone) -> Option<WallTime> {
    let midnights = days(day.max(zone.local(now).day)).flat_map(|day| zone.when(day, 0));
    first(midnights, now, zone, |at| zone.local(at).day > day)
}

/// The days around one, on which a clock may show what counts.
fn days(day: Day) -> impl Iterator<Item = Day> {
    (-1..=DAYS_AHEAD).map(move |after| day.plus(after))
}

/// The first time after `now` that `counts`, among these and those at which clocks are set.
fn first(
    times: impl Iterator<Item = WallTime>,
    now: WallTime,
    zone: &Zone,
    counts: impl Fn(WallTime) -> bool,
) -> Option<WallTime> {
    let ahead = std::time::Duration::from_secs(86_400) * DAYS_AHEAD.unsigned_abs().into();
    let mut times: Vec<WallTime> = times.chain(zone.changes(now, now + ahead)).filter(|at| *at > now).collect();
    times.sort_unstable();
    times.into_iter().find(|at| counts(*at))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::model::Span;

    const MINUTE: u64 = 60_000_000;

    /// A zone of the system's tz database.
    fn zone(name: &str) -> TimeZone {
        let data = std::fs::read(format!("/usr/share/zoneinfo/{name}")).expect("the tz database is installed");
        TimeZone::tzif(name, &data).expect("a zone")
    }

    fn window(spans: &[(&str, &str)]) -> Window {
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':').expect("a time");
            hour.parse::<u16>().expect("an hour") * 60 + minute.parse::<u16>().expect("a minute")
        };
        Window::new(spans.iter().map(|(from, to)| Span::new(minute(from), minute(to)).expect("a span")).collect())
    }

    /// What a person with a clock on the wall would say.
    fn open_by_the_clock(spans: &[(&str, &str)], shown: &str) -> bool {
        spans.iter().any(
            |(from, to)| {
                if from < to { *from <= shown && shown < *to } else { *from <= shown || shown < *to }
            },
        )
    }

    /// Places and days at which clocks do what they seldom do.
    const ODD_DAYS: &[(&str, (i16, i8, i8))] = &[
        ("Europe/Berlin", (2026, 3, 29)),
        ("Europe/Berlin", (2026, 10, 25)),
        ("America/New_York", (2026, 3, 8)),
        ("America/New_York", (2026, 11, 1)),
        // By half an hour.
        ("Australia/Lord_Howe", (2026, 4, 5)),
        ("Australia/Lord_Howe", (2026, 10, 4)),
        // At midnight, which then is not, or is at 23:00 again.
        ("America/Sao_Paulo", (2018, 11, 4)),
        ("America/Sao_Paulo", (2018, 2, 18)),
        ("Asia/Beirut", (2026, 3, 29)),
        // An hour after midnight, to midnight.
        ("America/Havana", (2026, 11, 1)),
        // A minute after midnight, into the day before.
        ("America/St_Johns", (2010, 11, 7)),
        // 30 December 2011 was not.
        ("Pacific/Apia", (2011, 12, 31)),
        ("Asia/Kathmandu", (2026, 6, 1)),
        ("Etc/UTC", (2026, 6, 1)),
    ];

    const WINDOWS: &[&[(&str, &str)]] = &[
        &[("22:00", "06:00")],
        &[("02:30", "04:00")],
        &[("02:10", "02:20")],
        &[("01:30", "02:00"), ("23:30", "24:00")],
        &[("00:00", "00:30"), ("12:00", "13:30")],
        &[("00:00", "24:00")],
        &[("06:00", "18:00"), ("18:00", "06:00")],
        &[("23:59", "00:01")],
    ];

    /// The minutes of nine days around noon of an odd one.
    fn minutes_around(tz: &TimeZone, (year, month, day): (i16, i8, i8)) -> Vec<WallTime> {
        let noon = tz.to_ambiguous_timestamp(date(year, month, day).at(12, 0, 0, 0)).compatible().expect("a time");
        let start = noon.as_microsecond().unsigned_abs() - 3 * 1_440 * MINUTE;
        (0..9 * 1_440).map(|minute| WallTime::from_micros(start + minute * MINUTE)).collect()
    }

    #[test]
    fn hours_begin_and_end_as_a_clock_on_the_wall_says_on_days_of_every_kind() {
        for (place, day) in ODD_DAYS {
            let tz = zone(place);
            let at = minutes_around(&tz, *day);
            let show = |at: &WallTime| {
                let time = jiff::Timestamp::from_microsecond(at.as_micros().cast_signed()).expect("a time");
                tz.to_datetime(time).time().strftime("%H:%M").to_string()
            };
            let shown: Vec<String> = at.iter().map(show).collect();
            let zone = Zone::of(tz.clone());
            for spans in WINDOWS {
                let window = window(spans);
                let open: Vec<bool> = shown.iter().map(|shown| open_by_the_clock(spans, shown)).collect();
                let mut change = None;
                for here in (0..at.len() - 1).rev() {
                    if open[here + 1] != open[here] {
                        change = Some(at[here + 1]);
                    }
                    // At the end of the nine days it is not known here what comes.
                    if here < 4 * 1_440 && here % 5 == 0 {
                        let place = format!("{place} {spans:?} {}", shown[here]);
                        assert_eq!(is_open(&window, at[here], &zone), open[here], "{place}");
                        assert_eq!(next_change(&window, at[here], &zone), change, "{place}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_day_ends_when_the_clock_shows_a_later_date() {
        for (place, day) in ODD_DAYS {
            let tz = zone(place);
            let at = minutes_around(&tz, *day);
            let zone = Zone::of(tz);
            let days: Vec<Day> = at.iter().map(|at| zone.local(*at).day).collect();
            for here in (0..5 * 1_440).step_by(7) {
                let later = (here..at.len()).find(|minute| days[*minute] > days[here]).expect("a later day");
                assert_eq!(end_of(days[here], at[here], &zone), Some(at[later]), "{place}");
            }
        }
    }
}
