//! `config`: whether the daemon can read its configuration, and has somewhere to send things.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::bounded::{bounded_blocking, no_answer};
use super::finding::{Finding, shell};
use crate::config::{self, ConfigError, DEFAULT_FILE};
use crate::model::{Config, Kind};

/// `config`, and the configuration itself if it can be read.
pub(super) async fn check(file: Option<PathBuf>) -> (Vec<Finding>, Option<Config>) {
    let main = file.clone().unwrap_or_else(|| DEFAULT_FILE.into());
    let read = bounded_blocking(move || config::load(file.as_deref())).await;
    match read {
        None => {
            let mend = format!("look at the file system of {}", shell(&main));
            (vec![Finding::problem(format!("reading {}: {}", main.display(), no_answer()), mend)], None)
        }
        Some(Err(error)) => (refused(error), None),
        Some(Ok(config)) => (taken(&config, &main), Some(config)),
    }
}

fn refused(error: ConfigError) -> Vec<Finding> {
    match error {
        ConfigError::Unreadable { path, source } if source.kind() == ErrorKind::PermissionDenied => {
            vec![Finding::forbidden(format!("this user may not read {}", path.display()))]
        }
        ConfigError::Unreadable { path, source } => {
            let mend = format!("look at it: ls -l {}", shell(&path));
            vec![Finding::problem(format!("reading {}: {source}", path.display()), mend)]
        }
        ConfigError::Bad(complaints) => complaints
            .iter()
            .map(|complaint| {
                let (line, file) = (complaint.line, shell(&complaint.file));
                let mend = format!("correct line {line} of {file}; then: ferryctl reload");
                Finding::problem(complaint.to_string(), mend)
            })
            .collect(),
    }
}

fn taken(config: &Config, main: &Path) -> Vec<Finding> {
    let file = main.display();
    if config.backends.is_empty() {
        let mend = format!("put a [backend.main] with its url into {file}; then: ferryctl reload");
        return vec![Finding::warning(
            format!("no backend is configured in {file}: tasks are kept and go nowhere"),
            mend,
        )];
    }
    let homeless = config.strategies.values().filter(|strategy| strategy.backend.is_none()).map(|strategy| {
        let name = &strategy.name;
        let kind = match strategy.kind {
            Kind::Json => "http",
            Kind::File => "tus",
        };
        let mend =
            format!("set strategy.{name}.backend, or add a backend with kind = \"{kind}\"; then: ferryctl reload");
        Finding::warning(format!("strategy.{name} has no backend: its tasks are kept and go nowhere"), mend)
    });
    let homeless: Vec<_> = homeless.collect();
    if homeless.is_empty() { vec![Finding::ok(format!("{file} can be read"))] } else { homeless }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Host;
    use crate::ctl::views::Verdict;

    fn found(text: &str) -> Vec<Finding> {
        let sources = [(PathBuf::from("/f.toml"), text.to_owned())];
        match config::parse(&sources, &Host::default()) {
            Ok(config) => taken(&config, Path::new("/f.toml")),
            Err(error) => refused(error),
        }
    }

    #[test]
    fn each_complaint_is_a_problem_with_its_line() {
        let found = found("[limits]\nmax_concurrent = 99\npayload = 1\n");
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].words, "/f.toml:2: limits.max_concurrent: 99 is not from 2 to 16");
        assert_eq!(found[0].mend.as_deref(), Some("correct line 2 of /f.toml; then: ferryctl reload"));
        assert!(found.iter().all(|finding| finding.verdict == Verdict::Problem));
    }

    #[test]
    fn what_goes_nowhere_is_a_warning() {
        assert!(matches!(&found("")[..], [one] if one.verdict == Verdict::Warning && one.words.contains("no backend")));
        let one = "[backend.main]\nurl = \"http://a/\"\n";
        assert!(matches!(&found(one)[..], [one] if one.words.starts_with("strategy.photo has no backend")));
        let both = format!("{one}[backend.files]\nkind = \"tus\"\nurl = \"http://a/\"\n");
        assert_eq!(found(&both), [Finding::ok("/f.toml can be read")]);
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_one_only_if_it_was_named() {
        let (found, config) = check(Some("/nowhere/at/all.toml".into())).await;
        assert!(found[0].verdict == Verdict::Problem && found[0].words.contains("/nowhere/at/all.toml"), "{found:?}");
        assert_eq!(config, None);
        let forbidden = ConfigError::Unreadable { path: "/f".into(), source: ErrorKind::PermissionDenied.into() };
        assert_eq!(refused(forbidden), [Finding::forbidden("this user may not read /f")]);
    }
}
