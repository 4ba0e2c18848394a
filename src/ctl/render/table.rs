//! Columns that line up.

use super::clean;
use super::palette::{Ink, Palette};

/// One cell.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    ink: Ink,
    side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        Self { text: clean(text), ink: Ink::Plain, side: Side::Left }
    }

    pub(super) fn number(number: u64) -> Self {
        Self { text: number.to_string(), ink: Ink::Plain, side: Side::Right }
    }

    /// A text that lines up as numbers do.
    #[cfg(feature = "tools")]
    pub(super) fn figure(text: &str) -> Self {
        Self { side: Side::Right, ..Self::text(text) }
    }

    pub(super) fn ink(self, ink: Ink) -> Self {
        Self { ink, ..self }
    }

    fn padded(&self, width: usize, palette: Palette) -> String {
        let gap = " ".repeat(width.saturating_sub(self.text.chars().count()));
        let text = palette.paint(self.ink, &self.text);
        match self.side {
            Side::Left => text + &gap,
            Side::Right => gap + &text,
        }
    }
}

/// Heads and rows, two spaces between columns, none at the ends of lines.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[Cell; N]], palette: Palette) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(|column| width(column).max(heads[column].len()));
    let sides: [Side; N] = std::array::from_fn(|column| rows.first().map_or(Side::Left, |row| row[column].side));
    let heads: [Cell; N] =
        std::array::from_fn(|column| Cell { text: heads[column].to_owned(), ink: Ink::Head, side: sides[column] });
    let line = |cells: &[Cell; N]| {
        let last = cells.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
        let padded = |(column, cell): (usize, &Cell)| match column + 1 == last && cell.side == Side::Left {
            true => cell.padded(0, palette),
            false => cell.padded(widths[column], palette),
        };
        cells.iter().take(last).enumerate().map(padded).collect::<Vec<_>>().join("  ") + "\n"
    };
    std::iter::once(&heads).chain(rows).map(line).collect()
}
