//! Stands between a client and an object store: notes each request, and spoils those that the test says.

#![allow(clippy::allow_attributes, dead_code, reason = "each test binary uses another part of this")]

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What it does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Play {
    /// Passes it on, and the answer back.
    Pass,
    /// Passes so many bytes of the body on, and then breaks off.
    CutBody(u64),
    /// Passes its head on with one text in place of another, which its signature does not survive.
    PassEdited(&'static str, &'static str),
    /// Passes it on with its first byte changed.
    PassDamaged,
    /// Passes it on whole, and breaks off when the answer has come.
    LoseAnswer,
    /// Takes the body and answers so itself: a status line, header lines, and a body after an empty line.
    Say(String),
    /// Passes it on whole, and answers so in place of the store.
    PassAndSay(String),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `put`, `head`, `create`, `part`, `list`, `complete`, `abort`, `uploads`, or the method.
    pub(crate) action: &'static str,
    /// How many of this action came before.
    pub(crate) nth: usize,
    pub(crate) query: String,
    pub(crate) head: String,
    /// The number of a part.
    pub(crate) part: Option<u32>,
    /// Bytes of its body that were passed on.
    pub(crate) passed: u64,
    /// What the store answered.
    pub(crate) status: Option<u16>,
}

impl Asked {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

type Script = dyn Fn(&Asked) -> Play + Send + Sync;

/// The relay. It ends with the test's process.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    book: Arc<Book>,
}

#[derive(Default)]
struct Book {
    asked: Mutex<Vec<Asked>>,
    turned: Condvar,
}

impl Book {
    fn open(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Relay {
    pub(crate) fn to(store: SocketAddr, script: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let book = Arc::new(Book::default());
        let (shared, script): (_, Arc<Script>) = (Arc::clone(&book), Arc::new(script));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (book, script) = (Arc::clone(&shared), Arc::clone(&script));
                thread::spawn(move || {
                    let _broken_off = serve(&client, store, &book, &*script);
                    client.shutdown(Shutdown::Both).ok();
                });
            }
        });
        Self { address, book }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.book.open().clone()
    }

    pub(crate) fn actions(&self) -> Vec<&'static str> {
        self.book.open().iter().map(|asked| asked.action).collect()
    }

    pub(crate) fn count(&self, action: &str) -> usize {
        self.book.open().iter().filter(|asked| asked.action == action).count()
    }

    /// Bytes of bodies of files that were passed on.
    pub(crate) fn passed(&self) -> u64 {
        self.book.open().iter().map(|asked| asked.passed).sum()
    }

    /// Blocks until something is true of what was asked.
    pub(crate) fn wait_until(&self, patience: Duration, is_true: impl Fn(&[Asked]) -> bool) -> bool {
        let waited = self.book.turned.wait_timeout_while(self.book.open(), patience, |asked| !is_true(asked));
        !waited.expect("no thread has panicked").1.timed_out()
    }
}

fn action(method: &str, query: &str) -> &'static str {
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match method {
        "PUT" if has("partNumber") => "part",
        "PUT" => "put",
        "HEAD" => "head",
        "POST" if has("uploads") => "create",
        "POST" if has("uploadId") => "complete",
        "POST" => "post",
        "GET" if has("uploads") => "uploads",
        "GET" if has("uploadId") => "list",
        "DELETE" => "abort",
        _ => "other",
    }
}

fn head(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut lines = String::new();
    while !lines.ends_with("\r\n\r\n") {
        if from.read_line(&mut lines)? == 0 {
            return if lines.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
    }
    Ok(Some(lines))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn serve(mut client: &TcpStream, store: SocketAddr, book: &Book, script: &Script) -> io::Result<()> {
    let mut from = BufReader::new(client);
    while let Some(lines) = head(&mut from)? {
        let mut words = lines.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let query = target.split_once('?').map_or("", |(_path, query)| query);
        let length = field(&lines, "content-length").map_or(0, |length| length.parse().expect("a number"));
        assert!(field(&lines, "transfer-encoding").is_none(), "{lines}");
        let (at, asked) = {
            let mut all = book.open();
            let action = action(method, query);
            let nth = all.iter().filter(|asked| asked.action == action).count();
            let number = query.split('&').find_map(|pair| pair.strip_prefix("partNumber="));
            let part = number.map(|number| number.parse().expect("a number"));
            let (query, head) = (query.to_owned(), lines.clone());
            let asked = Asked { action, nth, query, head, part, passed: 0, status: None };
            all.push(asked.clone());
            (all.len() - 1, asked)
        };
        book.turned.notify_all();
        let play = script(&asked);
        if let Play::Say(text) = &play {
            io::copy(&mut from.by_ref().take(length), &mut io::sink())?;
            return client.write_all(text.as_bytes());
        }
        let mut server = TcpStream::connect(store)?;
        let (from_text, to_text) = if let Play::PassEdited(from, to) = play { (from, to) } else { ("", "") };
        let edited = if from_text.is_empty() { lines.clone() } else { lines.replace(from_text, to_text) };
        server.write_all(edited.as_bytes())?;
        let limit = if let Play::CutBody(limit) = play { limit.min(length) } else { length };
        let mut damaged = matches!(play, Play::PassDamaged);
        pass(&mut from, &mut server, limit, &mut damaged, |count| {
            book.open()[at].passed += if matches!(asked.action, "put" | "part") { count } else { 0 };
            book.turned.notify_all();
        })?;
        if matches!(play, Play::CutBody(_)) {
            return Ok(());
        }
        let answer = answer(&mut BufReader::new(&server), method)?;
        let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
        book.open()[at].status = status;
        book.turned.notify_all();
        match play {
            Play::LoseAnswer => return Ok(()),
            Play::PassAndSay(text) => return client.write_all(text.as_bytes()),
            Play::Pass | Play::PassEdited(..) | Play::PassDamaged | Play::CutBody(_) | Play::Say(_) => {
                client.write_all(&answer)?;
            }
        }
        let end = String::from_utf8_lossy(&answer[..answer.len().min(4096)]).to_ascii_lowercase();
        if end.contains("connection: close") {
            return Ok(());
        }
    }
    Ok(())
}

fn pass(
    from: &mut impl BufRead,
    to: &mut TcpStream,
    bytes: u64,
    damaged: &mut bool,
    mut passed: impl FnMut(u64),
) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        let piece = from.fill_buf()?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if std::mem::take(damaged) {
            to.write_all(&[!piece[0]])?;
            to.write_all(&piece[1..count])?;
        } else {
            to.write_all(&piece[..count])?;
        }
        from.consume(count);
        left -= count as u64;
        passed(count as u64);
    }
    Ok(())
}

/// A whole answer, as it came.
fn answer(from: &mut impl BufRead, method: &str) -> io::Result<Vec<u8>> {
    let lines = head(from)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut answer = lines.clone().into_bytes();
    if method == "HEAD" || lines.starts_with("HTTP/1.1 204") {
        return Ok(answer);
    }
    match field(&lines, "content-length") {
        Some(length) => from.take(length.parse().expect("a number")).read_to_end(&mut answer)?,
        None if field(&lines, "transfer-encoding").is_some() => chunks(from, &mut answer)?,
        None => from.read_to_end(&mut answer)?,
    };
    Ok(answer)
}

/// RFC 9112, section 7.1, without trailers.
fn chunks(from: &mut impl BufRead, to: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        to.extend_from_slice(line.as_bytes());
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        from.take(size + 2).read_to_end(to)?;
        if size == 0 {
            return Ok(0);
        }
    }
}

/// An answer to be said: status, fields, body.
pub(crate) fn said(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// An S3 error in XML, to be said.
pub(crate) fn error(status: &str, fields: &str, code: &str) -> String {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the test</Message></Error>");
    said(status, &format!("Content-Type: application/xml\r\n{fields}"), &body)
}
