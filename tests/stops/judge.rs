//! Compares the server's log, and then the store, with what was handed over.

use std::collections::{BTreeMap, BTreeSet};

use ferryd::model::{Standing, Task, TaskId};

use super::cargo::{End, Piece};
use super::server::{Held, Server};

/// All that is wrong, a line each; empty is a success. `stops` is how often the device died on the way.
pub(crate) fn complaints(pieces: &[Piece], server: &Server, stored: &[Task], stops: u32) -> Vec<String> {
    let mut found = Vec::new();
    let handed: BTreeSet<TaskId> = pieces.iter().map(|piece| piece.task.id).collect();
    for id in server.held.keys().filter(|id| !handed.contains(id)) {
        found.push(format!("{id} was never handed over"));
    }
    for piece in pieces {
        let nothing = Held::default();
        let held = server.held.get(&piece.task.id).unwrap_or(&nothing);
        found.extend(on_server(piece, held));
        match stored.iter().find(|task| task.id == piece.task.id) {
            Some(task) => found.extend(in_store(piece, held, task, stops)),
            None => found.push(format!("{}: not in the store", name(piece))),
        }
    }
    found.extend(order(pieces, server));
    found.extend(together(pieces, server));
    found
}

fn on_server(piece: &Piece, held: &Held) -> Option<String> {
    let wanted = u32::from(piece.end == End::Carried);
    if held.applied < wanted {
        return Some(format!("{}: lost", name(piece)));
    }
    if held.applied > wanted {
        return Some(format!("{}: applied {} times instead of {wanted}", name(piece), held.applied));
    }
    (wanted == 1 && held.payload != piece.task.payload.json())
        .then(|| format!("{}: arrived as {}", name(piece), held.payload))
}

fn in_store(piece: &Piece, held: &Held, task: &Task, stops: u32) -> Vec<String> {
    let mut found = Vec::new();
    let ended = match (&piece.end, &task.standing) {
        (End::Carried, Standing::Done { .. }) => true,
        (End::Dead(failure), Standing::Failed { error, .. }) => error.failure == *failure,
        (End::Waits, Standing::Pending { waits_for, .. }) => !waits_for.is_empty(),
        _ => false,
    };
    if !ended {
        found.push(format!("{}: should be {:?}, is {:?}", name(piece), piece.end, task.standing));
    }
    // Each stop may lose one answer that was on its way; nothing else may go uncounted, and nothing is invented.
    if task.attempts > held.told || task.attempts + stops < held.told {
        let (counted, asked) = (task.attempts, held.told);
        found.push(format!("{}: {counted} attempts counted, the server asked again {asked} times", name(piece)));
    }
    found
}

/// At each arrival, what must go before it has been applied, or is a dead letter.
fn order(pieces: &[Piece], server: &Server) -> Vec<String> {
    let places: BTreeMap<TaskId, usize> = pieces.iter().enumerate().map(|(n, piece)| (piece.task.id, n)).collect();
    let arrivals = server.log.iter().flat_map(|request| request.arrived.iter().map(move |arrival| (request, arrival)));
    let mut applied = BTreeSet::new();
    let mut found = Vec::new();
    for (request, arrival) in arrivals {
        let Some(place) = places.get(&arrival.task) else { continue };
        if request.at.wall < pieces[*place].task.created {
            found.push(format!("{} arrived before it was handed over", name(&pieces[*place])));
        }
        let late = pieces.iter().enumerate().filter(|(n, other)| {
            let first = other.task.key.is_some() && other.task.key == pieces[*place].task.key && n < place;
            let needed = pieces[*place].task.after.contains(&other.task.id);
            (first && other.end == End::Carried || needed) && !applied.contains(&other.task.id)
        });
        found.extend(late.map(|(_, other)| format!("{} arrived before {}", name(&pieces[*place]), name(other))));
        if arrival.taken {
            applied.insert(arrival.task);
        }
    }
    found
}

/// No two tasks of one key were ever on their way at once.
fn together(pieces: &[Piece], server: &Server) -> Vec<String> {
    let key_of = |id: &TaskId| pieces.iter().find(|piece| piece.task.id == *id)?.task.key.as_ref();
    let mut found = Vec::new();
    for request in &server.log {
        let mut keys = BTreeSet::new();
        let open = request.arrived.iter().map(|arrival| &arrival.task).chain(&request.beside);
        let twice = open.filter_map(key_of).filter(|key| !keys.insert(*key));
        found.extend(twice.map(|key| format!("two tasks of key {key} were on their way at once")));
    }
    found
}

fn name(piece: &Piece) -> String {
    let key = piece.task.key.as_ref().map(|key| format!(" of key {key}")).unwrap_or_default();
    format!("task {}{key}", piece.task.payload.json())
}
