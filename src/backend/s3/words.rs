//! What a store's refusals mean: one table of S3's error codes.

use std::time::Duration;

use super::xml::Refused;
use crate::http::plain;
use crate::model::Answer;

/// A request was not answered as it should be.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What came.
    pub(super) answer: Answer,
    /// What may be done about it in the same attempt.
    pub(super) remedy: Remedy,
}

/// What may be done about a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing.
    None,
    /// Look what the store has, and send what it lacks once more.
    Again,
    /// The store does not know the upload: it was ended, or is an object already.
    Gone,
    /// The store has not the parts that it took.
    Parts,
    /// The store does not do that, or not for us.
    Unable,
    /// Sign again by the store's own clock.
    Clock,
}

/// What a code means beyond its status.
enum Meaning {
    /// What its status means.
    Status,
    /// What another status means.
    As(u16),
    /// The bytes were damaged on the way.
    Damaged,
    Gone,
    Parts,
    Clock,
    /// The credential is refused.
    Credential,
    /// Config names what this store does not have.
    Place,
}

/// AWS, "Error responses" of the Amazon S3 API Reference, and what MinIO, Ceph, Garage and s3s add.
fn meaning(code: &str) -> Meaning {
    match code {
        "NoSuchUpload" => Meaning::Gone,
        "InvalidPart" | "InvalidPartOrder" => Meaning::Parts,
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "IncompleteBody" => {
            Meaning::Damaged
        }
        "RequestTimeTooSkewed" | "RequestExpired" => Meaning::Clock,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "AccountProblem"
        | "AllAccessDisabled"
        | "NotSignedUp"
        | "InvalidSecurity" => Meaning::Credential,
        "NoSuchBucket"
        | "InvalidBucketName"
        | "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "AuthorizationQueryParametersError"
        | "IllegalLocationConstraintException"
        | "InvalidRegion" => Meaning::Place,
        "SlowDown" | "SlowDownRead" | "SlowDownWrite" | "ServiceUnavailable" | "Busy" | "RequestLimitExceeded" => {
            Meaning::As(503)
        }
        // Another request for the same thing is under way: most likely one of ours that died on the way.
        "OperationAborted" | "ConditionalRequestConflict" => Meaning::As(503),
        // AWS says 400 of a body that stopped on the way.
        "RequestTimeout" => Meaning::As(408),
        "InternalError" => Meaning::As(500),
        _ => Meaning::Status,
    }
}

/// What a refusal means: its status, with what its body says.
pub(super) fn refusal(status: u16, said: Option<Refused>, retry_after: Option<Duration>) -> Trouble {
    let Refused { code, message } = said.unwrap_or_default();
    // A 200 with an error in it is a stumble, unless its code says more.
    let bare = if status < 300 { 500 } else { status };
    let words = match (code.as_str(), message.as_str()) {
        ("", _) => String::new(),
        (code, "") => plain(code),
        (code, message) => plain(&format!("{code}: {message}")),
    };
    let said = if words.is_empty() { format!("status {status}") } else { format!("status {status}: {words}") };
    let by = |answer, remedy| Trouble { answer, remedy };
    let as_status = |status| Answer::Status { code: status, words: words.clone(), retry_after };
    match meaning(&code) {
        Meaning::Gone => by(Answer::Unreachable { words: said }, Remedy::Gone),
        Meaning::Parts => by(Answer::Unreachable { words: said }, Remedy::Parts),
        Meaning::Damaged => by(Answer::Foreign { words: said }, Remedy::Again),
        Meaning::Clock => by(Answer::Unauthorized { words: said }, Remedy::Clock),
        Meaning::Credential => by(Answer::Unauthorized { words: said }, Remedy::None),
        Meaning::Place => by(Answer::Misplaced { words: said }, Remedy::None),
        Meaning::As(status) => by(as_status(status), if status == 408 { Remedy::Again } else { Remedy::None }),
        Meaning::Status if (300..400).contains(&bare) => by(
            Answer::Foreign { words: format!("{said}, a redirect, which a signed request does not follow") },
            Remedy::None,
        ),
        Meaning::Status if matches!(bare, 400 | 403 | 404 | 405 | 501) => by(as_status(bare), Remedy::Unable),
        Meaning::Status => by(as_status(bare), Remedy::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: &str) -> Trouble {
        let said = (!code.is_empty()).then(|| Refused { code: code.to_owned(), message: "m".to_owned() });
        refusal(status, said, Some(Duration::from_secs(7)))
    }

    #[test]
    fn each_code_has_its_row() {
        let status = |status: u16, word: &str| {
            let Answer::Status { code, retry_after: Some(_), .. } = of(status, word).answer else { panic!("{word}") };
            code
        };
        for (asked, code, expected) in [
            (503, "SlowDown", 503),
            (200, "SlowDown", 503),
            (200, "InternalError", 500),
            (200, "Unheard", 500),
            (500, "InternalError", 500),
            (400, "RequestTimeout", 408),
            (409, "OperationAborted", 503),
            (400, "EntityTooLarge", 400),
            (400, "InvalidArgument", 400),
            (400, "MetadataTooLarge", 400),
            (403, "AccessDenied", 403),
            (501, "NotImplemented", 501),
            (403, "", 403),
            (507, "XMinioStorageFull", 507),
        ] {
            assert_eq!(status(asked, code), expected, "{code}");
        }
        for code in ["ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed"] {
            assert!(matches!(of(403, code).answer, Answer::Unauthorized { .. }), "{code}");
        }
        for (status, code) in [(404, "NoSuchBucket"), (301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed")]
        {
            assert!(matches!(of(status, code).answer, Answer::Misplaced { .. }), "{code}");
        }
        assert!(matches!(of(307, "TemporaryRedirect").answer, Answer::Foreign { .. }));
        assert!(matches!(of(302, "").answer, Answer::Foreign { .. }));
    }

    #[test]
    fn remedies_are_for_what_they_mend() {
        for (status, code, remedy) in [
            (404, "NoSuchUpload", Remedy::Gone),
            (400, "InvalidPart", Remedy::Parts),
            (400, "BadDigest", Remedy::Again),
            (400, "RequestTimeout", Remedy::Again),
            (403, "RequestTimeTooSkewed", Remedy::Clock),
            (503, "SlowDown", Remedy::None),
            (403, "SignatureDoesNotMatch", Remedy::None),
            (404, "NoSuchKey", Remedy::Unable),
            (501, "NotImplemented", Remedy::Unable),
        ] {
            assert_eq!(of(status, code).remedy, remedy, "{code}");
        }
    }

    #[test]
    fn words_are_the_stores_and_fit_for_a_log() {
        let said = Refused { code: "EntityTooLarge".into(), message: "at most\n5 GB".into() };
        let Answer::Status { words, .. } = refusal(400, Some(said), None).answer else { panic!("a status") };
        assert_eq!(words, "EntityTooLarge: at most\\n5 GB");
    }
}
