//! The process that works on one picture. The original is its standard input and the copy its standard output; it has no
//! other file, cannot open any, and has only so much memory and time. How it ends says what it made; if nothing, its
//! standard error says why.

use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use super::{Recipe, encode, place};

/// The first argument of such a process; the second is the recipe.
pub(super) const ARGUMENT: &str = "--make-one-copy";

/// The original was encoded anew.
pub(super) const ENCODED: u8 = 0;
/// It only lost the place where it was taken.
pub(super) const STRIPPED: u8 = 4;
/// There is nothing to make of it.
pub(super) const NOTHING: u8 = 3;

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
    let made = recipe.ok_or_else(|| "no such recipe".to_owned()).and_then(|recipe| serve(&recipe));
    Some(ExitCode::from(made.unwrap_or_else(|why| {
        // Who asks may have gone.
        let _ = write!(io::stderr(), "{why}");
        NOTHING
    })))
}

fn serve(recipe: &Recipe) -> Result<u8, String> {
    let (mut original, copy) = files().and_then(|files| confine(&files.0).map(|()| files)).map_err(words)?;
    let mut file = Vec::new();
    original.read_to_end(&mut file).map_err(words)?;
    let is_stripped = recipe.strip_gps && place::strip(&mut file);
    let mut copy = BufWriter::with_capacity(64 << 10, copy);
    let encoded = recipe.quality.map(|quality| encode::encode(&mut file, recipe, quality, &mut copy));
    let why = match encoded {
        Some(Ok(())) => return Ok(ENCODED),
        Some(Err(why)) => why,
        None => "it says no place".to_owned(),
    };
    if !is_stripped {
        return Err(why);
    }
    // What was written of a copy that came to nothing is dropped unwritten.
    let (mut copy, _) = copy.into_parts();
    copy.rewind().and_then(|()| copy.set_len(0)).and_then(|()| copy.write_all(&file)).map_err(words)?;
    Ok(STRIPPED)
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

fn words(error: io::Error) -> String {
    error.to_string()
}
