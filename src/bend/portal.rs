//! A captive portal: whatever a client asks by plain HTTP, the answer is where to sign in. All else it closes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Where to sign in: a name that never exists (RFC 2606).
pub(super) const SIGN_IN: &str = "http://portal.invalid/sign-in";

/// The longest request head that is looked at.
const HEAD: usize = 8 * 1024;

/// How long a client may take to ask, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers a client and is done with it.
pub(super) async fn answer(client: &mut TcpStream, round_trip: Duration) {
    let spoken = async {
        sleep(round_trip).await;
        let asked = head(client).await?;
        sleep(round_trip).await;
        if is_http(&asked) {
            client.write_all(redirect().as_bytes()).await?;
            client.shutdown().await?;
            // A close with unread bytes would be a reset, and take the answer away.
            tokio::io::copy(client, &mut tokio::io::sink()).await?;
        }
        io::Result::Ok(())
    };
    // Nothing is left to do for a client that is gone or too slow.
    timeout(PATIENCE, spoken).await.map(drop).ok();
}

/// A request's head, or as much of it as there is.
async fn head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    while head.len() < HEAD && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if client.read_buf(&mut head).await? == 0 || !may_be_http(&head) {
            break;
        }
    }
    Ok(head)
}

/// Whether this may be the beginning of a method.
fn may_be_http(head: &[u8]) -> bool {
    head.first().is_some_and(u8::is_ascii_uppercase)
}

/// Whether the first line is a request of HTTP/1.
fn is_http(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    may_be_http(line) && line.split(|byte| *byte == b' ').nth(2).is_some_and(|version| version.starts_with(b"HTTP/1."))
}

fn redirect() -> String {
    let page = format!("<html><body><a href=\"{SIGN_IN}\">Sign in</a></body></html>\n");
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {SIGN_IN}\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{page}",
        page.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_is_taken_for_http() {
        for head in ["GET / HTTP/1.1\r\n\r\n", "POST http://a/b HTTP/1.0\r\nHost: a\r\n", "OPTIONS * HTTP/1.1\r\n"] {
            assert!(is_http(head.as_bytes()), "{head:?}");
        }
        for head in
            ["", "\x16\x03\x01", "GET /", "GET / HTTP/2", "get / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "PRI * HTTP/2.0\r\n"]
        {
            assert!(!is_http(head.as_bytes()), "{head:?}");
        }
    }
}
