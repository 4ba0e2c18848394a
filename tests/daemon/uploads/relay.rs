//! Stands between the daemon and a tus server: counts the bytes of files that pass, and which of them the server had, and
//! holds them at a byte so that the server can be killed there.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use crate::device::HANG;

/// The relay. It ends with the test's process.
pub(crate) struct Relay {
    address: SocketAddr,
    book: Arc<Book>,
}

#[derive(Default)]
struct Book {
    page: Mutex<Page>,
    turned: Condvar,
}

#[derive(Debug, Default)]
struct Page {
    /// Bytes of files that were passed on.
    sent: u64,
    /// Those of them that the server had then.
    again: u64,
    /// How much the server has of each upload, by its path.
    has: BTreeMap<String, u64>,
    /// The byte before which everything stops.
    stop: Option<u64>,
    is_stopped: bool,
}

impl Relay {
    /// Passes on to this server, whether it is there or not.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let book = Arc::new(Book::default());
        let shared = book.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let book = shared.clone();
                thread::spawn(move || serve(&client, server, &book));
            }
        });
        Self { address, book }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets so many bytes of files through, and blocks until they are.
    pub(crate) fn stop_after(&self, bytes: u64) {
        let mut page = self.book.open();
        page.stop = Some(page.sent + bytes);
        let (page, waited) =
            self.book.turned.wait_timeout_while(page, HANG, |page| !page.is_stopped).expect("no thread has panicked");
        assert!(!waited.timed_out(), "no more bytes come: {page:?}");
    }

    /// Lets everything through again.
    pub(crate) fn go_on(&self) {
        let mut page = self.book.open();
        (page.stop, page.is_stopped) = (None, false);
        self.book.turned.notify_all();
    }

    /// The server has so much of an upload, as was seen by other means than its answers.
    pub(crate) fn server_has(&self, path: &str, bytes: u64) {
        self.book.open().has.insert(path.to_owned(), bytes);
    }

    /// Bytes of files that were sent, and how many of them the server had.
    pub(crate) fn sent(&self) -> (u64, u64) {
        let page = self.book.open();
        (page.sent, page.again)
    }
}

impl Book {
    fn open(&self) -> MutexGuard<'_, Page> {
        self.page.lock().expect("no thread has panicked")
    }

    /// How many of these bytes of a file may go now; they count as sent.
    fn admit(&self, path: &str, at: u64, bytes: u64) -> u64 {
        let mut page = self.turned.wait_while(self.open(), |page| page.is_stopped).expect("no thread has panicked");
        let admitted = page.stop.map_or(bytes, |stop| bytes.min(stop - page.sent));
        let has = page.has.get(path).copied().unwrap_or(0);
        page.sent += admitted;
        page.again += has.saturating_sub(at).min(admitted);
        admitted
    }

    /// Admitted bytes have gone.
    fn gone(&self) {
        let mut page = self.open();
        if page.stop == Some(page.sent) {
            page.is_stopped = true;
            self.turned.notify_all();
        }
    }

    /// The server has answered.
    fn note(&self, asked: &Asked, answer: &Head) {
        let offset = answer.number("upload-offset");
        let (path, has) = match (asked.method.as_str(), answer.status()) {
            ("POST", 201) => (answer.get("location").map(path_of), Some(0)),
            ("HEAD", 200) | ("PATCH", 204) => (Some(asked.path.clone()), offset),
            _ => return,
        };
        self.open().has.insert(path.expect("a location"), has.expect("an offset"));
    }
}

/// The path of a URL.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest[rest.find('/').unwrap_or(0)..].to_owned()
}

/// A request that is to be answered.
struct Asked {
    method: String,
    path: String,
}

/// The lines before a body.
struct Head {
    lines: String,
}

impl Head {
    /// `None` when nothing more comes.
    fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut lines = String::new();
        while !lines.ends_with("\r\n\r\n") {
            if from.read_line(&mut lines)? == 0 {
                return if lines.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
        Ok(Some(Self { lines }))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.lines.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.get(name).map(|value| value.parse().expect("a number"))
    }

    fn word(&self, index: usize) -> &str {
        self.lines.split_whitespace().nth(index).expect("a first line")
    }

    fn status(&self) -> u16 {
        self.word(1).parse().expect("a status")
    }
}

/// Both ways end when one does.
fn serve(client: &TcpStream, server: SocketAddr, book: &Book) {
    if let Ok(server) = TcpStream::connect(server) {
        let (tell, asked) = channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _broken_off = requests(client, &server, book, tell);
                end(client, &server);
            });
            let _broken_off = answers(&server, client, book, &asked);
            end(client, &server);
        });
    }
}

fn end(client: &TcpStream, server: &TcpStream) {
    for side in [client, server] {
        let _gone = side.shutdown(Shutdown::Both);
    }
}

fn requests(client: &TcpStream, mut server: &TcpStream, book: &Book, tell: Sender<Asked>) -> io::Result<()> {
    let mut from = BufReader::new(client);
    while let Some(head) = Head::read(&mut from)? {
        let (method, path) = (head.word(0).to_owned(), head.word(1).to_owned());
        let _answers_ended = tell.send(Asked { method, path: path.clone() });
        server.write_all(head.lines.as_bytes())?;
        let mut at = head.number("upload-offset").unwrap_or(0);
        let mut left = head.number("content-length").unwrap_or(0);
        assert!(head.get("transfer-encoding").is_none(), "{}", head.lines);
        while left > 0 {
            let piece = from.fill_buf()?;
            if piece.is_empty() {
                return Ok(());
            }
            let piece = &piece[..piece.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
            let count = book.admit(&path, at, piece.len() as u64);
            let count = usize::try_from(count).expect("a part of it");
            let passed = server.write_all(&piece[..count]);
            book.gone();
            passed?;
            from.consume(count);
            (at, left) = (at + count as u64, left - count as u64);
        }
    }
    Ok(())
}

fn answers(server: &TcpStream, mut client: &TcpStream, book: &Book, asked: &Receiver<Asked>) -> io::Result<()> {
    let mut from = BufReader::new(server);
    while let Some(head) = Head::read(&mut from)? {
        let Ok(asked) = asked.recv() else { return Ok(()) };
        book.note(&asked, &head);
        client.write_all(head.lines.as_bytes())?;
        if asked.method == "HEAD" || head.status() == 204 {
            continue;
        }
        match head.number("content-length") {
            Some(length) => drop(io::copy(&mut from.by_ref().take(length), &mut client)?),
            None => pass_chunks(&mut from, client)?,
        }
    }
    Ok(())
}

/// RFC 9112, section 7.1, without trailers.
fn pass_chunks(from: &mut impl BufRead, mut to: &TcpStream) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        to.write_all(line.as_bytes())?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        io::copy(&mut from.take(size + 2), &mut to)?;
        if size == 0 {
            return Ok(());
        }
    }
}

#[test]
fn bytes_that_the_server_had_are_counted_and_all_stop_at_one() {
    let book = Book::default();
    book.open().has.insert("/a".to_owned(), 100);
    assert_eq!((book.admit("/b", 0, 7), book.admit("/a", 100, 7)), (7, 7));
    assert_eq!(book.open().again, 0);
    book.open().stop = Some(50);
    assert_eq!((book.admit("/a", 90, 20), book.admit("/a", 0, 20)), (20, 16));
    book.gone();
    let page = book.open();
    assert_eq!((page.sent, page.again, page.is_stopped), (50, 10 + 16, true));
}
