//! `put`: files, each as a task. Two are on their way at once, as the daemon copies two of one user at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use zbus::{Fd, Variant};

use super::enqueue::common_options;
use super::lines::{Answer, Line, Lines};
use super::wait::{Ends, wait};
use crate::ctl::arguments::Put;
use crate::ctl::client::{Client, News, Options, first};
use crate::ctl::exit::{Exit, Failure};
use crate::ctl::render::{Bars, Printer};
use crate::ctl::views::PutView;
use crate::model::WallTime;

/// Calls on their way at once.
const WINDOW: usize = 2;

pub(super) async fn put(client: &mut Client, printer: &mut Printer<'_>, asked: Put) -> Result<(), Failure> {
    let (files, unreadable) = find(&asked.files);
    let several = files.len() > 1 || asked.files.len() > 1 || asked.files.iter().any(|file| file.is_dir());
    if several && asked.name.is_some() {
        return Err(Failure::said(Exit::Usage, "--name is for one file"));
    }
    let owner = client.follow_present().await?;
    if asked.wait {
        client.subscribe(false).await?;
    }
    let mut hand_over = HandOver::new(&asked, files, several, printer.now());
    for (file, error) in unreadable {
        hand_over.refused(printer, file, error, Exit::Failed)?;
    }
    hand_over.run(client, printer, &owner).await?;
    let HandOver { ids, ends, mut bars, failure, .. } = hand_over;
    if asked.wait {
        wait(client, printer, ids, ends, &mut bars).await?;
    }
    failure.map_or(Ok(()), |exit| Err(Failure::Exit(exit)))
}

/// Regular files among these and below these, and those that cannot be read with the reason.
fn find(given: &[PathBuf]) -> (Vec<PathBuf>, Vec<(PathBuf, String)>) {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    for path in given {
        match fs::metadata(path) {
            Ok(about) if about.is_dir() => below(path, &mut files, &mut unreadable),
            Ok(about) if about.is_file() => files.push(path.clone()),
            Ok(_) => unreadable.push((path.clone(), "it is neither a regular file nor a folder".to_owned())),
            Err(error) => unreadable.push((path.clone(), error.to_string())),
        }
    }
    (files, unreadable)
}

/// The regular files of a folder, at any depth, sorted; links and all else are passed over.
fn below(folder: &Path, files: &mut Vec<PathBuf>, unreadable: &mut Vec<(PathBuf, String)>) {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return unreadable.push((folder.to_owned(), error.to_string())),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => below(&entry.path(), files, unreadable),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            Ok(_) => {}
            Err(error) => unreadable.push((entry.path(), error.to_string())),
        }
    }
}

/// What `put` is in the middle of.
struct HandOver<'a> {
    asked: &'a Put,
    files: Vec<PathBuf>,
    several: bool,
    now: WallTime,
    /// A line a file, by its place from 1.
    lines: Lines,
    ends: Ends,
    bars: Bars,
    /// Tasks acknowledged, in the order of their files.
    ids: Vec<String>,
    /// The first refusal's exit code.
    failure: Option<Exit>,
}

impl<'a> HandOver<'a> {
    fn new(asked: &'a Put, files: Vec<PathBuf>, several: bool, now: WallTime) -> Self {
        Self {
            asked,
            files,
            several,
            now,
            lines: Lines::default(),
            ends: Ends::default(),
            bars: Bars::default(),
            ids: Vec::new(),
            failure: None,
        }
    }

    /// Until every file was answered for.
    async fn run(&mut self, client: &mut Client, printer: &mut Printer<'_>, owner: &str) -> Result<(), Failure> {
        let (mut next, mut in_flight) = (0, 0);
        loop {
            while in_flight < WINDOW && next < self.files.len() {
                in_flight += usize::from(self.send(client, owner, next).await?);
                next += 1;
            }
            self.report(printer)?;
            if in_flight == 0 && next == self.files.len() {
                return Ok(());
            }
            match client.next().await? {
                News::Answer { result: Err(failure), .. } if failure.is_loss() => return self.give_up(printer, next),
                News::Owner(_) => return self.give_up(printer, next),
                News::Answer { serial, result } => {
                    let answer = match result {
                        Ok(arguments) => Answer::Acknowledged(first(arguments).as_str().unwrap_or_default().to_owned()),
                        Err(failure) => Answer::Refused(failure),
                    };
                    in_flight -= usize::from(self.lines.answered(serial, answer));
                }
                News::Task { id, state, detail, .. } => self.ends.heard(id, state, &detail),
                News::Progress { .. } | News::Lagged(_) | News::Properties { .. } => {}
            }
        }
    }

    /// Sends a file; false if it cannot be read.
    async fn send(&mut self, client: &mut Client, owner: &str, index: usize) -> Result<bool, Failure> {
        let (path, number) = (&self.files[index], index + 1);
        self.lines.push(Line { number, payload: String::new() });
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => {
                self.lines.settled(number, Answer::Refused(Failure::said(Exit::Failed, error.to_string())));
                return Ok(false);
            }
        };
        let request = self.asked.common.request_id.as_ref();
        let request = request.map(|name| if self.several { format!("{name}-{number}") } else { name.clone() });
        let options = options(self.asked, path, request.as_deref(), self.now);
        let serial =
            client.post(owner, "EnqueueFile", &(self.asked.strategy.as_str(), Fd::from(&file), options)).await?;
        self.lines.sent(number, serial, owner);
        Ok(true)
    }

    /// Reports the files answered for, as far as all before them are.
    fn report(&mut self, printer: &mut Printer<'_>) -> Result<(), Failure> {
        while let Some((number, answer)) = self.lines.pop() {
            self.report_one(printer, number, answer)?;
        }
        Ok(())
    }

    fn report_one(&mut self, printer: &mut Printer<'_>, number: usize, answer: Answer) -> Result<(), Failure> {
        let path = self.files[number - 1].clone();
        let file = path.display().to_string();
        match answer {
            Answer::Acknowledged(id) => {
                let size = fs::metadata(&path).map_or(0, |about| about.len());
                self.bars.add(&id, &file, size);
                printer.put(&PutView::Acknowledged { file, id: id.clone() })?;
                self.ids.push(id);
                Ok(())
            }
            Answer::Refused(Failure::Said { exit, words }) => self.refused(printer, path, words, exit),
            Answer::Refused(failure) => Err(failure),
        }
    }

    /// Says that a file was not handed over; the others are all the same.
    fn refused(&mut self, printer: &mut Printer<'_>, path: PathBuf, error: String, exit: Exit) -> Result<(), Failure> {
        self.failure.get_or_insert(exit);
        printer.put(&PutView::Refused { file: path.display().to_string(), error })
    }

    /// The daemon went away: says of which files nobody knows whether they were taken, and which were not sent.
    fn give_up(&mut self, printer: &mut Printer<'_>, sent: usize) -> Result<(), Failure> {
        self.report(printer)?;
        let (answered, open) = std::mem::take(&mut self.lines).abandon();
        for (number, answer) in answered {
            self.report_one(printer, number, answer)?;
        }
        for number in &open {
            let file = self.files[number - 1].display().to_string();
            printer.put(&PutView::Unacknowledged { file, unacknowledged: true })?;
        }
        let names =
            open.iter().map(|number| self.files[number - 1].display().to_string()).collect::<Vec<_>>().join(", ");
        let unknown = if names.is_empty() { String::new() } else { format!("; it may have taken {names}") };
        let words = format!(
            "ferryd went away: {} of {} files are acknowledged{unknown}; {} were not sent. With --request-id the same call \
             again adds nothing twice",
            self.ids.len(),
            self.files.len(),
            self.files.len() - sent
        );
        Err(Failure::said(Exit::Unreachable, words))
    }
}

fn options<'a>(asked: &'a Put, path: &Path, request_id: Option<&'a str>, now: WallTime) -> Options<'a> {
    let mut options = common_options(&asked.common, request_id, now);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let content_type = asked.content_type.clone().unwrap_or_else(|| media_type(&name).to_owned());
    options.insert("name", asked.name.clone().unwrap_or(name).into());
    options.insert("content_type", content_type.into());
    let texts = [("metadata", &asked.metadata), ("quality", &asked.quality), ("original", &asked.original)];
    options.extend(texts.into_iter().filter_map(|(key, text)| Some((key, text.as_deref()?.into()))));
    options.extend(asked.max_edge.map(|edge| ("max_edge", edge.into())));
    let record = asked.record.as_ref();
    options.extend(
        record.map(|(collection, id, field)| {
            ("record", Variant::new((collection.as_str(), id.as_str(), field.as_str())))
        }),
    );
    options
}

/// The media type that goes with the ending of a name.
fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("heic") => "image/heic",
        Some("webp") => "image/webp",
        Some("gif") => "image/gif",
        Some("mp4") => "video/mp4",
        Some("pdf") => "application/pdf",
        Some("json") => "application/json",
        Some("txt") => "text/plain",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folders_regular_files_are_found_at_any_depth_and_links_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("b")).unwrap();
        for name in ["c.jpg", "a.jpg", "b/z.jpg"] {
            fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink(at("a.jpg"), at("b/link.jpg")).unwrap();
        let (files, unreadable) = find(&[folder.path().to_owned(), at("missing"), PathBuf::from("/dev/null")]);
        assert_eq!(files, [at("a.jpg"), at("b/z.jpg"), at("c.jpg")]);
        let words: Vec<_> = unreadable.iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(words, ["No such file or directory (os error 2)", "it is neither a regular file nor a folder"]);
    }

    #[test]
    fn types_go_by_the_ending() {
        let types = ["a.JPG", "b.jpeg", "c.tar.gz", "d", "e.mp4"].map(media_type);
        let unknown = "application/octet-stream";
        assert_eq!(types, ["image/jpeg", "image/jpeg", unknown, unknown, "video/mp4"]);
    }
}
