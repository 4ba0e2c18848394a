//! The configuration that simulated devices have unless they are given another: the shipped strategies, a server for JSON
//! and one for files.

use std::path::PathBuf;

use crate::config::{ConfigError, Host, parse};
use crate::model::Config;

const TEXT: &str = r#"
[device]
name = "simulated"
[backend.main]
kind = "http"
url = "https://sync.example/items"
[backend.files]
kind = "tus"
url = "https://sync.example/files"
"#;

/// The shipped strategies with two servers.
pub fn config() -> Result<Config, ConfigError> {
    parse(&[(PathBuf::from("simulated.toml"), TEXT.to_owned())], &Host::default())
}
