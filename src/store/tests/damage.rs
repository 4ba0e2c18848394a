//! Damaged databases, and databases that are not ours to touch.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;

use super::*;
use crate::model::Counts;

const PAGE: u64 = 4096;

/// Closes the store and overwrites pages of its database with what is no page.
fn damage(rig: Rig, pages: impl IntoIterator<Item = u64>) -> TempDir {
    let Rig { dir, store, .. } = rig;
    drop(store);
    let file = fs::OpenOptions::new().write(true).open(dir.path().join("ferry.db")).unwrap();
    for page in pages {
        file.write_all_at(&[0xa5; PAGE as usize], page * PAGE).unwrap();
    }
    dir
}

fn pages(rig: &Rig) -> u64 {
    let conn = super::super::schema::open_reader(&rig.dir.path().join("ferry.db")).unwrap();
    let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    u64::try_from(pages).unwrap()
}

/// The number of the page that is the root of a table or index, counted from 0.
fn root(rig: &Rig, name: &str) -> u64 {
    let conn = super::super::schema::open_reader(&rig.dir.path().join("ferry.db")).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?";
    let page: i64 = conn.query_row(sql, [name], |row| row.get(0)).unwrap();
    u64::try_from(page).unwrap() - 1
}

/// A store with tasks of all kinds, and what they are.
fn filled() -> (Rig, BTreeMap<TaskId, Task>) {
    let rig = Rig::new();
    for batch in 0..20 {
        let tasks = (0..100).map(|index| NewTask {
            key: (index % 10 == 0).then(|| format!("key {batch}")),
            payload: format!("\"{}\"", "x".repeat(if index % 25 == 0 { 9000 } else { 50 })).into(),
            app: format!("app {}", index % 3),
            ..task()
        });
        wait(rig.store.enqueue(tasks.collect())).unwrap();
    }
    let ids = rig.claim(30, START);
    for (index, id) in ids[..20].iter().enumerate() {
        rig.settle(*id, if index % 2 == 0 { done() } else { rejected() }, START);
    }
    wait(rig.store.put_setting("pause", Some("yes".to_owned()))).unwrap();
    let all = all(&rig);
    assert_eq!(all.len(), 2000);
    (rig, all)
}

fn all(rig: &Rig) -> BTreeMap<TaskId, Task> {
    let (mut all, mut cursor) = (BTreeMap::new(), None);
    loop {
        let page = wait(rig.store.list(Filter::default(), cursor, 1000)).unwrap();
        all.extend(page.tasks.into_iter().map(|task| (task.id, task)));
        match page.next {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}

/// Makes sure that what is there is as it was, but for what a restart changes.
fn assert_same(rig: &Rig, before: &BTreeMap<TaskId, Task>, at_least: usize) {
    let after = all(rig);
    assert!(after.len() >= at_least, "{} of {}", after.len(), before.len());
    for (id, task) in &after {
        let was = &before[id];
        assert_eq!((task.owner, &task.app, task.size, &task.key), (was.owner, &was.app, was.size, &was.key));
        let was_running = was.standing.state() == State::Running;
        let expected = if was_running { State::Pending } else { was.standing.state() };
        assert_eq!(task.standing.state(), expected);
    }
    assert_consistent(rig);
}

fn aside(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().contains(".damaged-"));
    found
}

#[test]
fn a_file_that_is_no_database_is_moved_aside_and_nothing_of_it_is_lost() {
    let dir = scratch();
    let rubbish = b"not a database, but somebody's words\n".repeat(1000);
    fs::write(dir.path().join("ferry.db"), &rubbish).unwrap();
    let rig = Rig::open(dir, options(), START);
    let salvage = rig.opening.salvage.clone().unwrap();
    assert_eq!(salvage.tasks, 0);
    assert_eq!(salvage.lost_reason, "file is not a database");
    assert!(fs::read(&salvage.moved_to).unwrap() == rubbish);
    assert_eq!(aside(rig.dir.path()), [salvage.moved_to]);
    rig.add(task());
    assert_eq!(rig.reopen(START).opening.salvage, None);
}

#[test]
fn a_damaged_header_costs_no_task() {
    let (rig, before) = filled();
    let rig = Rig::open(damage(rig, [0]), options(), START);
    assert_eq!(rig.opening.salvage.as_ref().unwrap().tasks, 2000);
    assert_eq!(rig.opening.recovered, 10);
    assert_same(&rig, &before, 2000);
    assert_eq!(wait(rig.store.setting("pause")).unwrap().as_deref(), Some("yes"));
}

#[test]
fn a_damaged_index_costs_no_task() {
    for index in ["ready", "task_id", "keyed", "busy"] {
        let (rig, before) = filled();
        let root = root(&rig, index);
        let rig = Rig::open(damage(rig, [root]), options(), START);
        assert_eq!(rig.opening.salvage.as_ref().unwrap().tasks, 2000, "{index}");
        assert_same(&rig, &before, 2000);
    }
}

#[test]
fn the_rows_below_a_damaged_root_are_found_on_their_pages() {
    let (rig, before) = filled();
    let roots = ["task", "payload"].map(|table| root(&rig, table));
    let rig = Rig::open(damage(rig, roots), options(), START);
    assert_eq!(rig.opening.salvage.as_ref().unwrap().tasks, 2000);
    assert_same(&rig, &before, 2000);
    let claimed = wait(rig.store.claim(LaneId(1), 2000, START)).unwrap();
    assert!(claimed.iter().all(|task| task.payload.size() == before[&task.id].size));
}

#[test]
fn damage_in_the_middle_is_found_while_working_and_costs_only_what_it_hit() {
    let (rig, before) = filled();
    let middle = pages(&rig) / 2;
    let dir = damage(rig, [middle, middle + 1, middle + 7]);
    let mut rig = Rig::open(dir, options(), START);
    if rig.opening.salvage.is_none() {
        // A start looks only at what it needs; whoever reads it all meets the damage.
        let read = wait(rig.store.list(Filter { tags: vec!["none".to_owned()], ..Filter::default() }, None, 0));
        let claimed = wait(rig.store.claim(LaneId(1), 2000, START));
        assert!(
            matches!(read, Err(ReadError::Store(StoreError::Damaged { .. })))
                || matches!(claimed, Err(StoreError::Damaged { .. })),
            "{read:?}"
        );
        rig = rig.reopen(START);
    }
    let salvage = rig.opening.salvage.clone().unwrap();
    assert!((1700..2000).contains(&salvage.tasks), "{}", salvage.tasks);
    assert_same(&rig, &before, 1700);
    assert_eq!(rig.reopen(START).opening.salvage, None);
}

#[test]
fn whichever_page_is_damaged_the_store_opens_and_keeps_nearly_everything() {
    let (rig, before) = filled();
    let count = pages(&rig);
    let Rig { dir, store, .. } = rig;
    drop(store);
    let sound = fs::read(dir.path().join("ferry.db")).unwrap();
    let mut salvaged = 0;
    // The first ones are the roots and the rare pages.
    for page in (0..30).chain((30..count).step_by(17)) {
        let dir = scratch();
        let mut damaged = sound.clone();
        let start = (page * PAGE) as usize;
        damaged[start..start + PAGE as usize].fill(0xa5);
        fs::write(dir.path().join("ferry.db"), &damaged).unwrap();
        // As a run that met the damage leaves it.
        fs::write(dir.path().join("ferry.db.suspect"), "").unwrap();
        let rig = Rig::open(dir, options(), START);
        let Some(salvage) = rig.opening.salvage.clone() else {
            // A free page: nothing was on it.
            assert_same(&rig, &before, 2000);
            continue;
        };
        salvaged += 1;
        assert!(fs::read(&salvage.moved_to).unwrap() == damaged, "page {page}");
        let after = all(&rig);
        assert!(after.len() > 1900, "page {page}: {} tasks", after.len());
        assert!(after.keys().all(|id| before.contains_key(id)));
        assert_consistent(&rig);
    }
    assert!(salvaged > 30, "{salvaged}");
}

#[test]
fn a_suspicion_without_damage_is_dropped() {
    let rig = Rig::new();
    let id = rig.add(task());
    let suspicion = rig.dir.path().join("ferry.db.suspect");
    fs::write(&suspicion, "").unwrap();
    let rig = rig.reopen(START);
    assert_eq!(rig.opening.salvage, None);
    assert!(!suspicion.exists());
    assert_eq!(rig.state(id), State::Pending);
}

#[test]
fn a_salvage_that_was_cut_short_is_ended_by_the_next_start() {
    let (rig, before) = filled();
    let Rig { dir, store, .. } = rig;
    drop(store);
    let place = |name: &str| dir.path().join(name);
    // The damaged one is away and the new one is whole, but not in its place.
    fs::rename(place("ferry.db"), place("ferry.db.rebuilt")).unwrap();
    fs::write(place("ferry.db-wal"), "left behind").unwrap();
    fs::write(place("ferry.db.damaged-1"), "the damaged one").unwrap();
    fs::write(place("ferry.db.copy"), "half a copy").unwrap();
    let rig = Rig::open(dir, options(), START);
    assert_same(&rig, &before, 2000);
    assert!(!rig.dir.path().join("ferry.db.copy").exists());
    assert_eq!(aside(rig.dir.path()).len(), 2);
    // Half of a new one beside the damaged one is made anew.
    let half = rig.dir.path().join("ferry.db.rebuilt");
    fs::write(&half, "half").unwrap();
    let rig = rig.reopen(START);
    assert!(!half.exists());
    assert_same(&rig, &before, 2000);
}

/// Every file of the directory but the lock and the reserve, which are ours.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("ferry.db"))
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn a_newer_schema_is_refused_untouched_also_when_only_its_wal_knows() {
    let rig = Rig::new();
    rig.add(task());
    let Rig { dir, store, .. } = rig;
    drop(store);
    let file = dir.path().join("ferry.db");
    let conn = rusqlite::Connection::open(&file).unwrap();
    conn.execute_batch("PRAGMA user_version = 99").unwrap();
    // With the WAL as a killed daemon leaves it, then as one that stopped.
    let killed = scratch();
    for name in ["ferry.db", "ferry.db-wal"] {
        fs::copy(dir.path().join(name), killed.path().join(name)).unwrap();
    }
    drop(conn);
    for dir in [killed.path(), dir.path()] {
        let before = files(dir);
        let refused = Store::open(dir, options(), START, 7, |_: StoreNews| {}).unwrap_err();
        assert!(
            matches!(refused, OpenError::Newer { found: 99, known: super::super::schema::VERSION, .. }),
            "{refused}"
        );
        assert!(files(dir) == before);
    }
}

#[test]
fn another_programs_database_is_refused_untouched() {
    let dir = scratch();
    let conn = rusqlite::Connection::open(dir.path().join("ferry.db")).unwrap();
    conn.execute_batch("CREATE TABLE theirs (a); PRAGMA application_id = 7; PRAGMA user_version = 1;").unwrap();
    drop(conn);
    let before = files(dir.path());
    let refused = Store::open(dir.path(), options(), START, 7, |_: StoreNews| {}).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign { found: 7, .. }), "{refused}");
    assert!(files(dir.path()) == before);
}

#[test]
fn a_salvaged_queue_goes_on_where_it_was() {
    let rig = Rig::new();
    let a = rig.add(task());
    let head = rig.add(keyed("k"));
    let behind = rig.add(keyed("k"));
    let dependent = rig.add(after(&[a, head]));
    rig.claim(2, START);
    rig.settle(a, done(), START);
    let root = root(&rig, "ready");
    let rig = Rig::open(damage(rig, [root]), options(), START);
    let counts = Counts { pending: 3, running: 0, failed: 0 };
    assert_eq!(rig.opening.news.counts, [(strategy("metadata"), counts)].into());
    assert_eq!((rig.waits_for(behind), rig.waits_for(dependent)), (vec![head], vec![head]));
    assert_eq!(rig.claim(9, START), [head]);
    rig.settle(head, done(), START);
    assert_eq!(rig.claim(9, START), [behind, dependent]);
}

#[test]
fn a_value_that_is_never_written_is_damage_and_costs_its_own_task_at_most() {
    // What turned, and how many of the three tasks are left.
    let turned = [
        ("UPDATE task SET owner = -7 WHERE seq = 2", 2),
        ("UPDATE task SET attempts = 1 << 40, crashes = -1 WHERE seq = 2", 3),
        ("UPDATE task SET size = 1 << 60", 3),
        ("UPDATE task SET tags = '[1' WHERE seq = 2", 3),
        ("UPDATE task SET state = 9 WHERE seq = 2", 2),
        ("UPDATE task SET behind = 1 WHERE seq = 2; UPDATE task SET owner = -7 WHERE seq = 1", 2),
        ("UPDATE lane SET strategy = 'Metadata'", 3),
        ("UPDATE account SET owner = 1 << 33", 3),
        ("UPDATE meta SET value = 'x' WHERE name = 'cursor_key'", 3),
        ("INSERT OR REPLACE INTO meta VALUES ('next_seq', 9223372036854775807)", 3),
    ];
    let mut mended = 0;
    for (sql, left) in turned {
        let rig = Rig::new();
        for _ in 0..3 {
            rig.add(task());
        }
        let Rig { dir, store, .. } = rig;
        drop(store);
        let conn = rusqlite::Connection::open(dir.path().join("ferry.db")).unwrap();
        conn.execute_batch(sql).unwrap();
        drop(conn);
        let mut rig = Rig::open(dir, options(), START);
        if rig.opening.salvage.is_none() {
            // A start does not read all of it; whoever does meets the damage.
            let claimed = wait(rig.store.claim(LaneId(1), 9, START));
            let listed = wait(rig.store.list(Filter::default(), None, 9));
            let met = matches!(claimed, Err(StoreError::Damaged { .. }))
                || matches!(listed, Err(ReadError::Store(StoreError::Damaged { .. })));
            if !met {
                assert!(claimed.is_ok() && listed.is_ok(), "{sql}: {claimed:?}, {listed:?}");
                continue;
            }
            rig = rig.reopen(START);
        }
        assert_eq!(rig.opening.salvage.as_ref().map(|salvage| salvage.tasks), Some(left), "{sql}");
        assert_consistent(&rig);
        assert_eq!(rig.claim(9, START).len() as u64, left, "{sql}");
        assert_eq!(rig.reopen(START).opening.salvage, None, "{sql}");
        mended += 1;
    }
    assert!(mended >= 6, "{mended}");
}
