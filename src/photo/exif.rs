//! Exif (CIPA DC-008, in the form of TIFF 6.0), changed where it stands: nothing moves, so that what a camera's maker
//! keeps there by offset stays true. Trusts no offset and no count.

/// What an APP1 segment of Exif begins with.
pub(super) const MARK: &[u8] = b"Exif\0\0";

const IMAGE_WIDTH: u16 = 0x0100;
const IMAGE_LENGTH: u16 = 0x0101;
const EXIF_IFD: u16 = 0x8769;
const GPS_IFD: u16 = 0x8825;
const PIXEL_X_DIMENSION: u16 = 0xa002;
const PIXEL_Y_DIMENSION: u16 = 0xa003;

/// Bytes before the first directory may begin.
const HEADER: usize = 8;
/// Directories that are looked at: a camera writes two, and one of Exif.
const DIRECTORIES: usize = 32;
/// Bytes of an entry of a directory.
const ENTRY: usize = 12;

/// An entry of a directory: its tag, its type, how many values of it, and where in the segment it stands.
#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u32,
    at: usize,
}

/// The TIFF in the segment.
struct Tiff<'a> {
    bytes: &'a mut [u8],
    is_little: bool,
}

/// Writes the picture's size where Exif says it.
pub(super) fn set_size(segment: &mut [u8], width: u16, height: u16) {
    let Some(mut tiff) = Tiff::of(segment) else { return };
    let Some(first) = tiff.first() else { return };
    let exif = tiff.find(first, EXIF_IFD).and_then(|entry| tiff.long(entry.at + 8));
    for (directory, tag, value) in [
        (Some(first), IMAGE_WIDTH, width),
        (Some(first), IMAGE_LENGTH, height),
        (exif, PIXEL_X_DIMENSION, width),
        (exif, PIXEL_Y_DIMENSION, height),
    ] {
        if let Some(entry) = directory.and_then(|directory| tiff.find(directory, tag)) {
            tiff.set(entry, value);
        }
    }
}

/// Removes the directory of the place, wherever one is named, and all that it holds. Whether there was one; the error: the
/// segment cannot be read, so nobody knows.
pub(super) fn strip_gps(segment: &mut [u8]) -> Result<bool, ()> {
    let mut tiff = Tiff::of(segment).ok_or(())?;
    tiff.first().ok_or(())?;
    for removed in 0..DIRECTORIES {
        let Some((directory, entry)) = tiff.place()? else { return Ok(removed > 0) };
        let place = tiff.long(entry.at + 8);
        // Before anything is overwritten: the directory of the place may lie over this one.
        tiff.remove(directory, entry.at).ok_or(())?;
        // Programs that remove it for themselves leave 0.
        if let Some(place) = place.filter(|place| (HEADER..tiff.bytes.len()).contains(place)) {
            tiff.wipe(place)?;
        }
    }
    Err(())
}

impl<'a> Tiff<'a> {
    fn of(segment: &'a mut [u8]) -> Option<Self> {
        let bytes = segment.strip_prefix(MARK).is_some().then(|| &mut segment[MARK.len()..])?;
        let is_little = match bytes.get(..4)? {
            b"II\x2a\0" => true,
            b"MM\0\x2a" => false,
            _ => return None,
        };
        Some(Self { bytes, is_little })
    }

    /// Where the first directory stands.
    fn first(&self) -> Option<usize> {
        self.long(4).filter(|at| self.count(*at).is_some())
    }

    fn short(&self, at: usize) -> Option<u16> {
        let bytes: [u8; 2] = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    /// As an offset or count.
    fn long(&self, at: usize) -> Option<usize> {
        let bytes: [u8; 4] = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let number = if self.is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        usize::try_from(number).ok()
    }

    /// How many entries the directory has, if it lies within the segment and behind the header.
    fn count(&self, directory: usize) -> Option<usize> {
        let count = usize::from(self.short(directory)?);
        (directory >= HEADER && directory + 2 + count * ENTRY <= self.bytes.len()).then_some(count)
    }

    fn entries(&self, directory: usize) -> impl Iterator<Item = Entry> {
        let count = self.count(directory).unwrap_or(0);
        (0..count).filter_map(move |index| {
            let at = directory + 2 + index * ENTRY;
            let count = u32::try_from(self.long(at + 4)?).ok()?;
            Some(Entry { tag: self.short(at)?, kind: self.short(at + 2)?, count, at })
        })
    }

    fn find(&self, directory: usize, tag: u16) -> Option<Entry> {
        self.entries(directory).find(|entry| entry.tag == tag)
    }

    /// An entry that leads to the directory of a place, and the directory that it stands in: one of those that lead to each
    /// other (the second is the small picture's), or that of Exif to which one of them leads. The error: they are too many.
    fn place(&self) -> Result<Option<(usize, Entry)>, ()> {
        let (mut ahead, mut seen) = (self.first(), Vec::new());
        while let Some((directory, count)) = ahead.and_then(|at| Some((at, self.count(at)?))) {
            if seen.contains(&directory) {
                break;
            }
            if seen.len() == DIRECTORIES {
                return Err(());
            }
            seen.push(directory);
            let exif = self.find(directory, EXIF_IFD).and_then(|entry| self.long(entry.at + 8));
            for directory in [Some(directory), exif].into_iter().flatten() {
                if let Some(entry) = self.find(directory, GPS_IFD) {
                    return Ok(Some((directory, entry)));
                }
            }
            ahead = self.long(directory + 2 + count * ENTRY);
        }
        Ok(None)
    }

    /// Writes a number in place of one.
    fn set(&mut self, entry: Entry, value: u16) {
        if entry.count != 1 {
            return;
        }
        let value = match (entry.kind, self.is_little) {
            (3, true) => [&value.to_le_bytes()[..], &[0; 2]].concat(),
            (3, false) => [&value.to_be_bytes()[..], &[0; 2]].concat(),
            (4, true) => u32::from(value).to_le_bytes().to_vec(),
            (4, false) => u32::from(value).to_be_bytes().to_vec(),
            _ => return,
        };
        self.bytes[entry.at + 8..entry.at + ENTRY].copy_from_slice(&value);
    }

    /// Overwrites a directory and what its entries point at. The error: where it ends is unknown.
    fn wipe(&mut self, directory: usize) -> Result<(), ()> {
        let count = self.count(directory).ok_or(())?;
        let entries: Vec<Entry> = self.entries(directory).collect();
        for entry in entries {
            let width = match entry.kind {
                3 | 8 => 2,
                4 | 9 | 11 => 4,
                5 | 10 | 12 => 8,
                _ => 1,
            };
            let size = width * usize::try_from(entry.count).unwrap_or(0);
            if size > 4
                && let Some(at) = self.long(entry.at + 8)
            {
                self.clear(at, size);
            }
        }
        // The offset of the next directory stands behind.
        self.clear(directory, 2 + count * ENTRY + 4);
        Ok(())
    }

    /// Overwrites what lies here, but not where the first directory is said to be.
    fn clear(&mut self, at: usize, size: usize) {
        let end = at.saturating_add(size).min(self.bytes.len());
        if let Some(bytes) = self.bytes.get_mut(at.max(HEADER)..end) {
            bytes.fill(0);
        }
    }

    /// Takes one entry out: those behind it move up, with the offset of the next directory.
    fn remove(&mut self, directory: usize, entry: usize) -> Option<()> {
        let count = self.count(directory)?;
        // That offset may be missing.
        let end = (directory + 2 + count * ENTRY + 4).min(self.bytes.len());
        self.bytes.copy_within(entry + ENTRY..end, entry);
        self.clear(end - ENTRY, ENTRY);
        let count = u16::try_from(count - 1).ok()?;
        let count = if self.is_little { count.to_le_bytes() } else { count.to_be_bytes() };
        self.bytes[directory..directory + 2].copy_from_slice(&count);
        Some(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::fuzz::fuzz;

    /// Exif with a size of 4000 by 3000, an orientation, a place and a second directory.
    fn segment(is_little: bool) -> Vec<u8> {
        let short = |number: u16| if is_little { number.to_le_bytes() } else { number.to_be_bytes() };
        let long = |number: u32| if is_little { number.to_le_bytes() } else { number.to_be_bytes() };
        let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
            [&short(tag)[..], &short(kind), &long(count), &value].concat()
        };
        let inline = |number: u16| [short(number), [0; 2]].concat().try_into().unwrap();
        let mut tiff = if is_little { b"II\x2a\0".to_vec() } else { b"MM\0\x2a".to_vec() };
        tiff.extend(long(8));
        // 8: the first directory, up to 50; 50: that of Exif, up to 80; 80: the place, up to 110; 110: its value.
        tiff.extend(short(3));
        tiff.extend(entry(0x0112, 3, 1, inline(6)));
        tiff.extend(entry(EXIF_IFD, 4, 1, long(50)));
        tiff.extend(entry(GPS_IFD, 4, 1, long(80)));
        tiff.extend(long(134));
        tiff.extend(short(2));
        tiff.extend(entry(PIXEL_X_DIMENSION, 3, 1, inline(4000)));
        tiff.extend(entry(PIXEL_Y_DIMENSION, 4, 1, long(3000)));
        tiff.extend(long(0));
        tiff.extend(short(2));
        tiff.extend(entry(1, 2, 2, *b"N\0\0\0"));
        tiff.extend(entry(2, 5, 3, long(110)));
        tiff.extend(long(0));
        tiff.extend(*b"where it was taken, here");
        tiff.extend(short(0));
        [MARK, &tiff].concat()
    }

    fn sizes(segment: &mut [u8]) -> (Option<u16>, Option<usize>) {
        let tiff = Tiff::of(segment).unwrap();
        let exif = tiff.long(tiff.find(8, EXIF_IFD).unwrap().at + 8).unwrap();
        let at = |tag| tiff.find(exif, tag).unwrap().at + 8;
        (tiff.short(at(PIXEL_X_DIMENSION)), tiff.long(at(PIXEL_Y_DIMENSION)))
    }

    #[test]
    fn the_size_is_written_in_either_order_and_either_type() {
        for is_little in [false, true] {
            let mut segment = segment(is_little);
            let before = segment.clone();
            assert_eq!(sizes(&mut segment), (Some(4000), Some(3000)));
            set_size(&mut segment, 640, 480);
            assert_eq!(sizes(&mut segment), (Some(640), Some(480)));
            assert_eq!(before.iter().zip(&segment).filter(|(a, b)| a != b).count(), 4, "and nothing else");
        }
    }

    #[test]
    fn the_place_is_gone_with_its_bytes_and_the_rest_stays_where_it_was() {
        for is_little in [false, true] {
            let mut segment = segment(is_little);
            assert_eq!(strip_gps(&mut segment), Ok(true));
            assert!(!segment.windows(5).any(|bytes| bytes == b"where"));
            assert_eq!(sizes(&mut segment), (Some(4000), Some(3000)));
            let tiff = Tiff::of(&mut segment).unwrap();
            assert!(tiff.find(8, GPS_IFD).is_none());
            let orientation = tiff.find(8, 0x0112).unwrap();
            assert_eq!(tiff.short(orientation.at + 8), Some(6));
            assert_eq!(tiff.long(8 + 2 + 2 * ENTRY), Some(134), "the next directory");
            assert_eq!(strip_gps(&mut segment), Ok(false));
        }
    }

    #[test]
    fn no_offset_and_no_count_is_trusted() {
        let whole = segment(true);
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut segment = whole[..random.usize(6..=whole.len())].to_vec();
            for _ in 0..random.usize(1..6) {
                let at = random.usize(6..segment.len().max(7));
                if let Some(byte) = segment.get_mut(at) {
                    *byte = random.u8(..);
                }
            }
            set_size(&mut segment, 1, 1);
            strip_gps(&mut segment).ok();
        }
        assert_eq!(strip_gps(&mut whole[..20].to_vec()), Err(()));
        assert_eq!(strip_gps(&mut b"Exif\0\0nothing".to_vec()), Err(()));
    }

    /// Whether a directory that a reader may come to leads to one of a place. Reads for itself.
    pub(in crate::photo) fn says_a_place(segment: &[u8]) -> bool {
        let mut segment = segment.to_vec();
        let Some(tiff) = Tiff::of(&mut segment) else { return false };
        let says = |directory: usize| tiff.entries(directory).any(|entry| entry.tag == GPS_IFD);
        let mut directory = tiff.long(4);
        for _ in 0..2 * DIRECTORIES {
            let Some((at, count)) = directory.and_then(|at| Some((at, tiff.count(at)?))) else { return false };
            let exif = tiff.find(at, EXIF_IFD).and_then(|entry| tiff.long(entry.at + 8));
            if says(at) || exif.is_some_and(says) {
                return true;
            }
            directory = tiff.long(at + 2 + count * ENTRY);
        }
        false
    }

    #[test]
    fn any_exif_loses_its_place_once_and_for_all() {
        fuzz!("exif", |tiff: &[u8]| {
            let before = [MARK, tiff].concat();
            let mut sized = before.clone();
            set_size(&mut sized, 640, 480);
            assert!(before.iter().zip(&sized).filter(|(a, b)| a != b).count() <= 16, "four numbers");
            let mut stripped = before.clone();
            let Ok(found) = strip_gps(&mut stripped) else { return };
            assert!(found || !says_a_place(&before), "it is looked for wherever it may be");
            assert_eq!(found, stripped != before);
            assert!(!says_a_place(&stripped));
            assert_eq!(stripped[..MARK.len() + 8], before[..MARK.len() + 8], "whoever reads the rest finds it");
            let once = stripped.clone();
            assert_eq!((strip_gps(&mut stripped), stripped), (Ok(false), once));
        });
    }
}
