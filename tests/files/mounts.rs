//! Mounts that only a test sees: in a mount namespace that a process holds. They are gone with it, whatever becomes of the
//! test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use crate::device::{Device, HANG};

/// The process that holds it; what it says is heard line by line.
pub(crate) struct Namespace {
    holder: Child,
    said: Receiver<String>,
}

impl Namespace {
    /// Starts a program in a new one. `unshare` is given these options beside.
    pub(crate) fn hold(options: &[&str], program: &mut Command) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).args(options).arg("--").arg(program.get_program());
        command.args(program.get_args()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("unshare (package util-linux)");
        let lines = BufReader::new(holder.stdout.take().expect("a pipe")).lines();
        let (tell, said) = channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { holder, said }
    }

    /// Waits for its next line; whether it is this one, and not another or its end.
    pub(crate) fn says(&self, word: &str) -> bool {
        match self.said.recv_timeout(HANG) {
            Ok(line) => line == word,
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("it never says {word}"),
        }
    }

    /// Gives its holder an empty line.
    pub(crate) fn nudge(&mut self) {
        self.holder.stdin.as_mut().expect("a pipe").write_all(b"\n").expect("it runs");
    }

    /// How this process finds what is there at an absolute path.
    pub(crate) fn path(&self, path: &Path) -> PathBuf {
        let path = path.strip_prefix("/").expect("an absolute path");
        Path::new(&format!("/proc/{}/root", self.holder.id())).join(path)
    }

    /// The command of a device's daemon, run there.
    pub(crate) fn daemon(&self, device: &Device<'_>) -> Command {
        let daemon = device.command();
        let mut command = device.logged("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg("--").arg(daemon.get_program());
        command.args(daemon.get_args());
        command
    }

    /// Ends its holder.
    pub(crate) fn end(&mut self) {
        self.holder.kill().expect("it ran");
        self.holder.wait().expect("it ends");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
