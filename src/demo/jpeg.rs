//! Photos for the demo: small but real JPEGs (ITU-T T.81, baseline, one component) of grey noise, as large as wanted, with
//! an Exif segment (CIPA DC-008) as cameras write it.

/// Blocks of 8 by 8 pixels in a row.
const COLUMNS: u16 = 100;
/// Coefficients beside the mean in each block.
const COEFFICIENTS: usize = 40;

/// A photo of about this many bytes; the same number gives the same photo.
pub(super) fn photo(number: u64, size: usize) -> Vec<u8> {
    // Each block has 42 codes of 1 or 2 bits, and 4 bits after all but the last.
    let row = usize::from(COLUMNS) * (COEFFICIENTS * 5 + 8) / 8;
    let rows = u16::try_from((size / row).max(1)).unwrap_or(u16::MAX / 8);
    let mut jpeg = vec![0xff, 0xd8];
    segment(&mut jpeg, 0xe1, &exif_of(number));
    segment(&mut jpeg, 0xdb, &[&[0][..], &[2; 64]].concat());
    let (height, width) = ((rows * 8).to_be_bytes(), (COLUMNS * 8).to_be_bytes());
    segment(&mut jpeg, 0xc0, &[8, height[0], height[1], width[0], width[1], 1, 1, 0x11, 0]);
    segment(&mut jpeg, 0xc4, &huffman(0x00, &[4, 0]));
    segment(&mut jpeg, 0xc4, &huffman(0x10, &[4, 0]));
    segment(&mut jpeg, 0xda, &[1, 1, 0, 0, 63, 0]);
    let mut random = fastrand::Rng::with_seed(number);
    let mut bits = Bits::default();
    let mut mean = 0;
    for _ in 0..u32::from(rows) * u32::from(COLUMNS) {
        mean = block(&mut bits, &mut random, mean);
    }
    jpeg.extend(bits.end());
    jpeg.extend([0xff, 0xd9]);
    jpeg
}

/// A block of noise beside one with this mean; gives its own, which stays near grey.
fn block(bits: &mut Bits, random: &mut fastrand::Rng, mean: i32) -> i32 {
    let step = random.u8(8..16);
    // Of 4 bits those from 8 are themselves, those below stand for that minus 15 (T.81, F.1.2.1).
    let (value, mean) = if mean > 0 { (15 - step, mean - i32::from(step)) } else { (step, mean + i32::from(step)) };
    bits.push(0b0, 1);
    bits.push(value.into(), 4);
    for _ in 0..COEFFICIENTS {
        bits.push(0b0, 1);
        bits.push(random.u8(..16).into(), 4);
    }
    bits.push(0b10, 2);
    mean
}

fn segment(jpeg: &mut Vec<u8>, marker: u8, content: &[u8]) {
    let length = u16::try_from(content.len() + 2).unwrap_or(u16::MAX).to_be_bytes();
    jpeg.extend([0xff, marker, length[0], length[1]]);
    jpeg.extend(content);
}

/// A table with two codes: `0` for the first symbol, `10` for the second.
fn huffman(place: u8, symbols: &[u8; 2]) -> Vec<u8> {
    let mut table = vec![place, 1, 1];
    table.resize(17, 0);
    table.extend(symbols);
    table
}

/// Entropy-coded data: after a byte of ones comes one of zeroes.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        self.held = self.held << count | value;
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count).to_le_bytes()[0];
            self.bytes.push(byte);
            if byte == 0xff {
                self.bytes.push(0);
            }
        }
    }

    /// Fills the last byte with ones.
    fn end(mut self) -> Vec<u8> {
        if self.count > 0 {
            let fill = 8 - self.count;
            self.push((1 << fill) - 1, fill);
        }
        self.bytes
    }
}

/// What a camera would say of this photo: who made it, when, and where.
fn exif_of(number: u64) -> Vec<u8> {
    let minute = u32::try_from(number % 60).unwrap_or_default();
    let taken = format!("2026:05:01 12:{minute:02}:00");
    let degrees = |degrees: u32, minutes: u32| [(degrees, 1), (minutes, 1), (minute * 100, 100)];
    let mut exif = Exif::default();
    exif.directory(&[
        (0x010f, Value::Text("Ferry")),
        (0x0110, Value::Text("Demo Camera 1")),
        (0x0132, Value::Text(&taken)),
        (0x8769, Value::Directory(&[(0x9003, Value::Text(&taken))])),
        (
            0x8825,
            Value::Directory(&[
                (0x0001, Value::Text("N")),
                (0x0002, Value::Fractions(degrees(53, 32))),
                (0x0003, Value::Text("E")),
                (0x0004, Value::Fractions(degrees(9, 58))),
            ]),
        ),
    ]);
    [b"Exif\0\0II*\0\x08\0\0\0", &exif.0[..]].concat()
}

/// A value of a directory.
#[derive(Clone, Copy)]
enum Value<'a> {
    Text(&'a str),
    Fractions([(u32, u32); 3]),
    Directory(&'a [(u16, Value<'a>)]),
}

/// Directories of TIFF 6.0, little-endian, from byte 8 on.
#[derive(Default)]
struct Exif(Vec<u8>);

impl Exif {
    /// Writes a directory and behind it what its entries point to.
    fn directory(&mut self, entries: &[(u16, Value<'_>)]) {
        let start = self.0.len();
        self.0.extend(u16::try_from(entries.len()).unwrap_or_default().to_le_bytes());
        self.0.resize(start + 2 + entries.len() * 12 + 4, 0);
        for (index, (tag, value)) in entries.iter().enumerate() {
            let (kind, count, content) = self.content(value);
            let entry = start + 2 + index * 12;
            let head = [&tag.to_le_bytes()[..], &u16::to_le_bytes(kind), &u32::to_le_bytes(count), &content].concat();
            self.0[entry..entry + 12].copy_from_slice(&head);
        }
    }

    /// A value's type, count and last four bytes: itself, or where it is.
    fn content(&mut self, value: &Value<'_>) -> (u16, u32, [u8; 4]) {
        let at = u32::try_from(self.0.len() + 8).unwrap_or_default().to_le_bytes();
        match value {
            Value::Text(text) => {
                let bytes = [text.as_bytes(), &[0]].concat();
                let count = u32::try_from(bytes.len()).unwrap_or_default();
                if bytes.len() <= 4 {
                    let mut itself = [0; 4];
                    itself[..bytes.len()].copy_from_slice(&bytes);
                    return (2, count, itself);
                }
                self.0.extend(bytes);
                self.0.resize(self.0.len().next_multiple_of(2), 0);
                (2, count, at)
            }
            Value::Fractions(fractions) => {
                fractions.iter().for_each(|(over, under)| {
                    self.0.extend([over.to_le_bytes(), under.to_le_bytes()].concat());
                });
                (5, 3, at)
            }
            Value::Directory(entries) => {
                self.directory(entries);
                (4, 1, at)
            }
        }
    }
}

/// A JPEG's Exif segment; `None` if it has none before its picture, or is no JPEG.
pub(super) fn exif(jpeg: &[u8]) -> Option<&[u8]> {
    let mut rest = jpeg.strip_prefix(&[0xff, 0xd8])?;
    while let [0xff, marker, high, low, ..] = *rest {
        let content = rest.get(4..2 + usize::from(u16::from_be_bytes([high, low])))?;
        if marker == 0xe1 && content.starts_with(b"Exif\0\0") {
            return Some(content);
        }
        if marker == 0xda {
            return None;
        }
        rest = &rest[4 + content.len()..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_about_as_large_as_wanted_and_each_its_own() {
        for size in [100_000, 350_000, 600_000] {
            let length = photo(1, size).len();
            assert!(length.abs_diff(size) < size / 20, "{length} instead of {size}");
        }
        assert_eq!(photo(1, 100_000), photo(1, 100_000));
        assert_ne!(photo(1, 100_000), photo(2, 100_000));
    }

    #[test]
    fn the_camera_speaks_in_the_exif_segment() {
        let jpeg = photo(7, 1_000);
        let exif = exif(&jpeg).unwrap();
        for word in ["Ferry\0", "Demo Camera 1\0", "2026:05:01 12:07:00\0"] {
            assert!(exif.windows(word.len()).any(|window| window == word.as_bytes()), "{word:?}");
        }
        assert_eq!(super::exif(b"\xff\xd8\xff\xda\0\x02"), None);
        assert_eq!(super::exif(b"no photo"), None);
        assert_eq!(super::exif(&jpeg[..20]), None);
    }
}
