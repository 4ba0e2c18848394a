//! Things measured in turns, so that what disturbs one disturbs the others.

use crate::Failed;

/// One measurement of a thing.
pub(crate) type Measure<'a> = &'a mut dyn FnMut() -> Result<f64, Failed>;

/// What things measured in turns came to: for each, one entry a round.
pub(crate) struct Turns(Vec<Vec<f64>>);

impl Turns {
    /// Two things, as by [`Turns::take_all`].
    pub(crate) fn take(
        rounds: usize,
        mut a: impl FnMut() -> Result<f64, Failed>,
        mut b: impl FnMut() -> Result<f64, Failed>,
    ) -> Result<Self, Failed> {
        Self::take_all(rounds, &mut [&mut a, &mut b])
    }

    /// Measures each once to warm up, then `rounds` times in turns, each first in its turn.
    pub(crate) fn take_all(rounds: usize, things: &mut [Measure<'_>]) -> Result<Self, Failed> {
        for measure in things.iter_mut() {
            measure()?;
        }
        let mut turns = vec![Vec::with_capacity(rounds); things.len()];
        for round in 0..rounds {
            for turn in 0..things.len() {
                let thing = (round + turn) % things.len();
                turns[thing].push(things[thing]()?);
            }
        }
        Ok(Self(turns))
    }

    /// The median of the first.
    pub(crate) fn a(&self) -> f64 {
        self.of(0)
    }

    /// The median of the second.
    pub(crate) fn b(&self) -> f64 {
        self.of(1)
    }

    /// The median of the rounds' ratios, first to second.
    pub(crate) fn ratio(&self) -> f64 {
        self.ratio_to(1)
    }

    /// The median of one, counted from 0.
    pub(crate) fn of(&self, thing: usize) -> f64 {
        median(&self.0[thing])
    }

    /// The median of the rounds' ratios, the first to another.
    pub(crate) fn ratio_to(&self, other: usize) -> f64 {
        let ratios: Vec<f64> = self.0[0].iter().zip(&self.0[other]).map(|(a, b)| a / b).collect();
        median(&ratios)
    }
}

/// The middle one; not a number if there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
