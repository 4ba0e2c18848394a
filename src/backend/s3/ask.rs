//! What is asked of a store: each request's method, query and header fields, before it is signed.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;

use super::plan::Span;
use crate::model::{FileInfo, ObjectChecksum};

/// The most rows of a list that are asked for at once.
const PAGE: &str = "500";

/// The object that a task's file becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// The task's id.
    pub(super) task: String,
    /// What the app calls the file.
    pub(super) name: String,
    pub(super) key: String,
}

/// What is said of a file when its object is begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) device: &'a str,
    pub(super) strategy: &'a str,
    pub(super) info: &'a FileInfo,
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ask<'a> {
    /// The whole file.
    Put(About<'a>),
    /// What is there under the key.
    Head,
    /// Begins an upload in parts.
    Create(About<'a>),
    Part {
        upload: &'a str,
        span: Span,
        sha256: Option<[u8; 32]>,
    },
    /// The parts that the store has, after this one.
    List {
        upload: &'a str,
        after: u32,
    },
    /// Makes the parts one object.
    Complete {
        upload: &'a str,
    },
    /// Ends an upload.
    Abort {
        upload: &'a str,
    },
    /// The uploads under a prefix that nobody finished.
    Uploads {
        prefix: &'a str,
    },
}

impl Ask<'_> {
    /// Its name, as a server that signs is told it.
    pub(super) const fn action(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Head => "head",
            Self::Create(_) => "create",
            Self::Part { .. } => "part",
            Self::List { .. } => "list",
            Self::Complete { .. } => "complete",
            Self::Abort { .. } => "abort",
            Self::Uploads { .. } => "uploads",
        }
    }

    pub(super) const fn method(&self) -> Method {
        match self {
            Self::Put(_) | Self::Part { .. } => Method::PUT,
            Self::Head => Method::HEAD,
            Self::Create(_) | Self::Complete { .. } => Method::POST,
            Self::List { .. } | Self::Uploads { .. } => Method::GET,
            Self::Abort { .. } => Method::DELETE,
        }
    }

    /// The query, in the order of its keys.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let id = |upload: &str| ("uploadId", upload.to_owned());
        match self {
            Self::Put(_) | Self::Head => Vec::new(),
            Self::Create(_) => vec![("uploads", String::new())],
            Self::Part { upload, span, .. } => vec![("partNumber", span.number.to_string()), id(upload)],
            Self::List { upload, after } => {
                vec![("max-parts", PAGE.to_owned()), ("part-number-marker", after.to_string()), id(upload)]
            }
            Self::Complete { upload } | Self::Abort { upload } => vec![id(upload)],
            Self::Uploads { prefix } => {
                vec![("max-uploads", PAGE.to_owned()), ("prefix", (*prefix).to_owned()), ("uploads", String::new())]
            }
        }
    }

    /// The header fields that are signed, in the order of their names.
    pub(super) fn headers(&self, checksum: ObjectChecksum) -> Vec<(&'static str, String)> {
        let vouched = checksum == ObjectChecksum::Sha256;
        match self {
            Self::Put(about) => {
                let sum = ("x-amz-checksum-sha256", BASE64_STANDARD.encode(about.info.sha256));
                described(*about, vouched.then_some(sum))
            }
            Self::Create(about) => {
                described(*about, vouched.then(|| ("x-amz-checksum-algorithm", "SHA256".to_owned())))
            }
            Self::Part { sha256, .. } => {
                let sum = sha256.map(|sha256| ("x-amz-checksum-sha256", BASE64_STANDARD.encode(sha256)));
                sum.filter(|_| vouched).into_iter().collect()
            }
            Self::Head if vouched => vec![("x-amz-checksum-mode", "ENABLED".to_owned())],
            Self::Head | Self::List { .. } | Self::Complete { .. } | Self::Abort { .. } | Self::Uploads { .. } => {
                Vec::new()
            }
        }
    }
}

/// Type and metadata of an object, and how it is vouched for.
fn described(about: About<'_>, sum: Option<(&'static str, String)>) -> Vec<(&'static str, String)> {
    let About { device, strategy, info } = about;
    let plain = !info.content_type.is_empty() && info.content_type.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    let content_type = if plain { info.content_type.as_str() } else { "application/octet-stream" };
    let said = |name, text: &str| (!text.is_empty()).then(|| (name, escaped(text)));
    let photo = info.variant.map(|variant| variant.photo.to_string()).unwrap_or_default();
    let fields = [
        Some(("content-type", content_type.to_owned())),
        sum,
        said("x-amz-meta-device", device),
        said("x-amz-meta-filename", &info.name),
        said("x-amz-meta-metadata", &info.metadata),
        said("x-amz-meta-photo", &photo),
        Some(("x-amz-meta-sha256", hex(&info.sha256))),
        said("x-amz-meta-strategy", strategy),
        said("x-amz-meta-variant", info.variant.map_or("", |variant| variant.quality.as_str())),
    ];
    fields.into_iter().flatten().collect()
}

/// A digest as 64 hex digits.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text as a header field can hold it: what is not visible ASCII, and `%`, as `%XX` of its UTF-8.
fn escaped(text: &str) -> String {
    let each = |byte: u8| match byte {
        b'!'..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(each).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{Quality, TaskId, Variant};

    pub(in crate::backend::s3) fn info() -> FileInfo {
        FileInfo {
            name: "größe 1.jpg".to_owned(),
            content_type: "image/jpeg".to_owned(),
            metadata: r#"{"a":7}"#.to_owned(),
            quality: Quality::Original,
            variant: Some(Variant { photo: TaskId::mint(), quality: Quality::Balanced }),
            ..FileInfo::new(5, [0xab; 32])
        }
    }

    #[test]
    fn queries_and_headers_are_in_order_and_say_what_they_must() {
        let info = info();
        let about = About { device: "kiosk 7", strategy: "photo", info: &info };
        let span = Span { number: 3, offset: 0, size: 1 };
        let asks = [
            Ask::Put(about),
            Ask::Head,
            Ask::Create(about),
            Ask::Part { upload: "u", span, sha256: Some([1; 32]) },
            Ask::List { upload: "u", after: 7 },
            Ask::Complete { upload: "u" },
            Ask::Abort { upload: "u" },
            Ask::Uploads { prefix: "p/" },
        ];
        for ask in asks {
            for checksum in ObjectChecksum::ALL {
                for fields in [ask.query(), ask.headers(*checksum)] {
                    assert!(fields.is_sorted_by_key(|(name, _)| *name), "{fields:?}");
                    assert!(fields.iter().all(|(_, value)| value.is_ascii() && !value.contains(' ')), "{fields:?}");
                }
            }
            let headers = ask.headers(ObjectChecksum::None);
            assert!(headers.iter().all(|(name, _)| !name.contains("checksum")), "{headers:?}");
        }
        let put = asks[0].headers(ObjectChecksum::Sha256);
        assert!(put.contains(&("x-amz-meta-filename", "gr%C3%B6%C3%9Fe%201.jpg".to_owned())), "{put:?}");
        assert!(put.contains(&("x-amz-meta-metadata", r#"{"a":7}"#.to_owned())));
        assert!(put.contains(&("x-amz-meta-variant", "balanced".to_owned())));
        assert!(put.iter().any(|(name, value)| *name == "x-amz-meta-photo" && value.len() == 36));
        assert!(put.contains(&("x-amz-checksum-sha256", BASE64_STANDARD.encode([0xab; 32]))));
        assert_eq!(asks[3].query(), [("partNumber", "3".to_owned()), ("uploadId", "u".to_owned())]);
    }
}
