//! `Hold`: a descriptor that keeps everything from starting for as long as it is open, as logind's inhibitors do.

use tokio::sync::oneshot;
use zbus::Fd;

use super::access::Action;
use super::call::{Call, Outcome};
use super::desk::{Desk, stopping};
use super::error::Refusal;
use super::options::check_text;
use super::{Command, HoldRefused, HoldWanted};

/// `Hold(s reason) → h`
pub(super) fn hold(call: &Call) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let reason: &str = body.deserialize().map_err(Refusal::invalid)?;
    let reason = check_text(reason.to_owned()).map_err(|problem| Refusal::invalid(format!("reason: {problem}")))?;
    let wanted = HoldWanted { owner: call.caller.owner(), app: call.caller.app.clone(), reason };
    Ok(Outcome::if_allowed(Action::Hold, call, |desk, _, call| Ok(begin(desk, call, wanted))))
}

fn begin(desk: &Desk, call: &Call, wanted: HoldWanted) -> Outcome {
    let (reply, answer) = oneshot::channel();
    let sent = desk.tell(Command::Hold { wanted, reply });
    let call = call.clone();
    Outcome::later(async move {
        sent.await?;
        // Should the caller have gone by now, the descriptor is dropped with the reply, and the hold is over.
        let descriptor = answer.await.map_err(|_| stopping())??;
        call.reply(&Fd::from(descriptor))
    })
}

impl From<HoldRefused> for Refusal {
    fn from(refused: HoldRefused) -> Self {
        match refused {
            HoldRefused::TooMany { .. } => Self::limit_exceeded(refused),
            HoldRefused::NoPipe(_) => Self::unavailable(refused),
        }
    }
}
