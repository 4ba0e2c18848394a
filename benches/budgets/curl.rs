//! curl as a limit: one PUT of a file, to an upload that was begun for it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Failed;

/// Starts a program: here, or elsewhere.
pub(crate) type Start<'a> = &'a dyn Fn(&mut Command) -> io::Result<Child>;

/// Sends the file; how many bytes a second, from its first packet to the whole answer, by curl's own clock.
pub(crate) fn put(server: SocketAddr, file: &Path, start: Start<'_>) -> Result<f64, Failed> {
    let size = file.metadata()?.len();
    let mut create = curl("%header{location}");
    create.args(["-X", "POST", "-H", &format!("Upload-Length: {size}")]).arg(format!("http://{server}/files/"));
    let path = said(&mut create, start)?;
    let mut send = curl("%{time_total}");
    send.args(["-H", "X-HTTP-Method-Override: PATCH", "-H", "Upload-Offset: 0"]);
    send.args(["-H", "Content-Type: application/offset+octet-stream", "-T"]).arg(file);
    let seconds: f64 = said(send.arg(format!("http://{server}{path}")), start)?.parse()?;
    Ok(size as f64 / seconds)
}

/// curl, which says this at the end and nothing else.
fn curl(say: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--output", "/dev/null", "--write-out", say]);
    curl.args(["-H", "Tus-Resumable: 1.0.0"]);
    curl
}

fn said(command: &mut Command, start: Start<'_>) -> Result<String, Failed> {
    let child = start(command.stdin(Stdio::null()).stdout(Stdio::piped())).map_err(|error| format!("curl: {error}"))?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("curl ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
