//! Two things measured in turns, so that what disturbs one disturbs the other.

use crate::Failed;

/// What two things measured in turns came to; one entry a round.
pub(crate) struct Turns {
    a: Vec<f64>,
    b: Vec<f64>,
}

impl Turns {
    /// Measures `a` and `b` once to warm up, then `rounds` times in turns, each first in every other round.
    pub(crate) fn take(
        rounds: usize,
        mut a: impl FnMut() -> Result<f64, Failed>,
        mut b: impl FnMut() -> Result<f64, Failed>,
    ) -> Result<Self, Failed> {
        a()?;
        b()?;
        let mut turns = Self { a: Vec::with_capacity(rounds), b: Vec::with_capacity(rounds) };
        for round in 0..rounds {
            if round % 2 == 0 {
                turns.a.push(a()?);
                turns.b.push(b()?);
            } else {
                turns.b.push(b()?);
                turns.a.push(a()?);
            }
        }
        Ok(turns)
    }

    /// The median of the first.
    pub(crate) fn a(&self) -> f64 {
        median(&self.a)
    }

    /// The median of the second.
    pub(crate) fn b(&self) -> f64 {
        median(&self.b)
    }

    /// The median of the rounds' ratios, first to second.
    pub(crate) fn ratio(&self) -> f64 {
        let ratios: Vec<f64> = self.a.iter().zip(&self.b).map(|(a, b)| a / b).collect();
        median(&ratios)
    }
}

/// The middle one; not a number if there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
