//! The secret that config names, read anew for each request. It has no `Debug` and no `Display` of its own.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use rustix::fs::{Mode, OFlags};

use super::ClientError;
use crate::model::{Credential, HeaderToken};

/// The longest secret that is read.
const LIMIT: u64 = 16 * 1024;

/// Where the secret is and how it goes on the wire.
pub(super) struct Secret {
    file: PathBuf,
    /// A systemd credential may be absent: then nothing is sent.
    optional: bool,
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
        let (file, optional) = match credential {
            None => return Ok(None),
            Some(Credential::File(file)) => (file.clone(), false),
            Some(Credential::Systemd(name)) => match credentials_directory {
                None => return Ok(None),
                Some(directory) => (directory.join(single(name)?), true),
            },
        };
        Ok(Some(Self { file, optional, header, prefix }))
    }

    /// The header to send, marked sensitive; `None` for an optional secret that is absent. The error names the file
    /// and what is wrong with it, never what is in it.
    pub(super) fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        let text = match read(&self.file) {
            Ok(text) => text,
            Err(error) if self.optional && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.complaint(&error.to_string())),
        };
        let token = text.trim_ascii();
        if token.is_empty() {
            return Err(self.complaint("it is empty"));
        }
        if !token.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            return Err(self.complaint("it holds more than one line of printable ASCII"));
        }
        let mut value = HeaderValue::from_bytes(&[self.prefix.as_bytes(), token].concat())
            .map_err(|_| self.complaint("it cannot stand in a header"))?;
        value.set_sensitive(true);
        Ok(Some((self.header.clone(), value)))
    }

    fn complaint(&self, what: &str) -> String {
        format!("the credential in {}: {what}", self.file.display())
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
