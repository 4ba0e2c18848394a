//! The outer form of a JPEG (ITU-T T.81, annex B): its segments, its frame, where it ends. Knows nothing of pixels, and
//! trusts no length.

use std::ops::Range;

/// The markers that have a meaning here.
pub(super) mod marker {
    pub(in crate::photo) const SOI: u8 = 0xd8;
    pub(in crate::photo) const EOI: u8 = 0xd9;
    pub(in crate::photo) const SOS: u8 = 0xda;
    pub(in crate::photo) const APP0: u8 = 0xe0;
    pub(in crate::photo) const APP1: u8 = 0xe1;
    pub(in crate::photo) const APP2: u8 = 0xe2;
    pub(in crate::photo) const APP11: u8 = 0xeb;
    pub(in crate::photo) const APP14: u8 = 0xee;
    pub(in crate::photo) const APP15: u8 = 0xef;
    pub(in crate::photo) const COM: u8 = 0xfe;
    pub(in crate::photo) const SOF2: u8 = 0xc2;
    pub(in crate::photo) const DHT: u8 = 0xc4;
    pub(in crate::photo) const DQT: u8 = 0xdb;
    pub(in crate::photo) const DRI: u8 = 0xdd;
    pub(super) const DNL: u8 = 0xdc;
    pub(super) const DHP: u8 = 0xde;
    pub(super) const EXP: u8 = 0xdf;
    pub(super) const TEM: u8 = 0x01;
    pub(in crate::photo) const RST: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
}

/// Scans that a picture may have: programs that make progressive ones use about ten.
const SCANS: usize = 64;
/// Segments that it may have before its first scan.
const SEGMENTS: usize = 4096;

/// What stands between two markers, without marker and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) marker: u8,
    pub(super) body: Range<usize>,
}

/// What stands before the first scan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Head {
    pub(super) segments: Vec<Segment>,
    /// Where that ends: at the first scan's marker, or where it is no JPEG any more.
    pub(super) end: usize,
}

/// How the pixels are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) is_progressive: bool,
    /// How often brightness stands for each colour, across and down; `None` for a grey picture.
    pub(super) sampling: Option<(u8, u8)>,
}

/// A picture that can be encoded anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) head: Head,
    pub(super) frame: Frame,
    /// Where its last marker, EOI, stands.
    pub(super) end: usize,
}

/// Why a file stays as it is, as the end of a sentence.
pub(super) type Why = String;

fn because<T>(why: &str) -> Result<T, Why> {
    Err(why.to_owned())
}

impl Picture {
    /// Looks at a whole file: whether nothing of it would be lost, whatever decodes it.
    pub(super) fn of(file: &[u8]) -> Result<Self, Why> {
        let head = Head::of(file).ok_or("it is no JPEG")?;
        refuse_strangers(&head, file)?;
        let frame = frame(&head, file)?;
        let (mut at, mut said) = (head.end, Vec::new());
        let (scans, end) = scans(file, &mut at, &mut said)?;
        if !said.is_empty() {
            return because("it says something between its scans");
        }
        if !frame.is_progressive && scans > 1 {
            return because("its colours are coded one after the other");
        }
        if file[end + 2..].iter().any(|byte| *byte != 0) {
            return because("something follows the picture in its file, such as a video or a second picture");
        }
        Ok(Self { head, frame, end })
    }
}

impl Head {
    /// Reads as far as it is a JPEG; `None` if it does not begin as one.
    pub(super) fn of(file: &[u8]) -> Option<Self> {
        if !file.starts_with(&[0xff, marker::SOI]) {
            return None;
        }
        let mut head = Self { segments: Vec::new(), end: 2 };
        while head.segments.len() < SEGMENTS {
            let Some((marker, at)) = next_marker(file, head.end) else { break };
            let Some(body) = body(file, at).filter(|_| marker != marker::SOS && has_body(marker)) else { break };
            head.end = body.end;
            head.segments.push(Segment { marker, body });
        }
        Some(head)
    }
}

/// The marker at this place, and where what belongs to it begins. Bytes of ones may fill the space before it.
pub(super) fn next_marker(file: &[u8], at: usize) -> Option<(u8, usize)> {
    let rest = file.get(at..)?;
    let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
    let marker = *rest.get(fill)?;
    (fill > 0 && marker != 0).then_some((marker, at + fill + 1))
}

fn has_body(marker: u8) -> bool {
    !matches!(marker, marker::SOI | marker::EOI | marker::TEM) && !marker::RST.contains(&marker)
}

/// The body of the segment whose length stands here.
pub(super) fn body(file: &[u8], at: usize) -> Option<Range<usize>> {
    let [high, low, ..] = *file.get(at..)? else { return None };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let end = at + length;
    (length >= 2 && end <= file.len()).then_some(at + 2..end)
}

/// Refuses what would lose its meaning.
fn refuse_strangers(head: &Head, file: &[u8]) -> Result<(), Why> {
    for Segment { marker, body } in &head.segments {
        let body = &file[body.clone()];
        match *marker {
            marker::APP2 if body.starts_with(b"MPF\0") => return because("it consists of several pictures"),
            marker::APP11 => return because("it is signed, or has a second layer"),
            marker::APP14 if body.starts_with(b"Adobe") && body.get(11) != Some(&1) => {
                return because("its colours are not those of a photo");
            }
            _ => {}
        }
    }
    Ok(())
}

fn frame(head: &Head, file: &[u8]) -> Result<Frame, Why> {
    let frames: Vec<_> = head.segments.iter().filter(|segment| is_frame(segment.marker)).collect();
    let [Segment { marker, body }] = frames[..] else { return because("it has not one frame") };
    let is_progressive = match *marker {
        0xc0 | 0xc1 => false,
        marker::SOF2 => true,
        marker::DHP | marker::EXP | 0xc5..=0xc7 => return because("it is hierarchical"),
        0xc3 => return because("it is lossless"),
        _ => return because("it is coded arithmetically"),
    };
    let [precision, h1, h0, w1, w0, count, ref components @ ..] = file[body.clone()] else {
        return because("its frame is cut short");
    };
    if precision != 8 {
        return because("it has more than 8 bits a colour");
    }
    let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
    if width == 0 || height == 0 {
        return because("it does not say how large it is");
    }
    let sampling = match (count, components) {
        (1, [_, _, _]) => None,
        (3, [b'R', _, _, b'G', _, _, b'B', _, _]) => return because("its colours are not those of a photo"),
        (3, [_, luma, _, _, 0x11, _, _, 0x11, _]) if matches!(luma, 0x11 | 0x12 | 0x21 | 0x22) => {
            Some((luma >> 4, luma & 0xf))
        }
        (3, _) => return because("its colours are sampled in an unusual way"),
        _ => return because("its colours are not those of a photo"),
    };
    Ok(Frame { width, height, is_progressive, sampling })
}

fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | marker::DHP | marker::EXP)
}

/// What follows the head of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rest {
    /// What programs say there, between scans: an oddity, but not forbidden.
    pub(super) said: Vec<Segment>,
    /// Where the picture ends, behind its last marker; if it is cut short or damaged, where it can be read no further.
    pub(super) end: Result<usize, usize>,
}

impl Rest {
    /// Behind a head that ends here.
    pub(super) fn of(file: &[u8], head: usize) -> Self {
        let (mut at, mut said) = (head, Vec::new());
        let end = scans(file, &mut at, &mut said).map(|(_, marker)| marker + 2).map_err(|_| at);
        Self { said, end }
    }
}

/// How many scans there are, and where the marker of the picture's end stands. Goes on from `at` as far
/// as it can, and adds what is said between scans.
fn scans(file: &[u8], at: &mut usize, said: &mut Vec<Segment>) -> Result<(usize, usize), Why> {
    let (mut scans, mut segments) = (0, 0);
    loop {
        let Some((marker, after)) = next_marker(file, *at) else { return because("it is cut short or damaged") };
        if marker == marker::EOI && scans > 0 {
            return Ok((scans, after - 2));
        }
        segments += 1;
        if is_frame(marker) || marker == marker::DNL || !has_body(marker) || segments > SEGMENTS {
            return because("it is damaged");
        }
        let Some(body) = body(file, after) else { return because("it is cut short or damaged") };
        *at = body.end;
        if matches!(marker, marker::APP0..=marker::APP15 | marker::COM) {
            said.push(Segment { marker, body });
        }
        if marker == marker::SOS {
            scans += 1;
            if scans > SCANS {
                return because("it has too many scans");
            }
            *at += coded(&file[*at..]);
        }
    }
}

/// Bytes until the next marker that ends a scan.
pub(super) fn coded(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = rest[at..].iter().position(|byte| *byte == 0xff) {
        at += found;
        match rest.get(at + 1) {
            Some(0) => at += 2,
            Some(next) if marker::RST.contains(next) => at += 2,
            Some(0xff) => at += 1,
            Some(_) | None => return at,
        }
    }
    rest.len()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::fuzz::fuzz;

    /// A picture of one scan with these segments before it.
    pub(in crate::photo) fn jpeg(segments: &[(u8, &[u8])]) -> Vec<u8> {
        let mut file = vec![0xff, marker::SOI];
        for (marker, body) in segments {
            file.extend([0xff, *marker]);
            file.extend(u16::try_from(body.len() + 2).unwrap().to_be_bytes());
            file.extend(*body);
        }
        file.extend([0xff, marker::SOS, 0, 2, 1, 2, 0xff, 0, 3, 0xff, 0xd0, 4, 0xff, marker::EOI]);
        file
    }

    /// The body of a frame.
    pub(in crate::photo) fn frame_of(precision: u8, width: u16, height: u16, samplings: &[u8]) -> Vec<u8> {
        let ([h1, h0], [w1, w0]) = (height.to_be_bytes(), width.to_be_bytes());
        let mut body = vec![precision, h1, h0, w1, w0, samplings.len() as u8];
        body.extend(samplings.iter().zip(1..).flat_map(|(sampling, id)| [id, *sampling, 0]));
        body
    }

    fn why(file: &[u8]) -> String {
        Picture::of(file).expect_err("it goes as it is")
    }

    #[test]
    fn a_photo_is_known_with_its_size_and_sampling() {
        let file = jpeg(&[(marker::APP1, b"Exif\0\0"), (0xc0, &frame_of(8, 640, 480, &[0x22, 0x11, 0x11]))]);
        let picture = Picture::of(&file).unwrap();
        assert_eq!(picture.frame, Frame { width: 640, height: 480, is_progressive: false, sampling: Some((2, 2)) });
        assert_eq!(file[picture.end..], [0xff, marker::EOI]);
        assert_eq!(picture.head.segments.len(), 2);
        let filled = [&file[..], &[0; 512]].concat();
        assert_eq!(Picture::of(&filled).unwrap().end, picture.end);
        let grey = jpeg(&[(0xc2, &frame_of(8, 1, 1, &[0x22]))]);
        assert_eq!(
            Picture::of(&grey).unwrap().frame,
            Frame { width: 1, height: 1, is_progressive: true, sampling: None }
        );
    }

    #[test]
    fn what_would_lose_its_meaning_is_known_by_name() {
        let usual = frame_of(8, 64, 64, &[0x22, 0x11, 0x11]);
        let adobe = |transform| [b"Adobe\0\0\0\0\0\0", &[transform][..]].concat();
        type Case<'a> = (&'a [(u8, &'a [u8])], &'a str);
        let cases: &[Case<'_>] = &[
            (&[(0xc0, &frame_of(8, 64, 64, &[0x11; 4]))], "not those of a photo"),
            (&[(marker::APP14, &adobe(0)), (0xc0, &usual)], "not those of a photo"),
            (&[(marker::APP14, &adobe(2)), (0xc0, &usual)], "not those of a photo"),
            (&[(0xc1, &frame_of(12, 64, 64, &[0x11]))], "more than 8 bits"),
            (&[(0xc3, &usual)], "lossless"),
            (&[(0xc9, &usual)], "arithmetically"),
            (&[(0xca, &usual)], "arithmetically"),
            (&[(0xc5, &usual)], "hierarchical"),
            (&[(0xc0, &usual), (0xc0, &usual)], "not one frame"),
            (&[], "not one frame"),
            (&[(0xc0, &usual[..9])], "unusual"),
            (&[(0xc0, &usual[..4])], "cut short"),
            (&[(0xc0, &frame_of(8, 64, 0, &[0x11]))], "how large"),
            (&[(0xc0, &frame_of(8, 64, 64, &[0x41, 0x11, 0x11]))], "unusual"),
            (&[(marker::APP2, b"MPF\0II"), (0xc0, &usual)], "several pictures"),
            (&[(marker::APP11, b"JP"), (0xc0, &usual)], "signed"),
        ];
        for (segments, words) in cases {
            let why = why(&jpeg(segments));
            assert!(why.contains(words), "{why} and not {words}");
        }
    }

    #[test]
    fn a_file_that_is_cut_anywhere_or_goes_on_stays_as_it_is() {
        let file = jpeg(&[(marker::COM, b"hello"), (0xc0, &frame_of(8, 64, 64, &[0x22, 0x11, 0x11]))]);
        for length in 0..file.len() {
            why(&file[..length]);
        }
        assert!(why(&[&file[..], b"\0\0\0\x18ftypmp42"].concat()).contains("follows"));
        let scan = &file[file.len() - 14..file.len() - 2];
        let two = [&file[..file.len() - 2], scan, &[0xff, marker::EOI]].concat();
        assert!(why(&two).contains("one after the other"));
        let mut many = file[..file.len() - 2].to_vec();
        many.extend(scan.repeat(SCANS));
        many.extend([0xff, marker::EOI]);
        assert!(why(&many).contains("too many scans"));
        assert!(why(b"\x89PNG\r\n\x1a\n").contains("no JPEG"));
    }

    #[test]
    fn any_file_is_walked_within_its_bytes() {
        fuzz!("jpeg", |file: &[u8]| {
            let picture = Picture::of(file);
            let Some(head) = Head::of(file) else { return assert_eq!(picture, because("it is no JPEG")) };
            assert!(head.segments.len() <= SEGMENTS);
            let mut at = 2;
            for Segment { marker, body } in &head.segments {
                let (fill, written) = file[at..body.start].split_last_chunk::<3>().expect("a marker and a length");
                let [high, low] = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
                assert!(!fill.is_empty() && fill.iter().all(|byte| *byte == 0xff));
                assert_eq!(*written, [*marker, high, low]);
                at = body.end;
            }
            assert_eq!(head.end, at);
            match picture {
                Err(why) => assert!(
                    (5..100).contains(&why.len()) && why.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
                ),
                Ok(picture) => assert_is_all_there_is(file, &picture),
            }
        });
    }

    /// Everything that the file says stands in the picture's head, and the picture ends where it says.
    fn assert_is_all_there_is(file: &[u8], picture: &Picture) {
        assert_eq!(Head::of(file).as_ref(), Some(&picture.head));
        let (alone, after) = file.split_at(picture.end + 2);
        assert!(alone.ends_with(&[0xff, marker::EOI]) && after.iter().all(|byte| *byte == 0));
        assert_eq!(Picture::of(alone).as_ref(), Ok(picture));
        for eighth in 0..8 {
            assert!(Picture::of(&alone[..picture.end * eighth / 8]).is_err());
        }
        assert!(Picture::of(&alone[..alone.len() - 1]).is_err());
        assert!(Picture::of(&[alone, &[0, 1]].concat()).is_err());
        assert!(u32::from(picture.frame.width) * u32::from(picture.frame.height) > 0);
        let (scans, end) = alone.split_at(picture.end);
        let said_late = [scans, &[0xff, marker::COM, 0, 3, b'!'], end].concat();
        assert!(Picture::of(&said_late).is_err(), "what stands behind the head would be lost");
    }
}
