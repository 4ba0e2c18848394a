//! The demo's photos: made or taken from a folder, and at the end compared with what the server holds.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::jpeg;
use super::uploads::{Upload, UploadState};

/// How many the demo makes.
const COUNT: u64 = 20;
/// Bytes of the smallest and of the largest, about.
const SIZES: [usize; 2] = [100_000, 600_000];

/// Makes the demo's photos in this folder.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    for number in 1..=COUNT {
        let step = (SIZES[1] - SIZES[0]) / usize::try_from(COUNT).unwrap_or(1);
        // 7 and 20 have no divisor in common: all sizes, but not in order.
        let size = SIZES[0] + step * usize::try_from(number * 7 % COUNT).unwrap_or_default();
        fs::write(folder.join(format!("IMG_{number:04}.jpg")), jpeg::photo(number, size))?;
    }
    Ok(())
}

/// A photo that was handed over.
pub(super) struct Photo {
    /// The file.
    pub(super) path: PathBuf,
    /// Its task.
    pub(super) id: String,
}

/// The comparison's outcome.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Album {
    photos: usize,
    bytes: u64,
    /// Photos whose Exif segment is on the server as it was here.
    exif: usize,
    /// Bytes sent that the server had already.
    again: u64,
    /// Bytes sent that it did not keep, or keeps twice.
    lost: u64,
    differences: Vec<String>,
}

impl Album {
    /// Whether the server holds exactly what was handed over, and was sent no byte that it had.
    pub(super) fn is_whole(&self) -> bool {
        self.differences.is_empty() && self.again == 0
    }
}

impl fmt::Display for Album {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { photos, bytes, exif, again, lost, differences } = self;
        if !differences.is_empty() {
            write!(f, "the server does not hold the photos that were handed over:")?;
            return differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"));
        }
        write!(f, "the server holds all {photos} photos byte for byte, {bytes} bytes, {exif} with their Exif data; ")?;
        write!(f, "bytes sent twice that it had: {again}")?;
        if *lost > 0 { write!(f, " ({lost} were lost on their way and sent again)") } else { Ok(()) }
    }
}

/// Judges by the server's account of its uploads alone.
pub(super) fn compare(photos: &[Photo], uploads: &[Upload]) -> io::Result<Album> {
    let mut album = Album { photos: photos.len(), ..Album::default() };
    for Photo { path, id } in photos {
        let (bytes, name) = (fs::read(path)?, path.display());
        let of_task = |upload: &&Upload| upload.metadata.get("task") == Some(id);
        let finished: Vec<_> =
            uploads.iter().filter(of_task).filter(|upload| upload.state == UploadState::Finished).collect();
        match finished[..] {
            [] => album.differences.push(format!("lost: {name} ({id})")),
            [upload] if upload.bytes != bytes => album.differences.push(format!("changed: {name} ({id})")),
            [upload] => album.exif += usize::from(jpeg::exif(&upload.bytes).is_some()),
            [..] => album.differences.push(format!("{} times there: {name} ({id})", finished.len())),
        }
        album.bytes += bytes.len() as u64;
    }
    let known =
        |upload: &&Upload| upload.metadata.get("task").is_some_and(|id| photos.iter().any(|photo| photo.id == *id));
    let strangers = uploads.iter().filter(|upload| !known(upload));
    album.differences.extend(strangers.map(|upload| format!("never handed over: {}", upload.path)));
    album.again = uploads.iter().map(|upload| upload.again).sum();
    let received: u64 = uploads.iter().map(|upload| upload.received).sum();
    album.lost = received.saturating_sub(album.bytes + album.again);
    Ok(album)
}

#[cfg(test)]
mod tests {
    use super::super::uploads::{Uploads, Writer};
    use super::*;

    fn uploaded(uploads: &mut Uploads, id: &str, bytes: &[u8]) {
        let metadata = [("task".to_owned(), id.to_owned())].into();
        let upload = uploads.create(bytes.len() as u64, "", metadata, true);
        let writer = Writer { path: upload.path, turn: upload.turn };
        uploads.append(&writer, bytes).unwrap();
        uploads.settle(&writer, None).unwrap();
    }

    #[test]
    fn photos_are_compared_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        make(&folder.path().join("made")).unwrap();
        let mut files: Vec<_> =
            fs::read_dir(folder.path().join("made")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert_eq!(files.len(), 20);
        let photos: Vec<_> =
            files.iter().enumerate().map(|(id, path)| Photo { path: path.clone(), id: id.to_string() }).collect();
        let mut uploads = Uploads::default();
        for photo in &photos[1..] {
            uploaded(&mut uploads, &photo.id, &fs::read(&photo.path).unwrap());
        }
        let missing = compare(&photos, uploads.all()).unwrap();
        assert!(!missing.is_whole() && missing.to_string().contains("lost: "), "{missing}");
        let first = fs::read(&files[0]).unwrap();
        uploaded(&mut uploads, "0", &first);
        let whole = compare(&photos, uploads.all()).unwrap();
        assert!(whole.is_whole(), "{whole}");
        let words = format!("all 20 photos byte for byte, {} bytes, 20 with their Exif data", whole.bytes);
        assert!(whole.to_string().contains(&words), "{whole}");
        uploads.refuse("/files/1", Some(0), 5);
        assert!(!compare(&photos, uploads.all()).unwrap().is_whole(), "five bytes came twice");
        uploaded(&mut uploads, "stranger", b"x");
        uploaded(&mut uploads, "0", &first);
        let twice = compare(&photos, uploads.all()).unwrap().to_string();
        assert!(twice.contains("2 times there: ") && twice.contains("never handed over: /files/21"), "{twice}");
    }
}
