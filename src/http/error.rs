//! What can go wrong on the way, told without URLs and secrets.

use std::error::Error;
use std::io::ErrorKind;
use std::path::PathBuf;

use rustix::io::Errno;

use super::words::plain;
use crate::model::Passage;

/// A client cannot be built from this config.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL is not absolute http or https, or carries a user or password.
    #[error("url: not an absolute http or https URL without user and password")]
    Url,
    /// The proxy's URL is not one.
    #[error("proxy: not an absolute http or https URL")]
    Proxy,
    /// The file of private roots cannot be used.
    #[error("ca_file: {}: {words}", file.display())]
    CaFile {
        /// Which.
        file: PathBuf,
        /// Why.
        words: String,
    },
    /// A header that cannot be.
    #[error("{0:?} is not a header's name")]
    HeaderName(String),
    /// A systemd credential's name is one part of a path.
    #[error("{0:?} is not a credential's name")]
    CredentialName(String),
    /// The TLS library refused its settings.
    #[error("setting up TLS: {0}")]
    Tls(#[source] rustls::Error),
    /// The client refused its settings.
    #[error("setting up the HTTP client: {0}")]
    Setup(String),
}

/// A request brought no answer that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No answer in time, refused, reset, DNS failure, cut off, endless, not HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// Its connection stood, and the network fell silent.
    #[error("{0}")]
    Broken(String),
    /// The server's certificate is not trusted.
    #[error("{0}")]
    Untrusted(String),
    /// The proxy wants a credential.
    #[error("{0}")]
    ProxyAuth(String),
    /// A redirect that is not followed.
    #[error("{0}")]
    Redirect(String),
    /// The answer's content coding is broken or unknown.
    #[error("{0}")]
    Coding(String),
    /// The credential cannot be read; nothing was sent.
    #[error("{0}")]
    NoCredential(String),
}

impl SendError {
    /// Sorts what reqwest reports.
    pub(super) fn of(error: reqwest::Error) -> Self {
        // An error's text may carry the URL, and that a query with a secret in it.
        let error = error.without_url();
        let stood = !error.is_connect();
        let links = chain(&error);
        let words = words(&links);
        for link in &links {
            if let Some(rustls::Error::InvalidCertificate(_)) = link.downcast_ref() {
                return Self::Untrusted(plain(&link.to_string()));
            }
        }
        // hyper-util's TunnelError is not exported by reqwest; its text is all there is to know it by.
        if words.ends_with("proxy authorization required") {
            return Self::ProxyAuth(words);
        }
        // Who resets a connection is reached, and so is who closes it.
        let silent = |kind| {
            use ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut};
            matches!(kind, TimedOut | HostUnreachable | NetworkUnreachable | NetworkDown)
        };
        let broke = |link: &&(dyn Error + 'static)| link.downcast_ref().map(std::io::Error::kind).is_some_and(silent);
        if stood && links.iter().any(broke) { Self::Broken(words) } else { Self::Unreachable(words) }
    }

    /// What its request says of the link.
    pub(super) fn passage(&self) -> Passage {
        match self {
            Self::Broken(_) => Passage::Broke,
            // Nobody knows whose fault it is.
            Self::Unreachable(_) | Self::Untrusted(_) | Self::ProxyAuth(_) | Self::NoCredential(_) => Passage::Open,
            // An answer came back.
            Self::Redirect(_) | Self::Coding(_) => Passage::Through,
        }
    }
}

/// Whether no connection was made because nobody answered to the address of the next hop (or a router says so).
pub(super) fn lacks_next_hop(error: &reqwest::Error) -> bool {
    let code =
        |link: &&(dyn Error + 'static)| link.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    error.is_connect() && chain(error).iter().filter_map(code).any(|code| code == Errno::HOSTUNREACH.raw_os_error())
}

/// The error and its causes, outermost first, those inside I/O errors included.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut links = vec![error];
    while let Some(&last) = links.last() {
        // An I/O error's source is the source of what it wraps; the wrapped error itself is to be had only here.
        let wrapped = last.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| last.source()) {
            Some(next) => links.push(next),
            None => break,
        }
    }
    links
}

/// The texts of a chain, but for repeated ones and those that only say that something went wrong.
fn words(links: &[&(dyn Error + 'static)]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in links.iter().map(ToString::to_string) {
        if !texts.iter().any(|earlier| earlier.ends_with(&text)) {
            texts.push(text);
        }
    }
    let says_nothing = |text: &str| text == "error sending request" || text.starts_with("client error (");
    if let Some(telling) = texts.iter().position(|text| !says_nothing(text)) {
        texts.drain(..telling);
    }
    plain(&texts.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_io_error_wraps_is_found() {
        let untrusted = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = std::io::Error::other(std::io::Error::other(untrusted));
        assert!(chain(&error).iter().any(|link| link.is::<rustls::Error>()));
        assert_eq!(words(&chain(&error)), "invalid peer certificate: UnknownIssuer");
    }

    #[test]
    fn words_begin_where_they_say_something() {
        let [sending, connecting, refused] = ["error sending request", "client error (Connect)", "refused"]
            .map(|text| -> Box<dyn Error> { text.into() });
        assert_eq!(words(&[&*sending, &*connecting, &*refused]), "refused");
        assert_eq!(words(&[&*sending, &*connecting]), "error sending request: client error (Connect)");
    }
}
