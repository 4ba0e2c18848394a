//! `ferryctl bend` for people.

use super::clean;
use crate::ctl::views::{BendView, BentView};

pub(super) fn text(view: &BendView) -> String {
    match view {
        BendView::Listening { address, to, seed, now } => {
            format!(
                "listening on {address}, passing on to {to}; {}, seed {seed}\nbegins: {}\n",
                now.scenario,
                link(now)
            )
        }
        BendView::Changed { now } => format!("changed: {}\n", link(now)),
        BendView::Followed { order, connections, now } => {
            let connections =
                if *connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
            format!("{}: {}; {connections}\n", clean(order), link(now))
        }
        BendView::Refused { order, error } => format!("{}: {}\n", clean(order), clean(error)),
    }
}

/// `cellular (guess-yes), 400 to 600 ms, 0.4 Mbit/s up, 0.4 down, 90 % come through`.
fn link(view: &BentView) -> String {
    let next = next(view.next);
    match (view.cut, view.up) {
        (true, _) => format!("no link, cut{next}"),
        (false, false) => format!("no link{next}"),
        (false, true) => format!(
            "{}{}, metered {}, {} ms, {} Mbit/s up, {} down, {:.0} % come through{next}",
            view.link,
            if view.portal { " behind a portal" } else { "" },
            view.metered,
            delay(view),
            megabits(view.up_rate),
            megabits(view.down_rate),
            view.reliability * 100.0,
        ),
    }
}

fn delay(view: &BentView) -> String {
    let BentView { round_trip, jitter, .. } = view;
    if *jitter == 0 { round_trip.to_string() } else { format!("{round_trip} to {}", round_trip + jitter) }
}

fn megabits(rate: u64) -> f64 {
    rate as f64 * 8.0 / 1_000_000.0
}

/// When the scenario goes on: nothing for the changes of those that have none but a day's.
fn next(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1_000);
    match seconds {
        0..120 => format!("; next change in {seconds} s"),
        120..14_400 => format!("; next change in {} min", seconds / 60),
        _ => String::new(),
    }
}
