//! Whom TLS trusts: the private CA of config, instead of the system's roots, or else those.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::ClientError;

/// The TLS settings for a backend. Where no TLS is spoken, the system's roots are not loaded.
///
/// A system without roots (a bare Debian has no `ca-certificates`) gives settings that trust nobody: plain HTTP works,
/// and HTTPS fails as what it is, a missing trust.
pub(super) fn settings(ca_file: Option<&Path>, speaks_tls: bool) -> Result<ClientConfig, ClientError> {
    let roots = match ca_file {
        Some(file) => private(file)?,
        None if speaks_tls => system(),
        None => RootCertStore::empty(),
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn private(file: &Path) -> Result<RootCertStore, ClientError> {
    let bad = |words: String| ClientError::CaFile { file: file.to_owned(), words };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| bad(error.to_string()))? {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots.add(certificate).map_err(|error| bad(error.to_string()))?;
    }
    if roots.is_empty() { Err(bad("it holds no certificate".to_owned())) } else { Ok(roots) }
}

/// The system's roots; those that cannot be read are left out with a warning.
fn system() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!("a root certificate of the system cannot be read: {error}");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!("root certificates of the system: {added} trusted, {ignored} unreadable");
    if roots.is_empty() {
        tracing::warn!("the system has no root certificates: install ca-certificates, or set ca_file");
    }
    roots
}
