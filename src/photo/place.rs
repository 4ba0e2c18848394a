//! Where a picture was taken, removed from its file: from Exif and XMP of the picture and of those that stand behind it in
//! the same file, and from a video there. Nothing moves and no length changes; what cannot be read is overwritten whole.

use super::jpeg::{self, Head, marker};
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
        found |= strip_head(&mut file[at..], &head);
        let Some(end) = jpeg::end(&file[at..], head.end) else { return found };
        at += end;
        at += file[at..].iter().take_while(|byte| **byte == 0).count();
    }
    found | strip_boxes(&mut file[at..])
}

fn strip_head(file: &mut [u8], head: &Head) -> bool {
    let mut found = false;
    for segment in head.segments.iter().filter(|segment| segment.marker == marker::APP1) {
        let body = &mut file[segment.body.clone()];
        if body.starts_with(exif::MARK) {
            found |= exif::strip_gps(body).unwrap_or_else(|()| blot(body, exif::MARK));
        } else if body.starts_with(xmp::MARK) {
            found |= xmp::strip_gps(body);
        } else if body.starts_with(xmp::MORE) && body.windows(3).any(|text| text.eq_ignore_ascii_case(b"gps")) {
            // It is vouched for by a hash of its bytes: a part of it is no use.
            found |= blot(body, xmp::MORE);
        }
    }
    found
}

/// Overwrites what follows the mark.
fn blot(body: &mut [u8], mark: &[u8]) -> bool {
    body[mark.len()..].fill(0);
    true
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
    use super::super::jpeg::tests::{frame_of, jpeg};
    use super::*;

    #[test]
    fn it_is_removed_from_all_pictures_and_from_the_video_in_a_file() {
        let xmp = [xmp::MARK, br#"<d exif:GPSLatitude="47N" a:b="c"/>"#].concat();
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
        assert!(has(b"a:b=\"c\"") && has(b"kept") && has(b"\0\0\0\x18free"));
        assert!(!strip(&mut file[..one.len()]), "there is nothing more to remove");
    }

    #[test]
    fn a_file_that_is_cut_short_loses_it_too() {
        let xmp = [xmp::MARK, br#"<d exif:GPSLatitude="47N"/>"#].concat();
        let mut file = jpeg(&[(marker::APP1, &xmp)]);
        file.truncate(file.len() - 5);
        assert!(strip(&mut file) && !file.windows(3).any(|bytes| bytes == b"47N"));
        assert!(!strip(&mut b"no picture".to_vec()));
        assert!(!strip(&mut []));
    }
}
