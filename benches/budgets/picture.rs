//! A JPEG encoded anew by the daemon's process for that, beside libjpeg-turbo's two programs on the same picture. Both
//! read a file and write one; what counts is time of a processor, and the most memory.

use std::path::Path;
use std::process::Command;

use crate::ferryd::FERRYD;
use crate::report::{Budget, Figure, mebibytes, millis};
use crate::{Effort, Failed, place};

/// A real photo: Debian's package `lomiri-wallpapers-20.04`.
const PHOTO: &str = "/usr/share/backgrounds/Kleiber_by_Lukas_Baubkus.jpg";

/// Memory for 12 megapixels, in bytes.
const MEMORY: f64 = 50e6;

/// Runs a pipeline so many times, from the first file into the second; prints the least seconds of a processor, and the
/// most memory of one program in KiB. Python's, since it reads what the kernel says of children that have ended.
const STOPWATCH: &str = "
import json, resource, subprocess, sys
source, target, times, pipeline = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
least = 1e9
for _ in range(times):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    given, programs = open(source, 'rb'), []
    for index, program in enumerate(pipeline):
        last = index == len(pipeline) - 1
        programs.append(subprocess.Popen(program, stdin=given, stdout=open(target, 'w+b') if last else subprocess.PIPE))
        given = programs[-1].stdout
    if any(program.wait() for program in reversed(programs)):
        sys.exit('a program failed')
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    least = min(least, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
print(least, after.ru_maxrss)
";

pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let times = if effort == Effort::Full { 15 } else { 2 };
    let place = place::directory()?;
    let photo = place.path().join("12-megapixels.jpg");
    let made = Command::new("convert")
        .args([PHOTO, "-resize", "4000x3000!", "-sampling-factor", "4:2:0", "-quality", "94"])
        .arg(&photo)
        .status()?;
    if !made.success() {
        return Err(format!("convert (ImageMagick) makes no picture of {PHOTO} (lomiri-wallpapers-20.04)").into());
    }
    let run = |pipeline| stopwatch(&photo, &place.path().join("copy.jpg"), times, pipeline);
    let (theirs, _) = run(r#"[["djpeg"], ["cjpeg", "-quality", "90"]]"#)?;
    let (ours, memory) = run(&format!(r#"[["{FERRYD}", "--make-one-copy", "90,0,0,0"]]"#))?;
    Ok(vec![
        Figure {
            what: "JPEG of 12 megapixels encoded anew at 90 / djpeg | cjpeg".to_owned(),
            measured: millis(ours),
            limit: millis(theirs),
            ratio: ours / theirs,
            budget: Budget::AtMost(1.75),
        },
        Figure {
            what: "… memory / 50 MB".to_owned(),
            measured: mebibytes(memory),
            limit: mebibytes(MEMORY),
            ratio: memory / MEMORY,
            budget: Budget::AtMost(1.0),
        },
    ])
}

/// Seconds and bytes.
fn stopwatch(from: &Path, to: &Path, times: u32, pipeline: &str) -> Result<(f64, f64), Failed> {
    let mut python = Command::new("python3");
    let output = python.args(["-c", STOPWATCH]).args([from, to]).arg(times.to_string()).arg(pipeline).output()?;
    if !output.status.success() {
        return Err(format!("{pipeline}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    let said = String::from_utf8(output.stdout)?;
    let (seconds, kibibytes) = said.trim().split_once(' ').ok_or("the stopwatch said nothing")?;
    Ok((seconds.parse()?, kibibytes.parse::<f64>()? * 1024.0))
}
