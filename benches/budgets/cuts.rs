//! Row 7: a link of 5 Mbit/s that goes away in mid-upload and comes back, in several ways: how long after that the server
//! has more of the file than before, and how many bytes it was sent that it had.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::line::Line;
use crate::netns::Pair;
use crate::report::{Budget, Figure, millis};
use crate::upload::{MEBIBYTE, write};
use crate::{Effort, Failed, rounds};

/// How long the link is away, in seconds.
const SHORT: [u64; 3] = [1, 3, 8];
const LONG: u64 = 60;
/// What the server has when the link goes: some of the file, and more is on its way.
const AMID: u64 = 300_000;
/// What the budget allows beside four round trips, in seconds.
const ALLOWED: f64 = 0.15;
/// A device whose admin did what `docs/network.md` advises.
const ADVISED: &str = "net/ipv4/conf/uplink/ignore_routes_with_linkdown";

/// How a link goes away and comes back.
struct Way {
    name: &'static str,
    /// Whether it must be quick.
    budget: Budget,
    before: fn(&Pair),
    cut: fn(&Pair),
    /// The number of the cut goes with it.
    mend: fn(&Pair, usize),
}

const WAYS: [Way; 5] = [
    Way {
        name: "interface down, address kept",
        budget: Budget::AtMost(1.0),
        before: |_| {},
        cut: |pair| pair.device.ip("link set uplink down"),
        mend: |pair, _| pair.device.ip("link set uplink up"),
    },
    Way {
        name: "another address",
        budget: Budget::AtMost(1.0),
        before: |_| {},
        cut: |pair| pair.device.ip("address flush dev uplink"),
        mend: |pair, cut| pair.device.ip(&format!("address add 10.77.0.{}/24 dev uplink", 3 + cut)),
    },
    Way {
        name: "carrier, its routes going too",
        budget: Budget::AtMost(1.0),
        before: |pair| pair.device.sysctl(ADVISED, "1"),
        cut: Pair::unplug,
        mend: |pair, _| pair.plug(),
    },
    // The kernel asks for the next hop but once a second, and nobody can hurry it.
    Way {
        name: "carrier, its routes staying",
        budget: Budget::None,
        before: |_| {},
        cut: Pair::unplug,
        mend: |pair, _| pair.plug(),
    },
    // No news come of this one: TCP finds out by itself.
    Way {
        name: "a silent hole",
        budget: Budget::None,
        before: |pair| pair.server.sysctl("net/ipv4/conf/all/rp_filter", "1"),
        cut: |pair| pair.server.ip(&format!("route add blackhole {}/32", Pair::DEVICE)),
        mend: |pair, _| pair.server.ip(&format!("route delete blackhole {}/32", Pair::DEVICE)),
    },
];

/// What the cuts of one way came to.
struct Spans {
    /// From the link's return to more bytes at the server, in seconds; with each the length of its cut.
    flows: Vec<(u64, f64)>,
    /// A round trip, in seconds.
    round_trip: f64,
    /// Bytes that the server was sent and had.
    again: u64,
}

/// Measures the row: all ways at once, each on a link of its own.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let cuts: Vec<u64> = match effort {
        Effort::Full => SHORT.into_iter().cycle().take(3 * SHORT.len()).chain([LONG]).collect(),
        Effort::Quick => vec![SHORT[0]],
    };
    let cuts = cuts.as_slice();
    let spans: Vec<Result<Spans, String>> = thread::scope(|scope| {
        let play = |way: &'static Way| scope.spawn(move || way.play(cuts).map_err(|error| error.to_string()));
        let ways: Vec<_> = WAYS.iter().map(play).collect();
        ways.into_iter().map(|way| way.join().unwrap_or_else(|_| Err("a cut failed".to_owned()))).collect()
    });
    let (mut figures, mut again) = (Vec::new(), 0);
    for (way, spans) in WAYS.iter().zip(spans) {
        let spans = spans?;
        again += spans.again;
        figures.push(way.figure(&spans));
    }
    figures.push(Figure {
        what: "bytes sent after all these cuts that the server had".to_owned(),
        measured: again.to_string(),
        limit: "0".to_owned(),
        ratio: again as f64,
        budget: Budget::AtMost(0.0),
    });
    Ok(figures)
}

impl Way {
    fn play(&self, cuts: &[u64]) -> Result<Spans, Failed> {
        let line = Line::new(self.before)?;
        let file = line.folder().join("file");
        write(&file, MEBIBYTE)?;
        let (mut flows, mut round_trips) = (Vec::new(), Vec::new());
        for (number, &seconds) in cuts.iter().enumerate() {
            round_trips.push(line.round_trip()?);
            line.put(&file)?;
            line.until_beyond(AMID)?;
            (self.cut)(&line.pair);
            // The length of the cut is what is measured.
            thread::sleep(Duration::from_secs(seconds));
            let (had, began) = (line.offset(), Instant::now());
            (self.mend)(&line.pair, number);
            line.until_beyond(had)?;
            flows.push((seconds, began.elapsed().as_secs_f64()));
            line.until_finished()?;
        }
        let again = line.server.uploads().iter().map(|upload| upload.again).sum();
        line.stop()?;
        Ok(Spans { flows, round_trip: rounds::median(&round_trips), again })
    }

    /// Of each length of cuts the median counts, and of these the slowest.
    fn figure(&self, spans: &Spans) -> Figure {
        let lengths: BTreeSet<u64> = spans.flows.iter().map(|(cut, _)| *cut).collect();
        let of = |length: &u64| -> Vec<f64> {
            spans.flows.iter().filter(|(cut, _)| cut == length).map(|(_, flow)| *flow).collect()
        };
        let medians = lengths.iter().map(|length| (*length, rounds::median(&of(length))));
        let (cut, slowest) = medians.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
        let outlier = spans.flows.iter().map(|(_, flow)| *flow).fold(0.0, f64::max);
        let allowed = ALLOWED + 4.0 * spans.round_trip;
        let (count, outlier) = (spans.flows.len(), millis(outlier));
        Figure {
            what: format!("bytes flow after a cut of {cut} s by {} (of {count} cuts at most {outlier})", self.name),
            measured: millis(slowest),
            limit: millis(allowed),
            ratio: slowest / allowed,
            budget: self.budget,
        }
    }
}
