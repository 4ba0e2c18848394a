//! `strip_gps`: where a photo was taken stays on the device.

use std::fs;
use std::path::Path;

use super::pictures::{config, device, keep, photo, put, run, send, tag, tags, text, until_more_than};
use crate::device::Device;
use ferryd::demo::{Server, UploadState};

const STRIP: &str = "strip_gps = true";

pub(super) fn placed(device: &Device<'_>, name: &str, arguments: &str) -> std::path::PathBuf {
    let path = photo(device, name, arguments);
    tag_a_place(&path);
    path
}

pub(super) fn tag_a_place(path: &Path) {
    tag(
        path,
        &[
            "-Make=Ferry",
            "-Orientation#=8",
            "-GPSLatitude=47.1713",
            "-GPSLatitudeRef=N",
            "-GPSLongitude=8.5142",
            "-GPSLongitudeRef=E",
            "-GPSTimeStamp=12:00:00",
            "-GPSAreaInformation=Zug",
            "-XMP-exif:GPSLatitude=47.1713",
            "-XMP-exif:GPSLongitude=8.5142",
            "-XMP-dc:Title=Lake",
        ],
    );
    assert!(says_a_place(path));
}

pub(super) fn says_a_place(path: &Path) -> bool {
    let said = run("exiftool", &["-a", "-G1", "-gps*", "-XMP-exif:all", text(path)]);
    !String::from_utf8(said).expect("it works").trim().is_empty()
}

/// All but the place.
fn assert_same_but_the_place(path: &Path, arrived: &Path) {
    assert!(!says_a_place(arrived));
    let without = |path: &Path| {
        let mut tags = tags(path);
        tags.retain(|name, _| !name.contains("GPS"));
        tags
    };
    let (before, after) = (without(path), without(arrived));
    assert_eq!(after, before);
    assert!(before.contains_key("IFD0:Orientation") && before.contains_key("XMP-dc:Title"), "{before:?}");
}

#[test]
fn photos_go_without_their_place_originals_and_copies_alike() {
    let (server, mut device) = device(STRIP);
    for (name, arguments) in [("a.jpg", ""), ("progressive.jpg", "-interlace JPEG"), ("cmyk.jpg", "-colorspace CMYK")] {
        let path = placed(&device, name, arguments);
        for options in ["--quality original", "--quality balanced"] {
            let (_, task, upload) = send(&mut device, &server, &path, options);
            let arrived = keep(&device, &upload);
            assert_same_but_the_place(&path, &arrived);
            if options.ends_with("original") {
                assert_eq!(task["result"]["quality"], "original");
                let pixels = |path: &Path| run("convert", &[text(path), "-depth", "8", "rgb:-"]);
                assert!(pixels(&path) == pixels(&arrived), "the pixels are the original's");
            }
        }
    }
    let plain = photo(&device, "plain.jpg", "-strip");
    let (_, _, upload) = send(&mut device, &server, &plain, "--quality original");
    assert!(upload.bytes == fs::read(&plain).unwrap(), "there was nothing to remove");
}

#[test]
fn without_it_the_place_goes_along() {
    let (server, mut device) = device("");
    let path = placed(&device, "a.jpg", "");
    let (_, _, upload) = send(&mut device, &server, &path, "--quality balanced");
    assert_eq!(tags(&keep(&device, &upload)), tags(&path));
}

#[test]
fn an_upload_that_was_begun_with_its_place_begins_anew_when_that_is_to_stay() {
    let slow = "max_rate = \"100 KiB/s\"";
    let (server, mut device) = device(slow);
    let path = placed(&device, "a.jpg", "");
    let id = put(&device, &path, "--quality original");
    until_more_than(&device, &server, 64 << 10);
    device.kill();
    device.configure(&config(&server, STRIP));
    device.switch_on();
    device.until_task(&id, "done");
    let upload = super::pictures::finished(&server, &id).expect("it is there");
    assert_same_but_the_place(&path, &keep(&device, &upload));
    assert_eq!(others(&server, &id), 1, "{:?}", server.uploads());
}

/// Uploads of this task that were given up.
fn others(server: &Server, id: &str) -> usize {
    let given_up = |state| state == UploadState::Terminated || state == UploadState::Expired;
    server.uploads().iter().filter(|upload| upload.metadata["task"] == id && given_up(upload.state)).count()
}
