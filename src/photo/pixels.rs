//! The pixels of a JPEG: decoded and encoded.
//!
//! zune-jpeg decodes and jpeg-encoder encodes: safe Rust but for what is written for single processors. libjpeg-turbo takes
//! less time, and is C that would read what any app may hand over.
//!
//! Must not know files, and nothing of a JPEG but its pixels.

use std::io::{self, Write};

use jpeg_encoder::{Encoder, EncodingError, ImageBuffer, JpegColorType, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// How often brightness stands for each colour, across and down; `None` for a grey picture.
pub(super) type Sampling = Option<(u8, u8)>;

/// The pixels of a picture.
pub(super) enum Pixels {
    /// Brightness and, if it has some, both colours of each pixel, row by row.
    Woven(Vec<u8>),
    /// Brightness of each pixel, and both colours as they are encoded: one for so many pixels across and down.
    Apart([Vec<u8>; 3]),
}

/// Brightness and, if the picture is not `grey`, both colours of each pixel, row by row. The error is what the decoder says.
pub(super) fn decode(jpeg: &[u8], grey: bool) -> Result<Vec<u8>, String> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(if grey { ColorSpace::Luma } else { ColorSpace::YCbCr });
    JpegDecoder::new_with_options(ZCursor::new(jpeg), options).decode().map_err(|error| format!("{error:?}"))
}

/// Encodes pixels as a JPEG of this `quality` (1 to 100, as IJG's libjpeg counts).
pub(super) fn encode(
    pixels: &Pixels,
    (width, height): (u16, u16),
    sampling: Sampling,
    quality: u8,
    mut into: &mut dyn Write,
) -> io::Result<()> {
    let (across, down) = sampling.unwrap_or((1, 1));
    let mut encoder = Encoder::new(&mut into, quality);
    if let Some(sampling) = SamplingFactor::from_factors(across, down) {
        encoder.set_sampling_factor(sampling);
    }
    let image = Image { pixels, width, height, is_grey: sampling.is_none(), across: across.into(), down: down.into() };
    encoder
        .encode_image(image)
        .map_err(|error| if let EncodingError::IoError(error) = error { error } else { io::Error::other(error) })
}

/// Pixels as the encoder asks for them. Of each `across` by `down` pixels it takes the first one's colours, so that one
/// has their mean.
struct Image<'a> {
    pixels: &'a Pixels,
    width: u16,
    height: u16,
    is_grey: bool,
    across: usize,
    down: usize,
}

impl Image<'_> {
    fn fill_from_planes(&self, y: usize, planes: &[Vec<u8>; 3], buffers: &mut [Vec<u8>; 4]) {
        let width = usize::from(self.width);
        let columns = width.div_ceil(self.across);
        let [luma, colours @ ..] = buffers;
        let [brightness, blue_and_red @ ..] = planes;
        luma.extend(&brightness[y * width..][..width]);
        for (plane, buffer) in blue_and_red.iter().zip(colours) {
            let (row, end) = (&plane[y / self.down * columns..][..columns], buffer.len() + width);
            if self.across == 1 {
                buffer.extend(row);
                continue;
            }
            for value in row {
                buffer.extend([*value; 2]);
            }
            buffer.truncate(end);
        }
    }

    fn fill_from_rows(&self, y: usize, pixels: &[u8], buffers: &mut [Vec<u8>; 4]) {
        let length = usize::from(self.width) * if self.is_grey { 1 } else { 3 };
        let row_at = |y: usize| &pixels[y * length..][..length];
        let row = row_at(y);
        let [luma, blue, red, _] = buffers;
        if self.is_grey {
            return luma.extend(row);
        }
        let (pixels, _) = row.as_chunks::<3>();
        luma.extend(pixels.iter().map(|pixel| pixel[0]));
        let is_last = y + 1 == usize::from(self.height);
        if !y.is_multiple_of(self.down) && !is_last {
            // Not looked at. The last row is, also in place of those that are missing below it.
            blue.resize(luma.len(), 0);
            red.resize(luma.len(), 0);
            return;
        }
        let (below, _) = row_at(if self.down == 2 && !is_last { y + 1 } else { y }).as_chunks::<3>();
        if self.across == 1 {
            blue.extend(pixels.iter().zip(below).map(|(pixel, below)| mean(&[pixel[1], below[1]])));
            red.extend(pixels.iter().zip(below).map(|(pixel, below)| mean(&[pixel[2], below[2]])));
            return;
        }
        let ((pairs, single), (below, single_below)) = (pixels.as_chunks::<2>(), below.as_chunks::<2>());
        for ([a, b], [c, d]) in pairs.iter().zip(below) {
            blue.extend([mean(&[a[1], b[1], c[1], d[1]]); 2]);
            red.extend([mean(&[a[2], b[2], c[2], d[2]]); 2]);
        }
        if let ([a], [c]) = (single, single_below) {
            blue.push(mean(&[a[1], c[1]]));
            red.push(mean(&[a[2], c[2]]));
        }
    }
}

impl ImageBuffer for Image<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        if self.is_grey { JpegColorType::Luma } else { JpegColorType::Ycbcr }
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let y = usize::from(y);
        match self.pixels {
            Pixels::Woven(pixels) => self.fill_from_rows(y, pixels, buffers),
            Pixels::Apart(planes) => self.fill_from_planes(y, planes, buffers),
        }
    }
}

/// Of two or four values.
fn mean<const COUNT: usize>(values: &[u8; COUNT]) -> u8 {
    let sum: u16 = values.iter().map(|value| u16::from(*value)).sum();
    ((sum + COUNT as u16 / 2) / COUNT as u16) as u8
}
