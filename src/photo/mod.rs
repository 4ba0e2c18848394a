//! Floor 2: pictures. A JPEG is re-encoded, made smaller, or rid of the place where it was taken, each by a process of its
//! own: this program, started again. What a hostile picture can break is then that process and never the daemon.
//!
//! Must not know tasks, links or servers: it is told what to make of which file.

mod apart;
mod encode;
mod exif;
mod jpeg;
mod parts;
mod pixels;
mod place;
mod serve;
mod shrink;
#[cfg(test)]
mod tests;
mod xmp;

pub use apart::{Made, Room, Studio};
pub use serve::make_for_another;

/// What to make of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recipe {
    /// What to encode it anew at, 1 to 100, as IJG's libjpeg counts.
    pub quality: Option<u8>,
    /// Whether that is asked for only if the picture is larger than `max_edge`.
    pub only_to_shrink: bool,
    /// The longest edge in pixels that it may have once it is encoded anew.
    pub max_edge: Option<u32>,
    /// Whether the place where it was taken is left out.
    pub strip_gps: bool,
}

impl Recipe {
    /// Whether it leaves every file as it is.
    pub fn is_nothing(&self) -> bool {
        self.quality.is_none() && !self.strip_gps
    }

    /// The same without encoding anew.
    fn without_encoding(self) -> Self {
        Self { strip_gps: self.strip_gps, ..Self::default() }
    }

    /// As an argument of a command line: without a space.
    pub fn to_argument(self) -> String {
        let Self { quality, only_to_shrink, max_edge, strip_gps } = self;
        let (quality, edge) = (quality.unwrap_or(0), max_edge.unwrap_or(0));
        format!("{quality},{},{edge},{}", u8::from(only_to_shrink), u8::from(strip_gps))
    }

    fn from_argument(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u32>> = text.split(',').map(|number| number.parse().ok()).collect();
        let [quality, only_to_shrink, edge, strip_gps] = numbers?[..] else { return None };
        let quality = u8::try_from(quality).ok().filter(|quality| *quality <= 100)?;
        Some(Self {
            quality: Some(quality).filter(|quality| *quality > 0),
            only_to_shrink: only_to_shrink != 0,
            max_edge: Some(edge).filter(|edge| *edge > 0),
            strip_gps: strip_gps != 0,
        })
    }
}
