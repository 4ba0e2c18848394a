//! The loop's part in who may: a call that must ask waits here for the answer and goes on by it.

use std::time::Instant;

use super::super::access::{self, Action, Interaction};
use super::super::call::{Ask, Call, Then};
use super::super::clients::Ticket;
use super::super::desk::stopping;
use super::super::error::Refusal;
use super::super::polkit::{Answer, Due, Subject};
use super::{Faces, let_go};

/// A call that goes on when it is known whether its caller may.
pub(super) struct Waiter {
    ticket: Ticket,
    call: Call,
    action: Action,
    interaction: Interaction,
    then: Then,
}

impl Faces {
    /// Whether it is certain, without asking anybody, that the caller may manage all.
    pub(super) fn manages_all(&self, call: &Call, client: &str) -> bool {
        let action = Action::ManageAll;
        if access::is_trusted(&call.caller, self.desk.own_uid) {
            return true;
        }
        if !self.desk.asks_polkit {
            return matches!(self.desk.gate().without_asking(action, &call.caller), Some(Ok(())));
        }
        let known = self.polkit.known(client, action, Interaction::Forbidden, Instant::now());
        known.is_some_and(|answer| {
            self.desk.gate().verdict(action, &call.caller, Interaction::Forbidden, answer).is_ok()
        })
    }

    /// Finds out whether the caller may, now or with the answer of polkit, and goes on with the call.
    pub(super) fn ask_whether(&mut self, ticket: Ticket, call: Call, ask: Ask) {
        if !self.clients.has(&ticket.client) {
            return let_go([call.message]);
        }
        if self.is_closing {
            return self.carry_on(ticket, call, stopping().into());
        }
        let Ask { action, interaction, then } = ask;
        let now = Instant::now();
        let gate = self.desk.gate();
        let known = gate.without_asking(action, &call.caller).or_else(|| {
            let answer = self.polkit.known(&ticket.client, action, interaction, now)?;
            Some(gate.verdict(action, &call.caller, interaction, answer))
        });
        if let Some(allowed) = known {
            return self.go_on(ticket, call, then, allowed);
        }
        self.clients.asks(&ticket);
        let subject = Subject { client: ticket.client.clone(), uid: call.caller.uid };
        let waiter = Waiter { ticket, call, action, interaction, then };
        let due = self.polkit.ask(&subject, action, interaction, waiter, now);
        self.act(due);
    }

    /// Does what is due about polkit.
    pub(super) fn act(&mut self, due: Due<Waiter>) {
        due.send.into_iter().for_each(|message| self.outbox.send(message));
        due.answered.into_iter().for_each(|(waiter, answer)| self.answered(waiter, &answer));
    }

    /// A client left: what waited for an answer about it goes nowhere.
    pub(super) fn stop_asking_about(&mut self, client: &str) {
        let due = self.polkit.left(client);
        due.send.into_iter().for_each(|message| self.outbox.send(message));
        let_go(due.answered.into_iter().map(|(waiter, _)| waiter.call.message));
    }

    fn answered(&mut self, waiter: Waiter, answer: &Answer) {
        let Waiter { ticket, call, action, interaction, then } = waiter;
        self.clients.goes_on(&ticket);
        if self.is_closing {
            return self.carry_on(ticket, call, stopping().into());
        }
        let allowed = self.desk.gate().verdict(action, &call.caller, interaction, answer);
        self.go_on(ticket, call, then, allowed);
    }

    fn go_on(&mut self, ticket: Ticket, call: Call, then: Then, allowed: Result<(), Refusal>) {
        let outcome = then(&self.desk, &mut self.subscribers, allowed);
        self.carry_on(ticket, call, outcome);
    }
}
