//! The documents of S3, read within the bounds of an answer and written.

use std::fmt::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use roxmltree::{Document, Node, ParsingOptions};

use super::plan::Row;

/// The most elements and texts of a document: a page of a thousand parts has some ten thousand.
const MOST_NODES: u32 = 50_000;

/// The longest id of an upload that is kept.
const LONGEST_ID: usize = 2048;

/// An `<Error>`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Refused {
    pub(super) code: String,
    pub(super) message: String,
}

/// A page of the list of an upload's parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) rows: Vec<Row>,
    /// The last number on this page, if there are more.
    pub(super) more_after: Option<u32>,
}

/// An upload that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) key: String,
    pub(super) upload: String,
    /// When, as RFC 3339 writes it.
    pub(super) initiated: String,
}

/// The error that a body tells of.
pub(super) fn error(body: &[u8]) -> Option<Refused> {
    read(body, "Error", |root| {
        Some(Refused { code: text(root, "Code")?.to_owned(), message: text(root, "Message").unwrap_or("").to_owned() })
    })
}

/// The id of the upload that `CreateMultipartUpload` began.
pub(super) fn created(body: &[u8]) -> Option<String> {
    read(body, "InitiateMultipartUploadResult", |root| text(root, "UploadId").and_then(id))
}

/// Whether this is the word that an upload is one object now; with the object's checksum, if that is told.
pub(super) fn completed(body: &[u8]) -> Option<Option<String>> {
    read(body, "CompleteMultipartUploadResult", |root| Some(text(root, "ChecksumSHA256").map(str::to_owned)))
}

/// A page of `ListParts` after the part `after`.
pub(super) fn parts(body: &[u8], after: u32) -> Option<Page> {
    let take = |root: Node<'_, '_>| {
        let rows = children(root, "Part").map(row).collect::<Option<Vec<_>>>()?;
        let more_after = match text(root, "IsTruncated") {
            Some("true") => Some(text(root, "NextPartNumberMarker")?.parse().ok().filter(|next| *next > after)?),
            _ => None,
        };
        Some(Page { rows, more_after })
    };
    // The second is moto's.
    read(body, "ListPartsResult", take).or_else(|| read(body, "ListPartsResponse", take))
}

/// A page of `ListMultipartUploads`; what cannot be read of it is left out.
pub(super) fn uploads(body: &[u8]) -> Option<Vec<Begun>> {
    read(body, "ListMultipartUploadsResult", |root| {
        let begun = |node| {
            let (key, upload) = (text(node, "Key")?.to_owned(), text(node, "UploadId").and_then(id)?);
            Some(Begun { key, upload, initiated: text(node, "Initiated")?.to_owned() })
        };
        Some(children(root, "Upload").filter_map(begun).collect())
    })
}

/// The body of `CompleteMultipartUpload`: each part's number, name and, where it is vouched for, digest.
pub(super) fn complete<'a>(parts: impl Iterator<Item = (u32, &'a str, Option<[u8; 32]>)>) -> String {
    let mut body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">".to_owned();
    for (number, etag, sha256) in parts {
        // Writing to a String cannot fail.
        let _ = write!(body, "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag>", escaped(etag));
        if let Some(sha256) = sha256 {
            let _ = write!(body, "<ChecksumSHA256>{}</ChecksumSHA256>", BASE64_STANDARD.encode(sha256));
        }
        body.push_str("</Part>");
    }
    body.push_str("</CompleteMultipartUpload>");
    body
}

fn read<T>(body: &[u8], name: &str, take: impl FnOnce(Node<'_, '_>) -> Option<T>) -> Option<T> {
    let body = std::str::from_utf8(body).ok()?;
    // While it works on a request, S3 sends white space, before the declaration as well.
    let body = body.trim_start_matches('\u{feff}').trim_start();
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(body, options).ok()?;
    Some(document.root_element()).filter(|root| root.tag_name().name() == name).and_then(take)
}

fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.tag_name().name() == name)
}

fn text<'a>(node: Node<'a, '_>, name: &'static str) -> Option<&'a str> {
    children(node, name).next()?.text().map(str::trim)
}

fn id(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty() && text.len() <= LONGEST_ID).map(str::to_owned)
}

fn row(node: Node<'_, '_>) -> Option<Row> {
    Some(Row {
        number: text(node, "PartNumber")?.parse().ok()?,
        size: text(node, "Size")?.parse().ok()?,
        etag: text(node, "ETag").unwrap_or_default().to_owned(),
        sha256: text(node, "ChecksumSHA256").and_then(digest),
    })
}

/// A SHA-256 in base64.
pub(super) fn digest(text: &str) -> Option<[u8; 32]> {
    BASE64_STANDARD.decode(text).ok()?.try_into().ok()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;

    #[test]
    fn errors_are_known_by_their_root_and_nothing_else_is_one() {
        let body =
            b"\n\n <?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>Try &amp; try</Message></Error>";
        let refused = error(body).unwrap();
        assert_eq!((refused.code.as_str(), refused.message.as_str()), ("InternalError", "Try & try"));
        for other in [
            "",
            "<html><Error/></html>",
            "<Error/>",
            "<Error><Code>a",
            "no XML",
            "<!DOCTYPE a><Error><Code>a</Code></Error>",
        ] {
            assert_eq!(error(other.as_bytes()), None, "{other}");
        }
        assert!(completed(body).is_none());
    }

    #[test]
    fn a_page_that_does_not_lead_on_is_none() {
        let page = |rest: &str| {
            let part = "<Part><PartNumber>2</PartNumber><ETag>\"a\"</ETag><Size>7</Size><Unknown/></Part>";
            parts(
                format!(
                    "<ListPartsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{part}{rest}</ListPartsResult>"
                )
                .as_bytes(),
                1,
            )
        };
        let row = Row { number: 2, size: 7, etag: "\"a\"".into(), sha256: None };
        assert_eq!(page("").unwrap(), Page { rows: vec![row.clone()], more_after: None });
        let more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>";
        assert_eq!(page(more).unwrap().more_after, Some(2));
        assert_eq!(page("<IsTruncated>true</IsTruncated>"), None);
        assert_eq!(page("<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"), None);
        assert_eq!(page("<Part><PartNumber>x</PartNumber><Size>7</Size></Part>"), None);
    }

    #[test]
    fn any_document_is_read_within_bounds_or_not_at_all() {
        fuzz!("s3_xml", |input: &[u8]| {
            let (error, created, completed) = (error(input), created(input), completed(input));
            let (page, uploads) = (parts(input, 7), uploads(input));
            let read = [error.is_some(), created.is_some(), completed.is_some(), page.is_some(), uploads.is_some()];
            assert!(read.iter().filter(|is| **is).count() <= 1, "one document is one thing");
            assert!(created.is_none_or(|id| !id.is_empty() && id.len() <= LONGEST_ID));
            assert!(page.is_none_or(|page| page.more_after.is_none_or(|more| more > 7)));
            assert!(uploads.is_none_or(|all| all.iter().all(|begun| !begun.upload.is_empty())));
        });
    }

    #[test]
    fn a_bomb_is_no_document() {
        let deep = format!("<ListPartsResult>{}</ListPartsResult>", "<Part/>".repeat(MOST_NODES as usize));
        assert_eq!(parts(deep.as_bytes(), 0), None);
        let entities = "<!DOCTYPE a [<!ENTITY a \"aaaa\">]><ListPartsResult>&a;</ListPartsResult>";
        assert_eq!(parts(entities.as_bytes(), 0), None);
        let nested = format!("{}{}", "<a>".repeat(20_000), "</a>".repeat(20_000));
        assert_eq!(parts(nested.as_bytes(), 0), None);
    }

    #[test]
    fn what_completes_an_upload_is_well_formed() {
        let body = complete([(1, "\"a&<b\"", None), (2, "c", Some([0; 32]))].into_iter());
        let document = Document::parse(&body).unwrap();
        let etags: Vec<_> = document
            .descendants()
            .filter(|node| node.has_tag_name(("http://s3.amazonaws.com/doc/2006-03-01/", "ETag")))
            .map(|node| node.text().unwrap().to_owned())
            .collect();
        assert_eq!(etags, ["\"a&<b\"", "c"]);
        assert_eq!(body.matches("<ChecksumSHA256>AAAA").count(), 1);
    }
}
