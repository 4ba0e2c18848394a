//! What the spool takes, refuses, keeps and removes, over real files.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime};

use rustix::fs::{MemfdFlags, Mode, OFlags};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::model::{
    Enqueued, FileInfo, LaneId, NewTask, OnExisting, Overrides, Payload, Quotas, Settlement, State, StrategyName,
    TaskResult, WallTime,
};
use crate::store::{Holder, Options, Quota, Scope, Store};

const NOW: WallTime = WallTime::from_micros(1_800_000_000_000_000);

struct Rig {
    store: Store,
    dir: TempDir,
}

fn rig(bytes: u64) -> Rig {
    rig_in(tempfile::tempdir().unwrap(), bytes)
}

fn rig_in(dir: TempDir, bytes: u64) -> Rig {
    let options = Options {
        quotas: Quotas { tasks: 1000, bytes, subscribers: 16, holds: 4 },
        keep_done: Duration::from_secs(3600),
        reserve: 0,
        backoff_cap: Duration::from_secs(900),
    };
    let (store, _) = Store::open(dir.path(), options, NOW, 7, |_| {}).unwrap();
    Rig { store, dir }
}

impl Rig {
    fn put(&self, task: NewTask, file: impl Into<OwnedFd>) -> Result<Enqueued, SpoolError> {
        wait(self.store.enqueue_file(task, file.into()))
    }

    fn add(&self, bytes: &[u8]) -> TaskId {
        self.put(task(), file(bytes)).unwrap().id()
    }

    fn path(&self, id: TaskId) -> PathBuf {
        self.store.spool().join(id.to_string())
    }

    fn files(&self) -> usize {
        fs::read_dir(self.store.spool()).unwrap().count()
    }

    /// Removing is another thread's matter.
    fn until_files(&self, count: usize) {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while self.files() != count {
            assert!(std::time::Instant::now() < deadline, "{} files, not {count}", self.files());
            std::thread::yield_now();
        }
    }

    fn refused(&self, file: impl Into<OwnedFd>) -> String {
        let error = self.put(task(), file).expect_err("it is refused");
        self.until_files(0);
        assert!(self.store.spool.held.is_empty(), "a share is left");
        error.to_string()
    }

    fn reopen(self) -> Self {
        let Self { store, dir } = self;
        drop(store);
        rig_in(dir, 1 << 30)
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn task() -> NewTask {
    let file = FileInfo { name: "lake.jpg".into(), ..FileInfo::new(0, [0; 32]) };
    NewTask {
        id: TaskId::mint(),
        owner: Owner(1000),
        app: "camera".into(),
        strategy: StrategyName::new("photo").unwrap(),
        overrides: Overrides::default(),
        payload: Payload::File(Box::new(file)),
        key: None,
        on_existing: OnExisting::Append,
        after: Vec::new(),
        tags: Vec::new(),
        expires: None,
        request_id: None,
        created: NOW,
    }
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn open(path: &Path, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags, Mode::empty()).unwrap()
}

#[test]
fn a_file_is_copied_whole_and_its_callers_offset_stays() {
    let rig = rig(1 << 30);
    let bytes = bytes(700_001);
    let mut file = file(&bytes);
    file.seek(io::SeekFrom::Start(17)).unwrap();
    let id = rig.put(task(), file.try_clone().unwrap()).unwrap().id();
    assert_eq!(file.stream_position().unwrap(), 17);
    assert_eq!(fs::read(rig.path(id)).unwrap(), bytes);
    assert_eq!(fs::metadata(rig.path(id)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(rig.store.spool()).unwrap().permissions().mode() & 0o777, 0o700);

    let task = wait(rig.store.get(Scope::All, id)).unwrap();
    assert_eq!(task.size, 700_001);
    let claimed = wait(rig.store.claim(LaneId(1), 1, NOW)).unwrap().remove(0);
    let Payload::File(info) = claimed.payload else { panic!("{:?}", claimed.payload) };
    assert_eq!((info.size, info.sha256), (700_001, Sha256::digest(&bytes).into()));
    assert!(rig.store.spool.held.is_empty());
}

#[test]
fn an_empty_file_a_memfd_and_one_without_a_name_are_files_too() {
    let rig = rig(1 << 30);
    let empty = rig.add(b"");
    assert_eq!(fs::read(rig.path(empty)).unwrap(), b"");
    let memory = rustix::fs::memfd_create("photo", MemfdFlags::CLOEXEC).unwrap();
    let mut memory = File::from(memory);
    memory.write_all(&bytes(600_000)).unwrap();
    let id = rig.put(task(), memory).unwrap().id();
    assert_eq!(fs::read(rig.path(id)).unwrap(), bytes(600_000));

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "deleted").unwrap();
    let deleted = File::open(dir.path().join("a")).unwrap();
    fs::remove_file(dir.path().join("a")).unwrap();
    let id = rig.put(task(), deleted).unwrap().id();
    assert_eq!(fs::read(rig.path(id)).unwrap(), b"deleted");
}

#[test]
fn what_is_no_file_to_be_read_is_refused_by_what_it_is() {
    let rig = rig(1 << 30);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "bytes").unwrap();
    let says = |file: OwnedFd, words: &str| {
        let said = rig.refused(file);
        assert!(said.contains(words), "{said:?} does not say {words:?}");
    };
    says(std::io::pipe().unwrap().0.into(), "a pipe");
    says(UnixStream::pair().unwrap().0.into(), "a socket");
    says(File::open(dir.path()).unwrap().into(), "a directory");
    says(File::open("/dev/zero").unwrap().into(), "a character device");
    says(open(&path, OFlags::PATH), "with O_PATH");
    says(open(&path, OFlags::WRONLY), "for writing only");
    says(rustix::event::eventfd(0, rustix::event::EventfdFlags::empty()).unwrap(), "no file");
    says(File::open("/proc/self/status").unwrap().into(), "goes on after the end");
}

#[test]
fn a_sparse_terabyte_is_refused_at_once_by_quota_and_by_disk() {
    let rig = rig(1 << 30);
    // In memory: on a disk that can share blocks it would take none.
    let sparse = || {
        let file = File::from(rustix::fs::memfd_create("sparse", MemfdFlags::CLOEXEC).unwrap());
        file.set_len(1 << 40).unwrap();
        file
    };
    assert!(rig.refused(sparse()).contains("may hold at most"));
    let rig = self::rig(1 << 50);
    assert!(rig.refused(sparse()).contains("no space left"));
    assert_eq!(rig.files(), 0);
}

/// What becomes of a copy of `file` during which something happens.
fn copied_while(file: &File, change: impl FnOnce(&File)) -> Result<[u8; 32], SpoolError> {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::of(file.try_clone().unwrap().into()).unwrap();
    let before = source.looks().unwrap();
    copy::copy(&mut source, &before, &dir.path().join("copy"), || change(file))
}

#[test]
fn a_file_that_changes_while_it_is_copied_is_refused() {
    let path = tempfile::NamedTempFile::new().unwrap();
    fs::write(path.path(), bytes(300_000)).unwrap();
    let file = File::options().read(true).write(true).open(path.path()).unwrap();
    let changed = |words: &str, change: fn(&File)| {
        let error = copied_while(&file, change).expect_err(words).to_string();
        assert!(error.contains("changed while it was copied") && error.contains(words), "{error}");
    };
    changed("longer", |file| file.write_all_at(b"more", 300_000).unwrap());
    changed("ends earlier", |file| file.set_len(10).unwrap());
    file.set_len(300_000).unwrap();
    changed("written to", |file| {
        file.write_all_at(b"other", 5).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(1)).unwrap();
    });
    changed("touched", |file| file.set_permissions(fs::Permissions::from_mode(0o640)).unwrap());
    copied_while(&file, |_| fs::remove_file(path.path()).unwrap()).expect("a name is not the file");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
}

#[test]
fn bytes_count_and_so_do_those_of_copies_in_progress() {
    let rig = rig(1000);
    rig.add(&bytes(400));
    let error = rig.put(task(), file(&bytes(101))).expect_err("the app has 400 of 500");
    assert!(
        matches!(
            error,
            SpoolError::Refused(EnqueueError::QueueFull { holder: Holder::App(..), what: Quota::Bytes, limit: 500 })
        ),
        "{error}"
    );
    let other = NewTask { app: "scanner".into(), ..task() };
    let taken = wait(rig.store.take_file(&other, file(&bytes(500)).into())).unwrap();
    let third = || NewTask { app: "notes".into(), ..task() };
    assert!(rig.put(third(), file(&bytes(101))).is_err(), "the copy in progress counts");
    let json = NewTask { payload: "1".repeat(101).into(), ..third() };
    assert!(wait(rig.store.enqueue(vec![json])).is_err(), "for tasks without a file too");
    drop(taken);
    rig.until_files(1);
    rig.put(third(), file(&bytes(101))).unwrap();
    rig.until_files(2);
}

fn replacing(app: &str) -> NewTask {
    NewTask { app: app.into(), key: Some("k".into()), on_existing: OnExisting::Replace, ..task() }
}

#[test]
fn a_file_that_replaces_another_needs_no_quota_beside_it() {
    let rig = rig(1000);
    let first = rig.put(replacing("camera"), file(&bytes(400))).unwrap().id();
    let second = rig.put(replacing("camera"), file(&bytes(450))).unwrap().id();
    let state = |id| wait(rig.store.get(Scope::All, id)).unwrap().standing.state();
    assert_eq!((state(first), state(second)), (State::Cancelled, State::Pending));
    let error = rig.put(replacing("camera"), file(&bytes(501))).expect_err("more than the app's half");
    assert!(error.to_string().contains("at most 500 payload bytes"), "{error}");
    assert_eq!(state(second), State::Pending, "who is refused replaces nothing");

    // While it is copied it takes of the others what it will add, and gives them nothing before it is there.
    rig.put(NewTask { app: "other".into(), ..task() }, file(&bytes(100))).unwrap();
    let json = |bytes: usize| NewTask { app: "notes".into(), payload: "1".repeat(bytes).into(), ..task() };
    let fits = |bytes| wait(rig.store.enqueue(vec![json(bytes)])).map(|added| added[0].id());
    let third = replacing("scanner");
    let take = |size| wait(rig.store.take_file(&third, file(&bytes(size)).into())).unwrap();
    let small = take(10);
    assert!(fits(451).is_err(), "550 are there");
    drop(small);
    rig.until_files(3);
    let taken = take(500);
    assert!(fits(401).is_err(), "550 are there and 50 are to come");
    wait(rig.store.cancel(Scope::All, vec![fits(400).unwrap()], NOW)).unwrap();
    wait(rig.store.cancel(Scope::All, vec![second], NOW)).unwrap();
    assert!(fits(401).is_err(), "100 are there and 500 are to come");
    fits(400).unwrap();
    let share = taken.hand_over();
    wait(rig.store.enqueue(vec![third])).unwrap();
    drop(share);
    assert!(rig.store.spool.held.is_empty());
}

#[test]
fn what_an_attempt_has_meanwhile_is_not_replaced_and_keeps_its_quota() {
    let rig = rig(1000);
    let first = rig.put(replacing("camera"), file(&bytes(400))).unwrap().id();
    let second = replacing("camera");
    let taken = wait(rig.store.take_file(&second, file(&bytes(400)).into())).unwrap();
    assert_eq!(wait(rig.store.claim(LaneId(1), 1, NOW)).unwrap()[0].id, first);
    let second = NewTask { payload: "1".repeat(400).into(), ..second };
    let error = wait(rig.store.enqueue(vec![second])).expect_err("the first is on its way");
    assert!(matches!(error, EnqueueError::QueueFull { what: Quota::Bytes, limit: 500, .. }), "{error}");
    drop(taken);
    rig.until_files(1);
    assert!(rig.path(first).exists());
}

#[test]
fn of_two_that_replace_the_same_at_once_each_has_its_share() {
    let rig = rig(1000);
    rig.put(replacing("camera"), file(&bytes(400))).unwrap();
    let one = wait(rig.store.take_file(&replacing("camera"), file(&bytes(300)).into())).unwrap();
    let two = |size| wait(rig.store.take_file(&replacing("camera"), file(&bytes(size)).into()));
    assert!(two(201).is_err(), "300 of the app's 500 are to come");
    drop((one, two(200).unwrap()));
    rig.until_files(1);
}

#[test]
fn one_task_may_be_replaced_where_only_one_is_allowed() {
    let rig = rig(1000);
    let options = Options {
        quotas: Quotas { tasks: 2, bytes: 1000, subscribers: 16, holds: 4 },
        keep_done: Duration::from_secs(3600),
        reserve: 0,
        backoff_cap: Duration::from_secs(900),
    };
    wait(rig.store.configure(options)).unwrap();
    rig.put(replacing("camera"), file(b"1")).unwrap();
    rig.put(replacing("camera"), file(b"2")).unwrap();
    let error = rig.put(task(), file(b"3")).expect_err("the app has its one task");
    assert!(error.to_string().contains("at most 1 tasks"), "{error}");
}

#[test]
fn a_repeated_request_adds_nothing_and_another_of_its_name_is_a_conflict() {
    let rig = rig(1000);
    let request = || NewTask { request_id: Some("r".into()), ..task() };
    let first = rig.put(request(), file(&bytes(400))).unwrap();
    let again = rig.put(request(), file(&bytes(400))).unwrap();
    assert_eq!(again, Enqueued::AlreadyQueued(first.id()), "even with the quota used up");
    let conflict = |bytes: &[u8]| {
        let error = rig.put(request(), file(bytes)).expect_err("a conflict");
        assert!(matches!(error, SpoolError::Refused(EnqueueError::RequestConflict { .. })), "{error}");
    };
    conflict(&bytes(399));
    conflict(&[7; 400]);
    rig.until_files(1);
    assert!(rig.path(first.id()).exists());
}

#[test]
fn a_start_removes_orphans_and_keeps_what_tasks_need() {
    let rig = rig(1 << 30);
    let [pending, done, failed, cancelled] = [(); 4].map(|()| rig.add(b"bytes"));
    let claimed = wait(rig.store.claim(LaneId(1), 3, NOW)).unwrap().into_iter().map(|claimed| claimed.id);
    let claimed: Vec<_> = claimed.collect();
    assert_eq!(claimed, [pending, done, failed]);
    let error = crate::model::TaskError { failure: crate::model::Failure::Rejected, words: String::new() };
    let settlements = vec![(done, Settlement::Done(TaskResult::default())), (failed, Settlement::Failed(error))];
    wait(rig.store.settle(settlements, NOW)).unwrap();
    wait(rig.store.cancel(Scope::All, vec![cancelled], NOW)).unwrap();
    fs::write(rig.path(TaskId::mint()), "half a copy").unwrap();
    assert_eq!(rig.files(), 5);
    let rig = rig.reopen();
    rig.until_files(2);
    assert!(rig.path(pending).exists() && rig.path(failed).exists());
    assert_eq!(wait(rig.store.get(Scope::All, pending)).unwrap().standing.state(), State::Pending);

    rig.store.free_files([failed, TaskId::mint()]);
    rig.until_files(1);
    let mut kept = String::new();
    File::open(rig.path(pending)).unwrap().read_to_string(&mut kept).unwrap();
    assert_eq!(kept, "bytes");
}

#[test]
fn who_stops_listening_leaves_nothing() {
    let rig = rig(1 << 30);
    drop(rig.store.enqueue_file(task(), file(&bytes(100)).into()));
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !rig.store.spool.lines.is_empty() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    rig.until_files(0);
    assert!(rig.store.spool.held.is_empty());
}
