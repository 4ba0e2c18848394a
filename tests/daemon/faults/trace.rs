//! What a daemon does to its disk and says on its sockets, call by call, as strace sees it: also what passes libc by. It
//! knows the words of system calls and not what they mean for a disk.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::device::Device;

/// Calls that change a disk, and those that tell somebody something.
const CALLS: &str = "openat,write,pwrite64,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2,unlink,\
                     unlinkat,mkdir,mkdirat,copy_file_range,ioctl,sendmsg,sendto";

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Bytes are about to leave on a socket.
    Said(Vec<u8>),
    /// A file was opened, and is made if it was not there.
    Opened(PathBuf),
    /// A folder was made.
    MadeFolder(PathBuf),
    /// A name is gone.
    Removed(PathBuf),
    /// A name became another.
    Renamed { from: PathBuf, to: PathBuf },
    /// Bytes were written; at the end without a place.
    Written { file: PathBuf, at: Option<u64>, bytes: Vec<u8> },
    /// Bytes of another file were written; all of them without a length.
    Copied { from: PathBuf, from_at: Option<u64>, file: PathBuf, at: Option<u64>, length: Option<u64> },
    /// A file has this length now.
    Cut { file: PathBuf, length: u64 },
    /// A file has at least this length now.
    Grown { file: PathBuf, length: u64 },
    /// A thread began to sync this.
    SyncBegun { thread: u32, path: PathBuf },
    /// Its sync has ended, well or not.
    SyncEnded { thread: u32, good: bool },
}

/// A strace that writes to a pipe, and who reads it.
pub(crate) struct Trace {
    reader: JoinHandle<String>,
}

impl Trace {
    /// How the device is switched on under strace, which also plays these faults (`--inject`). The daemon remains our own
    /// child.
    pub(crate) fn of(device: &Device<'_>, faults: &[String]) -> (Self, Command) {
        let pipe = device.file("trace");
        if !pipe.exists() {
            mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        }
        let ferryd = device.command();
        let mut command = device.logged("strace");
        command.args(["-D", "-f", "-qqq", "--seccomp-bpf", "-xx", "-y", "-s", "8388608", "-e", "signal=none"]);
        command.arg("-e").arg(format!("trace={CALLS}")).arg("-o").arg(&pipe);
        for fault in faults {
            command.arg("-e").arg(format!("inject={fault}"));
        }
        command.arg(ferryd.get_program()).args(ferryd.get_args());
        // Ends when the last that writes has gone: strace, after the daemon.
        let reader = std::thread::spawn(move || std::fs::read_to_string(pipe).expect("text"));
        (Self { reader }, command)
    }

    /// All that the daemon did in this folder until its end, and all that it said.
    pub(crate) fn steps(self, below: &Path) -> Vec<Step> {
        let text = self.reader.join().expect("the trace is read");
        assert!(!text.is_empty(), "strace (Debian package strace) must be installed and allowed to trace");
        let mut steps = Vec::new();
        let mut unfinished: BTreeMap<u32, &str> = BTreeMap::new();
        for line in text.lines() {
            let (thread, rest) = line.split_once(' ').expect("a thread's number");
            let thread = thread.parse().expect("a thread's number");
            let rest = rest.trim_start();
            if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
                steps.extend(Call::of(thread, begun).and_then(|call| call.begin(below)));
                unfinished.insert(thread, begun.trim_end());
            } else if let Some(resumed) = rest.strip_prefix("<... ") {
                let begun = unfinished.remove(&thread).expect("a call that has begun");
                let (_, rest) = resumed.split_once("resumed>").expect("the end of a call");
                steps.extend(Call::of(thread, &format!("{begun}{rest}")).and_then(|call| call.end(below)));
            } else if let Some(call) = Call::of(thread, rest) {
                steps.extend(call.begin(below));
                steps.extend(call.end(below));
            }
        }
        // Who is killed in a sync may take with it that it failed.
        let killed = unfinished.into_iter().filter_map(|(thread, begun)| Call::of(thread, begun));
        steps.extend(killed.filter_map(|call| call.cut_short()));
        steps
    }
}

/// A call in the words of strace.
struct Call {
    thread: u32,
    name: String,
    arguments: Vec<String>,
    /// What it returned; `None` if it failed, or has not returned.
    result: Option<u64>,
}

impl Call {
    /// `None` if the line is about something else.
    fn of(thread: u32, line: &str) -> Option<Self> {
        let (call, result) = line.rsplit_once(" = ").unwrap_or((line, "?"));
        let (name, arguments) = call.split_once('(')?;
        let arguments = split(arguments.trim_end().trim_end_matches(')'));
        let result = result.split(['<', ' ']).next().unwrap_or_default();
        Some(Self { thread, name: name.to_owned(), arguments, result: result.parse().ok() })
    }

    /// What it does before it has returned.
    fn begin(&self, below: &Path) -> Option<Step> {
        let thread = self.thread;
        match self.name.as_str() {
            "fsync" | "fdatasync" => self.path_of(0, below).map(|path| Step::SyncBegun { thread, path }),
            "sendmsg" | "sendto" => Some(Step::Said(self.arguments.iter().flat_map(|text| bytes(text)).collect())),
            _ => None,
        }
    }

    /// What it has done when it returned.
    fn end(&self, below: &Path) -> Option<Step> {
        let thread = self.thread;
        if matches!(self.name.as_str(), "fsync" | "fdatasync") {
            self.path_of(0, below)?;
            return Some(Step::SyncEnded { thread, good: self.result.is_some() });
        }
        let result = self.result?;
        let named = |index: usize| Some(self.path(index)).filter(|path| concerns(path, below));
        let number = |index: usize| self.arguments[index].parse::<u64>().expect("a number");
        Some(match self.name.as_str() {
            "openat" if self.arguments[2].contains("O_CREAT") => Step::Opened(named(1)?),
            "mkdir" => Step::MadeFolder(named(0)?),
            "mkdirat" => Step::MadeFolder(named(1)?),
            "unlink" => Step::Removed(named(0)?),
            "unlinkat" => Step::Removed(named(1)?),
            "rename" => Step::Renamed { from: named(0)?, to: self.path(1) },
            "renameat" | "renameat2" => Step::Renamed { from: named(1)?, to: self.path(3) },
            "write" | "pwrite64" => {
                let written = bytes(&self.arguments[1]).take(usize::try_from(result).expect("a length"));
                let at = (self.name == "pwrite64").then(|| number(3));
                Step::Written { file: self.path_of(0, below)?, at, bytes: written.collect() }
            }
            "ftruncate" => Step::Cut { file: self.path_of(0, below)?, length: number(1) },
            "fallocate" => {
                assert_eq!(self.arguments[1], "0", "no hole is made: {:?}", self.arguments);
                Step::Grown { file: self.path_of(0, below)?, length: number(2) + number(3) }
            }
            "copy_file_range" => Step::Copied {
                from: descriptor(&self.arguments[0]),
                from_at: offset(&self.arguments[1]),
                file: self.path_of(2, below)?,
                at: offset(&self.arguments[3]),
                length: Some(result),
            },
            "ioctl" if self.arguments[1].contains("FICLONE") => Step::Copied {
                from: descriptor(&self.arguments[2]),
                from_at: Some(0),
                file: self.path_of(0, below)?,
                at: Some(0),
                length: None,
            },
            _ => return None,
        })
    }

    /// What has become of it if its thread was killed meanwhile.
    fn cut_short(&self) -> Option<Step> {
        let is_sync = matches!(self.name.as_str(), "fsync" | "fdatasync");
        is_sync.then_some(Step::SyncEnded { thread: self.thread, good: false })
    }

    /// Where the descriptor in this argument leads, if that is the folder's business.
    fn path_of(&self, argument: usize, below: &Path) -> Option<PathBuf> {
        Some(descriptor(&self.arguments[argument])).filter(|path| concerns(path, below))
    }

    fn path(&self, argument: usize) -> PathBuf {
        PathBuf::from(OsString::from_vec(bytes(&self.arguments[argument]).collect()))
    }
}

/// Whether it is the folder, in it, or where its own name is.
fn concerns(path: &Path, folder: &Path) -> bool {
    path.starts_with(folder) || Some(path) == folder.parent()
}

/// Arguments, at the commas that are in no bracket. All text is in hexadecimal, so that it holds none of either.
fn split(arguments: &str) -> Vec<String> {
    let (mut all, mut depth) = (vec![String::new()], 0);
    for character in arguments.chars() {
        match character {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        match all.last_mut() {
            Some(last) if character != ',' || depth > 0 => last.push(character),
            Some(_) | None => all.push(String::new()),
        }
    }
    all.into_iter().map(|argument| argument.trim().to_owned()).collect()
}

/// The path in `3</a/b>`, where the descriptor leads.
fn descriptor(argument: &str) -> PathBuf {
    let path = argument.split(['<', '>']).nth(1).unwrap_or_default();
    PathBuf::from(OsString::from_vec(bytes(path).collect()))
}

/// The number in `[5]`, or in `[5] => [7]`; `NULL` is none.
fn offset(argument: &str) -> Option<u64> {
    argument.strip_prefix('[')?.split(']').next()?.parse().ok()
}

/// The bytes of all `\x..` in it.
fn bytes(text: &str) -> impl Iterator<Item = u8> {
    text.split("\\x").skip(1).map(|digits| u8::from_str_radix(&digits[..2], 16).expect("two digits"))
}
