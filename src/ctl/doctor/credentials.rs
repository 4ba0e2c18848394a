//! `credentials`: whether the daemon can read each secret, and nobody else can. What is in them is never told.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::bounded::{bounded_blocking, no_answer};
use super::bus::Place;
use super::finding::{Finding, shell};
use super::running::{Credentials, Running};
use super::server::backends_that_wait;
use super::user::User;
use crate::backend::Backend;
use crate::ctl::views::StrategyView;
use crate::http::Addresses;
use crate::model::{BackendConfig, BackendName, Config, Credential, HeaderToken, ObjectStore, Reason};

/// Where systemd puts the unit's credentials.
const SYSTEM: &str = "/run/credentials/ferryd.service";

/// What the file system says of a secret's file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Looked {
    /// Permission bits.
    mode: u32,
    /// What keeps the daemon from reading it.
    kept_from: Option<PathBuf>,
    content: Content,
}

/// What was seen of the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// It can be sent.
    Fit,
    /// It cannot, for this reason.
    Unfit(String),
    /// This user may not look.
    Closed,
}

/// `credentials`. `user`: the daemon's.
pub(super) async fn check(
    config: Option<&Config>,
    strategies: &[StrategyView],
    user: &User,
    place: Place,
    running: Option<&Running>,
) -> Vec<Finding> {
    let Some(config) = config else {
        return vec![Finding::unknown("there is no configuration that says which", "see config")];
    };
    let mut found = Vec::new();
    for (names, backend) in by_credential(config) {
        found.push(match &backend.credential {
            None => Finding::ok(format!("{names}: none is configured, and none is sent")),
            Some(Credential::File(file)) => of_file(&names, backend, file, user).await,
            Some(Credential::Systemd(name)) => {
                let folder = folder(place, running);
                of_systemd(&names, backend, name, folder, running.is_some()).await
            }
        });
    }
    if found.is_empty() {
        found.push(Finding::ok("no backend is configured"));
    }
    let refused = backends_that_wait(config, strategies, Reason::BackendAuth);
    found.extend(refused.into_iter().map(|name| {
        let words = format!("backend.{name}: the server or a proxy does not take it, says ferryd (backend-auth)");
        Finding::problem(words, "put the right one in its place; then: ferryctl sync")
    }));
    found
}

/// The credentials, each with the names of the backends that send it and one of these.
fn by_credential(config: &Config) -> Vec<(String, &BackendConfig)> {
    let mut found: Vec<(String, &BackendConfig)> = Vec::new();
    for (name, backend) in &config.backends {
        match found.iter_mut().find(|(_, other)| other.credential == backend.credential) {
            Some((names, _)) => names.push_str(&format!(", backend.{name}")),
            None => found.push((format!("backend.{name}"), backend)),
        }
    }
    found
}

async fn of_file(names: &str, config: &BackendConfig, file: &Path, user: &User) -> Finding {
    let (path, config, reader) = (file.to_owned(), config.clone(), user.clone());
    let looked = bounded_blocking(move || {
        let mode = fs::metadata(&path)?.mode() & 0o7777;
        Ok(Looked { mode, kept_from: reader.kept_from(&path)?, content: content(&config, &path, None) })
    });
    match looked.await {
        Some(looked) => file_verdict(names, file, looked, user.uid),
        None => Finding::problem(
            format!("{names}: {}: {}", file.display(), no_answer()),
            format!("look at the file system of {}", shell(file)),
        ),
    }
}

fn file_verdict(names: &str, file: &Path, looked: io::Result<Looked>, uid: u32) -> Finding {
    let (name, path) = (file.display(), shell(file));
    let looked = match looked {
        Ok(looked) => looked,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Finding::forbidden(format!("{names}: this user may not look at {name}"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mend = format!("write the secret into it: sudo install -m 0400 -o {uid} /dev/stdin {path}");
            return Finding::problem(format!("{names}: token_file {name} is not there"), mend);
        }
        Err(error) => {
            return Finding::problem(format!("{names}: {name}: {error}"), format!("look at it: ls -l {path}"));
        }
    };
    if let Some(closed) = looked.kept_from {
        let mend = if closed == file { format!("sudo chown {uid} {path}") } else { chmod("a+x", &closed) };
        let words = format!("{names}: ferryd runs as user {uid}, who may not read {}", closed.display());
        return Finding::problem(words, mend);
    }
    if looked.mode & 0o007 != 0 {
        let words = format!("{names}: {name} has mode {:04o}: the secret is open to all users", looked.mode);
        return Finding::problem(words, chmod("o-rwx", file));
    }
    said_of(looked.content, names, &name.to_string())
}

fn chmod(change: &str, path: &Path) -> String {
    format!("sudo chmod {change} {}", shell(path))
}

fn said_of(content: Content, names: &str, name: &str) -> Finding {
    match content {
        Content::Fit => Finding::ok(format!("{names}: {name} can be sent")),
        Content::Unfit(words) => Finding::problem(
            format!("{names}: {words}"),
            format!("write the secret alone, in one line, into {name}; keys of a store as docs/s3-backend.md says"),
        ),
        Content::Closed => Finding::forbidden(format!("{names}: this user may not look into {name}")),
    }
}

/// Whether the secret could be sent: by the client's own word.
fn content(config: &BackendConfig, file: &Path, folder: Option<&Path>) -> Content {
    if fs::File::open(file).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
        return Content::Closed;
    }
    // Nothing of the backend matters but its secret, and nothing is sent.
    let alone = BackendConfig {
        url: "http://localhost/".to_owned(),
        store: ObjectStore { path_style: true, ..config.store.clone() },
        token: HeaderToken::Bearer,
        ca_file: None,
        proxy: None,
        ..config.clone()
    };
    let Ok(name) = BackendName::new("alone") else { return Content::Closed };
    match Backend::new(name, &alone, folder, &Addresses::new()).map(|backend| backend.has_credential()) {
        Ok(Ok(_)) => Content::Fit,
        Ok(Err(words)) => Content::Unfit(words),
        Err(error) => Content::Unfit(error.error.to_string()),
    }
}

/// Where systemd's credentials are: by the daemon's environment, else where the system's unit has them.
fn folder(place: Place, running: Option<&Running>) -> Credentials {
    let told = running.and_then(|running| running.process.credentials.clone());
    told.unwrap_or_else(|| match place {
        Place::System => Credentials::In(SYSTEM.into()),
        Place::Session | Place::Address => Credentials::None,
    })
}

async fn of_systemd(names: &str, config: &BackendConfig, name: &str, folder: Credentials, runs: bool) -> Finding {
    let Credentials::In(folder) = folder else {
        return Finding::ok(format!("{names}: ferryd was given no credential {name}, and none is sent"));
    };
    let (file, config) = (folder.join(name), config.clone());
    let looked = bounded_blocking(move || {
        fs::metadata(&file)?;
        Ok(content(&config, &file, Some(&folder)))
    });
    match looked.await {
        Some(looked) => systemd_verdict(names, name, looked, runs),
        None => Finding::problem(
            format!("{names}: the credential {name}: {}", no_answer()),
            "sudo systemctl restart ferryd",
        ),
    }
}

fn systemd_verdict(names: &str, name: &str, looked: io::Result<Content>, runs: bool) -> Finding {
    match looked {
        Ok(content) => said_of(content, names, &format!("the credential {name}")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Finding::forbidden(format!("{names}: this user may not look at the credential {name}"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && runs => {
            Finding::ok(format!("{names}: ferryd was given no credential {name}, and none is sent"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Finding::unknown(format!("{names}: the credential {name} shows only while ferryd runs"), "see bus")
        }
        Err(error) => Finding::problem(
            format!("{names}: the credential {name}: {error}"),
            "look at LoadCredential=: systemctl cat ferryd",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, parse};
    use crate::ctl::views::Verdict;

    #[test]
    fn a_file_is_the_daemons_to_read_and_nobody_elses() {
        let looked = |mode, kept_from: Option<&str>, content| {
            Ok(Looked { mode, kept_from: kept_from.map(PathBuf::from), content })
        };
        let error = |kind: io::ErrorKind| Err(kind.into());
        let unfit = Content::Unfit("the credential in /t: it is empty".into());
        for (looked, expected, words, mend) in [
            (looked(0o400, None, Content::Fit), Verdict::Ok, "/t can be sent", ""),
            (looked(0o640, None, Content::Fit), Verdict::Ok, "/t can be sent", ""),
            (
                looked(0o644, None, Content::Fit),
                Verdict::Problem,
                "mode 0644: the secret is open",
                "sudo chmod o-rwx /t",
            ),
            (looked(0o600, Some("/t"), Content::Fit), Verdict::Problem, "may not read /t", "sudo chown 998 /t"),
            (looked(0o600, Some("/"), Content::Fit), Verdict::Problem, "may not read /", "sudo chmod a+x /"),
            (looked(0o600, None, unfit), Verdict::Problem, "it is empty", "in one line"),
            (looked(0o600, None, Content::Closed), Verdict::Unknown, "may not look into /t", "sudo ferryctl doctor"),
            (error(io::ErrorKind::NotFound), Verdict::Problem, "/t is not there", "-o 998 /dev/stdin /t"),
            (error(io::ErrorKind::PermissionDenied), Verdict::Unknown, "may not look at /t", "sudo ferryctl doctor"),
            (error(io::ErrorKind::NotADirectory), Verdict::Problem, "not a directory", "ls -l /t"),
        ] {
            let found = file_verdict("backend.main", Path::new("/t"), looked, 998);
            assert!(found.verdict == expected && found.words.contains(words), "{found:?}");
            assert!(found.mend.unwrap_or_default().contains(mend), "{words}");
        }
    }

    #[test]
    fn a_systemd_credential_may_be_absent() {
        let error = |kind: io::ErrorKind| Err(kind.into());
        for (looked, runs, expected, words) in [
            (Ok(Content::Fit), true, Verdict::Ok, "the credential ferryd.token can be sent"),
            (Ok(Content::Closed), true, Verdict::Unknown, "may not look into"),
            (error(io::ErrorKind::NotFound), true, Verdict::Ok, "was given no credential"),
            (error(io::ErrorKind::NotFound), false, Verdict::Unknown, "only while ferryd runs"),
            (error(io::ErrorKind::PermissionDenied), true, Verdict::Unknown, "may not look at"),
            (error(io::ErrorKind::NotADirectory), true, Verdict::Problem, "not a directory"),
        ] {
            let found = systemd_verdict("backend.main", "ferryd.token", looked, runs);
            assert!(found.verdict == expected && found.words.contains(words), "{found:?}");
        }
        let here = Credentials::In("/elsewhere".into());
        let process = super::super::running::Process { credentials: Some(here.clone()), ..Default::default() };
        let running = Running { user: User { uid: 1, gids: None }, process };
        assert_eq!(folder(Place::System, Some(&running)), here);
        assert_eq!(folder(Place::System, None), Credentials::In(SYSTEM.into()));
        assert_eq!(folder(Place::Session, None), Credentials::None);
    }

    #[test]
    fn a_secret_is_judged_and_never_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let text =
            format!("[backend.main]\nurl = \"http://a/\"\ntoken_file = {file:?}\n[backend.two]\nurl = \"http://b/\"\n");
        let config = parse(&[("f.toml".into(), text)], &Host::default()).unwrap();
        let credentials = by_credential(&config);
        assert_eq!(
            credentials.iter().map(|(names, _)| names.as_str()).collect::<Vec<_>>(),
            ["backend.main", "backend.two"]
        );
        let backend = credentials[0].1;
        fs::write(&file, "s3cret-token\n").unwrap();
        assert_eq!(content(backend, &file, None), Content::Fit);
        for wrong in ["", "\n", "s3cret\nand-more\n"] {
            fs::write(&file, wrong).unwrap();
            let Content::Unfit(words) = content(backend, &file, None) else { panic!("{wrong:?} is taken") };
            assert!(words.contains("token: it ") && !words.contains("s3cret"), "{words}");
        }
    }

    #[test]
    fn backends_that_send_the_same_are_told_together() {
        let text = "[backend.a]\nurl = \"http://a/\"\n[backend.b]\nurl = \"http://b/\"\n[backend.c]\nurl = \"http://c/\"\ncredential = \"\"\n";
        let config = parse(&[("f.toml".into(), text.to_owned())], &Host::default()).unwrap();
        let names: Vec<_> = by_credential(&config).into_iter().map(|(names, _)| names).collect();
        assert_eq!(names, ["backend.a, backend.b", "backend.c"]);
    }
}
