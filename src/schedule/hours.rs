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
    let mut times: Vec<WallTime> =
        times.chain(zone.changes(now, now + ahead)).filter(|at| *at > now).collect();
    times.sort_unstable();
    times.into_iter().find(|at| counts(*at))
}
