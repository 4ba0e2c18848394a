//! How fuzz targets are fed, in tests only. A target is a function that takes any bytes and panics where something that must
//! hold does not. It must not know who feeds it: an ordinary test run feeds the samples in `tests/corpora` and variations of
//! them, the same ones each time; `tests/fuzz.sh` a fuzzer that watches which branches its inputs take (docs/fuzzing.md).

#[cfg(not(fuzzing))]
mod feed;
#[cfg(not(fuzzing))]
pub(crate) use feed::feed;

/// Feeds a target; `corpus` names its folder below `tests/corpora`.
macro_rules! fuzz {
    ($corpus:literal, $target:expr) => {{
        #[cfg(fuzzing)]
        {
            let target = std::panic::AssertUnwindSafe($target);
            bolero::check!().for_each(move |input: &[u8]| {
                let target = &target;
                target.0(input)
            });
        }
        #[cfg(not(fuzzing))]
        crate::fuzz::feed($corpus, $target);
    }};
}
pub(crate) use fuzz;

/// Draws choices from bytes, so that a fuzzer which changes a byte changes a choice. When they are used up, it draws zeros.
#[derive(Debug, Clone)]
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether there is anything left to draw from.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `end`, at most 256.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// One of these.
    pub(crate) fn one<'b, T>(&mut self, of: &'b [T]) -> &'b T {
        &of[self.below(of.len())]
    }

    /// One in two.
    pub(crate) fn coin(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A number of any size; small ones and the very largest are likely.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=127 => small.into(),
            128..=135 => u64::MAX,
            136..=143 => i64::MAX.cast_unsigned(),
            size => self.bytes(1 + usize::from(size) % 8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        }
    }

    /// The next bytes, at most so many.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A text of at most 255 bytes; what is no UTF-8 becomes U+FFFD.
    pub(crate) fn text(&mut self) -> String {
        let length = self.byte();
        String::from_utf8_lossy(self.bytes(length.into())).into_owned()
    }
}
