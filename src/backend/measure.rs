//! Something to be sent only to see how fast it goes: what comes of it, the client's gauge sees.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::reading::is_html;
use crate::http::{Call, Client};

/// As much as the spec sends: 100 KiB.
pub(super) const BYTES: usize = 100 * 1024;

/// Bytes that nothing on the way can make fewer.
pub(super) fn bytes() -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    fastrand::fill(&mut bytes);
    bytes
}

/// `POST`s them there; any 2xx that is not HTML will do. The error is the end of a sentence.
pub(super) async fn post(client: &Client, url: &str) -> Result<(), String> {
    let place = client.place(url)?;
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))]);
    let reply = client.send_to(&place, Call { method: Method::POST, headers, body: bytes() }).await;
    let reply = reply.map_err(|error| error.to_string())?;
    let page = is_html(reply.header("content-type"), &String::from_utf8_lossy(&reply.body));
    match reply.status {
        200..=299 if !page => Ok(()),
        status if page => Err(format!("{}: status {status} with an HTML page", client.origin())),
        status => Err(format!("{}: status {status}", client.origin())),
    }
}
