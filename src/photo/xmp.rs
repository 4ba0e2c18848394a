//! XMP (ISO 16684-1): XML in a segment. What says where a picture was taken is overwritten by spaces, which mean nothing
//! there, so that its length stays.

/// What an APP1 segment of XMP begins with.
pub(super) const MARK: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// And one of those that go on where 64 KiB are too few.
pub(super) const MORE: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";

/// Overwrites every attribute and element whose name begins with `GPS` in any case, whatever its prefix: `exif:GPSLatitude`,
/// `drone-dji:GpsLongitude`. Whether there was one.
pub(super) fn strip_gps(segment: &mut [u8]) -> bool {
    let (mut at, mut found) = (0, false);
    while let Some(name) = next_name(segment, at) {
        at = name.end;
        let Some(end) = end(segment, &name) else { continue };
        segment[name.begin..end].fill(b' ');
        found = true;
        at = end;
    }
    found
}

/// A name with a prefix, where an attribute or an element has it.
struct Name {
    /// Where the attribute begins, or the `<`.
    begin: usize,
    end: usize,
    is_element: bool,
}

/// The next name of a place.
fn next_name(text: &[u8], from: usize) -> Option<Name> {
    let mut at = from;
    loop {
        at += text.get(at..)?.iter().position(|byte| *byte == b':')? + 1;
        let is_gps = text.get(at..at + 3).is_some_and(|start| start.eq_ignore_ascii_case(b"gps"));
        let prefix = text[..at - 1].iter().rev().take_while(|byte| is_of_a_name(**byte)).count();
        let start = at - 1 - prefix;
        let before = start.checked_sub(1).map(|at| text[at]);
        let is_element = before == Some(b'<');
        if is_gps && prefix > 0 && (is_element || before.is_some_and(|byte| byte.is_ascii_whitespace())) {
            let length = text[at..].iter().take_while(|byte| is_of_a_name(**byte)).count();
            return Some(Name { begin: start - usize::from(is_element), end: at + length, is_element });
        }
    }
}

/// Names here are of ASCII.
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Where what has this name ends: an attribute behind its value, an element behind its end tag.
fn end(text: &[u8], name: &Name) -> Option<usize> {
    if name.is_element {
        let tag = name.end + text[name.end..].iter().position(|byte| *byte == b'>')? + 1;
        if text[tag - 2] == b'/' {
            return Some(tag);
        }
        let close = [b"</", &text[name.begin + 1..name.end]].concat();
        let close = tag + text[tag..].windows(close.len()).position(|at| at == close)? + close.len();
        return Some(close + text[close..].iter().position(|byte| *byte == b'>')? + 1);
    }
    let equals = name.end + blanks(&text[name.end..]);
    let value = equals + 1 + blanks(text.get(equals + 1..).filter(|_| text[equals] == b'=')?);
    let quote = *text.get(value).filter(|byte| matches!(byte, b'"' | b'\''))?;
    Some(value + 1 + text[value + 1..].iter().position(|byte| *byte == quote)? + 1)
}

fn blanks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> (bool, String) {
        let mut bytes = text.as_bytes().to_vec();
        let found = strip_gps(&mut bytes);
        assert_eq!(bytes.len(), text.len());
        let words = String::from_utf8(bytes).unwrap();
        (found, words.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_says_the_place_is_gone_and_nothing_else() {
        let of = |text| stripped(text).1;
        assert_eq!(
            of(r#"<d exif:GPSLatitude="47,22.5N" exif:FNumber="2" drone-dji:GpsLongitude = '8' a:b="at: GPS 1"/>"#),
            r#"<d exif:FNumber="2" a:b="at: GPS 1"/>"#
        );
        assert_eq!(
            of("<d><exif:GPSTimeStamp>2020</exif:GPSTimeStamp><exif:ISO>1</exif:ISO><x:GPSAltitude/></d>"),
            "<d> <exif:ISO>1</exif:ISO> </d>"
        );
        assert!(!stripped(r#"<d photoshop:City="x" xmp:Label="exif:GPSLatitude"/>"#).0);
    }

    #[test]
    fn what_is_cut_short_or_no_xml_stays() {
        for text in
            ["<d exif:GPSLatitude", "<d exif:GPSLatitude=", "<d exif:GPSLatitude=\"4", "<exif:GPSA>1", ":GPS", "<x:GPS"]
        {
            assert_eq!(stripped(text), (false, text.to_owned()));
        }
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let length = random.usize(0..40);
            let mut text: Vec<u8> = (0..length).map(|_| *random.choice(b"<>/:=\"' aGPS").unwrap()).collect();
            strip_gps(&mut text);
        }
    }
}
