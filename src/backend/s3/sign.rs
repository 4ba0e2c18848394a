//! Who signs a request: this device, with keys of its own, or an app's server.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use rusty_s3::{Bucket, UrlStyle};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::reading::{is_html, retry_after, unanswered};
use super::ask::{Ask, Object, hex};
use super::keys::Keys;
use crate::http::{Addresses, Call, Client, ClientError, Place, SecretFile, plain};
use crate::model::{Answer, BackendConfig, ObjectChecksum};

/// How long what is signed is good for: until its request has arrived. What a proxy's log keeps of it is soon worth nothing.
const LIFE: Duration = Duration::from_secs(900);

/// A clock that is less wrong than this is left alone.
const TOLERANCE: i64 = 60;

/// What may be sent with a request that an app's server signed.
const FREE_HEADERS: [&str; 5] =
    ["cache-control", "content-disposition", "content-language", "content-md5", "content-type"];

/// Who signs.
#[derive(Debug)]
pub(super) enum Signer {
    Keys(KeySigner),
    Server(Client),
}

/// A request that may go.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) place: Place,
    pub(super) headers: HeaderMap,
}

/// This device signs.
pub(super) struct KeySigner {
    bucket: Bucket,
    checksum: ObjectChecksum,
    file: Option<SecretFile>,
    /// Seconds by which the store's clock is before this device's.
    skew: AtomicI64,
}

impl Signer {
    pub(super) fn new(
        config: &BackendConfig,
        credentials_directory: Option<&Path>,
        addresses: &Addresses,
    ) -> Result<Self, ClientError> {
        let store = &config.store;
        if let Some(url) = &store.sign_url {
            let config = BackendConfig { url: url.clone(), ..config.clone() };
            return Client::new(&config, credentials_directory, addresses).map(Self::Server);
        }
        let style = if store.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let url = config.url.parse().map_err(|_| ClientError::Url)?;
        let bucket =
            Bucket::new(url, style, store.bucket.clone(), store.region.clone()).map_err(|_| ClientError::Url)?;
        let file = SecretFile::new(config.credential.as_ref(), credentials_directory)?;
        Ok(Self::Keys(KeySigner { bucket, checksum: store.checksum, file, skew: AtomicI64::new(0) }))
    }

    /// Whether a request made now could be signed, as far as this device knows.
    pub(super) fn has_credential(&self) -> Result<bool, String> {
        match self {
            Self::Keys(signer) => signer.keys().map(|_| true),
            Self::Server(client) => client.has_credential(),
        }
    }

    /// Lets go of connections of its own.
    pub(super) fn forget_connections(&self) {
        match self {
            Self::Keys(_) => {}
            Self::Server(client) => client.forget_connections(),
        }
    }

    /// Signs; `None`: this is not signed for us.
    pub(super) async fn sign(&self, store: &Client, ask: &Ask<'_>, object: &Object) -> Result<Option<Signed>, Answer> {
        match self {
            Self::Keys(signer) => signer.sign(store, ask, object, SystemTime::now()).map(Some),
            Self::Server(client) => ask_server(client, store, ask, object).await,
        }
    }

    /// Takes the store's clock for the right one; whether that changes what is signed.
    pub(super) fn learn(&self, date: Option<SystemTime>) -> bool {
        match (self, date) {
            (Self::Keys(signer), Some(date)) => signer.learn(date, SystemTime::now()),
            (Self::Keys(_), None) | (Self::Server(_), _) => false,
        }
    }
}

impl KeySigner {
    fn keys(&self) -> Result<Keys, String> {
        let absent = "no keys are there to sign with: credential or token_file names them";
        let file = self.file.as_ref().ok_or(absent)?;
        let text = file.read()?.ok_or(absent)?;
        Keys::read(&text).map_err(|words| file.complaint(&words))
    }

    fn sign(&self, store: &Client, ask: &Ask<'_>, object: &Object, now: SystemTime) -> Result<Signed, Answer> {
        let ours = |words: String| Answer::Unreachable { words: format!("a request of ours: {words}") };
        let keys = self.keys().map_err(|words| Answer::NoCredential { words })?;
        let url = match ask {
            Ask::Uploads { .. } => self.bucket.base_url().clone(),
            Ask::Put(_)
            | Ask::Head
            | Ask::Create(_)
            | Ask::Part { .. }
            | Ask::List { .. }
            | Ask::Complete { .. }
            | Ask::Abort { .. } => self.bucket.object_url(&object.key),
        };
        let (query, fields) = (ask.query(), ask.headers(self.checksum));
        let skew = self.skew.load(Ordering::Relaxed);
        let (ahead, by) = (skew >= 0, Duration::from_secs(skew.unsigned_abs()));
        let at = if ahead { now.checked_add(by) } else { now.checked_sub(by) };
        let at = at.and_then(|at| at.try_into().ok()).ok_or_else(|| ours("no such time".to_owned()))?;
        let signed = rusty_s3::signing::sign(
            &at,
            method(&ask.method()),
            url,
            &keys.id,
            &keys.secret,
            keys.token.as_deref(),
            self.bucket.region(),
            LIFE.as_secs(),
            query.iter().map(|(name, value)| (*name, value.as_str())),
            fields.iter().map(|(name, value)| (*name, value.as_str())),
        );
        let place = store.place(signed.as_str()).map_err(ours)?;
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let value = HeaderValue::try_from(value).map_err(|error| ours(error.to_string()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(Signed { place, headers })
    }

    fn learn(&self, date: SystemTime, now: SystemTime) -> bool {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let skew = match date.duration_since(now) {
            Ok(ahead) => seconds(ahead),
            Err(behind) => -seconds(behind.duration()),
        };
        let before = self.skew.load(Ordering::Relaxed);
        if skew.abs_diff(before) < TOLERANCE.unsigned_abs() {
            return false;
        }
        tracing::warn!("the clock is {skew} s behind the object store's, whose time is signed from now on");
        self.skew.store(skew, Ordering::Relaxed);
        true
    }
}

impl std::fmt::Debug for KeySigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySigner").field("bucket", &self.bucket).field("skew", &self.skew).finish_non_exhaustive()
    }
}

fn method(method: &Method) -> rusty_s3::Method {
    match method.as_str() {
        "PUT" => rusty_s3::Method::Put,
        "POST" => rusty_s3::Method::Post,
        "DELETE" => rusty_s3::Method::Delete,
        "HEAD" => rusty_s3::Method::Head,
        _ => rusty_s3::Method::Get,
    }
}

/// What a server that signs answers; fields it does not know are a later version's.
#[derive(Deserialize)]
struct Grant {
    /// `None`: it does not sign this.
    url: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, String>,
}

async fn ask_server(client: &Client, store: &Client, ask: &Ask<'_>, object: &Object) -> Result<Option<Signed>, Answer> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let body = question(ask, object).to_string().into_bytes();
    let reply = client.send(Call { method: Method::POST, headers, body }).await.map_err(unanswered)?;
    let text = String::from_utf8_lossy(&reply.body);
    let foreign = |what: &str| Answer::Foreign { words: plain(&format!("the server that signs: {what}")) };
    if !reply.is_success() {
        let (words, retry_after) = (plain(&format!("the server that signs: {}", text.trim())), retry_after(&reply));
        return Err(Answer::Status { code: reply.status, words, retry_after });
    }
    if is_html(reply.header("content-type"), &text) {
        return Err(foreign("an HTML page, as a captive portal or a proxy gives"));
    }
    let grant: Grant =
        serde_json::from_slice(&reply.body).map_err(|error| foreign(&format!("not the documented body: {error}")))?;
    let Some(url) = grant.url else { return Ok(None) };
    let place = store.place(&url).map_err(|words| foreign(&words))?;
    let mut headers = HeaderMap::new();
    for (name, value) in grant.headers {
        let name = name.to_ascii_lowercase();
        if !name.starts_with("x-amz-") && !FREE_HEADERS.contains(&name.as_str()) {
            return Err(foreign(&format!("a header {name:?}, which it may not ask for")));
        }
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => headers.insert(name, value),
            (Err(_), _) | (_, Err(_)) => return Err(foreign("a header that cannot be")),
        };
    }
    Ok(Some(Signed { place, headers }))
}

/// The question that a server that signs is asked.
fn question(ask: &Ask<'_>, object: &Object) -> Value {
    let mut question = json!({"action": ask.action(), "task": object.task, "name": object.name});
    let mut say = |name: &str, value: Value| question[name] = value;
    match ask {
        Ask::Put(about) | Ask::Create(about) => {
            say("device", about.device.into());
            say("strategy", about.strategy.into());
            say("size", about.info.size.into());
            say("sha256", hex(&about.info.sha256).into());
            say("content_type", about.info.content_type.as_str().into());
            say("metadata", about.info.metadata.as_str().into());
        }
        Ask::Part { upload, span, sha256 } => {
            say("upload", (*upload).into());
            say("part", span.number.into());
            say("size", span.size.into());
            say("sha256", sha256.map(|sha256| BASE64_STANDARD.encode(sha256)).into());
        }
        Ask::List { upload, after } => {
            say("upload", (*upload).into());
            say("after", (*after).into());
        }
        Ask::Complete { upload } | Ask::Abort { upload } => say("upload", (*upload).into()),
        Ask::Uploads { prefix } => say("prefix", (*prefix).into()),
        Ask::Head => {}
    }
    question
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> KeySigner {
        let url = "https://s3.example".parse().unwrap();
        let bucket = Bucket::new(url, UrlStyle::Path, "b", "eu-central-1").unwrap();
        KeySigner { bucket, checksum: ObjectChecksum::Sha256, file: None, skew: AtomicI64::new(0) }
    }

    #[test]
    fn a_wrong_clock_is_learnt_once_and_a_right_one_is_left_alone() {
        let (signer, now) = (signer(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        let hour = Duration::from_secs(3_600);
        assert!(!signer.learn(now + Duration::from_secs(30), now));
        assert!(signer.learn(now + hour, now));
        assert!(!signer.learn(now + hour, now), "asking again would bring nothing");
        assert!(signer.learn(now - hour, now));
        assert_eq!(signer.skew.load(Ordering::Relaxed), -3_600);
        assert!(signer.learn(now, now), "somebody has set it");
    }

    /// AWS's own example: "Authenticating Requests: Using Query Parameters", Amazon S3 API Reference.
    #[test]
    fn the_published_example_of_a_signature_comes_out() {
        let at: SystemTime = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let nothing = std::iter::empty::<(&str, &str)>;
        let url = rusty_s3::signing::sign(
            &at.try_into().unwrap(),
            method(&Method::GET),
            "https://examplebucket.s3.amazonaws.com/test.txt".parse().unwrap(),
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            None,
            "us-east-1",
            86_400,
            nothing(),
            nothing(),
        );
        let signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert!(url.as_str().ends_with(&format!("X-Amz-Signature={signature}")), "{url}");
    }

    #[test]
    fn no_key_is_told_by_what_shows_a_signer() {
        let shown = format!("{:?}", signer());
        assert!(shown.contains("eu-central-1") && !shown.contains("aws"), "{shown}");
    }
}
