//! Text that must have a certain form: names of users, credentials and headers, URLs, patterns.

use std::path::PathBuf;

use reqwest::Url;

use super::Host;
use crate::model::Span;

/// Somebody who may all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admin {
    User(u32),
    Group(u32),
}

/// Reads `NAME`, `UID`, `group:NAME` or `group:GID`.
pub(super) fn admin(text: &str, host: &Host) -> Result<Admin, String> {
    let (name, kind, numbers) = match text.strip_prefix("group:") {
        Some(group) => (group, "group", &host.groups),
        None => (text, "user", &host.users),
    };
    let number = name.parse().ok().or_else(|| numbers.get(name).copied());
    let number =
        number.ok_or_else(|| format!("there is no {kind} {name:?} here (write NAME, UID, group:NAME or group:GID)"))?;
    Ok(if kind == "group" { Admin::Group(number) } else { Admin::User(number) })
}

/// A backend's URL.
pub(super) fn backend_url(text: &str) -> Result<String, String> {
    let url = bare_url(text)?;
    match url.scheme() {
        "http" | "https" => Ok(text.to_owned()),
        other => Err(format!("{other:?} is neither http nor https")),
    }
}

/// A URL of the origin of `base`, absolute or relative to it; empty for none.
pub(super) fn measure_url(text: &str, base: Option<&str>) -> Result<Option<String>, String> {
    // What is wrong with the base is complained of where it stands.
    let Some(base) = base.and_then(|base| Url::parse(base).ok()).filter(|_| !text.is_empty()) else { return Ok(None) };
    let url = base.join(text).map_err(|error| format!("not a URL: {error}"))?;
    if url.origin() != base.origin() || !url.username().is_empty() || url.password().is_some() {
        return Err("not of the same scheme, host and port as url, without user and password".to_owned());
    }
    Ok(Some(text.to_owned()))
}

/// The URL of a server that signs; empty for none.
pub(super) fn sign_url(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() { Ok(None) } else { backend_url(text).map(Some) }
}

/// A bucket's name; empty for none. Old ones may have more kinds of letters than S3 gives out today.
pub(super) fn bucket(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if !text.bytes().all(plain) || text.len() > 255 || text.bytes().all(|byte| byte == b'.') && !text.is_empty() {
        return Err(format!("{text:?} is not the name of a bucket"));
    }
    Ok(text.to_owned())
}

/// A region's name.
pub(super) fn region(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if text.is_empty() || !plain || text.len() > 64 {
        return Err(format!("{text:?} is not the name of a region such as \"eu-central-1\""));
    }
    Ok(text.to_owned())
}

/// A proxy's URL; empty for none.
pub(super) fn proxy_url(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = bare_url(text)?;
    if url.scheme() != "http" || url.path() != "/" || url.query().is_some() {
        return Err(format!("{text:?} is not of the form http://HOST:PORT"));
    }
    Ok(Some(text.to_owned()))
}

/// The URL of the reachability probe; empty for none.
pub(super) fn probe_url(text: &str) -> Result<Option<String>, String> {
    if text.is_empty() { Ok(None) } else { backend_url(text).map(Some) }
}

/// What that URL answers with: text without the white space around it.
pub(super) fn probe_body(text: &str) -> Result<String, String> {
    const LIMIT: usize = 4096;
    let text = text.trim();
    if text.len() > LIMIT { Err(format!("longer than {LIMIT} bytes")) } else { Ok(text.to_owned()) }
}

/// An absolute URL with nothing in it that is secret or that no server sees. A refused one is not repeated: it may hold a
/// password.
fn bare_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("not an absolute URL: {error}"))?;
    if !url.has_host() {
        return Err("the URL names no host".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL must not hold a user or password; secrets go into a credential or token_file".to_owned());
    }
    if url.fragment().is_some() {
        return Err("the URL must not have a #fragment".to_owned());
    }
    Ok(url)
}

/// The name of a systemd credential: one file's name. A refused one is not repeated, here and below: somebody may have
/// written the secret itself.
pub(super) fn credential(text: &str) -> Result<Option<String>, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    match text {
        "" => Ok(None),
        "." | ".." => Err("not a credential's name".to_owned()),
        _ if !plain || text.len() > 255 => Err("not a credential's name, a bare file name".to_owned()),
        _ => Ok(Some(text.to_owned())),
    }
}

/// A file's absolute path; empty for none.
pub(super) fn file(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "" => Ok(None),
        _ if text.starts_with('/') => Ok(Some(PathBuf::from(text))),
        _ => Err("not an absolute path".to_owned()),
    }
}

/// The header a token goes in; empty for `Authorization: Bearer`.
pub(super) fn header(text: &str) -> Result<Option<String>, String> {
    const OURS: &[&str] = &[
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "idempotency-key",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    // RFC 9110, section 5.6.2.
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(token) || text.len() > 64 {
        return Err("not a header's name".to_owned());
    }
    if OURS.contains(&text.to_ascii_lowercase().as_str()) {
        return Err(format!("the header {text:?} is not free to carry a token"));
    }
    Ok(Some(text.to_owned()))
}

/// A pattern of interface names.
pub(super) fn pattern(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if text.is_empty() || !plain || text.len() > 64 {
        return Err(format!("{text:?} is not a pattern of interface names such as \"wwan*\""));
    }
    Ok(text.to_owned())
}

/// The name of a Wi-Fi network: 1 to 32 bytes (IEEE 802.11), of which those that are no text are written `\xNN`.
pub(super) fn ssid(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 4 * 32 || text.chars().any(char::is_control) {
        return Err(format!("{text:?} is not the name of a Wi-Fi network, as Ssid on D-Bus shows it"));
    }
    Ok(text.to_owned())
}

/// The device's name; empty for the host name.
pub(super) fn device(text: &str) -> Result<Option<String>, String> {
    if text.chars().any(char::is_control) || text.len() > 255 {
        return Err(format!("{text:?} is longer than 255 bytes or holds control characters"));
    }
    Ok(Some(text.to_owned()).filter(|name| !name.is_empty()))
}

/// A part of the day, `HH:MM-HH:MM` by the local clock; it may pass midnight and end at 24:00.
pub(super) fn span(text: &str) -> Result<Span, String> {
    let wrong = || format!("{text:?} is no span of local time such as \"22:00-06:00\"");
    let (from, to) = text.split_once('-').ok_or_else(wrong)?;
    let (from, to) = (minute(from.trim()).ok_or_else(wrong)?, minute(to.trim()).ok_or_else(wrong)?);
    if from == to {
        return Err(format!("{text:?} begins when it ends; leave the key out for \"always\""));
    }
    Span::new(from, to).ok_or_else(wrong)
}

/// Minutes after 00:00 of `HH:MM`, at most 1440.
fn minute(text: &str) -> Option<u16> {
    let number = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| plain)
    };
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (number(hour)?, number(minute)?);
    (minute < 60).then_some(hour * 60 + minute).filter(|minutes| *minutes <= 1_440)
}
