//! The secret that config names, read anew for each request. It has no `Debug` and no `Display` of its own.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use rustix::fs::{Mode, OFlags};

use super::ClientError;
use crate::model::{Credential, HeaderToken};

/// The longest secret that is read.
const LIMIT: u64 = 16 * 1024;

/// The shortest that is blotted out of answers: shorter ones stand in honest words by chance.
const SHORTEST: usize = 6;

/// The file that config names for a secret, read anew each time. It has no `Debug`.
pub struct SecretFile {
    file: PathBuf,
    /// A systemd credential may be absent.
    optional: bool,
}

impl SecretFile {
    /// `Ok(None)` if config names no secret, or a systemd credential while there is no directory for those.
    pub fn new(
        credential: Option<&Credential>,
        credentials_directory: Option<&Path>,
    ) -> Result<Option<Self>, ClientError> {
        Ok(match (credential, credentials_directory) {
            (None, _) | (Some(Credential::Systemd(_)), None) => None,
            (Some(Credential::File(file)), _) => Some(Self { file: file.clone(), optional: false }),
            (Some(Credential::Systemd(name)), Some(directory)) => {
                Some(Self { file: directory.join(single(name)?), optional: true })
            }
        })
    }

    /// What is in it; `None` for an optional one that is absent.
    pub fn read(&self) -> Result<Option<Vec<u8>>, String> {
        match read(&self.file) {
            Ok(text) => Ok(Some(text)),
            Err(error) if self.optional && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.complaint(&error.to_string())),
        }
    }

    /// What is wrong with it, as the end of a sentence that names it.
    pub fn complaint(&self, what: &str) -> String {
        format!("the credential in {}: {what}", self.file.display())
    }
}

/// Where the secret is and how it goes on the wire.
pub(super) struct Secret {
    file: SecretFile,
    header: HeaderName,
    prefix: &'static str,
}

impl Secret {
    /// `Ok(None)` if config names no secret, or a systemd credential while there is no directory for those.
    pub(super) fn new(
        credential: Option<&Credential>,
        token: &HeaderToken,
        credentials_directory: Option<&Path>,
    ) -> Result<Option<Self>, ClientError> {
        let (header, prefix) = match token {
            HeaderToken::Bearer => (AUTHORIZATION, "Bearer "),
            HeaderToken::Header(name) => (name.parse().map_err(|_| ClientError::HeaderName(name.clone()))?, ""),
        };
        let file = SecretFile::new(credential, credentials_directory)?;
        Ok(file.map(|file| Self { file, header, prefix }))
    }

    /// The header to send, marked sensitive; `None` for an optional secret that is absent. The error names the file
    /// and what is wrong with it, never what is in it.
    pub(super) fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        let Some(text) = self.file.read()? else { return Ok(None) };
        let token = text.trim_ascii();
        if token.is_empty() {
            return Err(self.file.complaint("it is empty"));
        }
        if !token.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            return Err(self.file.complaint("it holds more than one line of printable ASCII"));
        }
        let mut value = HeaderValue::from_bytes(&[self.prefix.as_bytes(), token].concat())
            .map_err(|_| self.file.complaint("it cannot stand in a header"))?;
        value.set_sensitive(true);
        Ok(Some((self.header.clone(), value)))
    }

    /// Blots the secret that `sent` carried out of what came back. Endpoints for debugging say requests back, and the
    /// words of answers are shown to apps and stand in logs.
    pub(super) fn blot(&self, sent: &HeaderMap, body: &mut [u8]) {
        let Some(token) = sent.get(&self.header).and_then(|value| value.as_bytes().get(self.prefix.len()..)) else {
            return;
        };
        blot_forms(token, body);
    }
}

/// What a parameter's name has in it if its value is a secret, such as `api_key` or `sig`.
const SECRET_NAMES: [&str; 7] = ["key", "token", "secret", "pass", "auth", "sig", "cred"];

/// Blots out of what came back what the query of `url` holds in secret: each parameter with its value, as where the URL is
/// said back, and values by themselves whose names say that they are secrets.
pub(super) fn blot_query(url: &Url, body: &mut [u8]) {
    for pair in url.query().unwrap_or_default().split('&') {
        let value = pair.split_once('=').map_or("", |(_, value)| value);
        if value.len() >= SHORTEST {
            blot_forms(pair.as_bytes(), body);
        }
    }
    for (name, value) in url.query_pairs() {
        let name = name.to_lowercase();
        if SECRET_NAMES.iter().any(|secret| name.contains(secret)) {
            blot_forms(value.as_bytes(), body);
        }
    }
}

/// Writes asterisks over a text in `body`, plain or as it stands in JSON.
fn blot_forms(text: &[u8], body: &mut [u8]) {
    let escaped = serde_json::Value::from(String::from_utf8_lossy(text)).to_string();
    for form in [text, escaped.trim_matches('"').as_bytes()] {
        blot(form, body);
    }
}

/// Writes asterisks over each `form` in `body`, so that JSON stays JSON.
fn blot(form: &[u8], body: &mut [u8]) {
    if form.len() < SHORTEST {
        return;
    }
    let mut from = 0;
    while let Some(found) = body[from..].windows(form.len()).position(|window| window == form) {
        let (start, end) = (from + found, from + found + form.len());
        body[start..end].fill(b'*');
        from = end;
    }
}

/// Whether this is a systemd credential's name: one part of a path.
fn single(name: &str) -> Result<&str, ClientError> {
    let plain = Path::new(name).file_name().is_some_and(|file| file == name);
    if plain { Ok(name) } else { Err(ClientError::CredentialName(name.to_owned())) }
}

/// Reads a regular file; anything that could block or never end is refused.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = File::from(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(std::io::Error::other("it is over 16 KiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blotted(token: &str, body: &str) -> String {
        let file = SecretFile { file: PathBuf::new(), optional: false };
        let secret = Secret { file, header: AUTHORIZATION, prefix: "Bearer " };
        let sent = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap())]);
        let mut body = body.as_bytes().to_vec();
        secret.blot(&sent, &mut body);
        String::from_utf8(body).unwrap()
    }

    #[test]
    fn a_secret_said_back_is_blotted_out() {
        assert_eq!(blotted("abc-123", "abc-123, Bearer abc-123abc-123"), "*******, Bearer **************");
        assert_eq!(blotted("ab\"c\\d", r#"{"you":"ab\"c\\d"}"#), r#"{"you":"********"}"#);
        assert_eq!(blotted("abc-123", ""), "");
        assert_eq!(blotted("ok", r#"{"outcome":"ok"}"#), r#"{"outcome":"ok"}"#);
    }

    #[test]
    fn a_query_said_back_is_blotted_out_and_honest_words_are_not() {
        let blotted = |query: &str, body: &str| {
            let mut body = body.as_bytes().to_vec();
            blot_query(&Url::parse(&format!("http://h/sync?{query}")).unwrap(), &mut body);
            String::from_utf8(body).unwrap()
        };
        let of_key = r#"{"url":"/sync?api_key=a%20bcdef&v=2","args":{"api_key":"a bcdef"}}"#;
        let expected = r#"{"url":"/sync?*****************&v=2","args":{"api_key":"*******"}}"#;
        assert_eq!(blotted("api_key=a%20bcdef&v=2", of_key), expected);
        assert_eq!(blotted("format=results", r#"{"results":[]}"#), r#"{"results":[]}"#);
        assert_eq!(blotted("format=results", "GET /sync?format=results"), "GET /sync?**************");
        assert_eq!(blotted("key=ok", r#"{"outcome":"ok"}"#), r#"{"outcome":"ok"}"#);
        assert_eq!(blotted("", "words"), "words");
    }
}
