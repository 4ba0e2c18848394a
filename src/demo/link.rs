//! The demo's link between device and server. As root it is real: two network namespaces joined by a veth pair.
//! Otherwise it is a gate on loopback that refuses connections while it is shut.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::task::{JoinHandle, JoinSet};

/// Addresses of TEST-NET-1 (RFC 5737): they exist in the demo's own namespaces only.
const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The link, down at first.
pub(super) enum Link {
    /// Two namespaces and a veth pair.
    Veth(Veth),
    /// A gate on loopback.
    Gate(Gate),
}

impl Link {
    /// Makes the best link this process may make.
    pub(super) fn new() -> io::Result<Self> {
        if rustix::process::geteuid().is_root() { Veth::new().map(Self::Veth) } else { Gate::new().map(Self::Gate) }
    }

    /// What kind of link it is, for people.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Veth(_) => "a veth pair between two network namespaces",
            Self::Gate(_) => "a gate on loopback that refuses connections (run as root for a real link)",
        }
    }

    /// The reason that ferryd gives while the link is down: behind a gate the device itself stays online.
    pub(super) fn reason_when_down(&self) -> &'static str {
        match self {
            Self::Veth(_) => "offline",
            Self::Gate(_) => "backend-down",
        }
    }

    /// A socket for the server, at its end of the link.
    pub(super) fn listener(&mut self) -> io::Result<TcpListener> {
        match self {
            Self::Veth(veth) => veth.listener(),
            Self::Gate(gate) => gate.listener(),
        }
    }

    /// Where the device finds the server, once it listens.
    pub(super) fn server_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Veth(veth) => veth.server,
            Self::Gate(gate) => Some(gate.front),
        }
    }

    /// A command that runs on the device's side.
    pub(super) fn on_device(&self, program: &std::path::Path) -> Command {
        match self {
            Self::Veth(veth) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &veth.device]).arg(program);
                command
            }
            Self::Gate(_) => Command::new(program),
        }
    }

    /// Brings the link up.
    pub(super) fn raise(&mut self) -> io::Result<()> {
        match self {
            Self::Veth(veth) => veth.raise(),
            Self::Gate(gate) => gate.raise(),
        }
    }
}

/// Two namespaces joined by a veth pair; they go when it is dropped.
pub(super) struct Veth {
    device: String,
    far: String,
    server: Option<SocketAddr>,
}

impl Veth {
    fn new() -> io::Result<Self> {
        let process = std::process::id();
        let veth =
            Self { device: format!("ferry-{process}-device"), far: format!("ferry-{process}-server"), server: None };
        let (device, far) = (veth.device.as_str(), veth.far.as_str());
        ip(&["netns", "add", device])?;
        ip(&["netns", "add", far])?;
        // Different indices: a veth whose peer has its own number tells of its carrier up to a second late.
        let near = ["link", "add", "uplink", "index", "11", "netns", device, "type", "veth"];
        ip(&[&near[..], &["peer", "name", "server", "index", "12", "netns", far]].concat())?;
        ip(&["-n", device, "address", "add", &format!("{DEVICE}/24"), "dev", "uplink"])?;
        ip(&["-n", far, "address", "add", &format!("{SERVER}/24"), "dev", "server"])?;
        ip(&["-n", far, "link", "set", "server", "up"])?;
        Ok(veth)
    }

    /// Binds in the server's namespace, on a thread of its own that ends there.
    fn listener(&mut self) -> io::Result<TcpListener> {
        let namespace = File::open(format!("/run/netns/{}", self.far))?;
        let bind = move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            TcpListener::bind((SERVER, 0))
        };
        let listener = thread::spawn(bind).join().map_err(|_| io::Error::other("the binding thread panicked"))??;
        self.server = Some(listener.local_addr()?);
        Ok(listener)
    }

    fn raise(&self) -> io::Result<()> {
        ip(&["-n", &self.device, "link", "set", "uplink", "up"])?;
        ip(&["-n", &self.device, "route", "add", "default", "via", &SERVER.to_string()])
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        for namespace in [&self.device, &self.far] {
            // Nothing is left to do if it has gone already.
            ip(&["netns", "delete", namespace]).ok();
        }
    }
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), words.trim())))
}

/// A port that refuses connections until it is raised, then passes bytes on to the server.
pub(super) struct Gate {
    front: SocketAddr,
    server: Option<SocketAddr>,
    relay: Option<JoinHandle<()>>,
}

impl Gate {
    fn new() -> io::Result<Self> {
        let front = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self { front, server: None, relay: None })
    }

    fn listener(&mut self) -> io::Result<TcpListener> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        self.server = Some(listener.local_addr()?);
        Ok(listener)
    }

    fn raise(&mut self) -> io::Result<()> {
        let server = self.server.ok_or_else(|| io::Error::other("the server does not listen yet"))?;
        let listener = TcpListener::bind(self.front)?;
        listener.set_nonblocking(true)?;
        self.relay = Some(tokio::spawn(relay(tokio::net::TcpListener::from_std(listener)?, server)));
        Ok(())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(relay) = self.relay.take() {
            relay.abort();
        }
    }
}

async fn relay(front: tokio::net::TcpListener, server: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = front.accept().await {
        connections.spawn(async move {
            let mut far = tokio::net::TcpStream::connect(server).await?;
            tokio::io::copy_bidirectional(&mut near, &mut far).await
        });
    }
}
