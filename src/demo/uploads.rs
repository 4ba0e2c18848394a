//! Files as they came: what the server holds of each, and how many bytes it took to get there.

use std::collections::BTreeMap;
use std::fmt;

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// More is to come.
    Open,
    /// All of it is there.
    Finished,
    /// The client took it back.
    Terminated,
    /// The server gave it up.
    Expired,
}

/// One upload.
#[derive(Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its URL's path.
    pub path: String,
    /// `Upload-Metadata`, decoded.
    pub metadata: BTreeMap<String, String>,
    /// `Upload-Metadata` as it came.
    pub(super) header: String,
    /// Bytes that it is to have.
    pub length: u64,
    /// Bytes that the server has.
    pub offset: u64,
    /// These, unless the server discards them, or the upload was terminated or expired.
    pub bytes: Vec<u8>,
    /// Bytes of bodies that were read for it, kept or not.
    pub received: u64,
    /// Those of them that the server had already.
    pub again: u64,
    /// Requests that brought bytes.
    pub patches: u32,
    /// Where it stands.
    pub state: UploadState,
    /// Counts who may write: a request that finds a later number than its own stops.
    pub(super) turn: u64,
    keep: bool,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("path", &self.path)
            .field("metadata", &self.metadata)
            .field("offset", &self.offset)
            .field("length", &self.length)
            .field("received", &self.received)
            .field("again", &self.again)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A request that writes to an upload.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) path: String,
    pub(super) turn: u64,
}

/// All uploads.
#[derive(Debug, Clone, Default)]
pub(super) struct Uploads(Vec<Upload>);

impl Uploads {
    pub(super) fn all(&self) -> &[Upload] {
        &self.0
    }

    pub(super) fn find(&self, path: &str) -> Option<&Upload> {
        self.0.iter().find(|upload| upload.path == path)
    }

    fn find_mut(&mut self, path: &str) -> Option<&mut Upload> {
        self.0.iter_mut().find(|upload| upload.path == path)
    }

    /// Begins an upload under a path of its own.
    pub(super) fn create(
        &mut self,
        length: u64,
        header: &str,
        metadata: BTreeMap<String, String>,
        keep: bool,
    ) -> Upload {
        let path = format!("{}{}", super::files::FOLDER, self.0.len() + 1);
        let state = if length == 0 { UploadState::Finished } else { UploadState::Open };
        let header = header.to_owned();
        let (offset, bytes, received, again, patches, turn) = (0, Vec::new(), 0, 0, 0, 0);
        self.0.push(Upload {
            path,
            metadata,
            header,
            length,
            offset,
            bytes,
            received,
            again,
            patches,
            state,
            turn,
            keep,
        });
        self.0[self.0.len() - 1].clone()
    }

    /// A request turns to an upload: earlier ones that still write to it stop, so that the offset it sees stays true.
    pub(super) fn turn(&mut self, path: &str) -> Option<Upload> {
        let upload = self.find_mut(path)?;
        upload.turn += 1;
        // What is seen is for the head's fields: the bytes may be many.
        let bytes = std::mem::take(&mut upload.bytes);
        let seen = upload.clone();
        upload.bytes = bytes;
        Some(seen)
    }

    /// Whether a writer may still write.
    pub(super) fn is_current(&self, writer: &Writer) -> bool {
        self.find(&writer.path).is_some_and(|upload| upload.turn == writer.turn)
    }

    /// Bytes at the end of what is there; `None` if the writer's turn is over.
    pub(super) fn append(&mut self, writer: &Writer, bytes: &[u8]) -> Option<()> {
        let upload = self.find_mut(&writer.path).filter(|upload| upload.turn == writer.turn)?;
        upload.received += bytes.len() as u64;
        upload.offset += bytes.len() as u64;
        if upload.keep {
            upload.bytes.extend_from_slice(bytes);
        }
        Some(())
    }

    /// A writer begins to bring bytes.
    pub(super) fn begin(&mut self, writer: &Writer) {
        if let Some(upload) = self.find_mut(&writer.path) {
            upload.patches += 1;
        }
    }

    /// A writer's bytes are all there. They are taken back to `from` if they are not as they should be.
    pub(super) fn settle(&mut self, writer: &Writer, back_to: Option<u64>) -> Option<u64> {
        let upload = self.find_mut(&writer.path).filter(|upload| upload.turn == writer.turn)?;
        if let Some(from) = back_to {
            upload.offset = from;
            upload.bytes.truncate(usize::try_from(from).unwrap_or(usize::MAX));
        }
        if upload.offset == upload.length && upload.state == UploadState::Open {
            upload.state = UploadState::Finished;
        }
        Some(upload.offset)
    }

    /// Bytes came that are not kept, the first of them for this place.
    pub(super) fn refuse(&mut self, path: &str, at: Option<u64>, count: u64) {
        if let Some(upload) = self.find_mut(path) {
            upload.received += count;
            upload.again += at.map_or(0, |at| upload.offset.saturating_sub(at).min(count));
        }
    }

    /// Ends an upload before its time.
    pub(super) fn end(&mut self, path: &str, state: UploadState) {
        if let Some(upload) = self.find_mut(path) {
            upload.turn += 1;
            upload.state = state;
            upload.bytes = Vec::new();
        }
    }
}
