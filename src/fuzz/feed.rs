//! The samples of a corpus and seeded variations of them: what a test run feeds.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor's time that one input may take: far more than any needs, and less than a loop that does not end.
const PATIENCE: Duration = Duration::from_secs(5);

/// No variation is longer.
const LONGEST: usize = 64 * 1024;

/// How many variations of each sample: 20, or what `FERRYD_TEST_VARIATIONS` says.
fn variations() -> u32 {
    std::env::var("FERRYD_TEST_VARIATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(20)
}

/// Feeds each sample of the corpus and variations of it; says which input the target does not bear.
pub(crate) fn feed(corpus: &str, target: impl Fn(&[u8])) {
    let samples = samples(corpus);
    assert!(!samples.is_empty(), "tests/corpora/{corpus} holds no sample");
    let mut rng = fastrand::Rng::with_seed(7);
    let (mut fed, mut slowest) = (0u32, Duration::ZERO);
    let mut try_one = |input: &[u8]| {
        let before = used();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
            eprintln!("{corpus}: to repeat it, put this into a file in tests/corpora/{corpus}:");
            eprintln!("printf '{}'", shell(input));
            resume_unwind(panic);
        }
        let took = used().saturating_sub(before);
        assert!(took < PATIENCE, "{corpus}: {took:?} for printf '{}'", shell(input));
        slowest = slowest.max(took);
        fed += 1;
    };
    try_one(&[]);
    for sample in &samples {
        try_one(sample);
    }
    for sample in &samples {
        for _ in 0..variations() {
            try_one(&vary(sample, &samples, &mut rng));
        }
    }
    println!("{corpus}: {fed} inputs, the slowest took {slowest:?}");
}

/// In the order of their names.
fn samples(corpus: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora").join(corpus);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a sample")).collect()
}

/// A few changes to a sample, of the kinds that fuzzers make.
fn vary(sample: &[u8], others: &[Vec<u8>], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = sample.to_vec();
    for _ in 0..rng.usize(1..5) {
        change(&mut input, others, rng);
    }
    input.truncate(LONGEST);
    input
}

fn change(input: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut fastrand::Rng) {
    let at = rng.usize(0..=input.len());
    let end = (at + (1 << rng.u32(0..7))).min(input.len());
    match rng.u32(0..9) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..end)),
        2 => drop(input.splice(at..at, (0..rng.usize(1..9)).map(|_| rng.u8(..)).collect::<Vec<u8>>())),
        3 => {
            let copy = input[at..end].to_vec();
            drop(input.splice(at..at, copy));
        }
        4 => {
            // The rest of another sample.
            let other = &others[rng.usize(0..others.len())];
            input.truncate(at);
            input.extend_from_slice(&other[rng.usize(0..=other.len())..]);
        }
        _ if at == input.len() => input.push(rng.u8(..)),
        5 => input[at] ^= 1 << rng.u32(0..8),
        6 => input[at] = input[at].wrapping_add(rng.u8(..).wrapping_sub(128) / 16),
        7 => input[at] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'9', b'-'][rng.usize(0..8)],
        _ => input[at] = rng.u8(..),
    }
}

/// What this thread has had of a processor.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or_default(), time.tv_nsec.try_into().unwrap_or_default())
}

/// As printf(1) takes it.
fn shell(input: &[u8]) -> String {
    input.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All sources below a folder, one after the other.
    fn sources(folder: &Path) -> String {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries
            .map(|path| if path.is_dir() { sources(&path) } else { fs::read_to_string(path).unwrap_or_default() })
            .collect()
    }

    #[test]
    fn every_corpus_has_a_target_and_a_line_in_the_docs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (code, page) =
            (sources(&root.join("src")), fs::read_to_string(root.join("docs/fuzzing.md")).expect("a page"));
        let corpora = fs::read_dir(root.join("tests/corpora")).expect("a folder").map(|entry| entry.expect("an entry"));
        let names: Vec<String> = corpora.map(|entry| entry.file_name().into_string().expect("text")).collect();
        for name in &names {
            assert_eq!(code.matches(&format!("fuzz!(\"{name}\"")).count(), 1, "one test feeds {name}");
            assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/fuzzing.md");
        }
        // What stands in this file is escaped.
        assert_eq!(code.matches("fuzz!(\"").count(), names.len(), "each target has a corpus");
    }

    #[test]
    fn what_a_target_does_not_bear_fails_the_test() {
        let found = catch_unwind(|| feed("units", |input| assert!(!input.contains(&b'h'), "an h")));
        assert!(found.is_err());
        feed("units", |input| assert!(input.len() <= LONGEST));
    }
}
