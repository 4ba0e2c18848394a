//! What is kept of an upload between two attempts.

use serde::{Deserialize, Serialize};

/// Uploads of at most so many parts keep what the store called each: a note of some kilobytes at most, written once a
/// part. Larger ones rely on the store's list.
const MOST_NOTED: u32 = 256;

/// What the next attempt must know.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Note {
    /// The task's id.
    pub(super) task: String,
    /// What the app calls the file.
    pub(super) name: String,
    /// The object's key.
    pub(super) key: String,
    /// The upload's id; `None`: the file was sent in one request, and no answer came.
    pub(super) upload: Option<String>,
    /// Bytes of its parts.
    pub(super) part: u64,
    /// What the store called the parts that it took; empty ones are not known.
    pub(super) etags: Vec<String>,
    /// How many parts it has.
    pub(super) done: u32,
}

impl Note {
    /// What was kept; nothing if it was another backend's.
    pub(super) fn read(text: Option<&str>) -> Option<Self> {
        serde_json::from_str(text?).ok().filter(|note: &Self| !note.task.is_empty())
    }

    /// Whether parts of an upload of so many are noted by name.
    pub(super) const fn names(count: u32) -> bool {
        count <= MOST_NOTED
    }

    pub(super) fn write(&self) -> String {
        // Texts and numbers can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_anothers_is_none() {
        let note = Note {
            task: "0197f3c0".into(),
            name: "größe \"1\".jpg".into(),
            key: "k/t/n".into(),
            upload: Some("id".into()),
            part: 5 << 20,
            etags: vec!["\"a\"".into(), String::new()],
            done: 1,
        };
        assert_eq!(Note::read(Some(&note.write())), Some(note));
        for other in [None, Some(""), Some("http://h/files/1 100"), Some("{}"), Some("{\"upload\":7}")] {
            assert_eq!(Note::read(other), None);
        }
    }
}
