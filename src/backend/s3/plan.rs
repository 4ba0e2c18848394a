//! Which parts a file goes up in, and which of them the store has.

/// The most parts that an upload may have (S3).
const MOST_PARTS: u64 = 10_000;

/// What part sizes are rounded up to.
const ROUND: u64 = 1 << 20;

/// The parts of a file: all of one size, but for the last, which is what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    size: u64,
    part: u64,
}

/// A part of a file, the first of which has the number 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) number: u32,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// What is known of a part that the store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// What the store calls its content, as it was said, quotes included.
    pub(super) etag: String,
    /// The store's own word of its SHA-256; `None`: it said none.
    pub(super) sha256: Option<[u8; 32]>,
    /// Whether the store took it against our own digest.
    pub(super) is_vouched: bool,
}

/// A row of the store's list of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) number: u32,
    pub(super) size: u64,
    /// Empty if it says none.
    pub(super) etag: String,
    pub(super) sha256: Option<[u8; 32]>,
}

impl Plan {
    /// The parts of a file of so many bytes, in parts of at least so many; larger where there would be too many.
    pub(super) fn new(size: u64, part: u64) -> Self {
        let least = size.div_ceil(MOST_PARTS).next_multiple_of(ROUND);
        let part = part.max(1);
        Self { size, part: if size.div_ceil(part) > MOST_PARTS { least } else { part } }
    }

    /// The plan that an upload was begun with, if it fits a file of so many bytes.
    pub(super) fn begun(size: u64, part: u64) -> Option<Self> {
        let plan = Self { size, part };
        (part > 0 && size > 0 && size.div_ceil(part) <= MOST_PARTS).then_some(plan)
    }

    /// Whether the file goes up in one request.
    pub(super) const fn is_whole(&self) -> bool {
        self.size <= self.part
    }

    /// Bytes of each part but the last.
    pub(super) const fn part(&self) -> u64 {
        self.part
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.size.div_ceil(self.part)).unwrap_or(u32::MAX)
    }

    /// All parts in order.
    pub(super) fn spans(self) -> impl Iterator<Item = Span> {
        (1..=self.count()).map(move |number| {
            let offset = u64::from(number - 1) * self.part;
            Span { number, offset, size: self.part.min(self.size - offset) }
        })
    }
}

/// Which parts the store has, in the order of their numbers. `noted`: what it called the first ones when it took them;
/// `listed`: its own list, if it gives one. A part of another size than planned is no part of ours, and one without a name
/// cannot be used. That it took a part it has said itself, so it need not be on a list that stores are known to get wrong.
pub(super) fn standing(plan: Plan, noted: &[String], listed: Option<&[Row]>) -> Vec<Option<Part>> {
    let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
    let took = |span: Span| noted.get(place(span.number)).filter(|etag| !etag.is_empty());
    let mut parts: Vec<Option<Part>> = plan
        .spans()
        .map(|span| took(span).map(|etag| Part { etag: etag.clone(), sha256: None, is_vouched: true }))
        .collect();
    let sizes: Vec<u64> = plan.spans().map(|span| span.size).collect();
    for row in listed.unwrap_or_default() {
        let at = place(row.number);
        let (Some(part), Some(size)) = (parts.get_mut(at), sizes.get(at)) else { continue };
        match part {
            _ if row.size != *size => *part = None,
            Some(known) if row.etag.is_empty() || row.etag == known.etag => known.sha256 = row.sha256,
            _ if row.etag.is_empty() => {}
            _ => *part = Some(Part { etag: row.etag.clone(), sha256: row.sha256, is_vouched: false }),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn parts_cover_the_file_and_are_never_too_many() {
        let mut random = fastrand::Rng::with_seed(3);
        let sizes = [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10_000 * 5 * MIB, 10_000 * 5 * MIB + 1, 5 << 40];
        for size in sizes.into_iter().chain((0..500).map(|_| random.u64(0..1 << 43))) {
            let plan = Plan::new(size, 5 * MIB);
            assert!(plan.count() <= 10_000, "{size}");
            assert!(plan.part() >= 5 * MIB);
            let (mut end, mut numbers) = (0, 0);
            for span in plan.spans() {
                assert_eq!((span.offset, span.number), (end, numbers + 1), "{size}");
                assert!(span.size > 0 && (span.size == plan.part() || span.offset + span.size == size));
                (end, numbers) = (span.offset + span.size, span.number);
            }
            assert_eq!((end, numbers), (size, plan.count()));
            assert_eq!(plan.is_whole(), plan.count() <= 1);
        }
    }

    #[test]
    fn a_plan_that_was_kept_fits_the_file_or_is_none() {
        assert_eq!(Plan::begun(10 * MIB, 5 * MIB), Some(Plan::new(10 * MIB, 5 * MIB)));
        for (size, part) in [(10, 0), (0, 10), (10_001, 1)] {
            assert_eq!(Plan::begun(size, part), None);
        }
    }

    fn row(number: u32, size: u64, etag: &str) -> Row {
        Row { number, size, etag: etag.to_owned(), sha256: None }
    }

    #[test]
    fn what_the_store_has_is_what_it_took_or_lists_as_planned() {
        let plan = Plan::new(25, 10);
        let noted = ["a".to_owned(), String::new()];
        let etags = |listed: Option<&[Row]>| -> Vec<Option<String>> {
            standing(plan, &noted, listed).into_iter().map(|part| part.map(|part| part.etag)).collect()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(etags(None), [some("a"), None, None]);
        assert_eq!(etags(Some(&[])), [some("a"), None, None], "a store that lists nothing has said that it took it");
        let all = [row(3, 5, "c"), row(1, 10, "a"), row(2, 10, "b")];
        assert_eq!(etags(Some(&all)), [some("a"), some("b"), some("c")]);
        let odd = [row(0, 10, "x"), row(1, 9, "a"), row(2, 10, ""), row(3, 10, "c"), row(4, 10, "d"), row(9, 1, "e")];
        assert_eq!(etags(Some(&odd)), [None, None, None]);
        assert_eq!(etags(Some(&[row(1, 10, "z")])), [some("z"), None, None], "it came again by another attempt");
        assert_eq!(etags(Some(&[row(1, 10, "")])), [some("a"), None, None]);
        let vouched = |etag: &str| standing(plan, &noted, Some(&[row(1, 10, etag)]))[0].clone().unwrap().is_vouched;
        assert!(vouched("a") && !vouched("z"));
    }
}
