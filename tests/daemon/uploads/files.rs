//! Files to hand over, and what the server must hold of them.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use ferryd::demo::{Server, Upload, UploadState};

use crate::device::{Device, HANG};

/// A configuration by which photos go to this server in chunks of so many bytes, over any link.
pub(crate) fn config(server: &Server, chunk: usize) -> String {
    let address = server.address();
    format!(
        "[device]\nname = \"tested\"\n[backend.main]\nurl = \"http://{address}/sync\"\n\
         [backend.files]\nkind = \"tus\"\nurl = \"http://{address}/files/\"\nchunk = {chunk}\n\
         [strategy.photo]\nnetwork = \"any\"\n[limits]\nbackoff_cap = \"1 s\"\n"
    )
}

/// Writes a file of bytes that no two places of it share.
pub(crate) fn file(device: &Device<'_>, name: &str, size: usize) -> (PathBuf, Vec<u8>) {
    let mut bytes = vec![0; size];
    fastrand::Rng::with_seed(size as u64).fill(&mut bytes);
    let path = device.file(name);
    fs::write(&path, &bytes).expect("a file");
    (path, bytes)
}

/// Hands files over by `ferryctl put`; their ids.
pub(crate) fn put(device: &Device<'_>, paths: &[PathBuf]) -> Vec<String> {
    let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    let (said, code) = device.ctl(&format!("put {}", paths.join(" ")));
    assert_eq!(code, 0, "{said}\n{}", device.log());
    said.lines().map(str::to_owned).collect()
}

/// Blocks until the server has more than so many bytes of its last upload.
pub(crate) fn until_more_than(device: &Device<'_>, server: &Server, bytes: u64) {
    let has_more = |uploads: &[Upload]| uploads.last().is_some_and(|upload| upload.offset > bytes);
    assert!(server.wait_until(|log| has_more(log.uploads()), HANG), "{:?}\n{}", server.uploads(), device.log());
}

/// The server holds each file once, whole, and was sent no byte that it had.
pub(crate) fn assert_arrived(server: &Server, files: &[Vec<u8>]) {
    let uploads = server.uploads();
    let finished: Vec<&Upload> = uploads.iter().filter(|upload| upload.state == UploadState::Finished).collect();
    assert_eq!(finished.len(), files.len(), "{uploads:?}");
    for file in files {
        assert_eq!(finished.iter().filter(|upload| upload.bytes == *file).count(), 1, "{uploads:?}");
    }
    assert_eq!(uploads.iter().map(|upload| upload.again).sum::<u64>(), 0, "sent again: {uploads:?}");
}

/// How long from `begun` until the server has more than it had.
pub(crate) fn until_bytes_flow(server: &Server, had: u64, begun: Instant) -> std::time::Duration {
    let more = |uploads: &[Upload]| uploads.last().is_some_and(|upload| upload.offset > had);
    assert!(server.wait_until(|log| more(log.uploads()), HANG), "{:?}", server.uploads());
    begun.elapsed()
}
