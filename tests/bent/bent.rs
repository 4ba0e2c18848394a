//! A bent network: `ferryctl bend` with orders at hand, and a server behind it that says what it hears again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::device::HANG;

pub(crate) const FERRYCTL: &str = env!("CARGO_BIN_EXE_ferryctl");

/// A running `ferryctl bend`.
pub(crate) struct Bent {
    process: Child,
    orders: ChildStdin,
    lines: mpsc::Receiver<Value>,
    pub(crate) address: SocketAddr,
}

impl Bent {
    /// Between any free port and this server, with arguments split at spaces.
    pub(crate) fn start(to: SocketAddr, arguments: &str) -> Self {
        let to = to.to_string();
        let mut process = Command::new(FERRYCTL)
            .args(["bend", "--json", "--listen", "127.0.0.1:0", "--to", &to])
            .args(arguments.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ferryctl runs");
        let (told, lines) = mpsc::channel();
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let heard = told.send(serde_json::from_str(&line).expect("a JSON document"));
                if heard.is_err() {
                    break;
                }
            }
        });
        let orders = process.stdin.take().expect("a pipe");
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut bent = Self { process, orders, lines, address: unknown };
        let listening = bent.line();
        assert_eq!((&listening["event"], &listening["to"]), (&"listening".into(), &to.into()));
        bent.address = listening["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        bent
    }

    /// The same on a wifi that loses nothing.
    pub(crate) fn without_losses(to: SocketAddr, arguments: &str) -> Self {
        let mut bent = Self::start(to, &format!("--scenario wifi {arguments}"));
        bent.order("reliability 1");
        bent
    }

    /// The next line.
    pub(crate) fn line(&mut self) -> Value {
        self.lines.recv_timeout(HANG).expect("a line of ferryctl bend")
    }

    /// Gives an order; the answer to it.
    pub(crate) fn order(&mut self, order: &str) -> Value {
        writeln!(self.orders, "{order}").expect("it reads");
        loop {
            let line = self.line();
            if line["event"] != "changed" {
                assert_eq!(line["order"], order);
                return line;
            }
        }
    }

    /// Waits until the scenario changes the link; what it is then.
    pub(crate) fn until_changed(&mut self) -> Value {
        loop {
            let line = self.line();
            if line["event"] == "changed" {
                return line["now"].clone();
            }
        }
    }

    /// A client.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(HANG)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        stream
    }

    /// Waits until it has so many connections.
    pub(crate) fn until_connections(&mut self, count: usize) {
        let begun = Instant::now();
        while self.order("status")["connections"] != count {
            assert!(begun.elapsed() < HANG, "not {count} connections");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Bent {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A server for any number of clients that does so with each; it lives as long as the test.
pub(crate) fn server(with: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("a socket");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let with = with.clone();
            thread::spawn(move || with(stream));
        }
    });
    address
}

/// A server that says again what it hears.
pub(crate) fn echo() -> SocketAddr {
    server(|mut stream| {
        stream.set_nodelay(true).expect("a socket");
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            if stream.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
    })
}

/// Says a word and waits for it to come back.
pub(crate) fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"word")?;
    let mut heard = [0; 4];
    stream.read_exact(&mut heard)?;
    assert_eq!(&heard, b"word");
    Ok(())
}
