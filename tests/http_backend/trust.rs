//! TLS: the private CA of config instead of the system's, and what is not trusted is told as that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferryd::demo::{Behaviour, Server};
use ferryd::http::Addresses;
use ferryd::model::{Answer, BackendConfig, BackendName};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::setup::{attempt, backend, config, listener, tasks};

/// A certificate authority and its file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = directory.join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// A server with a certificate for this name.
    fn serve(&self, name: &str, mend: impl FnOnce(&mut CertificateParams)) -> Server {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        mend(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Server::start_tls(listener(), tls, Behaviour::honest()).unwrap()
    }
}

fn config_for(server: &Server, ca_file: Option<&Path>) -> BackendConfig {
    let url = format!("https://127.0.0.1:{}/sync?key=hidden", server.address().port());
    BackendConfig { ca_file: ca_file.map(Path::to_owned), ..config(&url) }
}

fn untrusted(answer: &Answer) -> &str {
    let Answer::Untrusted { words } = answer else { panic!("{answer:?}") };
    assert!(!words.contains("hidden"), "{words}");
    words
}

#[tokio::test]
async fn a_private_authority_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ours");
    let server = authority.serve("127.0.0.1", |_| {});
    let backend = backend(&config_for(&server, Some(&authority.file)));
    for _ in 0..2 {
        let Answer::Results(_) = attempt(&backend, &tasks(2)).await else { panic!() };
    }
    assert_eq!(server.log(|log| (log.connections, log.applied())), (1, 4));
}

#[tokio::test]
async fn what_is_not_trusted_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Authority::new(directory.path(), "ours");
    let theirs = Authority::new(directory.path(), "theirs");
    let past = |params: &mut CertificateParams| params.not_after = date_time_ymd(2001, 1, 1);
    let future = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
    for (server, words) in [
        (theirs.serve("127.0.0.1", |_| {}), "UnknownIssuer"),
        (ours.serve("127.0.0.1", past), "expired"),
        (ours.serve("127.0.0.1", future), "not valid yet"),
        (ours.serve("other.example", |_| {}), "not valid for name"),
    ] {
        let answer = attempt(&backend(&config_for(&server, Some(&ours.file))), &tasks(1)).await;
        assert!(untrusted(&answer).contains(words), "{words}: {answer:?}");
        assert_eq!(server.log(|log| log.requests), 0, "nothing was sent");
    }
}

#[tokio::test]
async fn the_systems_roots_do_not_trust_a_private_authority() {
    let directory = tempfile::tempdir().unwrap();
    let server = Authority::new(directory.path(), "ours").serve("127.0.0.1", |_| {});
    untrusted(&attempt(&backend(&config_for(&server, None)), &tasks(1)).await);
}

/// Set for the child processes of the test below: the HTTPS port.
const CHILD: &str = "FERRY_TEST_ROOTS_CHILD";

/// The system's roots are found as OpenSSL finds them, `SSL_CERT_FILE` included; a bare Debian has none.
#[tokio::test]
async fn the_systems_roots_are_used_and_may_be_none() {
    if let Ok(port) = std::env::var(CHILD) {
        let plain = crate::setup::serve(Behaviour::honest());
        let Answer::Results(_) = attempt(&backend(&crate::setup::config_for(&plain)), &tasks(1)).await else {
            panic!()
        };
        let answer = attempt(&backend(&config(&format!("https://127.0.0.1:{port}/sync"))), &tasks(1)).await;
        println!("trusted: {}", matches!(answer, Answer::Results(_)));
        assert!(matches!(answer, Answer::Results(_) | Answer::Untrusted { .. }), "{answer:?}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "ours");
    let server = authority.serve("127.0.0.1", |_| {});
    for (roots, trusted) in [(authority.file.as_path(), true), (Path::new("/dev/null"), false)] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "trust::the_systems_roots_are_used_and_may_be_none", "--nocapture"]);
        child.env(CHILD, server.address().port().to_string()).env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
        let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(&format!("trusted: {trusted}")), "{said}");
    }
}

#[tokio::test]
async fn roots_mended_by_the_admin_are_seen_at_the_next_attempt() {
    let directory = tempfile::tempdir().unwrap();
    let ours = Authority::new(directory.path(), "ours");
    let theirs = Authority::new(directory.path(), "theirs");
    let server = theirs.serve("127.0.0.1", |_| {});
    let backend = backend(&config_for(&server, Some(&ours.file)));
    untrusted(&attempt(&backend, &tasks(1)).await);
    std::fs::write(&ours.file, "half written").unwrap();
    untrusted(&attempt(&backend, &tasks(1)).await);
    std::fs::copy(&theirs.file, &ours.file).unwrap();
    let Answer::Results(_) = attempt(&backend, &tasks(1)).await else { panic!() };
}

#[tokio::test]
async fn what_is_no_tls_is_unreachable_not_untrusted() {
    let server = crate::setup::serve(Behaviour::honest());
    let answer = attempt(&backend(&config_for(&server, None)), &tasks(1)).await;
    let Answer::Unreachable { words } = answer else { panic!("{answer:?}") };
    assert!(!words.contains("hidden"), "{words}");
}

#[test]
fn a_ca_file_that_cannot_be_used_is_a_named_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let name = BackendName::new("main").unwrap();
    let config = BackendConfig { ca_file: Some(file.clone()), ..config("https://example.org/") };
    let complaint = |text: Option<&str>| {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let made = ferryd::backend::Backend::new(name.clone(), &config, None, &Addresses::new());
        made.err().map(|error| error.to_string()).unwrap_or_default()
    };
    for text in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")] {
        let said = complaint(text);
        assert!(said.starts_with(&format!("backend.main: ca_file: {}: ", file.display())), "{said}");
    }
}
