//! Text of others made fit for logs, terminals and D-Bus.

use std::fmt::Write;

/// The most bytes of another's words that are kept.
pub const WORDS_LIMIT: usize = 4096;

/// The text with control characters and those that turn the reading direction escaped (`\n`, `\u{1b}`), cut to
/// [`WORDS_LIMIT`] bytes at a character.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len().min(WORDS_LIMIT));
    let mut escaped = String::new();
    for character in text.chars() {
        escaped.clear();
        if is_unruly(character) {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "{}", character.escape_default());
        } else {
            escaped.push(character);
        }
        if plain.len() + escaped.len() > WORDS_LIMIT {
            break;
        }
        plain.push_str(&escaped);
    }
    plain
}

/// Whether a terminal or a log may be led astray by it.
fn is_unruly(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_letters_are_not() {
        assert_eq!(plain("größe\t\u{1b}[31m\n\u{0}\u{9b}\u{202e}"), r"größe\t\u{1b}[31m\n\u{0}\u{9b}\u{202e}");
    }

    #[test]
    fn the_cut_falls_between_characters() {
        let long = "ä".repeat(WORDS_LIMIT);
        assert_eq!(plain(&long), "ä".repeat(WORDS_LIMIT / 2));
        assert_eq!(plain(&format!("x{long}")).len(), WORDS_LIMIT - 1);
        assert!(plain(&"\n".repeat(WORDS_LIMIT)).len() <= WORDS_LIMIT);
    }
}
