//! The log in the journal: fields to search by, messages that say all, levels that an admin can live with. The journal is a
//! stand-in behind its well-known path, which only the daemon's mount namespace sees.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use ferryd::demo::{Behaviour, Fault, Verdict};

use crate::device::{Device, HANG};
use crate::netns;
use crate::servers::{config_with, serve};

/// An entry's fields (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
pub(crate) type Entry = BTreeMap<String, String>;

/// What stands where the journal's socket is.
pub(crate) struct Journal {
    entries: Receiver<Entry>,
    pub(crate) seen: Vec<Entry>,
}

impl Journal {
    /// Switches this device on so that its daemon logs here. Needs root's rights.
    pub(crate) fn switch_on(device: &mut Device<'_>) -> Self {
        let folder = device.file("journal");
        fs::create_dir(&folder).expect("a folder");
        let socket = UnixDatagram::bind(folder.join("socket")).expect("a socket");
        let (sender, entries) = mpsc::channel();
        // Read at once: a sender waits for a socket that is full, as it would for the real one.
        thread::spawn(move || {
            let mut bytes = vec![0; 1 << 20];
            while let Ok(length) = socket.recv(&mut bytes) {
                // The layer first looks whether there is a journal, by an empty message.
                if length > 0 && sender.send(parse(&bytes[..length])).is_err() {
                    return;
                }
            }
        });
        let command = sandbox(device, "mkdir -p /run/systemd/journal; mount --bind \"$0\" /run/systemd/journal");
        device.switch_on_by(command);
        Self { entries, seen: Vec::new() }
    }

    /// Waits for an entry.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&Entry) -> bool) -> Entry {
        loop {
            let Ok(entry) = self.entries.recv_timeout(HANG) else {
                panic!("waited in vain for {what}:\n{:#?}", self.seen)
            };
            self.seen.push(entry.clone());
            if wanted(&entry) {
                return entry;
            }
        }
    }

    /// How many entries so far have this in their message.
    fn count(&self, words: &str) -> usize {
        self.seen.iter().filter(|entry| entry["MESSAGE"].contains(words)).count()
    }
}

/// The device's daemon with a /run of its own, prepared by these commands (`$0` is the journal's folder), and with standard
/// error named as the journal's.
fn sandbox(device: &mut Device<'_>, prepare: &str) -> Command {
    let ferryd = device.command();
    let log = File::options().create(true).append(true).open(device.file("log")).expect("a log");
    let file = log.metadata().expect("a file");
    let mut command = Command::new("unshare");
    let script = format!("set -e; mount -t tmpfs none /run; {prepare}; exec \"$@\"");
    command.args(["--mount", "--", "sh", "-c", &script]).arg(device.file("journal"));
    command.arg(ferryd.get_program()).args(ferryd.get_args());
    let environment = ferryd.get_envs().filter_map(|(name, value)| Some((name, value?)));
    command.envs(environment).env("JOURNAL_STREAM", format!("{}:{}", file.dev(), file.ino()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command
}

/// Reads an entry in the journal's native format, where every value has its length.
fn parse(mut bytes: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let name = std::str::from_utf8(&bytes[..end]).expect("a name");
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => {
                bytes = &bytes[end + 1..];
                (name, value.to_owned())
            }
            None => {
                let (length, rest) = bytes[end + 1..].split_at(8);
                let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
                let (value, rest) = rest.split_at(usize::try_from(length).expect("a length"));
                bytes = rest.strip_prefix(b"\n").expect("a line's end");
                (name, String::from_utf8(value.to_vec()).expect("UTF-8"))
            }
        };
        entry.insert(name.to_owned(), value);
    }
    entry
}

#[test]
fn entries_have_fields_to_search_by_and_messages_that_say_all() {
    if !netns::require() {
        return;
    }
    let server = serve(Behaviour::fault(Fault::status(503, "closed for today")));
    let mut device = Device::off(None, &config_with(&server, "[limits]\nbackoff_cap = \"1 s\""));
    let mut journal = Journal::switch_on(&mut device);
    journal.until("it is ready", |entry| entry["MESSAGE"].starts_with("ready: ferryd "));
    let first = device.enqueue_one();
    let fails = journal.until("the backend fails", |entry| entry.contains_key("BACKEND") && entry["PRIORITY"] == "4");
    assert_eq!((fails["BACKEND"].as_str(), fails["REASON"].as_str()), ("main", "backend-down"));
    assert!(fails["MESSAGE"].contains("closed for today"), "{fails:?}");

    server.behave(Behaviour::judged(|_| Verdict::Reject { reason: "no such\nphoto".into() }));
    let works = journal.until("the backend works", |entry| entry["MESSAGE"] == "backend main works again");
    assert_eq!((works["BACKEND"].as_str(), works["PRIORITY"].as_str()), ("main", "6"));
    device.until_task(&first, "failed");
    let failed = journal.until("a task failed", |entry| entry.contains_key("TASK"));
    let of = |name: &str| failed[name].as_str();
    assert_eq!((of("TASK"), of("STRATEGY"), of("ATTEMPT")), (first.as_str(), "metadata", "0"), "{failed:?}");
    assert_eq!((of("PRIORITY"), of("SYSLOG_IDENTIFIER")), ("4", "ferryd"));
    assert!(of("REASON").contains("no such") && of("MESSAGE").contains(of("REASON")), "{failed:?}");

    device.switch_off();
    journal.until("it stops", |entry| entry["MESSAGE"].starts_with("stopping"));
    assert_eq!((journal.count("backend main fails"), journal.count("works again")), (1, 1), "{:#?}", journal.seen);
    let messages: Vec<_> = journal.seen.iter().map(|entry| entry["MESSAGE"].as_str()).collect();
    assert!(messages.len() < 10, "an admin reads these: {messages:#?}");
    assert_eq!(device.log(), "", "and nothing twice");
}

#[test]
fn text_goes_to_standard_error_where_that_is_no_journal() {
    let mut device = Device::off(None, "");
    device.set("JOURNAL_STREAM", "8:1");
    device.switch_on();
    let log = device.log();
    let ready = log.lines().find(|line| line.contains("ready: ferryd ")).expect("a line");
    assert!(ready.starts_with("20") && ready.ends_with(env!("CARGO_PKG_VERSION")), "with the time: {ready:?}");
}

#[test]
fn text_goes_to_standard_error_where_the_journal_cannot_be_reached_otherwise() {
    if !netns::require() {
        return;
    }
    let mut device = Device::off(None, "");
    let command = sandbox(&mut device, "true");
    device.switch_on_by(command);
    assert!(device.log().contains("ready: ferryd "), "{}", device.log());
    assert!(device.log().lines().all(|line| line.starts_with(" ") || line.starts_with("WARN")), "{}", device.log());
}
