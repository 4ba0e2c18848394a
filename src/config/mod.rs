//! Floor 2: TOML to [`model::Config`](crate::model::Config). Every value is checked here and nowhere later; a complaint
//! names file, line and key path, what was found and what is allowed. `config/ferryd.toml` is the reference.

mod error;
mod host;
mod names;
mod objects;
mod section;
mod sections;
mod strategies;
mod tree;
mod units;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use error::{Complaint, ConfigError};
pub use host::Host;
pub use units::{parse_duration, parse_size};

use crate::model::Config;
use section::Complaints;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/ferryd/ferryd.toml";

/// `config/ferryd.toml`: every key, commented out, with its default.
pub const SAMPLE: &str = include_str!("../../config/ferryd.toml");

/// Reads a file and the drop-ins `conf.d/*.toml` beside it, in the order of their names; what comes later wins key by key,
/// and an array is replaced as a whole. `None` reads [`DEFAULT_FILE`], which may be absent: then the defaults hold.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let main = file.unwrap_or(Path::new(DEFAULT_FILE));
    let mut sources = Vec::new();
    match fs::read_to_string(main) {
        Ok(text) => sources.push((main.to_owned(), text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => {}
        Err(source) => return Err(ConfigError::Unreadable { path: main.to_owned(), source }),
    }
    for path in drop_ins(&main.with_file_name("conf.d"))? {
        let text = fs::read_to_string(&path);
        let text = text.map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
        sources.push((path, text));
    }
    parse(&sources, &Host::local())
}

/// The drop-ins of a folder, in the order of their names; none if there is no such folder.
fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(unreadable)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The configuration that these files (path and text, later ones win) mean on this host. Pure: it reads nothing else.
pub fn parse(sources: &[(PathBuf, String)], host: &Host) -> Result<Config, ConfigError> {
    let complaints = Complaints::new(sources.iter().map(|(path, _)| path.clone()).collect());
    let root = tree::read(sources, &complaints);
    let config = sections::config(&root, host, &complaints);
    match (config, complaints.into_sorted()) {
        (Some(config), complaints) if complaints.is_empty() => Ok(config),
        (_, complaints) => Err(ConfigError::Bad(complaints)),
    }
}

#[cfg(test)]
mod tests;
