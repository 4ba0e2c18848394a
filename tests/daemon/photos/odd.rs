//! Pictures that are coded in other ways, and files that are none.

use std::fs;
use std::path::{Path, PathBuf};

use super::pictures::{device, keep, photo, run, send, similarity, text};
use crate::device::Device;

#[test]
fn other_codings_of_a_photo_are_understood() {
    let (server, mut device) = device("");
    for (name, arguments) in [
        ("progressive", "-interlace JPEG"),
        ("grey", "-colorspace Gray"),
        ("fine", "-sampling-factor 4:4:4"),
        ("across", "-sampling-factor 4:2:2"),
        ("down", "-sampling-factor 4:4:0"),
        ("coarse", "-sampling-factor 4:2:0"),
        ("odd", "-crop 1001x777+3+5 +repage -sampling-factor 4:2:0"),
        ("narrow", "-crop 9x1100+3+5 +repage -sampling-factor 4:2:0"),
        ("turned", "-rotate 90 -orient RightTop -interlace JPEG -sampling-factor 4:4:4"),
    ] {
        let path = photo(&device, &format!("{name}.jpg"), arguments);
        let (_, task, upload) = send(&mut device, &server, &path, "--quality conservative");
        assert_eq!(task["result"]["quality"], "conservative", "{name}\n{}", device.log());
        let arrived = keep(&device, &upload);
        let similarity = similarity(&path, &arrived);
        assert!(similarity > 0.93, "{name}: {similarity}");
        run("djpeg", &["-outfile", "/dev/null", text(&arrived)]);
    }
}

#[test]
fn colours_are_those_of_the_original() {
    let (server, mut device) = device("");
    let coded = ["", "-interlace JPEG", "-crop 1001x777+3+5 +repage -interlace JPEG"];
    for (sampling, coded) in ["4:4:4", "4:2:0", "4:2:2", "4:4:0"].iter().flat_map(|one| coded.map(|other| (one, other)))
    {
        let arguments = format!("-modulate 100,180 {coded} -sampling-factor {sampling}");
        let path = photo(&device, "colours.jpg", &arguments);
        let (_, task, upload) = send(&mut device, &server, &path, "--quality balanced");
        assert_eq!(task["result"]["quality"], "balanced");
        let arrived = keep(&device, &upload);
        // Of ImageMagick: per channel the difference's root mean square, as a share of the whole range.
        let compare = std::process::Command::new("compare")
            .args(["-metric", "RMSE", text(&path), text(&arrived), "null:"])
            .output()
            .unwrap();
        let said = String::from_utf8(compare.stderr).unwrap();
        let share: f64 = said.split(['(', ')']).nth(1).unwrap().parse().unwrap();
        assert!(share < 0.02, "{arguments}: {said}");
    }
}

/// Bytes of a file made by one program from another's output.
fn cjpeg(device: &Device<'_>, name: &str, arguments: &[&str]) -> PathBuf {
    let (pixels, to) = (photo(device, "pixels.ppm", ""), device.file(name));
    let (pixels, path) = (text(&pixels), text(&to));
    run("cjpeg", &[&["-quality", "96"], arguments, &["-outfile", path, pixels]].concat());
    to
}

fn appended(device: &Device<'_>, name: &str, to: &Path, bytes: &[u8]) -> PathBuf {
    let path = device.file(name);
    fs::write(&path, [&fs::read(to).expect("it works")[..], bytes].concat()).expect("it works");
    path
}

#[test]
fn what_is_no_plain_photo_goes_byte_for_byte() {
    let (server, mut device) = device("");
    let plain = photo(&device, "plain.jpg", "");
    let video = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x08mdat";
    let scans = device.file("scans.txt");
    fs::write(&scans, "0;\n1;\n2;\n").unwrap();
    let whole = fs::read(&plain).unwrap();
    let cut = device.file("cut.jpg");
    fs::write(&cut, &whole[..whole.len() * 2 / 3]).unwrap();
    let short = device.file("short.jpg");
    fs::write(&short, [&whole[..whole.len() / 2], &[0xff, 0xd9]].concat()).unwrap();
    let words = device.file("text.jpg");
    fs::write(&words, "no picture at all").unwrap();
    let webp = device.file("picture.webp");
    fs::write(&webp, [&b"RIFF\x1a\0\0\0WEBPVP8L"[..], &[7; 4000]].concat()).unwrap();
    let heic = device.file("picture.heic");
    fs::write(&heic, [&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], &[7; 4000]].concat()).unwrap();
    let files = [
        photo(&device, "cmyk.jpg", "-colorspace CMYK"),
        photo(&device, "deep.png", "-depth 16"),
        cjpeg(&device, "arithmetic.jpg", &["-arithmetic"]),
        cjpeg(&device, "colours.jpg", &["-rgb"]),
        cjpeg(&device, "one-by-one.jpg", &["-scans", text(&scans)]),
        appended(&device, "motion.jpg", &plain, video),
        appended(&device, "second.jpg", &plain, &whole),
        cut,
        short,
        words,
        webp,
        heic,
    ];
    for path in files {
        let (_, task, upload) = send(&mut device, &server, &path, "--quality conservative");
        let name = path.display();
        assert_eq!(task["result"]["quality"], "original", "{name}");
        assert_eq!(task["result"]["original"], task["result"]["sent"]);
        assert!(upload.bytes == fs::read(&path).unwrap(), "{name}");
    }
    // So the files are as they are named, and it is not for want of trying.
    let (_, task, _) = send(&mut device, &server, &plain, "--quality conservative");
    assert_eq!(task["result"]["quality"], "conservative");
}
