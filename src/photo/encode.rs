//! A JPEG encoded anew, with all that it says beside its pixels: Exif, XMP, colour profile, comments. Runs in a process of
//! its own.

use std::io::{self, Write};

use super::jpeg::{Frame, Picture, Why, marker};
use super::pixels::{Pixels, Sampling};
use super::{Recipe, exif, parts, pixels, shrink};

/// Bytes that a picture may take to be encoded: 54 megapixels; coded progressively with fine colours 32.
pub(super) const MEMORY: usize = 160 << 20;

/// A copy is worth what it loses only if it is smaller than so many hundredths of its original.
const WORTH: usize = 90;

/// At this quality and above, colours stay as fine as they were; below, each stands for four pixels.
const FINE: u8 = 90;

/// SOI and the JFIF segment that the encoder writes; ours stand in their place.
const ENCODERS_HEAD: usize = 20;

/// What says that a file is JFIF 1.1 with square pixels.
const JFIF: &[u8] = b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0";

/// Encodes anew; the file is as before afterwards. The inner error: why there is no use in that. The outer one: it cannot
/// be written.
pub(super) fn encode(
    file: &mut Vec<u8>,
    recipe: &Recipe,
    quality: u8,
    into: impl Write,
) -> io::Result<Result<(), Why>> {
    let Scaled { picture, pixels, size, sampling } = match pixels_of(file, recipe, quality) {
        Ok(pixels) => pixels,
        Err(why) => return Ok(Err(why)),
    };
    let shrunk = (size != (picture.frame.width, picture.frame.height)).then_some(size);
    let mut out = Out { into, left: file.len() * WORTH / 100, skip: 0 };
    let written = write_head(&mut out, file, &picture, shrunk)
        .and_then(|()| write_pixels(&mut out, &pixels, size, sampling, quality))
        .and_then(|()| out.into.flush());
    match written {
        Err(_) if out.left == 0 => Ok(Err("it would hardly be smaller".to_owned())),
        written => written.map(Ok),
    }
}

/// What is to be encoded of a picture.
struct Scaled {
    picture: Picture,
    pixels: Pixels,
    size: (u16, u16),
    sampling: Sampling,
}

fn pixels_of(file: &mut Vec<u8>, recipe: &Recipe, quality: u8) -> Result<Scaled, Why> {
    let picture = Picture::of(file)?;
    let Frame { width, height, sampling, .. } = picture.frame;
    let size = shrink::fit(width, height, recipe.max_edge.unwrap_or(0));
    let shrinks = size != (width, height);
    if recipe.only_to_shrink && !shrinks {
        return Err("it is as small as is asked for".to_owned());
    }
    // What is taken apart has all bytes of the file once more.
    let files = if picture.frame.is_progressive { 2 } else { 1 };
    if memory(&picture.frame) + files * file.len() > MEMORY {
        return Err(format!("{width} by {height} pixels are too many"));
    }
    let coarse = sampling.map(|sampling| if quality < FINE { (2, 2) } else { sampling });
    let pixels = match (sampling, coarse) {
        (Some(sampling), Some(coarse)) if picture.frame.is_progressive => {
            Pixels::Apart(planes(file, &picture, size, sampling, coarse)?)
        }
        _ => {
            let mut pixels = decode(file, &picture)?;
            if shrinks {
                shrink::shrink(&mut pixels, (width, height), size, if sampling.is_some() { 3 } else { 1 });
            }
            Pixels::Woven(pixels)
        }
    };
    Ok(Scaled { picture, pixels, size, sampling: coarse })
}

/// What decoding takes.
fn memory(frame: &Frame) -> usize {
    let padded = |side: u16, by: u8| usize::from(side).next_multiple_of(8 * usize::from(by));
    let (h, v) = frame.sampling.unwrap_or((1, 1));
    let pixels = padded(frame.width, h) * padded(frame.height, v);
    let colours = if frame.sampling.is_some() { 3 } else { 1 };
    if !frame.is_progressive {
        return pixels * colours;
    }
    // One colour after the other: a byte a pixel, and while it is decoded two more a coefficient. Of each colour there is
    // one in h × v. Brightness is the first, the last colour has two beside it.
    let colour = if frame.sampling.is_some() { pixels / usize::from(h * v) } else { 0 };
    (3 * pixels).max(pixels + 4 * colour)
}

/// The pixels of a progressive picture of this `sampling`, made smaller to `size`, and of its colours one for so many pixels
/// as `coarse` says: brightness and both colours apart, decoded one after the other.
fn planes(
    file: &[u8],
    picture: &Picture,
    size: (u16, u16),
    sampling: (u8, u8),
    coarse: (u8, u8),
) -> Result<[Vec<u8>; 3], Why> {
    let (whole, mut planes) = ((picture.frame.width, picture.frame.height), Vec::with_capacity(3));
    for part in parts::parts(file, picture)? {
        let (across, down) = if planes.is_empty() { (1, 1) } else { sampling };
        let of = |(width, height): (u16, u16)| (width.div_ceil(across.into()), height.div_ceil(down.into()));
        let mut plane = pixels::decode(&part, true).map_err(|error| format!("it is damaged: {error}"))?;
        if plane.len() != usize::from(of(whole).0) * usize::from(of(whole).1) {
            return Err("it is not as large as it says".to_owned());
        }
        if size != whole {
            shrink::shrink(&mut plane, of(whole), of(size), 1);
        }
        if !planes.is_empty() {
            shrink::gather(&mut plane, of(size), (coarse.0 / across, coarse.1 / down));
        }
        planes.push(plane);
    }
    planes.try_into().map_err(|_| "it has not three colours".to_owned())
}

/// Brightness and colours of each pixel, row by row.
pub(super) fn decode(file: &mut Vec<u8>, picture: &Picture) -> Result<Vec<u8>, Why> {
    let tail = file.split_off(picture.end);
    if picture.frame.is_progressive {
        file.extend([0xff, marker::EOI]);
    } else {
        // The decoder forgives a picture that ends too early if its end is marked, and fills it with grey. To one that is
        // whole these bytes are as good.
        file.extend([0; 16]);
    }
    let decoded = pixels::decode(file, picture.frame.sampling.is_none());
    file.truncate(picture.end);
    file.extend(tail);
    let pixels = decoded.map_err(|error| format!("it is damaged: {error}"))?;
    let Frame { width, height, sampling, .. } = picture.frame;
    let size = usize::from(width) * usize::from(height) * if sampling.is_some() { 3 } else { 1 };
    if pixels.len() == size { Ok(pixels) } else { Err("it is not as large as it says".to_owned()) }
}

/// All that stands before the pixels of the original and means something without them.
fn write_head(out: &mut impl Write, file: &[u8], picture: &Picture, size: Option<(u16, u16)>) -> io::Result<()> {
    let bodies = |marker: u8| picture.head.segments.iter().filter(move |segment| segment.marker == marker);
    out.write_all(&[0xff, marker::SOI])?;
    let jfif = bodies(marker::APP0).map(|segment| &file[segment.body.clone()]).find(|body| body.starts_with(b"JFIF\0"));
    let mut jfif = jfif.and_then(|body| body.get(..JFIF.len())).unwrap_or(JFIF).to_vec();
    // Without its small picture.
    jfif[12..].fill(0);
    write_segment(out, marker::APP0, &jfif)?;
    for segment in &picture.head.segments {
        let mut body = file[segment.body.clone()].to_vec();
        match segment.marker {
            marker::APP1 if body.starts_with(exif::MARK) => {
                if let Some((width, height)) = size {
                    exif::set_size(&mut body, width, height);
                }
            }
            marker::APP0 | marker::APP14 => continue,
            marker::APP0..=marker::APP15 | marker::COM => {}
            _ => continue,
        }
        write_segment(out, segment.marker, &body)?;
    }
    Ok(())
}

fn write_segment(out: &mut impl Write, marker: u8, body: &[u8]) -> io::Result<()> {
    let length = u16::try_from(body.len() + 2).map_err(io::Error::other)?;
    out.write_all(&[0xff, marker])?;
    out.write_all(&length.to_be_bytes())?;
    out.write_all(body)
}

fn write_pixels<W: Write>(
    out: &mut Out<W>,
    pixels: &Pixels,
    size: (u16, u16),
    sampling: Sampling,
    quality: u8,
) -> io::Result<()> {
    out.skip = ENCODERS_HEAD;
    pixels::encode(pixels, size, sampling, quality, out)
}

/// Writes on, but for the first bytes, and only so many.
struct Out<W> {
    into: W,
    left: usize,
    skip: usize,
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let bytes_on = &bytes[skipped..];
        if bytes_on.len() >= self.left {
            self.left = 0;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.left -= bytes_on.len();
        self.into.write_all(bytes_on)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::jpeg::tests::{frame_of, jpeg};
    use super::*;

    /// Noise that a good deal can be left out of.
    fn photo(width: u16, height: u16, sampling: (u8, u8)) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(5);
        let mut pixels = vec![0; usize::from(width) * usize::from(height) * 3];
        for (at, value) in pixels.iter_mut().enumerate() {
            *value = (at / 97 % 150) as u8 + random.u8(0..100);
        }
        let mut file = Vec::new();
        pixels::encode(&Pixels::Woven(pixels), (width, height), Some(sampling), 99, &mut file).unwrap();
        let mut said = Vec::new();
        write_segment(&mut said, marker::APP1, &[xmp_mark(), b"<x/>"].concat()).unwrap();
        write_segment(&mut said, marker::APP14, b"Adobe\0\x64\0\0\0\0\x01").unwrap();
        file.splice(ENCODERS_HEAD..ENCODERS_HEAD, said);
        file
    }

    fn xmp_mark() -> &'static [u8] {
        super::super::xmp::MARK
    }

    fn encoded(file: &[u8], recipe: Recipe) -> Result<Vec<u8>, Why> {
        let (mut copy, mut kept) = (Vec::new(), file.to_vec());
        let end = encode(&mut kept, &recipe, recipe.quality.unwrap(), &mut copy).unwrap();
        assert_eq!(kept, file, "the original is what it was");
        end.map(|()| copy)
    }

    const USUAL: Recipe = Recipe { quality: Some(70), only_to_shrink: false, max_edge: None, strip_gps: false };

    #[test]
    fn the_copy_is_a_jpeg_with_one_head_and_what_the_original_said() {
        for (sampling, quality, expected) in [
            ((1, 1), 90, (1, 1)),
            ((2, 1), 90, (2, 1)),
            ((1, 1), 70, (2, 2)),
            ((2, 2), 90, (2, 2)),
            ((1, 2), 91, (1, 2)),
        ] {
            let file = photo(161, 99, sampling);
            let copy = encoded(&file, Recipe { quality: Some(quality), ..USUAL }).unwrap();
            let picture = Picture::of(&copy).unwrap();
            assert_eq!((picture.frame.width, picture.frame.height), (161, 99));
            assert_eq!(picture.frame.sampling, Some(expected));
            let markers: Vec<u8> = picture.head.segments.iter().map(|segment| segment.marker).collect();
            assert_eq!(markers[..2], [marker::APP0, marker::APP1]);
            assert!(!markers[2..].contains(&marker::APP0) && !markers.contains(&marker::APP14));
            assert!(copy.len() < file.len());
        }
    }

    #[test]
    fn what_gains_nothing_is_not_made() {
        let file = photo(160, 96, (2, 2));
        let copy = encoded(&file, USUAL).unwrap();
        assert_eq!(encoded(&copy, USUAL).unwrap_err(), "it would hardly be smaller");
        let small = Recipe { only_to_shrink: true, max_edge: Some(160), ..USUAL };
        assert_eq!(encoded(&file, small).unwrap_err(), "it is as small as is asked for");
        let smaller = encoded(&file, Recipe { max_edge: Some(80), ..small }).unwrap();
        assert_eq!(Picture::of(&smaller).unwrap().frame.width, 80);
    }

    #[test]
    fn a_copy_that_cannot_be_written_is_none_that_is_not_worth_it() {
        let mut file = photo(160, 96, (2, 2));
        let mut short = [0; 1000];
        let error = encode(&mut file, &USUAL, 70, &mut short[..]).expect_err("there is no room");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn a_picture_that_ends_too_early_is_not_filled_with_grey() {
        let file = photo(320, 240, (2, 2));
        for part in [3, 2] {
            let mut cut = file[..file.len() / part].to_vec();
            while cut.last() == Some(&0xff) {
                cut.pop();
            }
            cut.extend([0xff, marker::EOI]);
            let why = encoded(&cut, USUAL).unwrap_err();
            assert!(why.contains("damaged"), "{why}");
        }
    }

    #[test]
    fn a_small_file_that_says_it_is_huge_is_not_decoded() {
        for frame in [frame_of(8, u16::MAX, u16::MAX, &[0x11]), frame_of(8, 20_000, 20_000, &[0x22, 0x11, 0x11])] {
            let why = encoded(&jpeg(&[(0xc2, &frame)]), USUAL).unwrap_err();
            assert!(why.contains("too many"), "{why}");
        }
        let memory = |width, height, is_progressive| {
            memory(&Frame { width, height, is_progressive, sampling: Some((2, 2)) }) >> 20
        };
        assert_eq!((memory(4000, 3000, false), memory(4000, 3000, true)), (34, 34));
    }

    /// The last row and column of a block that is not whole are told apart from nothing.
    #[test]
    fn one_colour_stays_so_up_to_the_edge() {
        for (width, height) in [(17, 17), (16, 18), (31, 2), (50, 50)] {
            let image = |pixels: &Pixels, quality| {
                let (mut out, size) = (Vec::new(), (width, height));
                let mut out_ = Out { into: &mut out, left: 1 << 20, skip: 0 };
                write_pixels(&mut out_, pixels, size, Some((2, 2)), quality).unwrap();
                [&[0xff, marker::SOI][..], &out].concat()
            };
            let pixels: Vec<u8> = [90, 200, 60].repeat(usize::from(width) * usize::from(height));
            let mut file = image(&Pixels::Woven(pixels.clone()), 95);
            let picture = Picture::of(&file).unwrap();
            let decoded = decode(&mut file, &picture).unwrap();
            let worst = decoded.iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(2), "{width} by {height}: {worst:?}");
        }
    }
}
