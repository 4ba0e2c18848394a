//! A process that reads one file for a copy: this program, started again. What hangs in the file's file system is then
//! that process, and the daemon can do without it. It has the file as its standard input, and as its standard output a
//! socket on which it is asked and answers; it has no other descriptor, and it ends when nobody asks any more.

use std::env;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::io::Errno;

use super::super::error::SpoolError;
use super::source::{Looks, reading};

/// The one argument of such a process.
const ARGUMENT: &str = "--read-one-file";
/// Bytes of the file in one answer, at most.
const PIECE: usize = 256 << 10;
/// Bytes of a question.
const QUESTION: usize = 13;
/// Numbers of a [`Looks`].
const LOOKS: usize = 7;

/// `FUSE_SUPER_MAGIC` and `V9FS_MAGIC` of `linux/magic.h`.
const PROCESSES: [u32; 2] = [0x6573_5546, 0x0102_1997];

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Whether its file system is a process.
    IsOnAProcess,
    Looks,
    Read {
        at: u64,
        length: u32,
    },
}

impl Question {
    fn to_bytes(self) -> [u8; QUESTION] {
        let (what, at, length) = match self {
            Self::IsOnAProcess => (0, 0, 0),
            Self::Looks => (1, 0, 0),
            Self::Read { at, length } => (2, at, length),
        };
        let mut bytes = [what; QUESTION];
        bytes[1..9].copy_from_slice(&u64::to_le_bytes(at));
        bytes[9..].copy_from_slice(&u32::to_le_bytes(length));
        bytes
    }

    fn from_bytes(bytes: [u8; QUESTION]) -> Option<Self> {
        let [what, rest @ ..] = bytes;
        let (at, length) = rest.split_at(8);
        match what {
            0 => Some(Self::IsOnAProcess),
            1 => Some(Self::Looks),
            2 => Some(Self::Read { at: number(at), length: u32::try_from(number(length)).ok()? }),
            _ => None,
        }
    }
}

/// The process, seen from the daemon. Dropped, it is ended.
#[derive(Debug)]
pub(super) struct Reader {
    process: Child,
    wire: UnixStream,
}

impl Reader {
    /// Starts it, with the file as its own.
    pub(super) fn start(file: OwnedFd) -> Result<Self, SpoolError> {
        let started = || {
            let (wire, its_wire) = UnixStream::pair()?;
            // The link leads to this very program, also after another was installed in its place.
            let mut command = Command::new("/proc/self/exe");
            command.arg0("ferryd").arg(ARGUMENT).env_clear();
            let process = command.stdin(file).stdout(OwnedFd::from(its_wire)).spawn()?;
            Ok(Self { process, wire })
        };
        started().map_err(|error: io::Error| SpoolError::Spool { words: format!("starting a process: {error}") })
    }

    /// Whether its file system is a process.
    pub(super) fn is_on_a_process(&mut self) -> Result<bool, SpoolError> {
        let mut answer = [1];
        self.ask(Question::IsOnAProcess, &mut answer)?;
        Ok(answer != [0])
    }

    /// See [`Looks::of`].
    pub(super) fn looks(&mut self) -> Result<Looks, SpoolError> {
        let mut bytes = [0; LOOKS * 8];
        self.ask(Question::Looks, &mut bytes)?;
        Ok(looks_from(&bytes))
    }

    /// See [`Source::read_at`](super::source::Source::read_at).
    pub(super) fn read_at(&mut self, into: &mut [u8], at: u64) -> Result<usize, SpoolError> {
        let length = into.len().min(PIECE);
        self.ask(Question::Read { at, length: length as u32 }, &mut into[..length])
    }

    /// Waits for the answer, for as long as it takes; how many bytes it has.
    fn ask(&mut self, question: Question, into: &mut [u8]) -> Result<usize, SpoolError> {
        let asked = self.wire.write_all(&question.to_bytes()).and_then(|()| read_answer(&mut self.wire, into));
        match asked {
            Ok(Ok(count)) => Ok(count),
            Ok(Err(error)) => Err(reading(error)),
            Err(error) => Err(SpoolError::Spool { words: format!("the process that reads it has ended: {error}") }),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It has ended already if that fails; and if it hangs now, so does only the copy's thread.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// If this process was started to read a file for another, does so to the end.
pub fn read_for_another() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != ARGUMENT || arguments.next().is_some() {
        return None;
    }
    Some(match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn serve() -> io::Result<()> {
    // Whoever asks knows when to stop, also when a signal is sent to all processes of a service.
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let mut wire = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut question = [0; QUESTION];
    let mut piece = vec![0; PIECE];
    while wire.read_exact(&mut question).is_ok() {
        let question = Question::from_bytes(question).ok_or(io::ErrorKind::InvalidData)?;
        let answer = answer(question, &mut piece).map(|count| &piece[..count]);
        write_answer(&mut wire, answer)?;
    }
    Ok(())
}

fn answer(question: Question, into: &mut [u8]) -> rustix::io::Result<usize> {
    let file = io::stdin();
    let file = file.as_fd();
    match question {
        Question::IsOnAProcess => {
            // One that does not even say what it is, is none of the kernel's.
            into[0] = rustix::fs::fstatfs(file).map_or(1, |about| PROCESSES.contains(&(about.f_type as u32)).into());
            Ok(1)
        }
        Question::Looks => {
            let bytes = looks_bytes(&Looks::of(file)?);
            into[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
        Question::Read { at, length } => {
            let length = into.len().min(length as usize);
            rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut into[..length], at))
        }
    }
}

/// An error's number, or 0; then how many bytes follow, and those.
fn write_answer(wire: &mut impl Write, answer: Result<&[u8], Errno>) -> io::Result<()> {
    let error = answer.err().map_or(0, Errno::raw_os_error);
    let bytes = answer.unwrap_or_default();
    wire.write_all(&error.to_le_bytes())?;
    wire.write_all(&(bytes.len() as u32).to_le_bytes())?;
    wire.write_all(bytes)
}

fn read_answer(wire: &mut impl Read, into: &mut [u8]) -> io::Result<Result<usize, Errno>> {
    let (mut error, mut length) = ([0; 4], [0; 4]);
    wire.read_exact(&mut error)?;
    wire.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    let bytes = into.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
    wire.read_exact(bytes)?;
    Ok(match i32::from_le_bytes(error) {
        0 => Ok(length),
        error => Err(Errno::from_raw_os_error(error)),
    })
}

fn looks_bytes(looks: &Looks) -> [u8; LOOKS * 8] {
    let Looks { mode, size, links, written, touched } = *looks;
    let times = [written.0, written.1, touched.0, touched.1].map(i64::cast_unsigned);
    let [a, b, c, d] = times;
    let mut bytes = [0; LOOKS * 8];
    for (into, number) in bytes.chunks_exact_mut(8).zip([mode.into(), size, links.into(), a, b, c, d]) {
        into.copy_from_slice(&u64::to_le_bytes(number));
    }
    bytes
}

fn looks_from(bytes: &[u8; LOOKS * 8]) -> Looks {
    let at = |index: usize| number(&bytes[index * 8..][..8]);
    let time = |index| (at(index).cast_signed(), at(index + 1).cast_signed());
    Looks { mode: at(0) as u32, size: at(1), links: at(2) as u32, written: time(3), touched: time(5) }
}

/// Of at most eight bytes, the lowest first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_and_answered_comes_through() {
        for question in [Question::IsOnAProcess, Question::Looks, Question::Read { at: u64::MAX - 1, length: 7 << 20 }]
        {
            assert_eq!(Question::from_bytes(question.to_bytes()), Some(question));
        }
        assert_eq!(Question::from_bytes([3; QUESTION]), None);
        let looks = Looks { mode: 0o100_644, size: 1 << 40, links: 2, written: (-1, 999_999_999), touched: (5, 0) };
        assert_eq!(looks_from(&looks_bytes(&looks)), looks);
    }

    #[test]
    fn an_answer_is_bytes_or_an_error_and_never_more_than_was_asked_for() {
        let told = |answer, room| {
            let mut wire = Vec::new();
            write_answer(&mut wire, answer).unwrap();
            let mut into = vec![0; room];
            read_answer(&mut wire.as_slice(), &mut into).map(|answer| answer.map(|count| into[..count].to_vec()))
        };
        assert_eq!(told(Ok(b"abc"), 3).unwrap(), Ok(b"abc".to_vec()));
        assert_eq!(told(Ok(b""), 3).unwrap(), Ok(Vec::new()));
        assert_eq!(told(Err(Errno::NOTCONN), 0).unwrap(), Err(Errno::NOTCONN));
        assert!(told(Ok(b"abcd"), 3).is_err());
        assert!(read_answer(&mut &b"\0\0\0\0\x05\0\0\0ab"[..], &mut [0; 9]).is_err(), "it ends early");
    }
}
