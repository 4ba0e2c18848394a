//! What a server offers beyond the core protocol, as its `OPTIONS` says.

use crate::http::Reply;

/// An algorithm of the checksum extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksum {
    Sha256,
    Sha1,
}

impl Checksum {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
        }
    }
}

/// What of it is made use of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offers {
    /// How each chunk is to be vouched for.
    pub(super) checksum: Option<Checksum>,
}

impl Offers {
    /// No extension.
    pub(super) const NOTHING: Self = Self { checksum: None };

    /// What this answer to `OPTIONS` says; `None` if it is none, and another may be had later.
    pub(super) fn read(reply: &Reply) -> Option<Self> {
        match reply.status {
            200 | 204 => Some(Self::of(reply.header("tus-extension"), reply.header("tus-checksum-algorithm"))),
            // The server knows no OPTIONS.
            400 | 404 | 405 | 501 => Some(Self::NOTHING),
            _ => None,
        }
    }

    fn of(extensions: Option<&str>, algorithms: Option<&str>) -> Self {
        if !lists(extensions, "checksum") {
            return Self::NOTHING;
        }
        let checksum = [Checksum::Sha256, Checksum::Sha1].into_iter().find(|one| lists(algorithms, one.as_str()));
        Self { checksum }
    }
}

fn lists(field: Option<&str>, word: &str) -> bool {
    field.unwrap_or_default().split(',').any(|each| each.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_used_where_extension_and_algorithm_are_offered() {
        let checksum = |extensions, algorithms| Offers::of(extensions, algorithms).checksum;
        assert_eq!(checksum(Some("creation, checksum"), Some("md5,sha1, SHA256")), Some(Checksum::Sha256));
        assert_eq!(checksum(Some("creation,checksum"), Some("md5,sha1")), Some(Checksum::Sha1));
        assert_eq!(checksum(Some("checksum"), Some("crc32")), None);
        assert_eq!(checksum(Some("checksum-trailer"), Some("sha1")), None);
        assert_eq!(checksum(None, Some("sha1")), None);
    }
}
