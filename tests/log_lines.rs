//! Every line of the log says what it has to say in its message, and carries no field but those that `daemon/log.rs` names:
//! `journalctl` shows messages alone, and text leaves the fields out.

use std::fs;
use std::path::{Path, PathBuf};

const FIELDS: [&str; 5] = ["task", "strategy", "backend", "reason", "attempt"];
const MACROS: [&str; 5] = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is readable").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|ending| ending == "rs") {
            found.push(entry);
        }
    }
}

/// The names of the fields of each log line in a source text: what stands between the macro and its message.
fn fields(text: &str) -> Vec<String> {
    let calls = MACROS.iter().flat_map(|name| text.split(name).skip(1));
    let before_message = calls.filter_map(|rest| rest.split_once('"').map(|(fields, _)| fields));
    let each = before_message.flat_map(|fields| fields.split(',').map(str::trim).filter(|field| !field.is_empty()));
    let name =
        |field: &str| field.split('=').next().unwrap_or_default().trim().trim_start_matches(['%', '?']).to_owned();
    each.map(name).collect()
}

#[test]
fn lines_have_the_known_fields_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut breaches = Vec::new();
    // The embedded server and the demo are no part of the daemon.
    for file in files.iter().filter(|file| !file.starts_with(src.join("demo"))) {
        for field in fields(&fs::read_to_string(file).expect("readable source")) {
            if !FIELDS.contains(&field.as_str()) {
                breaches.push(format!("{}: {field}", file.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "fields that nobody sees; say them in the message:\n{}", breaches.join("\n"));
}

#[test]
fn the_rule_sees_what_it_should() {
    assert_eq!(fields(r#"info!(task = %id, reason, "a line");"#), ["task", "reason"]);
    assert_eq!(fields(r#"warn!(%error, ?what, "a line");"#), ["error", "what"]);
    assert_eq!(fields(r#"debug!("a line: {error}");"#), [""; 0]);
}
