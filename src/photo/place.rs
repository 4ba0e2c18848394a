//! Where a picture was taken, removed from its file: from Exif and XMP of the picture and of those that stand behind it in
//! the same file, and from a video there. Nothing moves and no length changes; what cannot be read is overwritten whole.

use super::jpeg::{Head, Rest, marker};
use super::{exif, xmp};

/// The names of the boxes of a video that say a place (QuickTime's and 3GPP's), and of one that says nothing.
const BOXES: [&[u8; 4]; 2] = [b"\xa9xyz", b"loci"];
const FREE: &[u8; 4] = b"free";
/// What such a box has at most: a place and its name.
const BOX: usize = 1024;

/// Removes it. Whether the file is another now.
pub(super) fn strip(file: &mut [u8]) -> bool {
    let mut found = false;
    let mut at = 0;
    while let Some(head) = Head::of(&file[at..]) {
        let rest = Rest::of(&file[at..], head.end);
        for segment in head.segments.iter().chain(&rest.said).filter(|segment| segment.marker == marker::APP1) {
            found |= strip_segment(&mut file[at..][segment.body.clone()]);
        }
        let end = match rest.end {
            Ok(end) => end,
            // Behind one that does not end there may be a video all the same.
            Err(end) => {
                at += end;
                break;
            }
        };
        at += end;
        at += file[at..].iter().take_while(|byte| **byte == 0).count();
    }
    found | strip_boxes(&mut file[at..])
}

fn strip_segment(body: &mut [u8]) -> bool {
    if body.starts_with(exif::MARK) {
        exif::strip_gps(body).unwrap_or_else(|()| blot(body, exif::MARK))
    } else if body.starts_with(xmp::MARK) {
        let read = xmp::strip_gps(&mut body[xmp::MARK.len()..]);
        read.unwrap_or_else(|()| xmp::mentions_gps(body) && blot(body, xmp::MARK))
    } else {
        // A part of it is no use: it is vouched for by a hash of its bytes.
        body.starts_with(xmp::MORE) && xmp::mentions_gps(body) && blot(body, xmp::MORE)
    }
}

/// Overwrites what follows the mark. Whether there was anything.
fn blot(body: &mut [u8], mark: &[u8]) -> bool {
    let said = &mut body[mark.len()..];
    let found = said.iter().any(|byte| *byte != 0);
    said.fill(0);
    found
}

fn strip_boxes(file: &mut [u8]) -> bool {
    let mut found = false;
    let mut at = 4;
    while let Some(name) = file.get(at..at + 4) {
        let is_place = BOXES.iter().any(|of_place| name == *of_place);
        let size = u32::from_be_bytes([file[at - 4], file[at - 3], file[at - 2], file[at - 1]]) as usize;
        if is_place && (9..=BOX).contains(&size) {
            let end = (at - 4 + size).min(file.len());
            file[at..at + 4].copy_from_slice(FREE);
            file[at + 4..end].fill(0);
            found = true;
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::exif::tests::says_a_place;
    use super::super::jpeg::tests::{frame_of, jpeg};
    use super::super::jpeg::{Picture, Segment};
    use super::*;
    use crate::fuzz::fuzz;

    #[test]
    fn it_is_removed_from_all_pictures_and_from_the_video_in_a_file() {
        let xmp = [xmp::MARK, br#"<d GPSLatitude="47N" b="c"/>"#].concat();
        let broken = [exif::MARK, b"MM\0\x2asomewhere"].concat();
        let frame = frame_of(8, 8, 8, &[0x11]);
        let one = jpeg(&[(marker::APP1, &xmp), (0xc0, &frame)]);
        let two = jpeg(&[(marker::APP1, &broken), (0xc0, &frame)]);
        let video = b"\0\0\0\x14ftypmp42\0\0\0\x18\xa9xyz\0\x0e\x15\xc7+47.3-008.5/kept";
        let mut file = [&one[..], &[0; 3], &two, video].concat();
        let size = file.len();
        assert!(strip(&mut file));
        let has = |text: &[u8]| file.windows(text.len()).any(|bytes| bytes == text);
        assert_eq!(file.len(), size);
        assert!(!has(b"47N") && !has(b"somewhere") && !has(b"47.3"));
        assert!(has(b" b=\"c\"") && has(b"kept") && has(b"\0\0\0\x18free"));
        assert!(!strip(&mut file[..one.len()]), "there is nothing more to remove");
    }

    #[test]
    fn a_file_that_is_cut_short_loses_it_too() {
        let xmp = [xmp::MARK, br#"<d GPSLatitude="47N"/>"#].concat();
        let mut file = jpeg(&[(marker::APP1, &xmp)]);
        file.truncate(file.len() - 5);
        assert!(strip(&mut file) && !file.windows(3).any(|bytes| bytes == b"47N"));
        assert!(!strip(&mut b"no picture".to_vec()));
        assert!(!strip(&mut []));
    }

    #[test]
    fn it_is_removed_where_programs_seldom_say_it() {
        let frame = frame_of(8, 8, 8, &[0x11]);
        let one = jpeg(&[(0xc2, &frame)]);
        let (scan, end) = one.split_at(one.len() - 2);
        let xmp = [xmp::MARK, br#"<d GPSLatitude="47N"/>"#].concat();
        let said = [&[0xff, marker::APP1, 0, xmp.len() as u8 + 2][..], &xmp].concat();
        let mut between_scans = [scan, &said, end].concat();
        let video = b"\0\0\0\x18\xa9xyz\0\x0e\x15\xc7+47N-008.5/kept";
        let mut behind_damage = [scan, &[0xff, 0xdc, 0, 4, 0, 1], video].concat();
        let no_xml = [xmp::MARK, br#"<d GPSLatitude="47N">"#].concat();
        let mut unread = jpeg(&[(marker::APP1, &no_xml), (0xc0, &frame)]);
        for file in [&mut between_scans, &mut behind_damage, &mut unread] {
            assert!(strip(file) && !file.windows(3).any(|text| text == b"47N"));
            assert!(!strip(file), "there is nothing more to remove");
        }
        let mut of_no_place = jpeg(&[(marker::APP1, &[xmp::MARK, b"<d a='b'>"].concat()), (0xc0, &frame)]);
        assert!(!strip(&mut of_no_place));
    }

    #[test]
    fn any_file_keeps_all_but_its_places() {
        fuzz!("place", |before: &[u8]| {
            let mut after = before.to_vec();
            let is_another = strip(&mut after);
            assert_eq!(is_another, after != before);
            assert_eq!((Head::of(&after), Picture::of(&after)), (Head::of(before), Picture::of(before)));
            let segments = Head::of(&after).map(|head| head.segments).unwrap_or_default();
            for Segment { marker, body } in segments {
                let (before, after) = (&before[body.clone()], &after[body]);
                let is_of_places = [exif::MARK, xmp::MARK, xmp::MORE].iter().any(|mark| before.starts_with(mark));
                assert!(marker == marker::APP1 && is_of_places || before == after);
                assert!(marker != marker::APP1 || !after.starts_with(exif::MARK) || !says_a_place(after));
            }
            if let Ok(picture) = Picture::of(before) {
                assert!(before[picture.head.end..] == after[picture.head.end..], "its pixels are what they were");
            }
            let once = after.clone();
            assert_eq!((strip(&mut after), after == once), (false, true));
        });
    }
}
