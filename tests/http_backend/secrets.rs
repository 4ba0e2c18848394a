//! The credential: read anew, sent to its server alone, and never shown.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ferryd::demo::{Behaviour, Fault, Server};
use ferryd::model::{Answer, BackendConfig, Credential, HeaderToken};
use tracing_subscriber::fmt::MakeWriter;

use crate::setup::{attempt, backend, backend_in, config, config_for, listener, serve, tasks};

const SECRET: &str = "s3cr3t-T0ken.~+/==";

fn with_file(config: BackendConfig, file: &Path) -> BackendConfig {
    BackendConfig { credential: Some(Credential::File(file.to_owned())), ..config }
}

fn sent(server: &Server, name: &str) -> Option<String> {
    server.log(|log| log.heads().next_back()?.headers.get(name).cloned())
}

#[tokio::test]
async fn it_is_read_anew_and_trimmed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let server = serve(Behaviour::honest());
    let backend = backend(&with_file(config_for(&server), &file));
    for token in ["one", "two"] {
        fs::write(&file, format!("{token}\n")).unwrap();
        let Answer::Results(_) = attempt(&backend, &tasks(1)).await else { panic!() };
        assert_eq!(sent(&server, "authorization"), Some(format!("Bearer {token}")));
    }
}

#[tokio::test]
async fn it_goes_in_the_header_that_config_names() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, SECRET).unwrap();
    let server = serve(Behaviour::honest());
    let config = BackendConfig { token: HeaderToken::Header("X-Api-Key".into()), ..config_for(&server) };
    attempt(&backend(&with_file(config, &file)), &tasks(1)).await;
    assert_eq!(sent(&server, "x-api-key").as_deref(), Some(SECRET));
    assert_eq!(sent(&server, "authorization"), None);
}

#[tokio::test]
async fn an_absent_systemd_credential_sends_none() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(Behaviour::honest());
    let config = BackendConfig { credential: Some(Credential::Systemd("ferryd.token".into())), ..config_for(&server) };
    for place in [None, Some(directory.path())] {
        let Answer::Results(_) = attempt(&backend_in(&config, place), &tasks(1)).await else { panic!() };
        assert_eq!(sent(&server, "authorization"), None);
    }
    fs::write(directory.path().join("ferryd.token"), SECRET).unwrap();
    attempt(&backend_in(&config, Some(directory.path())), &tasks(1)).await;
    assert_eq!(sent(&server, "authorization"), Some(format!("Bearer {SECRET}")));
}

#[tokio::test]
async fn one_that_cannot_be_read_sends_nothing_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("empty"), " \n").unwrap();
    fs::write(at("lines"), format!("{SECRET}\nX-Evil: 1\n")).unwrap();
    fs::write(at("binary"), [0xff, 0xfe]).unwrap();
    fs::write(at("huge"), "x".repeat(20_000)).unwrap();
    fs::create_dir(at("directory")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let server = serve(Behaviour::honest());
    for name in ["absent", "empty", "lines", "binary", "huge", "directory", "pipe"] {
        let answer = attempt(&backend(&with_file(config_for(&server), &at(name))), &tasks(1)).await;
        let Answer::NoCredential { words } = answer else { panic!("{name}: {answer:?}") };
        assert!(words.contains(name) && !words.contains(SECRET), "{words}");
    }
    // The endless file that is always at hand.
    let zero = attempt(&backend(&with_file(config_for(&server), Path::new("/dev/zero"))), &tasks(1)).await;
    assert!(matches!(zero, Answer::NoCredential { .. }));
    if !rustix::process::geteuid().is_root() {
        fs::write(at("forbidden"), SECRET).unwrap();
        fs::set_permissions(at("forbidden"), fs::Permissions::from_mode(0o0)).unwrap();
        let answer = attempt(&backend(&with_file(config_for(&server), &at("forbidden"))), &tasks(1)).await;
        assert!(matches!(answer, Answer::NoCredential { .. }));
    }
    assert_eq!(server.log(|log| log.connections), 0);
}

#[test]
fn a_credential_is_one_name() {
    for name in ["../etc/shadow", "/etc/shadow", "", ".."] {
        let config =
            BackendConfig { credential: Some(Credential::Systemd(name.into())), ..config("http://example.org/") };
        let name_of = ferryd::model::BackendName::new("main").unwrap();
        let addresses = ferryd::http::Addresses::new();
        let made = ferryd::backend::Backend::new(name_of, &config, Some(Path::new("/run")), &addresses);
        assert!(made.is_err(), "{name:?}");
    }
}

/// Everything that was traced.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<u8>>>);

impl Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Traced {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn it_is_never_shown_nor_sent_elsewhere() {
    let traced = Traced::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(traced.clone()).finish();
    // For the whole process: with a subscriber of one thread only, a place that another test's thread passes first is
    // taken for one that nobody wants to hear of.
    tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, SECRET).unwrap();
    let server = serve(Behaviour::honest());
    let other = serve(Behaviour::honest());
    let here = BackendConfig { url: format!("http://{}/sync?key=HIDDEN", server.address()), ..config_for(&server) };
    let gone = BackendConfig {
        url: format!("http://{}/sync?key=HIDDEN", listener().local_addr().unwrap()),
        ..config_for(&server)
    };
    let proxied = BackendConfig { proxy: Some(format!("http://user:HIDDEN@{}", other.address())), ..gone.clone() };
    let mut shown = String::new();
    for token in [HeaderToken::Bearer, HeaderToken::Header("X-Api-Key".into())] {
        for config in [&here, &gone] {
            let backend = backend(&with_file(BackendConfig { token: token.clone(), ..config.clone() }, &file));
            for fault in [
                Fault::No,
                Fault::status(401, "who are you?"),
                Fault::redirect(307, &format!("http://{}/?key=HIDDEN", other.address())),
                Fault::redirect(302, "/login?key=HIDDEN"),
                Fault::EndlessHeaders,
                Fault::html(),
            ] {
                server.behave(Behaviour::fault(fault));
                shown += &format!("{:?} {backend:?}\n", attempt(&backend, &tasks(1)).await);
            }
        }
    }
    assert!(server.log(|log| log.requests) >= 12);
    assert_eq!(other.log(|log| log.connections), 0, "the credential's server alone was asked");
    let through = backend(&proxied);
    tracing::trace!("and this is heard");
    shown += &format!("{:?} {through:?}\n", attempt(&through, &tasks(1)).await);
    let traced = String::from_utf8(traced.0.lock().unwrap().clone()).unwrap();
    assert!(traced.contains("and this is heard"), "the trace is real");
    for text in [shown, traced] {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains("HIDDEN"), "{text}");
    }
}
