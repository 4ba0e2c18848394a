//! What `[backend.NAME]` says of an object store.

use super::names;
use super::section::Section;
use super::sections::{DAY, GIB, MIB, words};
use crate::model::{KeyTemplate, ObjectChecksum, ObjectStore};

/// The keys of `kind = "s3"`; `needed`: that is the kind.
pub(super) fn store(section: &Section<'_>, needed: bool) -> ObjectStore {
    let usual = ObjectStore::default();
    let bucket = section.text("bucket", names::bucket);
    let lacks_bucket = bucket.as_ref().map_or(!section.has("bucket"), String::is_empty);
    let bucket = bucket.unwrap_or_default();
    let region = section.text("region", names::region);
    let path_style = section.boolean("path_style").unwrap_or(usual.path_style);
    let key = section.text("key", KeyTemplate::new);
    let part_size = section.size("part_size", 5 * MIB..=5 * GIB);
    let checksum = section.word("checksum", &words(ObjectChecksum::ALL, ObjectChecksum::as_str));
    let sign_url = section.text("sign_url", names::sign_url).flatten();
    let sweep_after = section.duration_or_never("sweep_after", DAY..=365 * DAY);
    if needed && sign_url.is_none() && lacks_bucket {
        section.refuse("bucket", "an s3 backend needs one, such as \"photos\", or sign_url".to_owned());
    }
    if !path_style && !is_host(&bucket) {
        let words = format!("{bucket:?} can be no part of a host's name; use path_style = true");
        section.refuse("bucket", words);
    }
    ObjectStore {
        bucket,
        region: region.unwrap_or(usual.region),
        path_style,
        key: key.unwrap_or(usual.key),
        part_size: part_size.unwrap_or(usual.part_size),
        checksum: checksum.unwrap_or(usual.checksum),
        sign_url,
        sweep_after: sweep_after.unwrap_or(usual.sweep_after),
    }
}

/// Whether a bucket's name may stand before a host: as S3 gives them out.
fn is_host(bucket: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let ends = [bucket.bytes().next(), bucket.bytes().next_back()];
    bucket.bytes().all(plain) && ends.iter().flatten().all(u8::is_ascii_alphanumeric) && !bucket.contains("..")
}
