//! The one table that a run ends with.
#![expect(clippy::print_stdout, reason = "the table is what the program is for")]

/// One line of the table.
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// What it came to.
    pub(crate) measured: String,
    /// What the limit came to in the same run, or the number it is held against.
    pub(crate) limit: String,
    /// The one divided by the other, as `budget` wants it.
    pub(crate) ratio: f64,
    /// What the ratio must be.
    pub(crate) budget: Budget,
}

/// What a ratio must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Budget {
    /// As good as the limit, or nearly.
    AtLeast(f64),
    /// Better than the limit.
    MoreThan(f64),
    /// A cost, which may not grow beyond this.
    AtMost(f64),
    /// Shown for comparison.
    None,
}

impl Figure {
    /// Whether the budget is kept.
    pub(crate) fn holds(&self) -> bool {
        match self.budget {
            Budget::AtLeast(floor) => self.ratio >= floor,
            Budget::MoreThan(floor) => self.ratio > floor,
            Budget::AtMost(ceiling) => self.ratio <= ceiling,
            Budget::None => true,
        }
    }

    fn cells(&self) -> [String; 6] {
        let budget = match self.budget {
            Budget::AtLeast(floor) => format!("≥ {floor}"),
            Budget::MoreThan(floor) => format!("> {floor}"),
            Budget::AtMost(ceiling) => format!("≤ {ceiling}"),
            Budget::None => String::new(),
        };
        let verdict = match (self.budget, self.holds()) {
            (Budget::None, _) => "",
            (_, true) => "holds",
            (_, false) => "MISSES",
        };
        let ratio = format!("{:.3}", self.ratio);
        [self.what.clone(), self.measured.clone(), self.limit.clone(), ratio, budget, verdict.to_owned()]
    }
}

/// Prints the table.
pub(crate) fn print(figures: &[Figure]) {
    let heads = ["", "measured", "limit", "ratio", "budget", ""].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(heads).chain(figures.iter().map(Figure::cells)).collect();
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for [what, measured, limit, ratio, budget, verdict] in &rows {
        let [a, b, c, d, e, _] = widths;
        println!("{what:<a$}  {measured:>b$}  {limit:>c$}  {ratio:>d$}  {budget:<e$}  {verdict}");
    }
}

/// So many a second, as text.
pub(crate) fn rate(per_second: f64) -> String {
    format!("{per_second:.0}/s")
}

/// Seconds as milliseconds, as text.
pub(crate) fn millis(seconds: f64) -> String {
    format!("{:.2} ms", seconds * 1e3)
}

/// Bytes as MiB, as text.
pub(crate) fn mebibytes(bytes: f64) -> String {
    format!("{:.2} MiB", bytes / f64::from(1 << 20))
}
