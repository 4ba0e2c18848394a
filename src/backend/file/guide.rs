//! What an upload does beside sending: it heeds the loop's cues and tells how far it is.

use std::pin::pin;

use super::{Link, Progress};
use crate::http::Client;
use crate::model::Cut;

/// An upload's eyes and mouth.
pub(in crate::backend) struct Guide<'a> {
    link: Link,
    pub(in crate::backend) progress: Progress<'a>,
}

impl<'a> Guide<'a> {
    pub(in crate::backend) fn new(link: Link, progress: Progress<'a>) -> Self {
        Self { link, progress }
    }

    /// Waits until something new may begin; the error: nothing may any more.
    pub(in crate::backend) async fn clear(&mut self) -> Result<(), Cut> {
        let mut clear = pin!(self.link.clear());
        loop {
            tokio::select! {
                biased;
                end = &mut clear => return end,
                () = self.progress.tell() => {}
            }
        }
    }

    /// Carries something through, unless the link comes back meanwhile: then what was sent is likely lost, and `client`'s
    /// connections are forgotten.
    pub(in crate::backend) async fn through<F: Future>(&mut self, client: &Client, sending: F) -> Option<F::Output> {
        let mut sending = pin!(sending);
        loop {
            tokio::select! {
                biased;
                () = self.link.returned() => {
                    client.link_broke();
                    client.forget_connections();
                    return None;
                }
                end = &mut sending => return Some(end),
                () = self.progress.tell() => {}
            }
        }
    }

    /// Asks, and asks anew on another connection when the link has come back meanwhile.
    pub(in crate::backend) async fn steadily<F: Future>(
        &mut self,
        client: &Client,
        mut ask: impl FnMut() -> F,
    ) -> F::Output {
        loop {
            tokio::select! {
                biased;
                () = self.link.returned() => client.forget_connections(),
                answer = ask() => return answer,
            }
        }
    }
}
