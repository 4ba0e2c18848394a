//! Tasks that carry files: their descriptions, what attempts keep for later, and what is left to be ended elsewhere.

use super::*;
use crate::model::{Abandoned, FileInfo, Original, Payload, Quality, Uploaded};

const URL: &str = "https://files.example.org/up/1";

fn photo(size: u64) -> NewTask {
    let file = FileInfo {
        name: "a.jpg".to_owned(),
        content_type: "image/jpeg".to_owned(),
        metadata: r#"{"album":"x"}"#.to_owned(),
        ..FileInfo::new(size, [7; 32])
    };
    NewTask { payload: Payload::File(Box::new(file)), ..task() }
}

fn backend() -> BackendName {
    BackendName::new("files").unwrap()
}

fn keep(rig: &Rig, id: TaskId, note: &str) {
    wait(rig.store.keep(id, backend(), note.to_owned())).unwrap();
}

fn claimed(rig: &Rig) -> Claimed {
    wait(rig.store.claim(LaneId(1), 1, START)).unwrap().remove(0)
}

fn abandoned(news: &StoreNews) -> Vec<(&str, &str)> {
    news.abandoned.iter().map(|Abandoned { backend, note, .. }| (backend.as_str(), note.as_str())).collect()
}

#[test]
fn a_file_is_claimed_as_it_was_handed_over_with_what_the_last_attempt_kept() {
    for size in [0, 10, 5_000_000] {
        let rig = Rig::new();
        let new = photo(size);
        let id = rig.add(new.clone());
        assert_eq!(rig.get(id).size, size);
        let first = claimed(&rig);
        assert_eq!((&first.payload, first.note), (&new.payload, None));
        keep(&rig, id, "first");
        keep(&rig, id, URL);
        rig.settle(id, Settlement::Advanced { due: START, error: "reset".to_owned() }, START);
        let rig = rig.reopen(START);
        let again = claimed(&rig);
        assert_eq!((&again.payload, again.note.as_deref()), (&new.payload, Some(URL)));
        let upload = Some(Uploaded { url: URL.to_owned(), sent: size, original: size, ..Uploaded::default() });
        let result = TaskResult { status: 204, upload, ..TaskResult::default() };
        rig.settle(id, Settlement::Done(result.clone()), START);
        let Standing::Done { result: shown, .. } = rig.get(id).standing else { panic!("{:?}", rig.get(id)) };
        assert_eq!(shown, result);
        assert_eq!(rows(&rig, "note") + rows(&rig, "payload"), 0);
        assert_consistent(&rig);
    }
}

#[test]
fn an_attempt_that_came_further_starts_counting_anew() {
    let rig = Rig::new();
    let id = rig.add(photo(9));
    for attempts in [1, 2] {
        assert_eq!(rig.claim(1, START).len(), 1);
        rig.settle(id, retry_at(START), START);
        assert_eq!(rig.get(id).attempts, attempts);
    }
    assert_eq!(rig.claim(1, START).len(), 1);
    let due = START + seconds(5);
    rig.settle(id, Settlement::Advanced { due, error: "busy".to_owned() }, START);
    let shown = rig.get(id);
    assert_eq!((shown.attempts, shown.last_error.as_str()), (0, "busy"));
    assert_eq!((rig.claim(1, START).len(), rig.claim(1, due).len()), (0, 1));
    assert_eq!(rig.events(id), ["retry", "retry", "advanced"]);
}

#[test]
fn a_file_that_comes_further_between_crashes_is_not_to_blame_for_them() {
    let mut rig = Rig::new();
    let [moving, stuck] = [(); 2].map(|()| rig.add(photo(9)));
    for life in 0..5 {
        let running = rig.claim(2, START);
        assert!(running.contains(&moving), "life {life}");
        keep(&rig, moving, &format!("{URL} {life}"));
        rig = rig.reopen(START);
    }
    assert_eq!((rig.state(moving), rig.state(stuck)), (State::Pending, State::Failed));
}

#[test]
fn what_a_cancelled_task_had_begun_is_told_until_it_is_forgotten() {
    let rig = Rig::new();
    let [waiting, running, fresh] = [(); 3].map(|()| rig.add(photo(9)));
    assert_eq!(rig.claim(2, START).len(), 2);
    keep(&rig, waiting, "one");
    rig.settle(waiting, release(), START);
    keep(&rig, running, "two");
    rig.told();
    for id in [waiting, running, fresh] {
        rig.cancel(id, START);
    }
    assert_eq!(abandoned(&rig.told()), [("files", "one")], "the attempt of the other is not over");
    keep(&rig, running, "three");
    rig.settle(running, release(), START);
    let told = rig.told();
    assert_eq!(abandoned(&told), [("files", "three")]);
    wait(rig.store.forget_abandoned(told.abandoned[0].id)).unwrap();
    let rig = rig.reopen(START);
    assert_eq!(abandoned(&rig.opening.news), [("files", "one")]);
    assert_eq!(rows(&rig, "note"), 0);
}

#[test]
fn a_failed_file_that_is_discarded_is_gone_and_what_it_had_begun_is_told() {
    let rig = Rig::new();
    let id = rig.add(photo(9));
    assert_eq!(rig.claim(1, START).len(), 1);
    keep(&rig, id, URL);
    rig.settle(id, rejected(), START);
    assert_eq!(rig.told().removed, []);
    wait(rig.store.discard(Scope::All, vec![id], START)).unwrap();
    let told = rig.told();
    assert_eq!((told.removed.as_slice(), abandoned(&told)), ([id].as_slice(), vec![("files", URL)]));
    keep(&rig, id, "late");
    assert_eq!(rows(&rig, "note"), 0, "of a task that is gone nothing is kept");
}

#[test]
fn a_files_bytes_count_to_the_quota() {
    let rig = Rig::with(Options { quotas: Quotas { bytes: 1000, ..options().quotas }, ..options() });
    let refused = wait(rig.store.enqueue(vec![photo(501)])).unwrap_err();
    assert!(matches!(refused, EnqueueError::QueueFull { what: Quota::Bytes, limit: 500, .. }), "{refused}");
    rig.add(photo(500));
}

#[test]
fn the_original_of_a_photo_follows_as_a_task_of_its_own_in_the_same_transaction() {
    let rig = Rig::new();
    let mut new = NewTask {
        key: Some("album".to_owned()),
        tags: vec!["trip".to_owned()],
        overrides: Overrides { network: Some(crate::model::NetworkNeed::Wifi), ..Overrides::default() },
        expires: Some(START + seconds(1_000_000)),
        ..photo(5_000_000)
    };
    let Payload::File(file) = &mut new.payload else { panic!("{new:?}") };
    (file.original, file.max_edge) = (Original::Later, Some(2000));
    let id = rig.add(new.clone());
    claimed(&rig);
    let follows = TaskId::mint();
    let upload = Uploaded {
        sent: 9,
        original: 5_000_000,
        quality: Quality::Conservative,
        original_task: Some(follows),
        ..Uploaded::default()
    };
    let result = TaskResult { status: 204, upload: Some(upload), ..TaskResult::default() };
    rig.settle(id, Settlement::Done(result.clone()), START);
    let task = rig.get(follows);
    assert_eq!((task.standing.state(), task.size, task.owner), (State::Pending, 5_000_000, new.owner));
    assert_eq!(
        (&task.app, &task.strategy, &task.tags, task.expires),
        (&new.app, &new.strategy, &new.tags, new.expires)
    );
    assert_eq!((task.key, task.after), (None, vec![id]));
    assert_eq!(task.overrides.network, Some(crate::model::NetworkNeed::Unmetered));
    let told: Vec<_> = rig.told().changes.into_iter().map(|change| (change.id, change.from, change.state)).collect();
    assert!(told.ends_with(&[(id, Some(State::Running), State::Done), (follows, None, State::Pending)]), "{told:?}");
    let Payload::File(file) = wait(rig.store.claim(LaneId(2), 1, START)).unwrap().remove(0).payload else { panic!() };
    assert_eq!((file.quality, file.original, file.max_edge), (Quality::Original, Original::Never, None));
    let variant = file.variant.unwrap();
    assert_eq!((variant.photo, variant.quality), (id, Quality::Original));
    // Told again, after the loop could not be sure that it was written, nothing is added.
    rig.settle(id, Settlement::Done(result), START);
    assert_consistent(&rig);
}

#[test]
fn the_original_of_a_photo_that_was_taken_back_does_not_follow_and_its_file_goes() {
    let rig = Rig::new();
    let id = rig.add(photo(10));
    claimed(&rig);
    rig.cancel(id, START);
    let follows = TaskId::mint();
    let upload = Uploaded { original_task: Some(follows), ..Uploaded::default() };
    rig.settle(id, Settlement::Done(TaskResult { upload: Some(upload), ..TaskResult::default() }), START);
    assert!(wait(rig.store.get(Scope::All, follows)).is_err());
    assert_eq!(rig.told().removed, [follows]);
    assert_consistent(&rig);
}
