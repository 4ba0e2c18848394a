//! XMP (ISO 16684-1): XML in a segment. What says where a picture was taken is overwritten by spaces, which mean nothing
//! there, so that its length stays.

use std::ops::Range;

use roxmltree::Document;

/// What an APP1 segment of XMP begins with.
pub(super) const MARK: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
/// And one of those that go on where 64 KiB are too few.
pub(super) const MORE: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";

/// Overwrites every attribute and element whose name begins with `GPS` in any case, whatever its prefix: `exif:GPSLatitude`,
/// `drone-dji:GpsLongitude`. Takes what follows the mark. Whether there was one; the error: it is no XML, so nobody knows.
pub(super) fn strip_gps(xmp: &mut [u8]) -> Result<bool, ()> {
    let places = places(xmp).ok_or(())?;
    for place in &places {
        xmp[place.clone()].fill(b' ');
    }
    Ok(!places.is_empty())
}

/// Whether it speaks of a place, as far as that can be seen without reading it: also in the longer encodings of Unicode.
pub(super) fn mentions_gps(segment: &[u8]) -> bool {
    let letters: Vec<u8> = segment.iter().copied().filter(|byte| *byte != 0).collect();
    letters.windows(3).any(|text| text.eq_ignore_ascii_case(b"gps"))
}

/// Where those attributes and elements stand.
fn places(xmp: &[u8]) -> Option<Vec<Range<usize>>> {
    // Some programs end it as C ends a text.
    let text = str::from_utf8(xmp).ok()?.trim_end_matches('\0');
    let document = Document::parse(text).ok()?;
    let mut places = Vec::new();
    for node in document.descendants() {
        if is_of_a_place(node.tag_name().name()) {
            places.push(node.range());
        }
        let attributes = node.attributes().filter(|attribute| is_of_a_place(attribute.name()));
        places.extend(attributes.map(|attribute| attribute.range()));
    }
    Some(places)
}

fn is_of_a_place(name: &str) -> bool {
    name.as_bytes().get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"gps"))
}

#[cfg(test)]
mod tests {
    use roxmltree::Node;

    use super::*;
    use crate::fuzz::fuzz;

    /// With what these prefixes stand for.
    fn stripped(content: &str) -> (Result<bool, ()>, String) {
        let prefixes =
            ["exif", "drone-dji", "a", "x", "photoshop", "xmp", "gps"].map(|of| format!(" xmlns:{of}='{of}'"));
        let begin = format!("<d{}", prefixes.concat());
        let mut text = format!("{begin}{content}").into_bytes();
        let (found, length) = (strip_gps(&mut text), text.len());
        assert_eq!(length, begin.len() + content.len());
        let words = String::from_utf8(text).unwrap();
        (found, words.strip_prefix(&begin).unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_says_the_place_is_gone_and_nothing_else() {
        for (content, expected) in [
            (
                r#" exif:GPSLatitude="47,22.5N" exif:FNumber="2" drone-dji:GpsLongitude = '8' a:b="at: GPS 1"/>"#,
                r#"exif:FNumber="2" a:b="at: GPS 1"/>"#,
            ),
            (
                "><exif:GPSTimeStamp>2020</exif:GPSTimeStamp><exif:ISO>1</exif:ISO><x:GPSAltitude/></d>",
                "> <exif:ISO>1</exif:ISO> </d>",
            ),
            // What stands in quotation marks, and one name within another.
            (r#"><x:GPSA a:b="/>">1<x:GPSAt>2</x:GPSAt>3</x:GPSA></d>"#, "> </d>"),
            ("><!-- <x:GPSA> --><x:GPSA>1</x:GPSA></d>", "><!-- <x:GPSA> --> </d>"),
            (r#"><GPSLatitude xmlns="exif">1</GPSLatitude></d>"#, "> </d>"),
            (r#" gps:a="1" gps:GPSb="2"/>"#, r#"gps:a="1" />"#),
        ] {
            assert_eq!(stripped(content), (Ok(true), expected.to_owned()));
        }
        for content in [r#" photoshop:City="x" xmp:Label="exif:GPSLatitude"/>"#, ">x:GPSA='1'</d>"] {
            assert_eq!(stripped(content), (Ok(false), content.trim_start().to_owned()));
        }
        let mut ended = b"<a GPSA='1'/>\0\0".to_vec();
        assert_eq!((strip_gps(&mut ended), &ended[..]), (Ok(true), &b"<a         />\0\0"[..]));
    }

    #[test]
    fn what_is_no_xml_is_not_touched_and_known_to_speak_of_a_place() {
        for text in [
            "<d GPSLatitude",
            "<d GPSLatitude=",
            "<d GPSLatitude=\"4",
            "<exif:GPSA/>",
            "<x>:GPS",
            "<x:GPS",
            "g\0p\0s\0",
        ] {
            let mut bytes = text.as_bytes().to_vec();
            assert_eq!((strip_gps(&mut bytes), &bytes[..]), (Err(()), text.as_bytes()));
            assert!(mentions_gps(text.as_bytes()));
        }
        assert!(!mentions_gps(b"<d g='ps'/>"));
    }

    /// All that a document says but the place, without the blanks of its texts; `None` if it is no XML.
    fn said(text: &[u8]) -> Option<(Vec<String>, String)> {
        let document = Document::parse(str::from_utf8(text).ok()?.trim_end_matches('\0')).ok()?;
        let (mut names, mut texts) = (Vec::new(), String::new());
        listen(document.root_element(), &mut names, &mut texts);
        Some((names, texts))
    }

    fn listen(node: Node<'_, '_>, names: &mut Vec<String>, texts: &mut String) {
        if is_of_a_place(node.tag_name().name()) {
            return;
        }
        if node.is_element() {
            names.push(format!("{:?}", node.tag_name()));
            let attributes = node.attributes().filter(|attribute| !is_of_a_place(attribute.name()));
            names.extend(attributes.map(|of| format!("{:?} {} = {}", of.namespace(), of.name(), of.value())));
        } else if let Some(text) = node.text().filter(|_| node.is_text()) {
            texts.extend(text.split_whitespace());
        }
        node.children().for_each(|child| listen(child, names, texts));
    }

    #[test]
    fn any_xmp_says_all_that_it_said_but_the_place() {
        fuzz!("xmp", |before: &[u8]| {
            let mut after = before.to_vec();
            let found = strip_gps(&mut after);
            assert_eq!(found == Ok(true), after != before);
            assert!(before.iter().zip(&after).all(|(before, after)| before == after || *after == b' '));
            if found.is_ok() {
                // Nothing is left if all of it is about a place.
                assert_eq!(said(&after).unwrap_or_default(), said(before).expect("it was read"));
            }
            let once = after.clone();
            assert!(strip_gps(&mut after) != Ok(true) && after == once);
        });
    }
}
