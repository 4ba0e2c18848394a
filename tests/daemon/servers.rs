//! Servers to send to.

use std::net::TcpListener;
use std::sync::Arc;

use ferryd::demo::{Behaviour, Fault, Gate, Server, Wait};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::netns::{Netns, Pair};

/// On loopback bytes cost money, and analytics minds.
pub(crate) const METERED: &str = "[[network.interface]]\nmatch = \"lo\"\nmetered = \"yes\"\n\
                                  [strategy.analytics]\nnetwork = \"unmetered\"";

/// On loopback.
pub(crate) fn serve(behaviour: Behaviour) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    Server::start(listener, behaviour).expect("a server")
}

/// At the server's end of a cable.
pub(crate) fn serve_in(netns: &Netns, behaviour: Behaviour) -> Server {
    let listener = netns.inside(|| TcpListener::bind((Pair::SERVER, 0)).expect("a socket"));
    Server::start(listener, behaviour).expect("a server")
}

/// Reads and never answers.
pub(crate) fn hanging() -> Behaviour {
    Behaviour { before_applying: Wait::Gate(Gate::closed()), ..Behaviour::honest() }
}

/// Answers every request so.
pub(crate) fn answering(fault: Fault) -> Behaviour {
    Behaviour::fault(fault)
}

/// A configuration whose one backend is this server.
pub(crate) fn config(server: &Server) -> String {
    config_with(server, "")
}

/// The same with more lines in the backend's section, or after it.
pub(crate) fn config_with(server: &Server, more: &str) -> String {
    format!("[device]\nname = \"tested\"\n[backend.main]\nurl = \"http://{}/sync\"\n{more}\n", server.address())
}

/// On loopback by TLS; and the PEM text of the authority to trust.
pub(crate) fn serve_tls(behaviour: Behaviour) -> (Server, String) {
    serve_tls_on(TcpListener::bind("127.0.0.1:0").expect("a socket"), behaviour, &[])
}

/// Where this listens, by TLS, with a certificate for its address and these names.
pub(crate) fn serve_tls_on(listener: TcpListener, behaviour: Behaviour, names: &[&str]) -> (Server, String) {
    let mut names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
    names.push(listener.local_addr().expect("an address").ip().to_string());
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(names).expect("parameters");
    let certificate = certificate.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate");
    (Server::start_tls(listener, tls, behaviour).expect("a server"), authority)
}
