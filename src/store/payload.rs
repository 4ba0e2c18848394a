//! A payload as the database has it: JSON text as it was handed over, or the word `file` and the description of what lies
//! in the spool. No JSON text begins with that word, so each is known for what it is, also in a salvage.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::sql::clip;
use super::work::WORDS;
use crate::model::{FileInfo, Original, Payload, Quality, RecordField, TaskId, TaskResult, Uploaded, Variant};

const MARK: &str = "file ";

/// The text of the column.
pub(super) fn to_text(payload: &Payload) -> Cow<'_, str> {
    match payload {
        Payload::Json(text) => Cow::Borrowed(text),
        Payload::File(file) => Cow::Owned(format!("{MARK}{}", describe(file))),
    }
}

/// The payload of a column's text; `None` for a description that is not one of ours.
pub(super) fn from_text(text: String) -> Option<Payload> {
    match text.strip_prefix(MARK) {
        Some(description) => file(&serde_json::from_str(description).ok()?).map(|file| Payload::File(Box::new(file))),
        None => Some(Payload::Json(text)),
    }
}

/// What a done task's `words` say: the answer's body, or where its file is.
pub(super) fn words(result: &TaskResult) -> Cow<'_, str> {
    match &result.upload {
        Some(Uploaded { url, sent, original, quality, original_task }) => {
            let original_task = original_task.map(|id| id.to_string());
            let upload = json!({
                "url": url, "sent": sent, "original": original, "quality": quality.as_str(),
                "original_task": original_task,
            });
            Cow::Owned(format!("{MARK}{upload}"))
        }
        None => Cow::Borrowed(clip(&result.body, WORDS)),
    }
}

/// The result that such words stand for.
pub(super) fn result(status: u16, duplicate: bool, words: String) -> TaskResult {
    let upload = words.strip_prefix(MARK).and_then(|upload| {
        let upload: Value = serde_json::from_str(upload).ok()?;
        let (sent, original) = (upload["sent"].as_u64()?, upload["original"].as_u64()?);
        Some(Uploaded {
            url: upload["url"].as_str()?.to_owned(),
            sent,
            original,
            // Before there were copies, nothing was said of them.
            quality: upload["quality"].as_str().and_then(Quality::parse).unwrap_or_default(),
            original_task: upload["original_task"].as_str().and_then(|id| TaskId::parse(id).ok()),
        })
    });
    let body = if upload.is_some() { String::new() } else { words };
    TaskResult { status, duplicate, body, upload }
}

fn describe(file: &FileInfo) -> Value {
    let FileInfo { size, sha256, name, content_type, metadata, quality, original, max_edge, record, variant } = file;
    let variant = variant.map(|variant| [variant.photo.to_string(), variant.quality.to_string()]);
    let record = record.as_ref().map(|at| [&at.collection, &at.id, &at.field]);
    let mut description = json!({
        "size": size, "sha256": hex(sha256), "name": name, "type": content_type, "metadata": metadata,
        "quality": quality.as_str(), "original": original.as_str(), "max_edge": max_edge, "record": record,
    });
    // What apps hand over is described as before there were variants: a repeated request is known by that.
    if let Some(variant) = variant {
        description["variant"] = json!(variant);
    }
    description
}

fn file(value: &Value) -> Option<FileInfo> {
    let text = |key: &str| value[key].as_str();
    let record = value["record"].as_array().map(|parts| parts.iter().map(Value::as_str).collect::<Vec<_>>());
    let record = match record.as_deref() {
        Some([Some(collection), Some(id), Some(field)]) => {
            Some(RecordField { collection: (*collection).into(), id: (*id).into(), field: (*field).into() })
        }
        Some(_) => return None,
        None => None,
    };
    Some(FileInfo {
        size: value["size"].as_u64()?,
        sha256: from_hex(text("sha256")?)?,
        name: text("name")?.to_owned(),
        content_type: text("type")?.to_owned(),
        metadata: text("metadata")?.to_owned(),
        quality: Quality::parse(text("quality")?)?,
        original: Original::parse(text("original")?)?,
        max_edge: value["max_edge"].as_u64().and_then(|edge| u32::try_from(edge).ok()),
        record,
        variant: variant(&value["variant"]),
    })
}

fn variant(value: &Value) -> Option<Variant> {
    let photo = TaskId::parse(value[0].as_str()?).ok()?;
    Some(Variant { photo, quality: Quality::parse(value[1].as_str()?)? })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let file = FileInfo {
            size: u64::MAX,
            sha256: std::array::from_fn(|at| at as u8 * 7),
            name: "Ärger \"1\".jpg".to_owned(),
            content_type: "image/jpeg".to_owned(),
            metadata: "{\"a\":1}".to_owned(),
            quality: Quality::Balanced,
            original: Original::Later,
            max_edge: Some(2048),
            record: Some(RecordField { collection: "c".into(), id: "i".into(), field: "f".into() }),
            variant: Some(Variant { photo: TaskId::mint(), quality: Quality::Original }),
        };
        let plain = FileInfo { max_edge: None, record: None, variant: None, ..file.clone() };
        for payload in [Payload::Json("{\"file\":1}".into()), Payload::File(file.into()), Payload::File(plain.into())] {
            assert_eq!(from_text(to_text(&payload).into_owned()), Some(payload));
        }
        let upload = Uploaded {
            url: "https://x.example/1".to_owned(),
            sent: 1,
            original: 2,
            quality: Quality::Conservative,
            original_task: Some(TaskId::mint()),
        };
        let done = TaskResult { status: 204, upload: Some(upload), ..TaskResult::default() };
        assert_eq!(result(204, false, words(&done).into_owned()), done);
        let before = result(204, false, r#"file {"url":"u","sent":7,"original":7}"#.to_owned()).upload.unwrap();
        assert_eq!((before.quality, before.original_task), (Quality::Original, None), "of an earlier version");
        assert_eq!(from_text("file {}".to_owned()), None);
        assert_eq!(from_text("file ".to_owned()), None);
    }
}
