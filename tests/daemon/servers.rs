//! Servers to send to.

use std::net::TcpListener;

use ferryd::demo::{Behaviour, Fault, Gate, Server, Wait};

use crate::netns::{Netns, Pair};

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
