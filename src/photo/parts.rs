//! A progressive picture taken apart: each of its colours as a grey picture of its own. Decoded one after the other they need
//! half the memory that the whole takes, since a decoder keeps all coefficients until the last scan.
//!
//! All but the first coefficient of a block is coded for each colour by itself already (ITU-T T.81, G.1.1.1.1) and is taken
//! over as it stands. The first are coded for all colours in turn: they are read and written again. Trusts no length.

use super::jpeg::{self, Picture, Why, marker};

/// Bits of each of our codes for how many bits a difference has, which stand in order from 0.
const CODE: u32 = 5;
/// The longest difference.
const LONGEST: u8 = 15;

/// For each colour, brightness first, a grey picture, coded progressively.
pub(super) fn parts(file: &[u8], picture: &Picture) -> Result<Vec<Vec<u8>>, Why> {
    let mut parts = Parts::of(file, picture).ok_or_else(damaged)?;
    for segment in &picture.head.segments {
        parts.segment(segment.marker, &file[segment.body.clone()]).ok_or_else(damaged)?;
    }
    let mut at = picture.head.end;
    while at < picture.end {
        at = parts.next(file, at).ok_or_else(damaged)?;
    }
    Ok(parts.parts.into_iter().map(|part| [&part.file[..], &[0xff, marker::EOI]].concat()).collect())
}

fn damaged() -> Why {
    "it is damaged".to_owned()
}

/// One colour.
struct Part {
    id: u8,
    /// Blocks of it in an MCU of all colours.
    sampling: (usize, usize),
    /// Blocks across and down.
    blocks: (usize, usize),
    /// What was read of a scan of first coefficients, by block.
    values: Vec<i16>,
    file: Vec<u8>,
}

struct Parts {
    parts: Vec<Part>,
    /// The tables for first coefficients.
    tables: [Option<Table>; 4],
    /// MCUs between two restarts; 0: there are none.
    interval: usize,
    /// MCUs of all colours across and down.
    mcus: (usize, usize),
}

impl Parts {
    fn of(file: &[u8], picture: &Picture) -> Option<Self> {
        let frame = picture.head.segments.iter().find(|segment| segment.marker == marker::SOF2)?;
        let (_, components) = file.get(frame.body.clone())?.split_at_checked(6)?;
        let (components, _) = components.as_chunks::<3>();
        let most = picture.frame.sampling.map_or((1, 1), |(across, down)| (across.into(), down.into()));
        let (width, height) = (usize::from(picture.frame.width), usize::from(picture.frame.height));
        let part = |[id, sampling, table]: &[u8; 3]| {
            let sampling = match components.len() {
                // A lone one is not sampled, whatever it says.
                1 => (1, 1),
                _ => (usize::from(sampling >> 4), usize::from(sampling & 0xf)),
            };
            let (width, height) = ((width * sampling.0).div_ceil(most.0), (height * sampling.1).div_ceil(most.1));
            let ([h1, h0], [w1, w0]) =
                (u16::try_from(height).ok()?.to_be_bytes(), u16::try_from(width).ok()?.to_be_bytes());
            let mut file = vec![0xff, marker::SOI];
            put(&mut file, marker::SOF2, &[8, h1, h0, w1, w0, 1, *id, 0x11, *table]);
            let blocks = (width.div_ceil(8), height.div_ceil(8));
            Some(Part { id: *id, sampling, blocks, values: vec![0; blocks.0 * blocks.1], file })
        };
        Some(Self {
            parts: components.iter().map(part).collect::<Option<_>>()?,
            tables: [const { None }; 4],
            interval: 0,
            mcus: (width.div_ceil(8 * most.0), height.div_ceil(8 * most.1)),
        })
    }

    /// Takes over what stands here; where it ends.
    fn next(&mut self, file: &[u8], at: usize) -> Option<usize> {
        let (marker, after) = jpeg::next_marker(file, at)?;
        let body = jpeg::body(file, after)?;
        let end = body.end;
        if marker != marker::SOS {
            self.segment(marker, &file[body])?;
            return Some(end);
        }
        let coded = &file[end..][..jpeg::coded(&file[end..])];
        self.scan(&file[body], coded)?;
        Some(end + coded.len())
    }

    fn segment(&mut self, marker: u8, body: &[u8]) -> Option<()> {
        match (marker, body) {
            (marker::DHT, _) => self.read_tables(body)?,
            (marker::DRI, [high, low]) => self.interval = u16::from_be_bytes([*high, *low]).into(),
            (marker::DQT, _) => {}
            _ => return Some(()),
        }
        for part in &mut self.parts {
            put(&mut part.file, marker, body);
        }
        Some(())
    }

    fn read_tables(&mut self, mut rest: &[u8]) -> Option<()> {
        while let Some(([place, lengths @ ..], after)) = rest.split_first_chunk::<17>() {
            let count = lengths.iter().map(|length| usize::from(*length)).sum();
            let (symbols, after) = after.split_at_checked(count)?;
            if place >> 4 == 0 {
                *self.tables.get_mut(usize::from(*place))? = Some(Table::of(lengths, symbols));
            }
            rest = after;
        }
        Some(())
    }

    fn scan(&mut self, head: &[u8], coded: &[u8]) -> Option<()> {
        let (count, rest) = head.split_first()?;
        let (chosen, spectrum) = rest.split_at_checked(2 * usize::from(*count))?;
        let [start, end, precision] = *spectrum else { return None };
        let (chosen, _) = chosen.as_chunks::<2>();
        let place = |id: u8| self.parts.iter().position(|part| part.id == id);
        let chosen: Option<Vec<_>> = chosen.iter().map(|[id, tables]| Some((place(*id)?, tables >> 4))).collect();
        let chosen = chosen?;
        if start > 0 {
            let [(place, _)] = chosen[..] else { return None };
            let part = self.parts.get_mut(place)?;
            put(&mut part.file, marker::SOS, head);
            part.file.extend(coded);
            return Some(());
        }
        if end > 0 {
            return None;
        }
        self.read_first(&chosen, precision >> 4 == 0, coded)?;
        for (place, _) in chosen {
            self.write_first(place, precision);
        }
        Some(())
    }

    /// First coefficients of these parts, each with its table: whole, or one more bit of each.
    fn read_first(&mut self, chosen: &[(usize, u8)], is_whole: bool, coded: &[u8]) -> Option<()> {
        let is_lone = chosen.len() == 1;
        let (across, down) = if is_lone { self.parts.get(chosen.first()?.0)?.blocks } else { self.mcus };
        let (mut bits, mut left) = (Bits { coded, at: 0, held: 0, count: 0 }, self.interval);
        let mut last = [0_i32; 4];
        for mcu in 0..across * down {
            if self.interval > 0 && left == 0 {
                bits.restart()?;
                (last, left) = ([0; 4], self.interval);
            }
            left = left.saturating_sub(1);
            for ((place, table), last) in chosen.iter().zip(&mut last) {
                let part = self.parts.get_mut(*place)?;
                let (h, v) = if is_lone { (1, 1) } else { part.sampling };
                for block in 0..h * v {
                    let value = if is_whole {
                        *last += bits.difference(self.tables.get(usize::from(*table))?.as_ref()?)?;
                        i16::try_from(*last).ok()?
                    } else {
                        bits.take(1)? as i16
                    };
                    let (x, y) = (mcu % across * h + block % h, mcu / across * v + block / h);
                    // Beyond the edge a part has none.
                    if x < part.blocks.0 && y < part.blocks.1 {
                        part.values[y * part.blocks.0 + x] = value;
                    }
                }
            }
        }
        Some(())
    }

    /// What was read as a scan of this part alone.
    fn write_first(&mut self, place: usize, precision: u8) {
        let Part { id, values, file, .. } = &mut self.parts[place];
        let mut lengths = [0; 17];
        lengths[CODE as usize] = LONGEST + 1;
        put(file, marker::DHT, &[&lengths[..], &(0..=LONGEST).collect::<Vec<_>>()].concat());
        if self.interval > 0 {
            put(file, marker::DRI, &[0, 0]);
        }
        put(file, marker::SOS, &[1, *id, 0, 0, 0, precision]);
        let (mut into, mut last) = (Pen { file, held: 0, count: 0 }, 0);
        for value in values.iter().map(|value| i32::from(*value)) {
            if precision >> 4 == 0 {
                into.difference(value - last);
                last = value;
            } else {
                into.put(value as u32, 1);
            }
        }
        into.end();
        if self.interval > 0 {
            put(file, marker::DRI, &(self.interval as u16).to_be_bytes());
        }
    }
}

/// Adds a segment that was one before, or is as short.
fn put(file: &mut Vec<u8>, marker: u8, body: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((body.len() as u16 + 2).to_be_bytes());
    file.extend(body);
}

/// A Huffman table (T.81, F.2.2.3).
struct Table {
    /// By length of code: the first code, the place of its symbol, how many there are.
    codes: [(u32, usize, u32); 16],
    symbols: Vec<u8>,
}

impl Table {
    fn of(lengths: &[u8; 16], symbols: &[u8]) -> Self {
        let (mut code, mut place) = (0_u32, 0);
        let codes = lengths.map(|count| {
            let row = (code, place, u32::from(count));
            place += usize::from(count);
            code = (code + u32::from(count)) << 1;
            row
        });
        Self { codes, symbols: symbols.to_vec() }
    }
}

/// Coded bits, without what is stuffed between them.
struct Bits<'c> {
    coded: &'c [u8],
    at: usize,
    held: u32,
    count: u32,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        while self.count < count {
            let byte = *self.coded.get(self.at)?;
            self.at += 1;
            if byte == 0xff {
                (*self.coded.get(self.at)? == 0).then_some(())?;
                self.at += 1;
            }
            self.held = self.held << 8 | u32::from(byte);
            self.count += 8;
        }
        self.count -= count;
        Some(self.held >> self.count & ((1 << count) - 1))
    }

    fn symbol(&mut self, table: &Table) -> Option<u8> {
        let mut code = 0;
        for (first, place, count) in table.codes {
            code = code << 1 | self.take(1)?;
            if let Some(beyond) = code.checked_sub(first).filter(|beyond| *beyond < count) {
                return table.symbols.get(place + beyond as usize).copied();
            }
        }
        None
    }

    fn difference(&mut self, table: &Table) -> Option<i32> {
        let length = self.symbol(table).filter(|length| *length <= LONGEST)?;
        let bits = self.take(length.into())? as i32;
        Some(if length > 0 && bits >> (length - 1) == 0 { bits - (1 << length) + 1 } else { bits })
    }

    /// Goes on behind the marker that stands here.
    fn restart(&mut self) -> Option<()> {
        (self.held, self.count) = (0, 0);
        let [0xff, next] = *self.coded.get(self.at..self.at + 2)? else { return None };
        self.at += 2;
        marker::RST.contains(&next).then_some(())
    }
}

/// Writes coded bits.
struct Pen<'f> {
    file: &'f mut Vec<u8>,
    held: u32,
    count: u32,
}

impl Pen<'_> {
    /// At most 16.
    fn put(&mut self, bits: u32, count: u32) {
        self.held = self.held << count | bits & ((1 << count) - 1);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.file.push(byte);
            if byte == 0xff {
                self.file.push(0);
            }
        }
    }

    /// Two values of 16 bits are further apart only in a picture that is damaged: then as far as can be told.
    fn difference(&mut self, difference: i32) {
        let most = (1 << LONGEST) - 1;
        let difference = difference.clamp(-most, most);
        let length = u32::BITS - difference.unsigned_abs().leading_zeros();
        self.put(length, CODE);
        self.put((if difference < 0 { difference - 1 } else { difference }) as u32, length);
    }

    fn end(mut self) {
        self.put(0x7f, (8 - self.count) % 8);
    }
}

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

    use super::super::pixels;
    use super::*;

    /// A progressive picture, with a restart every so many MCUs.
    fn progressive((width, height): (u16, u16), sampling: SamplingFactor, restart: u16) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        let values = 0..usize::from(width) * usize::from(height) * 3;
        let pixels: Vec<u8> = values.map(|at| (at / 61 % 170) as u8 + random.u8(0..80)).collect();
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 93);
        encoder.set_progressive(true);
        encoder.set_sampling_factor(sampling);
        if restart > 0 {
            encoder.set_restart_interval(restart);
        }
        encoder.encode(&pixels, width, height, ColorType::Ycbcr).expect("a picture");
        file
    }

    fn parts_of(file: &[u8]) -> Result<Vec<Vec<u8>>, Why> {
        parts(file, &Picture::of(file)?)
    }

    #[test]
    fn each_colour_is_to_the_bit_what_it_was_in_the_whole() {
        for (size, restart) in [((64, 64), 0), ((67, 45), 0), ((67, 45), 3), ((1, 1), 0), ((200, 9), 1)] {
            let file = progressive(size, SamplingFactor::F_1_1, restart);
            let whole = pixels::decode(&file, false).expect("it is whole");
            for (colour, part) in parts_of(&file).expect("it is whole").iter().enumerate() {
                let alone = pixels::decode(part, true).expect("a picture");
                let woven = whole.iter().skip(colour).step_by(3).copied();
                assert!(alone.iter().copied().eq(woven), "{size:?} {restart} {colour}");
            }
        }
    }

    #[test]
    fn colours_that_stand_for_several_pixels_have_as_many_as_they_need() {
        for (sampling, (across, down)) in
            [(SamplingFactor::F_2_2, (2, 2)), (SamplingFactor::F_2_1, (2, 1)), (SamplingFactor::F_1_2, (1, 2))]
        {
            let (width, height) = (83_u16, 37_u16);
            let file = progressive((width, height), sampling, 2);
            let parts = parts_of(&file).expect("it is whole");
            let whole = pixels::decode(&file, false).expect("it is whole");
            let alone = pixels::decode(&parts[0], true).expect("a picture");
            assert!(alone.iter().eq(whole.iter().step_by(3)), "{across} {down}");
            for part in &parts[1..] {
                let alone = pixels::decode(part, true).expect("a picture");
                assert_eq!(alone.len(), usize::from(width.div_ceil(across)) * usize::from(height.div_ceil(down)));
            }
        }
    }

    #[test]
    fn what_is_damaged_is_refused_or_decoded_and_never_more() {
        let file = progressive((80, 48), SamplingFactor::F_2_2, 4);
        let mut random = fastrand::Rng::with_seed(3);
        let mut refused = 0;
        for _ in 0..3000 {
            let mut file = file.clone();
            for _ in 0..random.usize(1..9) {
                let at = random.usize(2..file.len());
                file[at] = random.u8(..);
            }
            match parts_of(&file) {
                Ok(parts) => parts.iter().for_each(|part| drop(pixels::decode(part, true))),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 100, "{refused}");
    }
}
