//! Photos from end to end: real ones and odd ones, made and judged by other programs (ImageMagick, exiftool, libjpeg-turbo).
//! What counts is what the server holds.

mod full;
mod hostile;
mod later;
mod memory;
mod odd;
mod pictures;
mod place;
mod real;
mod resumed;
