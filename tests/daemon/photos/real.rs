//! Real photos.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::pictures::{device, keep, photo, real, run, send, similarity, tag, tags, text, until_empty};
use crate::device::tell;

#[test]
fn real_photos_arrive_smaller_alike_and_with_all_they_say() {
    let (server, mut device) = device("");
    for path in real() {
        let original = fs::read(&path).unwrap();
        for (quality, alike) in [("balanced", 0.97), ("conservative", 0.93)] {
            let (id, task, upload) = send(&mut device, &server, &path, &format!("--quality {quality}"));
            let name = path.file_name().unwrap().display();
            assert_eq!(task["result"]["original"], original.len());
            assert_eq!(task["result"]["sent"], upload.bytes.len());
            let sha256: String = Sha256::digest(&upload.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(upload.metadata["sha256"], sha256);
            if upload.bytes == original {
                tell(format_args!("{name} at {quality}: as it is, {} bytes", original.len()));
                assert_eq!(task["result"]["quality"], "original");
                assert!(!upload.metadata.contains_key("variant"));
                continue;
            }
            assert_eq!((&task["result"]["quality"], upload.metadata["variant"].as_str()), (&quality.into(), quality));
            assert_eq!(upload.metadata["photo"], id);
            assert!(upload.bytes.len() * 10 < original.len() * 9, "{name}");
            let arrived = keep(&device, &upload);
            let similarity = similarity(&path, &arrived);
            let (sent, of) = (upload.bytes.len(), original.len());
            tell(format_args!("{name} at {quality}: {sent} bytes of {of}, SSIM {similarity:.4}"));
            assert!(similarity > alike, "{name}");
            assert_eq!(tags(&arrived), tags(&path), "{name}");
        }
    }
    until_empty(&device, "spool");
}

/// A colour profile of several segments, with a head that programs believe.
fn profile() -> Vec<u8> {
    let mut profile = vec![0; 150_000];
    fastrand::Rng::with_seed(1).fill(&mut profile[132..]);
    let size = u32::try_from(profile.len()).expect("it works");
    profile[..4].copy_from_slice(&size.to_be_bytes());
    profile[8..12].copy_from_slice(&[4, 0x30, 0, 0]);
    profile[12..24].copy_from_slice(b"mntrRGB XYZ ");
    profile[36..40].copy_from_slice(b"acsp");
    profile[128..132].copy_from_slice(&[0; 4]);
    profile
}

#[test]
fn exif_iptc_xmp_and_a_large_colour_profile_are_kept_and_the_size_is_put_right() {
    let (server, mut device) = device("");
    let path = photo(&device, "all.jpg", "-sampling-factor 4:4:4");
    let icc = device.file("p.icc");
    fs::write(&icc, profile()).unwrap();
    tag(
        &path,
        &[
            "-Orientation#=6",
            "-Make=Ferry",
            "-DateTimeOriginal=2026:11:28 12:00:00",
            "-ExifImageWidth=1600",
            "-ExifImageHeight=1200",
            "-GPSLatitude=47.3",
            "-GPSLatitudeRef=N",
            "-XMP-dc:Title=Lake",
            "-XMP-exif:GPSLatitude=47.3",
            "-IPTC:City=Zug",
            "-Comment=by hand",
            &format!("-ICC_Profile<={}", icc.display()),
        ],
    );
    let before = tags(&path);
    assert!(before.contains_key("IFD0:Orientation") && before.contains_key("GPS:GPSLatitude"), "{before:?}");

    let (_, _, upload) = send(&mut device, &server, &path, "--quality balanced");
    let arrived = keep(&device, &upload);
    assert_ne!(upload.metadata["variant"], "original");
    assert_eq!(tags(&arrived), before);
    assert_eq!(run("exiftool", &["-icc_profile", "-b", text(&arrived)]), fs::read(&icc).unwrap());
    let said = |path: &Path, tag: &str| run("exiftool", &["-s3", tag, text(path)]);
    assert_eq!(said(&arrived, "-Comment"), b"by hand\n");

    let (_, task, upload) = send(&mut device, &server, &path, "--quality conservative --max-edge 800");
    let arrived = keep(&device, &upload);
    assert_eq!(said(&arrived, "-ImageSize"), b"800x600\n");
    assert_eq!(task["result"]["quality"], "conservative");
    let mut smaller = before;
    for (tag, size) in [("Width", 800), ("Height", 600)] {
        smaller.insert(format!("ExifIFD:ExifImage{tag}"), size.into());
        smaller.insert(format!("IFD0:Image{tag}"), size.into());
    }
    assert_eq!(tags(&arrived), smaller, "the orientation among them");
    let halved = device.file("halved.jpg");
    run("convert", &[text(&path), "-filter", "box", "-resize", "800x600!", "-quality", "98", text(&halved)]);
    assert!(similarity(&halved, &arrived) > 0.93);
}

#[test]
fn what_the_server_wants_smaller_is_made_so_also_for_a_good_link() {
    let (server, mut device) = device("");
    let path = photo(&device, "large.jpg", "");
    let file = device.file("bytes");
    // Until it is known, no link is a good one.
    for size in 1..=20 {
        fs::write(&file, vec![0; size * 100_000]).unwrap();
        send(&mut device, &server, &file, "");
    }
    assert_eq!(device.shown("Bandwidth")["UploadStrategy"], "high_quality");
    let (_, task, upload) = send(&mut device, &server, &path, "--max-edge 1000");
    assert_eq!(task["result"]["quality"], "balanced");
    let arrived = keep(&device, &upload);
    assert_eq!(run("exiftool", &["-s3", "-ImageSize", text(&arrived)]), b"1000x750\n");
    for options in ["--max-edge 1600", "--quality original --max-edge 1000", ""] {
        let (_, task, upload) = send(&mut device, &server, &path, options);
        assert_eq!((&task["result"]["quality"], upload.bytes), (&"original".into(), fs::read(&path).unwrap()));
    }
}
