//! Pictures, and the programs that make and judge them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use ferryd::demo::{Behaviour, Server, Upload, UploadState};
use serde_json::{Map, Value};

use crate::device::{Device, HANG};
use crate::servers::serve;
use crate::uploads::files;

/// Real photos: Debian's package `lomiri-wallpapers-20.04`.
const FOLDER: &str = "/usr/share/backgrounds";

/// Bytes of a photo in one request.
const CHUNK: usize = 64 * 1024;

/// A server, and a device whose photos go there over any link, with more lines of configuration.
pub(super) fn device(more: &str) -> (Server, Device<'static>) {
    let server = serve(Behaviour::honest());
    let device = Device::start(&config(&server, more));
    (server, device)
}

/// Its configuration; `more` goes to the section of the strategy.
pub(super) fn config(server: &Server, more: &str) -> String {
    files::config(server, CHUNK).replace("[strategy.photo]\n", &format!("[strategy.photo]\n{more}\n"))
}

/// All real photos.
pub(super) fn real() -> Vec<PathBuf> {
    let entries = fs::read_dir(FOLDER).expect("lomiri-wallpapers-20.04 is installed");
    let mut photos: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    photos.retain(|path| path.extension().is_some_and(|ending| ending == "jpg"));
    photos.sort();
    assert!(photos.len() >= 4, "{photos:?}");
    photos
}

/// A real photo of a landscape.
pub(super) fn landscape() -> PathBuf {
    Path::new(FOLDER).join("Kleiber_by_Lukas_Baubkus.jpg")
}

/// Runs a program to a good end; what it said.
pub(super) fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A photo of 1600 by 1200 pixels, as these arguments of ImageMagick make it.
pub(super) fn photo(device: &Device<'_>, name: &str, arguments: &str) -> PathBuf {
    let to = device.file(name);
    let mut all = vec![small_landscape().to_str().expect("a path"), "-quality", "96"];
    all.extend(arguments.split_whitespace());
    all.push(text(&to));
    run("convert", &all);
    to
}

/// The landscape, made smaller once for all tests.
fn small_landscape() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("landscape-{}.jpg", std::process::id()));
        let (from, to) = (landscape(), text(&path));
        run("convert", &[text(&from), "-resize", "1600x1200!", "-quality", "99", to]);
        path
    })
}

/// A path as an argument.
pub(super) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Writes tags, as arguments of exiftool.
pub(super) fn tag(path: &Path, tags: &[&str]) {
    let path = text(path);
    run("exiftool", &[&["-q", "-overwrite_original"], tags, &[path]].concat());
}

/// All that exiftool reads of a picture, but for what is of the file and of the coding.
pub(super) fn tags(path: &Path) -> Map<String, Value> {
    let path = text(path);
    let said = run("exiftool", &["-j", "-G1", "-a", "-u", "-n", "-b", path]);
    let mut all: Vec<Map<String, Value>> = serde_json::from_slice(&said).expect("JSON");
    let mut tags = all.remove(0);
    let groups = ["SourceFile", "ExifTool:", "System:", "File:", "JFIF:", "Composite:", "Adobe:"];
    tags.retain(|name, _| !groups.iter().any(|group| name.starts_with(group)));
    tags
}

/// Hands one over and waits until it is done; its id, how the task is shown then, and what the server has of it.
pub(super) fn send(device: &mut Device<'_>, server: &Server, path: &Path, options: &str) -> (String, Value, Upload) {
    let id = put(device, path, options);
    let task = device.until_task(&id, "done");
    let upload = finished(server, &id).unwrap_or_else(|| panic!("{:?}", server.uploads()));
    (id, task, upload)
}

pub(super) fn put(device: &Device<'_>, path: &Path, options: &str) -> String {
    let (said, code) = device.ctl(&format!("put {} {options}", path.display()));
    assert_eq!(code, 0, "{said}\n{}", device.log());
    said.trim().to_owned()
}

/// What the server holds of a task.
pub(super) fn finished(server: &Server, id: &str) -> Option<Upload> {
    let mut of_task = server.uploads().into_iter().filter(|upload| {
        upload.state == UploadState::Finished && upload.metadata.get("task").is_some_and(|task| task == id)
    });
    let found = of_task.next();
    assert!(of_task.next().is_none(), "{id} is there twice");
    found
}

/// Blocks until the server has more than so many bytes of its last upload.
pub(super) fn until_more_than(device: &Device<'_>, server: &Server, bytes: u64) {
    let has_more = |uploads: &[Upload]| uploads.last().is_some_and(|upload| upload.offset > bytes);
    assert!(server.wait_until(|log| has_more(log.uploads()), HANG), "{:?}\n{}", server.uploads(), device.log());
}

/// Blocks until nothing lies in this folder of the state directory: removing is another thread's matter.
pub(super) fn until_empty(device: &Device<'_>, folder: &str) {
    let (folder, begun) = (device.state().join(folder), Instant::now());
    while fs::read_dir(&folder).expect("a folder").count() > 0 {
        assert!(begun.elapsed() < HANG, "{}: {:?}\n{}", folder.display(), fs::read_dir(&folder), device.log());
        std::thread::yield_now();
    }
}

/// How alike two pictures of one size are: the mean of SSIM (Wang et al., IEEE TIP 2004) over blocks of 8 by 8 pixels, of
/// their brightness as libjpeg-turbo decodes it.
pub(super) fn similarity(one: &Path, other: &Path) -> f64 {
    let ((size, one), (other_size, other)) = (grey(one), grey(other));
    assert_eq!(size, other_size);
    let (width, height) = size;
    let (mut sum, mut count) = (0.0, 0);
    for y in (0..height.saturating_sub(7)).step_by(8) {
        for x in (0..width.saturating_sub(7)).step_by(8) {
            let block = |pixels: &[u8]| -> Vec<f64> {
                (0..64).map(|at| f64::from(pixels[(y + at / 8) * width + x + at % 8])).collect()
            };
            sum += ssim(&block(&one), &block(&other));
            count += 1;
        }
    }
    sum / f64::from(count)
}

fn ssim(one: &[f64], other: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (m1, m2) = (mean(one), mean(other));
    let covariance = |a: &[f64], ma: f64, b: &[f64], mb: f64| {
        a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum::<f64>() / (a.len() - 1) as f64
    };
    let (v1, v2, both) =
        (covariance(one, m1, one, m1), covariance(other, m2, other, m2), covariance(one, m1, other, m2));
    let (c1, c2) = ((0.01 * 255.0_f64).powi(2), (0.03 * 255.0_f64).powi(2));
    ((2.0 * m1 * m2 + c1) * (2.0 * both + c2)) / ((m1 * m1 + m2 * m2 + c1) * (v1 + v2 + c2))
}

/// Width, height and brightness of each pixel.
fn grey(path: &Path) -> ((usize, usize), Vec<u8>) {
    let pgm = run("djpeg", &["-grayscale", "-pnm", text(path)]);
    let (mut at, mut fields) = (0, Vec::new());
    while fields.len() < 4 {
        let end = at + pgm[at..].iter().position(u8::is_ascii_whitespace).expect("a field");
        fields.push(String::from_utf8_lossy(&pgm[at..end]).into_owned());
        at = end + 1;
    }
    let number = |at: usize| fields[at].parse().expect("a number");
    ((number(1), number(2)), pgm[at..].to_vec())
}

/// Writes down what the server holds, for other programs to look at.
pub(super) fn keep(device: &Device<'_>, upload: &Upload) -> PathBuf {
    let path = device.file("arrived.jpg");
    fs::write(&path, &upload.bytes).expect("a file");
    path
}
