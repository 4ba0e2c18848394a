//! The process that works on one picture. The original is its standard input and the copy its standard output; it has no
//! other file, cannot open any, and has only so much memory and time. How it ends says what it made; if nothing, its
//! standard error says why.

use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::jpeg::Why;
use super::{Recipe, encode, place};

/// The first argument of such a process; the second is the recipe.
pub(super) const ARGUMENT: &str = "--make-one-copy";

/// The third, if nothing may be made: the original is only looked at, for whether it says a place.
pub(super) const ONLY_LOOK: &str = "--only-look";

/// The original was encoded anew.
pub(super) const ENCODED: u8 = 0;
/// It only lost the place where it was taken.
pub(super) const STRIPPED: u8 = 4;
/// There is nothing to make of it.
pub(super) const NOTHING: u8 = 3;
/// The disk has no room for what is made of it.
pub(super) const NO_ROOM: u8 = 5;
/// Something else than the picture stood in the way.
pub(super) const FAILED: u8 = 6;

/// Why there is none.
pub(super) const NO_ROOM_FOR_A_COPY: &str = "the disk has no room for a copy";

/// Seconds of a processor that it may take: a picture of 48 megapixels takes one on a phone.
const SECONDS: u64 = 30;
/// Bytes beside those of the picture: the program and its libraries, of which little is in memory.
const PROGRAM: u64 = 128 << 20;

/// If this process was started to work on a picture for another, does so to the end.
pub fn make_for_another() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let recipe = arguments.next().and_then(|recipe| Recipe::from_argument(recipe.to_str()?));
    let only_look = arguments.next().is_some_and(|argument| argument == ONLY_LOOK);
    let made = recipe.ok_or_else(|| io::Error::other("no such recipe")).and_then(|recipe| serve(&recipe, only_look));
    let (end, why) = match made {
        Ok(Ok(end)) => return Some(ExitCode::from(end)),
        Ok(Err(why)) => (NOTHING, why),
        Err(error) if is_full(&error) => (NO_ROOM, error.to_string()),
        Err(error) => (FAILED, error.to_string()),
    };
    // Who asks may have gone.
    let _ = write!(io::stderr(), "{why}");
    Some(ExitCode::from(end))
}

/// Whether the disk has no room for what was to be written.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What was made; the inner error: there is no use in anything. The outer one says nothing of the picture.
fn serve(recipe: &Recipe, only_look: bool) -> io::Result<Result<u8, Why>> {
    let (mut original, copy) = files()?;
    confine(&original)?;
    let mut file = Vec::new();
    original.read_to_end(&mut file)?;
    let is_stripped = recipe.strip_gps && place::strip(&mut file);
    let mut copy = BufWriter::with_capacity(64 << 10, copy);
    let encoded = recipe.quality.map(|quality| encode::encode(&mut file, recipe, quality, &mut copy)).transpose();
    // What was written of a copy that came to nothing is dropped unwritten.
    let (mut copy, _) = copy.into_parts();
    let why = match encoded? {
        Some(Ok(())) => return Ok(Ok(ENCODED)),
        Some(Err(why)) => why,
        None => "it says no place".to_owned(),
    };
    if !is_stripped {
        return Ok(Err(why));
    }
    if only_look {
        return Err(io::Error::new(io::ErrorKind::StorageFull, NO_ROOM_FOR_A_COPY));
    }
    copy.rewind()?;
    copy.set_len(0)?;
    copy.write_all(&file)?;
    Ok(Ok(STRIPPED))
}

fn files() -> io::Result<(File, File)> {
    let original = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let copy = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    Ok((original, copy))
}

/// Gives up what is not needed.
fn confine(original: &File) -> io::Result<()> {
    // The daemon's only thread started it: it does not outlive the daemon.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    let size = original.metadata()?.len();
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Nofile, 0),
        (Resource::Nproc, 0),
        (Resource::Fsize, size),
        (Resource::Cpu, SECONDS),
        (Resource::As, encode::MEMORY as u64 + PROGRAM),
    ] {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    Ok(())
}
