//! Names that others chose, as text: the kernel takes nearly any bytes for one. It must not know what they name.

/// Bytes as text: what is no printable UTF-8 is shown as `\\xNN`, and a backslash as two.
pub(super) fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                c if c.is_control() => text.extend(c.to_string().bytes().map(escaped)),
                c => text.push(c),
            }
        }
        text.extend(chunk.invalid().iter().copied().map(escaped));
    }
    text
}

/// A name as C writes it, up to its NUL. One that is printable UTF-8 is what it is to everybody else, its backslashes too;
/// another is [`shown`].
pub(super) fn name(value: &[u8]) -> String {
    let bytes = value.split(|byte| *byte == 0).next().unwrap_or_default();
    match str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        Ok(_) | Err(_) => shown(bytes),
    }
}

fn escaped(byte: u8) -> String {
    format!("\\x{byte:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;

    #[test]
    fn an_ssid_is_any_bytes_and_shown_without_control_characters() {
        assert_eq!(shown(b"Ferry Guest"), "Ferry Guest");
        assert_eq!(shown("船".as_bytes()), "船");
        assert_eq!(shown(b"a\x00\x1b[2J\n\\\xff\xfe"), "a\\x00\\x1b[2J\\x0a\\\\\\xff\\xfe");
        assert_eq!(shown("\u{85}".as_bytes()), "\\xc2\\x85");
        assert_eq!(shown(&[0xff; 32]).len(), 128, "as long as the configuration takes");
    }

    #[test]
    fn an_interface_is_called_what_others_call_it_where_that_is_text() {
        assert_eq!(name(b"wlan0\0"), "wlan0");
        assert_eq!(name(b"a\\b"), "a\\b");
        assert_eq!(name(b"wlan\xff\0"), "wlan\\xff");
        assert_eq!(name(b"e\x1bh\0x"), "e\\x1bh");
    }

    /// Reads [`shown`] back.
    fn unshown(text: &str) -> Vec<u8> {
        let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
        while let Some((first, after)) = rest.split_first() {
            let (byte, length) = match (first, after.first()) {
                (b'\\', Some(b'\\')) => (b'\\', 2),
                (b'\\', _) => (u8::from_str_radix(&text[text.len() - rest.len() + 2..][..2], 16).expect("\\xNN"), 4),
                _ => (*first, 1),
            };
            bytes.push(byte);
            rest = &rest[length..];
        }
        bytes
    }

    #[test]
    fn any_bytes_are_shown_printable_and_read_back() {
        fuzz!("names", |input: &[u8]| {
            let text = shown(input);
            assert!(!text.contains(char::is_control));
            assert_eq!(unshown(&text), input);
            assert!(!name(input).contains(char::is_control));
        });
    }
}
