//! A device whose daemons are recorded: what they did to the disk, what they told, and what was handed to them.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use ferryd::config::{self, Host};
use ferryd::demo::{Behaviour, Server, Verdict};
use ferryd::model::{Config, Filter, State, Task};
use ferryd::sense::clock;
use ferryd::store::{Options, Store};
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::disk::Disk;
use super::trace::{Step, Trace};
use crate::device::{Device, none};
use crate::servers::serve;
use crate::uploads::files;

/// A device, its server, and all that happened to its disk so far.
pub(crate) struct Recording {
    /// What its disk is like.
    pub(crate) disk: String,
    pub(crate) device: Device<'static>,
    pub(crate) server: Server,
    config: String,
    running: Option<Trace>,
    pub(crate) before: Disk,
    pub(crate) steps: Vec<Step>,
    /// The files handed over, by their tasks.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// What was told of a task at a step: its id alone, or a state.
pub(crate) type Told = BTreeMap<String, Vec<(usize, &'static str)>>;

/// The word for each state, as signals have it.
const STATES: [&str; 5] = ["pending", "running", "done", "failed", "cancelled"];

impl Recording {
    /// A device that has never run, with a disk like this.
    pub(crate) fn new(disk: &str) -> Self {
        let server = Self::server();
        let config = Self::config(&server);
        let device = Device::off(None, &config);
        let before = Disk::of(device.folder.path());
        let disk = disk.to_owned();
        Self { disk, device, server, config, running: None, before, steps: Vec::new(), files: BTreeMap::new() }
    }

    /// A server that refuses what says `bad`.
    pub(crate) fn server() -> Server {
        let judge = |item: &ferryd::demo::Item| match item.payload.contains("bad") {
            true => Verdict::Reject { reason: "bad".to_owned() },
            false => Verdict::Take,
        };
        serve(Behaviour::judged(judge))
    }

    /// The configuration of a device that sends to this server.
    pub(crate) fn config(server: &Server) -> String {
        format!("{}[store]\nreserve = \"256 KiB\"\n", files::config(server, 1 << 16))
    }

    /// From here on: what lies on the disk now is safe there.
    pub(crate) fn begin(&mut self) {
        self.before = Disk::of(self.device.folder.path());
        self.steps.clear();
    }

    pub(crate) fn switch_on(&mut self) {
        assert!(self.starts_with(&[]), "{}", self.device.log());
    }

    /// Switches on, on a disk with these faults; whether the daemon got ready.
    pub(crate) fn starts_with(&mut self, faults: &[String]) -> bool {
        let (trace, command) = Trace::of(&self.device, faults);
        self.running = Some(trace);
        self.device.starts_by(command)
    }

    /// Waits for an end that nobody asked for.
    pub(crate) fn ended(&mut self) {
        let (status, _) = self.device.ended();
        let is_restarted = status.code() == Some(1) || status.signal() == Some(Signal::KILL.as_raw());
        assert!(is_restarted, "{status}: systemd must start it again\n{}", self.device.log());
        self.gather();
    }

    pub(crate) fn switch_off(&mut self) {
        self.device.switch_off();
        self.gather();
    }

    pub(crate) fn kill(&mut self) {
        self.device.kill();
        self.gather();
    }

    /// The daemon has ended: what it did.
    fn gather(&mut self) {
        let trace = self.running.take().expect("it ran");
        self.steps.extend(trace.steps(&self.device.state()));
    }

    /// Hands a file over; the id of its task.
    pub(crate) fn put(&mut self, name: &str, size: usize) -> String {
        self.try_put(name, size).expect("it is taken")
    }

    /// The same, or what was said.
    pub(crate) fn try_put(&mut self, name: &str, size: usize) -> Result<String, String> {
        let (path, bytes) = files::file(&self.device, name, size);
        let (said, code) = self.device.ctl(&format!("put {}", path.display()));
        if code != 0 {
            return Err(said);
        }
        let id = said.trim().to_owned();
        self.files.insert(id.clone(), bytes);
        Ok(id)
    }

    /// Hands work over; its ids.
    pub(crate) fn enqueue(&mut self, strategy: &str, payloads: Vec<String>) -> Vec<String> {
        let ids = self.device.call("Tasks", "EnqueueBatch", &(strategy, payloads, none())).expect("it is taken");
        ids[0].as_array().expect("ids").iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// What was told of these tasks, in order.
    pub(crate) fn told(&self, ids: &[String]) -> Told {
        let mut told = Told::new();
        for (step, said) in self.steps.iter().enumerate().filter_map(|(step, done)| match done {
            Step::Said(bytes) => Some((step, bytes)),
            Step::Opened(_)
            | Step::MadeFolder(_)
            | Step::Removed(_)
            | Step::Renamed { .. }
            | Step::Written { .. }
            | Step::Copied { .. }
            | Step::Cut { .. }
            | Step::Grown { .. }
            | Step::SyncBegun { .. }
            | Step::SyncEnded { .. } => None,
        }) {
            for id in ids {
                for place in places(said, id.as_bytes()) {
                    let state = match state_after(said, place + id.len()) {
                        Some(state) => state,
                        // An answer: that the task is there was told.
                        None if !told.contains_key(id) => "pending",
                        None => continue,
                    };
                    told.entry(id.clone()).or_default().push((step, state));
                }
            }
        }
        told
    }

    /// What its text came to.
    fn parsed(&self) -> Config {
        config::parse(&[(PathBuf::from("ferryd.toml"), self.config.clone())], &Host::local()).expect("it is good")
    }

    /// Opens what a power cut left, as a start does, and compares it with what was told before; a line a difference.
    pub(crate) fn differences(
        &self,
        left: &std::path::Path,
        step: usize,
        told: &Told,
        expected: Expected<'_>,
    ) -> Vec<String> {
        let config = self.parsed();
        let options = Options {
            quotas: config.limits.quotas,
            keep_done: config.store.keep_done,
            reserve: config.store.reserve,
            backoff_cap: config.limits.backoff_cap,
        };
        let now = clock::now().wall;
        let (store, opening) = match Store::open(&left.join("state"), options, now, 1, |_| {}) {
            Ok(opened) => opened,
            Err(error) => return vec![format!("it does not open: {error}")],
        };
        let mut found = Vec::new();
        match (&opening.salvage, expected) {
            (Some(salvage), Expected::Sound) => found.push(format!("the database is damaged: {}", salvage.lost_reason)),
            (None, Expected::Sound) => {}
            (_, Expected::Salvaged(damaged)) => {
                let files = std::fs::read_dir(left.join("state")).expect("a folder").filter_map(Result::ok);
                if !files.into_iter().any(|file| std::fs::read(file.path()).is_ok_and(|bytes| bytes == damaged)) {
                    found.push("the damaged database is not kept as it was".to_owned());
                }
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let tasks: BTreeMap<String, Task> =
            all(&store, &runtime).into_iter().map(|task| (task.id.to_string(), task)).collect();
        for (id, told) in told {
            let later = told.iter().filter(|(when, _)| *when > step).map(|(_, state)| *state);
            let Some((_, last)) = told.iter().rfind(|(when, _)| *when <= step) else { continue };
            let state = tasks.get(id).map(|task| task.standing.state());
            // Who was told that it runs knows that it was pending; and what is on disk may have been told only later.
            let may_be: Vec<&str> =
                later.chain([*last]).map(|word| if word == "running" { "pending" } else { word }).collect();
            if !state.is_some_and(|state| may_be.contains(&word(state))) {
                found.push(format!("task {id}: told {last}, found {state:?}"));
            }
        }
        found.extend(self.files.iter().filter_map(|(id, bytes)| {
            let task = tasks.get(id)?;
            let needs_file = matches!(task.standing.state(), State::Pending | State::Running | State::Failed);
            let spooled = || std::fs::read(store.spool().join(id)).is_ok_and(|spooled| spooled == *bytes);
            (needs_file && !spooled()).then(|| format!("the file of task {id} is not whole"))
        }));
        found
    }
}

/// How what is left must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected<'a> {
    /// Without damage.
    Sound,
    /// It was these bytes before, which are damaged.
    Salvaged(&'a [u8]),
}

fn word(state: State) -> &'static str {
    match state {
        State::Pending | State::Running => "pending",
        State::Done => "done",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    }
}

fn all(store: &Store, runtime: &Runtime) -> Vec<Task> {
    let (mut tasks, mut cursor) = (Vec::new(), None);
    loop {
        let page = runtime.block_on(store.list(Filter::default(), cursor, 1000)).expect("a page");
        tasks.extend(page.tasks);
        cursor = page.next;
        if cursor.is_none() {
            return tasks;
        }
    }
}

/// The state of a task that a message tells whose id ends at this place: a signal after the strategy, an answer to Get as
/// the value of its key.
fn state_after(said: &[u8], place: usize) -> Option<&'static str> {
    let key = b"state\0\x01s\0";
    let after = match (places(&said[..place], b"StateChanged").first(), places(said, key).first()) {
        (Some(_), _) => &said[place..],
        (None, Some(value)) => &said[value + key.len()..],
        (None, None) => return None,
    };
    let after = &after[..after.len().min(64)];
    let word = |state: &'static str| Some((*places(after, &[state.as_bytes(), b"\0"].concat()).first()?, state));
    STATES.into_iter().filter_map(word).min().map(|(_, state)| state)
}

/// Where these bytes are in those.
fn places(all: &[u8], wanted: &[u8]) -> Vec<usize> {
    let first = wanted[0];
    let starts = all.iter().enumerate().filter(|(_, byte)| **byte == first).map(|(place, _)| place);
    starts.filter(|place| all[*place..].starts_with(wanted)).collect()
}
