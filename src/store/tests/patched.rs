//! Databases with any damage: patches over a sound one, each a place and some bytes.

use super::*;
use crate::fuzz::{Choices, fuzz};

/// A sound database with a few tasks of every kind, as one that was closed leaves it.
fn sound() -> Vec<u8> {
    let rig = Rig::new();
    for index in 0..40 {
        let text = "x".repeat(if index % 10 == 0 { 9000 } else { 20 });
        rig.add(NewTask {
            key: (index % 4 == 0).then(|| "key".to_owned()),
            payload: format!("\"{text}\"").into(),
            request_id: (index % 3 == 0).then(|| format!("request {index}")),
            ..task()
        });
    }
    for (index, id) in rig.claim(12, START).into_iter().enumerate() {
        if index % 2 == 0 {
            rig.settle(id, done(), START);
        }
    }
    let Rig { dir, store, .. } = rig;
    drop(store);
    std::fs::read(dir.path().join("ferry.db")).unwrap()
}

#[test]
fn any_damage_is_borne_and_what_is_there_afterwards_is_sound() {
    let sound = sound();
    fuzz!("database", |input: &[u8]| {
        let (mut choices, mut damaged) = (Choices::new(input), sound.clone());
        while !choices.is_empty() {
            let place = usize::from(choices.byte()) << 8 | usize::from(choices.byte());
            let length = choices.below(16) + 1;
            let patch = choices.bytes(length);
            let place = (place * 4) % (damaged.len() - 16);
            damaged[place..place + patch.len()].copy_from_slice(patch);
        }
        let dir = scratch();
        let file = dir.path().join("ferry.db");
        std::fs::write(&file, &damaged).unwrap();
        // As a run that met the damage leaves it.
        std::fs::write(dir.path().join("ferry.db.suspect"), "").unwrap();
        let opened = Store::open(dir.path(), options(), START, 7, |_: StoreNews| {});
        let Ok((store, opening)) = opened else {
            assert!(std::fs::read(&file).unwrap() == damaged, "what is refused is left as it was");
            return;
        };
        let is_salvaged = opening.salvage.is_some();
        if let Some(salvage) = opening.salvage {
            assert!(std::fs::read(salvage.moved_to).unwrap() == damaged, "nothing of it is lost");
        }
        let listed = wait(store.list(Filter::default(), None, 1000));
        let claimed = wait(store.claim(LaneId(1), 100, START));
        drop(store);
        if is_salvaged {
            assert!(listed.is_ok() && claimed.is_ok(), "{listed:?} {claimed:?}");
            assert_consistent_in(dir.path());
        }
    });
}
