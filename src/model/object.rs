//! Objects in an S3-compatible store: what config says of the bucket, and what a file's object is called there.

use std::fmt::Write as _;
use std::time::Duration;

use super::world::words;
use super::{StrategyName, TaskId};

/// The longest key, in bytes (S3).
const LONGEST_KEY: usize = 1024;

words!(
    /// How an object's bytes are vouched for.
    ObjectChecksum {
        /// SHA-256 of each part, which the store checks.
        Sha256 = "sha256",
        /// Nothing, for stores that do not know `x-amz-checksum-sha256`.
        None = "none",
    }
);

/// What is said only of a backend of kind `s3`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectStore {
    /// The bucket; empty where an app's server signs.
    pub bucket: String,
    /// The region that requests are signed for.
    pub region: String,
    /// Whether the bucket stands in the URL's path, and not before its host.
    pub path_style: bool,
    /// What objects are called.
    pub key: KeyTemplate,
    /// Bytes of a part: files up to this go up in one request.
    pub part_size: u64,
    /// How bytes are vouched for.
    pub checksum: ObjectChecksum,
    /// The app's server that signs requests; `None`: this device does, with keys of its own.
    pub sign_url: Option<String>,
    /// How old an upload of this device must be, that nobody finished, to be ended; `None`: never.
    pub sweep_after: Option<Duration>,
}

impl Default for ObjectStore {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            region: "us-east-1".to_owned(),
            path_style: true,
            key: KeyTemplate::default(),
            part_size: 8 << 20,
            checksum: ObjectChecksum::Sha256,
            sign_url: None,
            sweep_after: Some(Duration::from_secs(7 * 86_400)),
        }
    }
}

/// What an object is called, with gaps that each task fills. The task's id is always one of them: another request for the
/// same task is for the same object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Gap(Gap),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    Device,
    Strategy,
    Task,
    Name,
}

const GAPS: [(&str, Gap); 4] =
    [("device", Gap::Device), ("strategy", Gap::Strategy), ("task", Gap::Task), ("name", Gap::Name)];

impl Default for KeyTemplate {
    fn default() -> Self {
        let text = |text: &str| Piece::Text(text.to_owned());
        Self(vec![Piece::Gap(Gap::Device), text("/"), Piece::Gap(Gap::Task), text("/"), Piece::Gap(Gap::Name)])
    }
}

impl KeyTemplate {
    /// Reads text such as `{device}/{task}/{name}`; the error is the end of a sentence.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (before, after) = rest.split_once('{').unwrap_or((rest, ""));
            if before.len() == rest.len() {
                pieces.push(Piece::Text(fixed(before)?));
                break;
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(fixed(before)?));
            }
            let (name, after) = after.split_once('}').ok_or("a { without its }")?;
            let gap = GAPS.iter().find(|(word, _)| *word == name).map(|(_, gap)| *gap);
            let gap =
                gap.ok_or_else(|| format!("{{{name}}} is none of {{device}}, {{strategy}}, {{task}}, {{name}}"))?;
            pieces.push(Piece::Gap(gap));
            rest = after;
        }
        if text.len() > 256 {
            return Err("longer than 256 bytes".to_owned());
        }
        if text.starts_with('/') {
            return Err("it begins with /, which some stores take for another key".to_owned());
        }
        if !pieces.contains(&Piece::Gap(Gap::Task)) {
            return Err("{task} is missing: two files would be one object".to_owned());
        }
        Ok(Self(pieces))
    }

    /// The key of a task's object: letters, digits and `-._/` only, at most 1024 bytes.
    pub fn render(&self, device: &str, strategy: &StrategyName, task: TaskId, name: &str) -> String {
        let mut key = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => key.push_str(text),
                Piece::Gap(Gap::Device) => key.push_str(&safe(device, 128)),
                Piece::Gap(Gap::Strategy) => key.push_str(strategy.as_str()),
                // Writing to a String cannot fail.
                Piece::Gap(Gap::Task) => drop(write!(key, "{task}")),
                Piece::Gap(Gap::Name) => key.push_str(&safe(name, 128)),
            }
        }
        key.truncate(LONGEST_KEY);
        key
    }

    /// What all keys of this device and strategy begin with, and no key of another device; `None` if nothing tells them
    /// apart.
    pub fn own_prefix(&self, device: &str, strategy: &StrategyName) -> Option<String> {
        let mut prefix = String::new();
        let mut is_own = false;
        for piece in &self.0 {
            match piece {
                // What ends the device's name: kiosk-1 is not kiosk-10.
                Piece::Text(text) => prefix.push_str(text),
                Piece::Gap(Gap::Device) => {
                    prefix.push_str(&safe(device, 128));
                    is_own = true;
                }
                Piece::Gap(Gap::Strategy) => prefix.push_str(strategy.as_str()),
                Piece::Gap(Gap::Task | Gap::Name) => break,
            }
        }
        Some(prefix).filter(|prefix| is_own && prefix.ends_with('/'))
    }
}

impl std::fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => f.write_str(text)?,
                Piece::Gap(gap) => {
                    let word = GAPS.iter().find(|(_, other)| other == gap).map_or("", |(word, _)| word);
                    write!(f, "{{{word}}}")?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a byte means itself in every URL, signature and file system.
const fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn fixed(text: &str) -> Result<String, String> {
    match text.chars().find(|character| !(character.is_ascii() && is_safe(*character as u8)) && *character != '/') {
        Some(other) => Err(format!("{other:?} is none of letters, digits, - . _ and /")),
        None => Ok(text.to_owned()),
    }
}

/// The text as a part of a key: what is not safe becomes `_`, and so does a part that a path would take for another.
fn safe(text: &str, limit: usize) -> String {
    let safe = |character: char| if character.is_ascii() && is_safe(character as u8) { character } else { '_' };
    let part: String = text.chars().map(safe).collect();
    // The end of a name says what it is.
    let part = part.get(part.len().saturating_sub(limit)..).unwrap_or_default();
    if part.is_empty() || part.bytes().all(|byte| byte == b'.') {
        "_".repeat(part.len().max(1))
    } else {
        part.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> TaskId {
        TaskId::parse("0197f3c0-1111-7222-8333-444455556666").unwrap()
    }

    #[test]
    fn a_key_is_safe_whatever_the_file_is_called() {
        let strategy = StrategyName::new("photo").unwrap();
        let key = |template: &str, device: &str, name: &str| {
            KeyTemplate::new(template).unwrap().render(device, &strategy, task(), name)
        };
        let id = task().to_string();
        let plain = "{device}/{task}/{name}";
        assert_eq!(key(plain, "kiosk-7", "a.jpg"), format!("kiosk-7/{id}/a.jpg"));
        assert_eq!(key(plain, "Küche/1", "größe 1.jpg"), format!("K_che_1/{id}/gr__e_1.jpg"));
        assert_eq!(key(plain, "..", "../../etc/passwd"), format!("__/{id}/.._.._etc_passwd"));
        assert_eq!(key("in/{strategy}/{task}", "x", "y"), format!("in/photo/{id}"));
        assert_eq!(key(plain, "k", ""), format!("k/{id}/_"));
        let long = key(plain, &"d".repeat(255), &format!("{}.jpg", "n".repeat(255)));
        assert!(long.len() <= 1024 && long.ends_with("n.jpg"), "{long}");
    }

    #[test]
    fn a_template_names_the_task_and_nothing_unknown() {
        for wrong in ["", "{name}", "{task", "{id}/{task}", "/{task}", "a b/{task}", "ä/{task}", "}{task}"] {
            assert!(KeyTemplate::new(wrong).is_err(), "{wrong}");
        }
        for right in ["{task}", "in/{device}/{strategy}/{task}-{name}", "{device}/{task}/{name}"] {
            assert_eq!(KeyTemplate::new(right).unwrap().to_string(), right);
        }
        assert_eq!(KeyTemplate::new("{device}/{task}/{name}").unwrap(), KeyTemplate::default());
    }

    #[test]
    fn only_a_prefix_with_the_whole_device_in_it_is_its_own() {
        let strategy = StrategyName::new("photo").unwrap();
        let own = |template: &str| KeyTemplate::new(template).unwrap().own_prefix("k 1", &strategy);
        assert_eq!(own("{device}/{task}/{name}").as_deref(), Some("k_1/"));
        assert_eq!(own("in/{strategy}/{device}/x{task}"), None, "an x before the task may be another device's");
        assert_eq!(own("in/{strategy}/{device}/{task}").as_deref(), Some("in/photo/k_1/"));
        assert_eq!(own("{task}/{device}"), None);
        assert_eq!(own("{device}-{task}"), None, "k_1- may begin with another's name");
        assert_eq!(own("{strategy}/{task}"), None);
    }
}
