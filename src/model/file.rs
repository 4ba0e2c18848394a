//! A file that an app handed over, and the upload that carries it.

use std::time::Duration;

use super::world::words;
use super::{TaskId, UploadStrategy};

words!(
    /// How much of a picture may be given away for a faster upload.
    Quality {
        /// As the link allows.
        Auto = "auto",
        /// The bytes as they are.
        Original = "original",
        /// JPEG at 90.
        Balanced = "balanced",
        /// JPEG at 70.
        Conservative = "conservative",
    }
);

impl Default for Quality {
    /// What a file is that nothing was made of.
    fn default() -> Self {
        Self::Original
    }
}

words!(
    /// What becomes of the original of a picture that was sent re-encoded.
    Original {
        /// It is not sent.
        Never = "never",
        /// It follows on an unmetered link.
        Later = "later",
    }
);

/// A field of a record that learns where the file went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordField {
    /// The collection.
    pub collection: String,
    /// The record.
    pub id: String,
    /// The field.
    pub field: String,
}

/// Which of the files that are one photo this one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The first task that carried the photo: servers know it by that.
    pub photo: TaskId,
    /// How the photo is in this file.
    pub quality: Quality,
}

/// A file in the spool, and what its app said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Bytes.
    pub size: u64,
    /// SHA-256 of all of it (FIPS 180-4).
    pub sha256: [u8; 32],
    /// What the app calls it; empty if it does not say.
    pub name: String,
    /// Its media type; empty if the app does not say.
    pub content_type: String,
    /// A JSON object for the server; empty if there is none.
    pub metadata: String,
    /// How much quality may be given away.
    pub quality: Quality,
    /// What becomes of the original.
    pub original: Original,
    /// The longest edge in pixels that the server wants.
    pub max_edge: Option<u32>,
    /// The record that learns of it.
    pub record: Option<RecordField>,
    /// If the photo is sent as more than one file, or not as it was handed over: which this is.
    pub variant: Option<Variant>,
}

impl FileInfo {
    /// A file of which its app says nothing.
    pub fn new(size: u64, sha256: [u8; 32]) -> Self {
        Self {
            size,
            sha256,
            name: String::new(),
            content_type: String::new(),
            metadata: String::new(),
            quality: Quality::Auto,
            original: Original::Never,
            max_edge: None,
            record: None,
            variant: None,
        }
    }
}

/// What a task carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// JSON text, sent as it is.
    Json(String),
    /// A file in the spool.
    File(Box<FileInfo>),
}

impl Payload {
    /// Bytes that it holds of its owner's quota.
    pub fn size(&self) -> u64 {
        match self {
            Self::Json(text) => text.len() as u64,
            Self::File(file) => file.size,
        }
    }

    /// The JSON text; empty for a file.
    pub fn json(&self) -> &str {
        match self {
            Self::Json(text) => text,
            Self::File(_) => "",
        }
    }
}

impl From<String> for Payload {
    fn from(json: String) -> Self {
        Self::Json(json)
    }
}

/// How far an upload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transfer {
    /// Bytes that the server has confirmed.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes of the chunk that is on its way.
    pub chunk: u64,
    /// What is sent.
    pub quality: Quality,
    /// Bytes confirmed by this attempt.
    pub sent: u64,
    /// Since when it runs.
    pub took: Duration,
    /// How it goes; `None`: nobody has said yet.
    pub upload: Option<UploadStrategy>,
}

impl Transfer {
    /// Bytes a second, over the whole attempt; 0 while nothing is confirmed.
    pub fn rate(&self) -> u64 {
        let micros = self.took.as_micros().max(1);
        u64::try_from(u128::from(self.sent) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}
