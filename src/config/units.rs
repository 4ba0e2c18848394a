//! Durations and sizes as people write them.

use std::time::Duration;

const DURATION_UNITS: &[(&[&str], u64)] = &[
    (&["ms", "millisecond", "milliseconds"], 1),
    (&["s", "sec", "second", "seconds"], 1_000),
    (&["min", "m", "minute", "minutes"], 60_000),
    (&["h", "hour", "hours"], 3_600_000),
    (&["d", "day", "days"], 86_400_000),
    (&["w", "week", "weeks"], 604_800_000),
];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
];

/// Reads whole numbers with units that add up: `30 s`, `15min`, `1 h 30 min`, `7 days`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as \"30 s\", \"15 min\", \"2 h\" or \"7 days\"");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or_else(wrong)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, factor) = DURATION_UNITS.iter().find(|(names, _)| names.contains(&unit)).ok_or_else(wrong)?;
        millis = number.checked_mul(*factor).and_then(|part| millis.checked_add(part)).ok_or_else(wrong)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(millis))
}

/// Reads bytes: a whole number and a unit, `64 KiB`, `1MiB`, `500 B`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size such as 65536 or \"64 KiB\"");
    let (number, unit) = split_number(text.trim()).ok_or_else(wrong)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(*factor).ok_or_else(wrong)
}

/// Reads bytes a second: a size and `/s`, `256 KiB/s`.
pub(super) fn parse_rate(text: &str) -> Result<u64, String> {
    let size = text.trim().strip_suffix("/s").and_then(|size| parse_size(size).ok());
    size.ok_or_else(|| format!("{text:?} is no rate such as \"256 KiB/s\""))
}

/// A duration in its largest whole unit, as [`parse_duration`] reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let units = [("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
    match units.iter().find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{} {unit}", millis / factor),
        None => "0 s".to_owned(),
    }
}

/// A size in its largest whole unit, as [`parse_size`] reads it.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{} {unit}", bytes / factor),
        None => format!("{bytes} B"),
    }
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;

    #[test]
    fn durations_read_as_people_write_them() {
        let table = [
            ("0 s", 0),
            ("100ms", 100),
            ("30s", 30_000),
            ("15 min", 900_000),
            ("1 h 30 min", 5_400_000),
            ("1h30m", 5_400_000),
            ("7 days", 604_800_000),
            (" 1 day ", 86_400_000),
        ];
        for (text, millis) in table {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "5", "s", "5 parsecs", "-1 s", "1.5 h", "1 h 30", "99999999999999999999 s", "9999999999999999 weeks"]
        {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_read_and_rubbish_does_not() {
        for (text, bytes) in [("64 KiB", 65_536), ("8MiB", 8_388_608), ("500 B", 500), ("2 kB", 2000)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text:?}");
        }
        for text in ["", "64", "64 kib", "KiB", "1.5 MiB", "-1 B", "99999999999 TiB"] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn rates_are_sizes_a_second() {
        for (text, bytes) in [("256 KiB/s", 262_144), ("1MB/s", 1_000_000), (" 8 KiB /s", 8_192)] {
            assert_eq!(parse_rate(text), Ok(bytes), "{text:?}");
        }
        for text in ["", "/s", "64", "64 KiB", "2 Mbit/s", "1 KiB/min"] {
            assert!(parse_rate(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for millis in [0, 1, 1_500, 60_000, 5_400_000, 86_400_000 * 3] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
        for bytes in [1, 1000, 1024, 65_536, 3 << 20] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn any_text_is_refused_or_is_what_is_shown_of_it() {
        fuzz!("units", |input: &[u8]| {
            let text = String::from_utf8_lossy(input);
            if let Ok(duration) = parse_duration(&text) {
                assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            }
            if let Ok(bytes) = parse_size(&text) {
                assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
            }
            drop(parse_rate(&text));
        });
    }
}
