//! `EnqueueFile` of the built `ferryd` on a private bus: what is taken and what is refused by which name, and what becomes
//! of the file in the spool. The daemon has no backend here, so that tasks wait.

#[path = "../common/bus.rs"]
mod bus;
#[path = "../daemon/device.rs"]
#[expect(dead_code, reason = "shared with tests/daemon")]
mod device;
mod hanging;
mod mounts;
#[path = "../common/netns.rs"]
mod netns;
mod reflink;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek as _, Write as _};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use device::{Device, HANG, Refused, none};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use zbus::{Fd, Variant};

/// Bytes that one user may hold in the daemons of these tests; one app half of it.
const QUOTA: u64 = 64 << 20;

const CONFIG: &str = "[limits.quota]\nbytes = '64 MiB'\n";

type Options = BTreeMap<&'static str, Variant<'static>>;

fn with<const N: usize>(entries: [(&'static str, Variant<'static>); N]) -> Options {
    BTreeMap::from(entries)
}

fn send(device: &mut Device<'_>, file: impl AsFd, options: Options) -> NonZeroU32 {
    device.call_unanswered("Tasks", "EnqueueFile", &("photo", Fd::from(file.as_fd()), options))
}

fn put(device: &mut Device<'_>, file: impl AsFd, options: Options) -> Result<String, Refused> {
    let call = send(device, file, options);
    id(device, call)
}

fn id(device: &mut Device<'_>, call: NonZeroU32) -> Result<String, Refused> {
    device.answer(call).map(|answer| answer[0].as_str().expect("an id").to_owned())
}

#[track_caller]
fn refused(answer: Result<String, Refused>, name: &str, words: &str) {
    let refused = answer.expect_err(words);
    assert!(refused.name == name && refused.message.contains(words), "{refused:?} is not {name}: {words}");
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(bytes).expect("written");
    file
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| u8::try_from((at * 31 + at / 251) % 256).expect("a byte")).collect()
}

fn spooled(device: &Device<'_>, id: &str) -> PathBuf {
    device.state().join("spool").join(id)
}

/// Waits until just these files lie in the spool.
#[track_caller]
fn until_spool(device: &Device<'_>, ids: &[&str]) {
    let names = || -> Vec<String> {
        let entries = fs::read_dir(device.state().join("spool")).expect("a spool");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort_unstable();
        names
    };
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let deadline = Instant::now() + HANG;
    while names() != ids {
        assert!(Instant::now() < deadline, "{:?} and not {ids:?}:\n{}", names(), device.log());
        std::thread::yield_now();
    }
}

fn open(path: &Path, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags, Mode::empty()).expect("opened")
}

#[test]
fn a_file_is_taken_with_all_its_options_and_shown() {
    let mut device = Device::start(CONFIG);
    let bytes = bytes(300_001);
    let mut file = file(&bytes);
    file.seek(io::SeekFrom::Start(17)).expect("moved");
    let options = with([
        ("name", "Bodensee, 1.jpg".into()),
        ("content_type", "image/jpeg".into()),
        ("metadata", " {\"album\": 7}".into()),
        ("quality", "balanced".into()),
        ("original", "later".into()),
        ("max_edge", 2048u32.into()),
        ("record", ("photos", "p1", "file").into()),
        ("key", "album".into()),
        ("tags", vec!["a"].into()),
        ("app", "camera".into()),
    ]);
    let id = put(&mut device, &file, options).expect("taken");
    assert_eq!(fs::read(spooled(&device, &id)).expect("spooled"), bytes);
    assert_eq!(file.stream_position().expect("an offset"), 17, "it is the caller's");
    let task = device.task(&id);
    assert_eq!(
        (&task["strategy"], &task["state"], &task["app"]),
        (&"photo".into(), &"pending".into(), &"camera".into())
    );
    assert_eq!((&task["size"], &task["done"], &task["key"]), (&300_001.into(), &0.into(), &"album".into()));
    until_spool(&device, &[&id]);
}

#[test]
fn bad_options_are_refused_by_their_names() {
    let mut device = Device::start(CONFIG);
    let file = file(b"bytes");
    let mut says = |options: Options, words: &str| refused(put(&mut device, &file, options), "InvalidArgument", words);
    says(with([("metadata", "[1]".into())]), "metadata: not a JSON object");
    says(with([("metadata", "{".into())]), "metadata: not JSON");
    says(with([("quality", "best".into())]), "not one of auto, original, balanced, conservative");
    says(with([("original", "now".into())]), "not one of never, later");
    says(with([("max_edge", (-1).into())]), "option max_edge: -1 is out of range");
    says(with([("record", ("photos", "p1").into())]), "option record: three strings (sss) is wanted");
    says(with([("content_type", "jpeg".into())]), "no media type");
    says(with([("colour", true.into())]), "unknown option");
    let large = format!("{{\"a\":\"{}\"}}", "a".repeat(70_000));
    refused(put(&mut device, &file, with([("metadata", large.into())])), "PayloadTooLarge", "option metadata");

    let to = |device: &mut Device<'_>, strategy: &str| {
        let call = device.call_unanswered("Tasks", "EnqueueFile", &(strategy, Fd::from(file.as_fd()), none()));
        id(device, call)
    };
    refused(to(&mut device, "metadata"), "InvalidArgument", "strategy metadata carries JSON, not files");
    refused(to(&mut device, "nope"), "UnknownStrategy", "nope");
    let json = device.call("Tasks", "Enqueue", &("photo", "1", none())).expect_err("a file strategy");
    assert!(json.message.contains("carries files"), "{json:?}");
    until_spool(&device, &[]);
}

#[test]
fn what_is_no_readable_file_is_refused_by_what_it_is() {
    let mut device = Device::start(CONFIG);
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file");
    fs::write(&path, "bytes").expect("written");
    let mut says = |file: OwnedFd, words: &str| refused(put(&mut device, file, none()), "InvalidArgument", words);
    says(io::pipe().expect("a pipe").0.into(), "a pipe");
    says(UnixStream::pair().expect("sockets").0.into(), "a socket");
    says(open(dir.path(), OFlags::RDONLY), "a directory");
    says(open(Path::new("/dev/zero"), OFlags::RDONLY), "a character device");
    says(open(&path, OFlags::PATH), "with O_PATH");
    says(open(&path, OFlags::WRONLY), "for writing only");
    let sparse = tempfile::tempfile().expect("a file");
    sparse.set_len(1 << 40).expect("sparse");
    refused(put(&mut device, sparse, none()), "QueueFull", "payload bytes");
    until_spool(&device, &[]);
    // All is well after that.
    put(&mut device, open(&path, OFlags::RDONLY), none()).expect("taken");
}

#[test]
fn an_empty_file_a_memfd_a_deleted_file_and_one_closed_at_once_are_taken() {
    let mut device = Device::start(CONFIG);
    let empty = put(&mut device, file(b""), none()).expect("taken");
    let mut memory = File::from(rustix::fs::memfd_create("photo", MemfdFlags::CLOEXEC).expect("memory"));
    memory.write_all(&bytes(100_000)).expect("written");
    let memory = put(&mut device, memory, none()).expect("taken");
    let named = tempfile::NamedTempFile::new().expect("a file");
    fs::write(named.path(), "deleted").expect("written");
    let opened = File::open(named.path()).expect("opened");
    drop(named);
    let deleted = put(&mut device, opened, none()).expect("taken");
    let closed = file(b"closed");
    let call = send(&mut device, &closed, none());
    drop(closed);
    let closed = id(&mut device, call).expect("taken");

    for (id, bytes) in
        [(&empty, vec![]), (&memory, bytes(100_000)), (&deleted, b"deleted".into()), (&closed, b"closed".into())]
    {
        assert_eq!(fs::read(spooled(&device, id)).expect("spooled"), bytes);
        assert_eq!(device.task(id)["size"], bytes.len());
    }
}

#[test]
fn of_a_hundred_descriptors_in_flight_each_is_answered() {
    let mut device = Device::start(CONFIG);
    let files: Vec<_> = (0..100).map(|n| file(format!("file {n}").as_bytes())).collect();
    let calls: Vec<_> = files.iter().map(|file| send(&mut device, file, none())).collect();
    let mut taken = 0;
    for (n, call) in calls.into_iter().enumerate() {
        match id(&mut device, call) {
            Ok(id) => {
                taken += 1;
                assert_eq!(fs::read_to_string(spooled(&device, &id)).expect("spooled"), format!("file {n}"));
            }
            // The bus itself lets only so many descriptors wait for a client.
            Err(refused) => assert!(matches!(refused.name.as_str(), "Busy" | "LimitsExceeded"), "{refused:?}"),
        }
    }
    assert!(taken > 0);
    device::tell(format_args!("of 100 files in flight {taken} were taken"));
}

#[test]
fn calls_behind_a_file_take_effect_behind_it() {
    let mut device = Device::start(CONFIG);
    let large = send(&mut device, file(&vec![7; 20 << 20]), none());
    let json = device.call_unanswered("Tasks", "Enqueue", &("metadata", "1", none()));
    let small = send(&mut device, file(b"small"), none());
    let list = device.call("Tasks", "List", &(none(), "", 0u32)).expect("a page");
    let listed: Vec<_> = list[0].as_array().expect("tasks").iter().map(|task| task["id"].clone()).collect();
    let large = id(&mut device, large).expect("taken");
    let json = id(&mut device, json).expect("taken");
    let small = id(&mut device, small).expect("taken");
    assert_eq!(listed, [large, json, small]);
}

#[test]
fn a_restart_keeps_files_that_wait_and_sweeps_orphans() {
    let mut device = Device::start(CONFIG);
    let kept = put(&mut device, file(&bytes(50_000)), none()).expect("taken");
    device.kill();
    let orphan = kept.replace(&kept[..8], "01900000");
    fs::write(spooled(&device, &orphan), "half a copy").expect("written");
    device.switch_on();
    until_spool(&device, &[&kept]);
    assert_eq!(fs::read(spooled(&device, &kept)).expect("kept"), bytes(50_000));
    assert_eq!(device.task(&kept)["state"], "pending");
}

#[test]
fn a_file_goes_when_its_task_is_cancelled_or_discarded() {
    let mut device = Device::start(CONFIG);
    let kept = put(&mut device, file(b"kept"), none()).expect("taken");
    let cancelled = put(&mut device, file(b"cancelled"), none()).expect("taken");
    let soon = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() + 300_000;
    let expires = with([("expires", u64::try_from(soon).expect("before 586912").into())]);
    let failed = put(&mut device, file(b"failed"), expires).expect("taken");
    device.until_task(&failed, "failed");
    until_spool(&device, &[&kept, &cancelled, &failed]);
    device.call("Tasks", "Cancel", &vec![&cancelled]).expect("cancelled");
    until_spool(&device, &[&kept, &failed]);
    device.call("Tasks", "Discard", &vec![&failed]).expect("discarded");
    until_spool(&device, &[&kept]);
}

#[test]
fn bytes_count_to_the_quota_until_the_task_has_ended() {
    let mut device = Device::start(CONFIG);
    let half = usize::try_from(QUOTA / 2).expect("it fits");
    let first = put(&mut device, file(&vec![1; half]), with([("app", "a".into())])).expect("taken");
    refused(put(&mut device, file(b"1"), with([("app", "a".into())])), "QueueFull", "app \"a\"");
    let request = || with([("app", "b".into()), ("request_id", "r".into())]);
    let second = put(&mut device, file(&vec![2; half]), request()).expect("taken");
    refused(put(&mut device, file(b"1"), with([("app", "c".into())])), "QueueFull", "user");
    assert_eq!(put(&mut device, file(&vec![2; half]), request()).as_ref(), Ok(&second), "the same call again");
    refused(put(&mut device, file(&vec![3; half]), request()), "Conflict", &second);
    refused(put(&mut device, file(b"1"), request()), "Conflict", &second);
    until_spool(&device, &[&first, &second]);
    device.call("Tasks", "Cancel", &vec![&first]).expect("cancelled");
    let third = put(&mut device, file(b"1"), with([("app", "a".into())])).expect("there is room again");
    until_spool(&device, &[&second, &third]);
}

#[test]
fn a_file_may_replace_another_though_both_are_beyond_the_quota() {
    let mut device = Device::start(CONFIG);
    let half = usize::try_from(QUOTA / 2).expect("it fits");
    let replacing = || with([("key", "k".into()), ("on_existing", "replace".into())]);
    let first = put(&mut device, file(&vec![1; half]), replacing()).expect("taken");
    let second = put(&mut device, file(&vec![2; half]), replacing()).expect("taken");
    assert_eq!(device.task(&first)["state"], "cancelled");
    until_spool(&device, &[&second]);
    refused(put(&mut device, file(&vec![3; half + 1]), replacing()), "QueueFull", "app");
    assert_eq!(device.task(&second)["state"], "pending");
    until_spool(&device, &[&second]);
}
