//! `ferryctl simulate --plot`: how old data gets, as a picture (SVG 1.1). A panel a strategy, a curve a queue: the share of
//! tasks that were at the server so long after they were handed over, on a logarithmic axis.

use crate::model::StrategyName;
use crate::sim::{Figures, Spread};

const LEFT: f64 = 60.0;
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 140.0;
/// From one panel to the next.
const PITCH: f64 = 200.0;
/// Above the first panel.
const TOP: f64 = 60.0;

/// The axis begins at a tenth of a second, and ends at 30 days.
const FIRST: f64 = 0.1;
const LAST: f64 = 30.0 * 86_400.0;
const TICKS: [(&str, f64); 7] = [
    ("1 s", 1.0),
    ("10 s", 10.0),
    ("1 min", 60.0),
    ("10 min", 600.0),
    ("1 h", 3_600.0),
    ("1 d", 86_400.0),
    ("1 week", 604_800.0),
];

/// The curves of the queues: a full line, and broken ones.
const STROKES: [&str; 3] =
    ["stroke=\"#0a5\"", "stroke=\"#c30\" stroke-dasharray=\"6 4\"", "stroke=\"#36c\" stroke-dasharray=\"2 3\""];

/// The picture; `title` stands above it.
pub(in crate::ctl) fn svg(title: &str, queues: &[(&str, Figures)]) -> String {
    let names: Vec<&StrategyName> = queues.first().map(|(_, it)| it.strategies.keys().collect()).unwrap_or_default();
    let (width, height) = (LEFT + WIDTH + 30.0, TOP + PITCH * names.len() as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{title}</text>\n"
    );
    for (at, ((queue, _), stroke)) in queues.iter().zip(STROKES).enumerate() {
        let x = LEFT + 120.0 * at as f64;
        push(&mut svg, &format!("<path d=\"M{x} 36h30\" fill=\"none\" stroke-width=\"2\" {stroke}/>"));
        push(&mut svg, &format!("<text x=\"{}\" y=\"40\">{queue}</text>", x + 36.0));
    }
    for (at, name) in names.into_iter().enumerate() {
        panel(&mut svg, name, queues, TOP + PITCH * at as f64);
    }
    svg + "</svg>\n"
}

fn panel(svg: &mut String, name: &StrategyName, queues: &[(&str, Figures)], top: f64) {
    let bottom = top + HEIGHT;
    push(svg, &format!("<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{name}</text>", top - 6.0));
    push(
        svg,
        &format!(
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#999\"/>"
        ),
    );
    for (label, seconds) in TICKS {
        let x = across(seconds);
        push(svg, &format!("<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"#ddd\"/>"));
        let y = bottom + 16.0;
        push(svg, &format!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>"));
    }
    for (label, share) in [("100 %", 1.0), ("50 %", 0.5), ("0", 0.0)] {
        let (x, y) = (LEFT - 8.0, bottom - HEIGHT * share + 4.0);
        push(svg, &format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{label}</text>"));
    }
    for ((_, figures), stroke) in queues.iter().zip(STROKES) {
        if let Some(fate) = figures.strategies.get(name) {
            let points = curve(&fate.staleness, bottom);
            push(svg, &format!("<polyline points=\"{points}\" fill=\"none\" stroke-width=\"2\" {stroke}/>"));
        }
    }
}

/// A step wherever the share rises.
fn curve(staleness: &Spread, bottom: f64) -> String {
    let mut points = format!("{LEFT},{bottom}");
    let mut last = bottom;
    for (length, share) in staleness.shares() {
        let (x, y) = (across(length.as_secs_f64()), bottom - HEIGHT * share);
        points += &format!(" {x:.1},{last:.1} {x:.1},{y:.1}");
        last = y;
    }
    points + &format!(" {:.1},{last:.1}", LEFT + WIDTH)
}

fn across(seconds: f64) -> f64 {
    LEFT + WIDTH * (seconds.clamp(FIRST, LAST) / FIRST).ln() / (LAST / FIRST).ln()
}

fn push(svg: &mut String, element: &str) {
    *svg += element;
    svg.push('\n');
}
