//! How far a network reaches: one look at a URL whose answer is known. It decides neither when to look nor what follows:
//! that is `schedule/`.

use std::time::Duration;

use crate::http::{Glance, SendError, glance};
use crate::model::{Connectivity, Finding, ProbeConfig};

/// The most time for a look.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most of a body that is read: the longest that config may expect, and white space around it.
const BODY: usize = 8 * 1024;

/// Looks once, by way of this interface: the right answer means `full`, another one `portal`, none `limited`.
pub async fn probe(config: &ProbeConfig, interface: &str) -> Finding {
    judge(config, glance(&config.url, interface, BODY, PATIENCE).await)
}

fn judge(config: &ProbeConfig, came: Result<Glance, SendError>) -> Finding {
    let (connectivity, words) = match came {
        Ok(Glance { status, .. }) if status != config.status => {
            (Connectivity::Portal, format!("status {status} where {} was to come", config.status))
        }
        Ok(Glance { status, body }) if String::from_utf8_lossy(&body).trim() != config.body => {
            (Connectivity::Portal, format!("status {status} with another body than was to come"))
        }
        Ok(Glance { status, .. }) => (Connectivity::Full, format!("status {status}, as was to come")),
        // Somebody answers in its place.
        Err(SendError::Untrusted(words)) => (Connectivity::Portal, words),
        Err(
            SendError::Unreachable(words)
            | SendError::Broken(words)
            | SendError::ProxyAuth(words)
            | SendError::Redirect(words)
            | SendError::Coding(words)
            | SendError::NoCredential(words),
        ) => (Connectivity::Limited, words),
    };
    Finding { connectivity, words }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str, came: Result<(u16, &str), SendError>) -> Connectivity {
        let config = ProbeConfig { url: String::new(), status, body: body.to_owned() };
        judge(&config, came.map(|(status, body)| Glance { status, body: body.into() })).connectivity
    }

    #[test]
    fn the_right_status_and_body_mean_full_another_answer_a_portal_and_none_limited() {
        assert_eq!(judged(204, "", Ok((204, ""))), Connectivity::Full);
        assert_eq!(judged(204, "", Ok((204, " \r\n"))), Connectivity::Full);
        assert_eq!(judged(200, "success", Ok((200, "success\n"))), Connectivity::Full);
        for (status, body) in [(200, ""), (302, ""), (511, ""), (404, ""), (204, "<html>")] {
            assert_eq!(judged(204, "", Ok((status, body))), Connectivity::Portal, "{status} {body}");
        }
        assert_eq!(judged(200, "success", Ok((200, "successful"))), Connectivity::Portal);
        assert_eq!(judged(204, "", Err(SendError::Untrusted(String::new()))), Connectivity::Portal);
        assert_eq!(judged(204, "", Err(SendError::Unreachable(String::new()))), Connectivity::Limited);
    }
}
