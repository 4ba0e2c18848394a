//! The proxy: it listens, follows its course and orders, and tells what it does. Who reads that it must not know.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use fastrand::Rng;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::carry::carry;
use super::link::{Connections, Link};
use super::order::Order;
use super::steering::{Course, Outlook, Steering, WhenDown};

/// Connections at once; others wait in the kernel.
const MOST: usize = 128;
const BACKLOG: u32 = 128;

/// What the kernel takes of a client's bytes before they are sent: little, for what a client sent is taken to be under way.
const UNSENT: u32 = 64 * 1024;

/// Why there is no bent network, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum BendError {
    /// The address cannot be listened on.
    #[error("listening on {0}: {1}")]
    Listening(SocketAddr, #[source] io::Error),
    /// Connections cannot be taken.
    #[error("taking connections: {0}")]
    Accepting(#[source] io::Error),
}

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The timeline has changed the link.
    Changed(Outlook),
    /// An order was followed.
    Followed {
        /// The line that it came in.
        order: String,
        /// What is now.
        outlook: Outlook,
        /// Connections that are open, those that will end by the order among them.
        connections: usize,
    },
    /// A line was no order.
    Refused {
        /// The line.
        order: String,
        /// Why not.
        error: String,
    },
}

/// A bent network between one address and another.
#[derive(Debug)]
pub struct Bend {
    listener: TcpListener,
    address: SocketAddr,
    to: SocketAddr,
    link: Arc<Link>,
    steering: Steering,
    begun: Instant,
    random: Rng,
    connections: JoinSet<()>,
}

/// What wakes the proxy.
enum Event {
    Accepted(io::Result<TcpStream>),
    Line(Option<String>),
    Due,
    Ended,
}

impl Bend {
    /// Listens; to be called in a tokio runtime. Connections are taken once it runs.
    pub fn listen(listen: SocketAddr, to: SocketAddr, course: Course) -> Result<Self, BendError> {
        let failed = |error| BendError::Listening(listen, error);
        let listener = listener(listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let steering = Steering::new(course);
        let link = Arc::new(Link::new(steering.link()));
        let (begun, random) = (Instant::now(), Rng::with_seed(course.seed));
        Ok(Self { listener, address, to, link, steering, begun, random, connections: JoinSet::new() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is, and what comes.
    pub fn outlook(&self) -> Outlook {
        self.steering.outlook(self.begun.elapsed())
    }

    /// Runs until it cannot go on. Each line of `orders` is answered by one piece of news, in order; it goes on without them
    /// when nobody can give any more.
    pub async fn run(mut self, mut orders: mpsc::Receiver<String>, tell: &mut dyn FnMut(News)) -> BendError {
        let mut ordered = true;
        loop {
            let due = self.begun + self.steering.next_change();
            let event = tokio::select! {
                line = orders.recv(), if ordered => Event::Line(line),
                () = sleep_until(due) => Event::Due,
                Some(_) = self.connections.join_next() => Event::Ended,
                accepted = self.listener.accept(), if self.connections.len() < MOST => {
                    Event::Accepted(accepted.map(|(client, _)| client))
                }
            };
            match event {
                Event::Accepted(Ok(client)) => self.take(client),
                Event::Accepted(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Event::Accepted(Err(error)) => return BendError::Accepting(error),
                Event::Line(Some(line)) => tell(self.obey(line)),
                Event::Line(None) => ordered = false,
                Event::Due => {
                    if self.steering.pass(self.begun.elapsed()) {
                        self.apply(Connections::Stay);
                        tell(News::Changed(self.outlook()));
                    }
                }
                Event::Ended => {}
            }
        }
    }

    fn take(&mut self, client: TcpStream) {
        if self.refuses() {
            // It is gone already, or is now.
            client.set_zero_linger().ok();
            return;
        }
        let (to, link, random) = (self.to, Arc::clone(&self.link), self.random.fork());
        self.connections.spawn(async move { carry(client, to, &link, random).await });
    }

    /// Whether connections break for want of a link.
    fn refuses(&self) -> bool {
        !self.steering.link().up && self.steering.when_down() == WhenDown::Reset
    }

    fn obey(&mut self, line: String) -> News {
        let order: Order = match line.parse() {
            Ok(order) => order,
            Err(error) => return News::Refused { order: line, error: error.to_string() },
        };
        self.steering.follow(order, self.begun.elapsed());
        self.apply(if order == Order::Reset { Connections::Break } else { Connections::Stay });
        News::Followed { order: line, outlook: self.outlook(), connections: self.connections.len() }
    }

    /// Makes the link what it is to be.
    fn apply(&mut self, connections: Connections) {
        let (before, now) = (self.link.now().state, self.steering.link());
        // Nobody goes on behind a portal that has closed.
        let closed = now.portal && !before.portal;
        let breaks = connections == Connections::Break || closed || self.refuses();
        self.link.become_so(now, if breaks { Connections::Break } else { Connections::Stay });
    }
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_recv_buffer_size(UNSENT)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
