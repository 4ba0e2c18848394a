//! A tus server by hand: honest unless the test says otherwise.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does with a request.
pub(crate) enum Play {
    /// What a good server does.
    Honest,
    /// Takes the body and keeps nothing of it, then says this, a whole head without its last empty line.
    Say(&'static str),
    /// Keeps the body, then says this.
    KeepAndSay(String),
    /// Honest, but its answer breaks off after so many bytes.
    CutAnswer(usize),
    /// Keeps so many bytes of the body, then breaks off.
    CutBody(usize),
    /// Takes what comes and says nothing.
    Hang,
    /// Header fields without end.
    Endless,
    /// Honest, but takes its time over each piece of the body.
    Slow(Duration),
}

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// How many of this method came before.
    pub(crate) nth: usize,
    pub(crate) path: String,
    pub(crate) head: String,
}

impl Asked {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.field(name)?.parse().ok()
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) stored: Vec<u8>,
    length: usize,
    uploads: usize,
    /// Bytes of bodies that it kept, of all uploads.
    pub(crate) kept: usize,
    pub(crate) asked: Vec<Asked>,
}

type Script = dyn Fn(&Asked) -> Play + Send + Sync;

pub(crate) struct Liar {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Liar {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state: Arc<Mutex<State>> = Arc::default();
        let (script, shared): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&state));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&shared)));
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/files", self.port)
    }

    pub(crate) fn state<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().unwrap())
    }

    /// The methods that it was asked, in order.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.state(|state| state.asked.iter().map(|asked| asked.method.clone()).collect())
    }

    pub(crate) fn count(&self, method: &str) -> usize {
        self.methods().iter().filter(|each| *each == method).count()
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Script>, state: Arc<Mutex<State>>) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut words = head.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let asked = {
            let mut state = state.lock().unwrap();
            let nth = state.asked.iter().filter(|asked| asked.method == method).count();
            let asked = Asked { method, nth, path, head };
            state.asked.push(asked.clone());
            asked
        };
        answer(&mut stream, &asked, script(&asked), &state).await?;
    }
}

/// `None` ends the connection.
async fn answer(stream: &mut TcpStream, asked: &Asked, play: Play, state: &Mutex<State>) -> Option<()> {
    let body = asked.number("content-length").unwrap_or(0);
    assert!(asked.field("transfer-encoding").is_none(), "{}", asked.head);
    let say = |text: &str| format!("HTTP/1.1 {text}\r\nTus-Resumable: 1.0.0\r\n\r\n").into_bytes();
    let bytes = match play {
        Play::Honest => honest(stream, asked, body, Duration::ZERO, state).await?,
        Play::Slow(pause) => honest(stream, asked, body, pause, state).await?,
        Play::Say(text) => {
            take(stream, body, Duration::ZERO, None).await?;
            say(text)
        }
        Play::KeepAndSay(text) => {
            take(stream, body, Duration::ZERO, Some(state)).await?;
            say(&text)
        }
        Play::CutAnswer(size) => {
            let whole = honest(stream, asked, body, Duration::ZERO, state).await?;
            stream.write_all(&whole[..size.min(whole.len())]).await.ok()?;
            return None;
        }
        Play::CutBody(size) => {
            take(stream, size.min(body), Duration::ZERO, Some(state)).await;
            return None;
        }
        Play::Hang => loop {
            let mut void = [0; 4096];
            if stream.read(&mut void).await.ok()? == 0 {
                return None;
            }
        },
        Play::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await.ok()?;
            loop {
                stream.write_all(b"X-Endless: yes\r\n").await.ok()?;
            }
        }
    };
    stream.write_all(&bytes).await.ok()
}

async fn take(stream: &mut TcpStream, size: usize, pause: Duration, keep: Option<&Mutex<State>>) -> Option<()> {
    let mut left = size;
    let mut piece = vec![0; 256 * 1024];
    while left > 0 {
        let room = left.min(piece.len());
        let read = stream.read(&mut piece[..room]).await.ok().filter(|read| *read > 0)?;
        left -= read;
        if let Some(state) = keep {
            let mut state = state.lock().unwrap();
            state.stored.extend_from_slice(&piece[..read]);
            state.kept += read;
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Some(())
}

async fn honest(
    stream: &mut TcpStream,
    asked: &Asked,
    body: usize,
    pause: Duration,
    state: &Mutex<State>,
) -> Option<Vec<u8>> {
    let good = asked.method == "PATCH" && state.lock().unwrap().stored.len() == asked.number("upload-offset")?;
    take(stream, body, pause, good.then_some(state)).await?;
    let mut state = state.lock().unwrap();
    let status = match asked.method.as_str() {
        "POST" => {
            state.uploads += 1;
            state.stored.clear();
            state.length = asked.number("upload-length")?;
            return Some(line(&format!("201 Created\r\nLocation: /files/{}", state.uploads)));
        }
        "OPTIONS" => "204 No Content\r\nTus-Version: 1.0.0",
        _ if asked.path != format!("/files/{}", state.uploads) => "404 Not Found",
        "HEAD" => "200 OK",
        "PATCH" if good => "204 No Content",
        "PATCH" => "409 Conflict",
        other => panic!("{other}"),
    };
    Some(line(&format!("{status}\r\nUpload-Offset: {}\r\nUpload-Length: {}", state.stored.len(), state.length)))
}

fn line(head: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n\r\n").into_bytes()
}
