//! Payloads, checked before they are stored: JSON (RFC 8259), not too large, not too deep. No tree is built.

use serde::de::IgnoredAny;

use super::error::Refusal;
use crate::model::Limits;

/// The parser's own bound, so that its stack is never at stake whatever the configuration says.
const PARSER_DEPTH: usize = 127;

/// Whether `payload` may be stored; `name` is what it is called in the message (`payload`, `payloads[3]`).
pub(super) fn check(name: &str, payload: &str, limits: &Limits) -> Result<(), Refusal> {
    if payload.len() > limits.payload {
        return Err(Refusal::payload_too_large(format!(
            "{name}: {} bytes, at most {} are taken",
            payload.len(),
            limits.payload
        )));
    }
    let deepest = limits.payload_depth.min(PARSER_DEPTH);
    if let Some(place) = too_deep(payload, deepest) {
        return Err(Refusal::invalid(format!("{name}: nested deeper than {deepest} at byte {place}")));
    }
    match serde_json::from_str::<IgnoredAny>(payload) {
        Ok(IgnoredAny) => Ok(()),
        Err(error) => Err(Refusal::invalid(format!("{name}: not JSON: {error}"))),
    }
}

/// Whether a whole batch may be stored.
pub(super) fn check_batch(payloads: &[&str], limits: &Limits) -> Result<(), Refusal> {
    if payloads.len() > limits.batch_items {
        return Err(Refusal::limit_exceeded(format!(
            "payloads: {} items, at most {} are taken",
            payloads.len(),
            limits.batch_items
        )));
    }
    let bytes: usize = payloads.iter().map(|payload| payload.len()).sum();
    if bytes > limits.batch_bytes {
        return Err(Refusal::payload_too_large(format!(
            "payloads: {bytes} bytes, at most {} are taken",
            limits.batch_bytes
        )));
    }
    payloads.iter().enumerate().try_for_each(|(index, payload)| check(&format!("payloads[{index}]"), payload, limits))
}

/// The byte at which brackets outside strings nest deeper than `deepest`. On text that is no JSON the answer may be
/// wrong, but then the parser says so.
fn too_deep(text: &str, deepest: usize) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > deepest {
                    return Some(place);
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fuzz::fuzz;
    use crate::model::Quotas;

    fn limits() -> Limits {
        Limits {
            max_concurrent: 3,
            backoff_cap: Duration::from_secs(900),
            payload: 64,
            payload_depth: 3,
            batch_items: 4,
            batch_bytes: 100,
            hold_time: Duration::from_secs(900),
            quotas: Quotas { tasks: 10, bytes: 1000, subscribers: 16, holds: 4 },
        }
    }

    fn refused(payload: &str) -> String {
        check("payload", payload, &limits()).expect_err(payload).message
    }

    #[test]
    fn json_of_every_kind_is_taken() {
        for good in ["null", "1e999", "\"\\u00e4\"", "{\"a\":1,\"a\":2}", " [1, {\"b\": [true]}] ", "\"[[[[[[\"", "-0"]
        {
            assert_eq!(check("payload", good, &limits()), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        assert_eq!(refused(""), "payload: not JSON: EOF while parsing a value at line 1 column 0");
        assert_eq!(refused("{\"a\":\n  nope}"), "payload: not JSON: expected ident at line 2 column 4");
        assert_eq!(refused("1 2"), "payload: not JSON: trailing characters at line 1 column 3");
        for bad in ["{", "[1,]", "{a:1}", "'a'", "NaN", "01", "\"\\x\"", "\"a\nb\"", "[\"]", "\u{feff}1"] {
            assert!(refused(bad).starts_with("payload: not JSON: "), "{bad}");
        }
    }

    #[test]
    fn depth_is_bounded_and_brackets_in_strings_do_not_count() {
        assert_eq!(check("payload", "[[[]]]", &limits()), Ok(()));
        assert_eq!(check("payload", "[[[\"\\\"[\"]]]", &limits()), Ok(()));
        assert_eq!(refused("[[[[]]]]"), "payload: nested deeper than 3 at byte 3");
        let deep = Limits { payload: 1 << 20, payload_depth: 100_000, ..limits() };
        let text = "[".repeat(100_000);
        assert_eq!(
            check("payload", &text, &deep).expect_err("too deep").message,
            "payload: nested deeper than 127 at byte 127"
        );
        let deepest = format!("{}{}", "[".repeat(127), "]".repeat(127));
        assert_eq!(check("payload", &deepest, &deep), Ok(()));
    }

    #[test]
    fn size_is_bounded_for_one_and_for_all() {
        let largest = format!("\"{}\"", "a".repeat(62));
        assert_eq!(check("payload", &largest, &limits()), Ok(()));
        let refusal = check("payload", &format!("{largest} "), &limits()).expect_err("too large");
        assert_eq!(refusal, Refusal::payload_too_large("payload: 65 bytes, at most 64 are taken"));

        let refusal = check_batch(&[&largest, &largest], &limits()).expect_err("too large together");
        assert_eq!(refusal, Refusal::payload_too_large("payloads: 128 bytes, at most 100 are taken"));
        let refusal = check_batch(&["1"; 5], &limits()).expect_err("too many");
        assert_eq!(refusal, Refusal::limit_exceeded("payloads: 5 items, at most 4 are taken"));
        let refusal = check_batch(&["1", "2", "x"], &limits()).expect_err("one bad");
        assert_eq!(refusal.message, "payloads[2]: not JSON: expected value at line 1 column 1");
    }

    /// The first byte is the depth that is allowed.
    #[test]
    fn any_text_is_taken_if_it_is_json_of_that_size_and_depth() {
        fuzz!("payload", |input: &[u8]| {
            let Some((depth, text)) = input.split_first() else { return };
            let text = String::from_utf8_lossy(text);
            let limits = Limits { payload: 4096, payload_depth: usize::from(depth % 8), ..limits() };
            let taken = check("payload", &text, &limits);
            let Ok(tree) = serde_json::from_str::<serde_json::Value>(&text) else {
                // What is no tree for its numbers alone is taken all the same.
                assert!(taken.is_err() || text.contains(char::is_numeric));
                return;
            };
            assert_eq!(taken.is_ok(), text.len() <= 4096 && depth_of(&tree) <= limits.payload_depth, "{text}");
        });
    }

    fn depth_of(tree: &serde_json::Value) -> usize {
        use serde_json::Value::{Array, Bool, Null, Number, Object, String};
        match tree {
            Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
            Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
            Null | Bool(_) | Number(_) | String(_) => 0,
        }
    }
}
