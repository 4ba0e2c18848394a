//! `ferryctl put`: files go over as descriptors.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use crate::said;
use crate::stand_in::{Life, Say, StandIn};

/// A folder with these files, each holding its own name.
fn folder(names: &[&str]) -> TempDir {
    let folder = TempDir::with_prefix("ferry-put-").expect("a folder");
    for name in names {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, name).expect("written");
    }
    folder
}

fn put(stand_in: &StandIn, arguments: &str, files: &[PathBuf]) -> Output {
    stand_in.command(&format!("put {arguments}")).args(files).output().expect("ferryctl runs")
}

fn at(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

fn options(stand_in: &StandIn, index: usize) -> String {
    stand_in.memory.lock().expect("no panic").tasks[index].2.clone()
}

#[test]
fn files_and_folders_are_handed_over_in_order() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let folder = folder(&["one.txt", "photos/b.jpg", "photos/a.JPG", "photos/deep/c"]);
    let output = put(&stand_in, "--request-id run", &[at(&folder, "one.txt"), at(&folder, "photos")]);
    assert_eq!(said(&output), ("0\n1\n2\n3\n".to_owned(), String::new(), 0));
    assert_eq!(stand_in.payloads(), ["one.txt", "photos/a.JPG", "photos/b.jpg", "photos/deep/c"]);
    let requests: Vec<_> =
        stand_in.memory.lock().expect("no panic").tasks.iter().map(|(request, ..)| request.clone()).collect();
    assert_eq!(requests, ["run-1", "run-2", "run-3", "run-4"]);
    for (index, kind) in ["text/plain", "image/jpeg", "image/jpeg", "application/octet-stream"].iter().enumerate() {
        assert!(options(&stand_in, index).contains(kind), "{}", options(&stand_in, index));
    }
}

#[test]
fn a_file_goes_with_the_contracts_options() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let folder = folder(&["a.jpg"]);
    let arguments = "--strategy photo_upload --name b.jpg --content-type image/x --metadata {\"place\":1} --key k \
        --tag t --app a --after x --request-id r --network wifi --charging --min-battery 30 \
        --expires 2026-05-01T12:00:00Z --quality balanced --original later --max-edge 4000 --record notes/a/b/photo";
    let output = put(&stand_in, arguments, &[at(&folder, "a.jpg")]);
    assert_eq!(said(&output), ("0\n".to_owned(), String::new(), 0));
    let options = options(&stand_in, 0);
    for expected in [
        "\"after\": Array",
        "\"app\": Str",
        "\"charging\": Bool(true)",
        "\"content_type\": Str",
        "image/x",
        "\"expires\": U64(1777636800000000)",
        "\"key\": Str",
        "\"max_edge\": U32(4000)",
        "\"metadata\": Str",
        "\"min_battery\": U32(30)",
        "\"name\": Str",
        "b.jpg",
        "\"network\": Str",
        "\"original\": Str",
        "\"quality\": Str",
        "\"record\": Structure",
        "a/b",
        "\"request_id\": Str",
        "\"tags\": Array",
    ] {
        assert!(options.contains(expected), "{expected} is not in {options}");
    }
    assert_eq!(stand_in.memory.lock().expect("no panic").tasks[0].0, "r");
}

#[test]
fn what_cannot_be_opened_or_is_refused_is_named_and_stops_nothing() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let folder = folder(&["a", "bad", "c"]);
    let files = ["missing", "a", "bad", "c"].map(|name| at(&folder, name));
    let (out, err, code) = said(&put(&stand_in, "", &files));
    let [missing, _, bad, _] = files.each_ref().map(|file| Path::display(file));
    let expected =
        format!("ferryctl: {missing}: No such file or directory (os error 2)\nferryctl: {bad}: photo: no JSON\n");
    assert_eq!((out.as_str(), err, code), ("0\n1\n", expected, 1));
    assert_eq!(said(&put(&stand_in, "", &files[1..])).2, 6);
    let (out, err, code) = said(&put(&stand_in, "--json", &files[..2]));
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines.len(), err.as_str(), code), (2, "", 1));
    assert!(lines[0]["error"].is_string() && lines[1]["id"].is_string(), "{out}");
    let (_, err, code) = said(&put(&stand_in, "--name x", &files[1..]));
    assert_eq!((err.as_str(), code), ("ferryctl: --name is for one file\n", 2));
}

#[test]
fn a_daemon_that_dies_leaves_no_doubt_about_what_it_acknowledged() {
    let stand_in = StandIn::live(&[Life { keeps: 3, answers: 2 }, Life::LONG]);
    let folder = folder(&["a", "b", "c", "d", "e"]);
    let (out, err, code) = said(&put(&stand_in, "", &[folder.path().to_owned()]));
    assert_eq!((out.as_str(), code), ("0\n1\n", 4));
    assert!(err.starts_with("ferryctl: ferryd went away: 2 of 5 files are acknowledged; it may have taken "), "{err}");
    assert!(stand_in.payloads().len() == 3, "nothing is sent to the next daemon");
}

#[test]
fn waiting_tells_each_end_with_its_file() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let folder = folder(&["a", "b"]);
    let mut command = stand_in.command("put --wait");
    let mut child = command.arg(at(&folder, "a")).arg(at(&folder, "b")).spawn().expect("ferryctl runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("readable"));
    assert_eq!([lines.next(), lines.next()], [Some("0".to_owned()), Some("1".to_owned())]);
    stand_in.say(Say::Progress("0".to_owned(), 1, 2));
    stand_in.say(Say::Moved("1".to_owned(), "failed"));
    stand_in.say(Say::Moved("0".to_owned(), "done"));
    assert_eq!(lines.next(), Some(format!("0 done {}", at(&folder, "a").display())));
    assert_eq!(lines.next(), Some(format!("1 failed {}: rejected: no", at(&folder, "b").display())));
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn watching_shows_how_far_files_are() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let mut child = stand_in.command("watch").spawn().expect("ferryctl runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("readable"));
    assert!(lines.next().is_some_and(|line| line.ends_with("ferryd is here")));
    stand_in.say(Say::Progress("7".to_owned(), 131_072, 421_888));
    let line = lines.next().expect("a line");
    assert!(line.ends_with("  7  131.0 kB of 421.8 kB at 250.0 kB/s"), "{line}");
    child.kill().expect("it ran");
    child.wait().expect("it ends");
}
