//! Row 5: a file that goes up on loopback to a server that discards it, beside a bare hyper client and curl, each of which
//! sends the same file to the same server in one request.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ferryd::demo::{Behaviour, Log, Server, UploadState};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::bus::Bus;
use crate::ferryd::Ferryd;
use crate::report::{Budget, Figure, mebibytes};
use crate::rounds::Turns;
use crate::{Effort, Failed, curl, place};

const FERRYCTL: &str = env!("CARGO_BIN_EXE_ferryctl");
/// So many bytes.
pub(crate) const MEBIBYTE: usize = 1 << 20;
/// Far beyond what a whole file takes.
const HANG: Duration = Duration::from_secs(120);
/// A chunk of the default configuration, and what the upload may need beside it.
const MEMORY: f64 = (8 * MEBIBYTE) as f64;

/// What the upload of one file cost.
struct Cost {
    /// Bytes a second.
    rate: f64,
    /// Seconds of processor time for a GiB.
    processor: f64,
    /// Bytes resident at most, beyond those at rest.
    memory: f64,
}

/// Measures the row.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let (rounds, size) = if effort == Effort::Full { (9, 1024 * MEBIBYTE) } else { (2, 64 * MEBIBYTE) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = Server::start(TcpListener::bind("127.0.0.1:0")?, Behaviour::honest())?;
    server.discard();
    let (bus, dir) = (Bus::start()?, place::directory()?);
    let config = format!(
        "[backend.files]\nkind = \"tus\"\nurl = \"http://{}/files/\"\n[strategy.photo]\nnetwork = \"any\"\n\
         [limits.quota]\nbytes = \"100 GiB\"\n[store]\nkeep_done = \"0 s\"\n",
        server.address()
    );
    let ferryd = runtime.block_on(Ferryd::configured(&bus, dir.path(), &config))?;
    let file = dir.path().join("file");
    write(&file, size)?;
    let mut costs = Vec::new();
    let mut ours = || {
        let cost = carry(&bus, &ferryd, &server, &file, size)?;
        let rate = cost.rate;
        costs.push(cost);
        Ok(rate)
    };
    let mut bare = || runtime.block_on(bare(&server, &file, size));
    let mut curl = || curl::put(server.address(), &file, &Command::spawn);
    let turns = Turns::take_all(rounds, &mut [&mut ours, &mut bare, &mut curl])?;
    ferryd.stop()?;
    Ok(figures(size, &turns, &costs))
}

/// The turns are ours, the bare client's and curl's.
fn figures(size: usize, turns: &Turns, costs: &[Cost]) -> Vec<Figure> {
    let median = |each: fn(&Cost) -> f64| crate::rounds::median(&costs.iter().map(each).collect::<Vec<_>>());
    let (processor, memory) = (median(|cost| cost.processor), median(|cost| cost.memory));
    let speed = |rate: f64| format!("{:.0} MB/s", rate / 1e6);
    vec![
        Figure {
            what: format!("upload of {} MiB on loopback, beside bare hyper", size / MEBIBYTE),
            measured: speed(turns.a()),
            limit: speed(turns.b()),
            ratio: turns.ratio(),
            budget: Budget::AtLeast(0.9),
        },
        Figure {
            what: "the same, beside curl's PUT".to_owned(),
            measured: speed(turns.a()),
            limit: speed(turns.of(2)),
            ratio: turns.ratio_to(2),
            budget: Budget::MoreThan(1.0),
        },
        Figure {
            what: "the same: processor time a GiB".to_owned(),
            measured: format!("{processor:.2} s"),
            limit: "0.8 s".to_owned(),
            ratio: processor / 0.8,
            budget: Budget::AtMost(1.0),
        },
        Figure {
            what: "the same: memory beyond that at rest".to_owned(),
            measured: mebibytes(memory),
            limit: mebibytes(MEMORY),
            ratio: memory / MEMORY,
            budget: Budget::AtMost(1.0),
        },
    ]
}

/// Hands the file over, and measures from the moment the server knows of it until it has all.
fn carry(bus: &Bus, ferryd: &Ferryd, server: &Server, file: &Path, size: usize) -> Result<Cost, Failed> {
    let before = server.uploads().len();
    let at_rest = ferryd.memory()?.resident;
    let put = Command::new(FERRYCTL).args(["--address", &bus.address, "put"]).arg(file).output()?;
    if !put.status.success() {
        return Err(format!("ferryctl put: {}", String::from_utf8_lossy(&put.stderr)).into());
    }
    ferryd.forget_peak()?;
    wait(server, |log| log.uploads().len() > before)?;
    let (began, spent) = (Instant::now(), ferryd.processor_time()?);
    wait(server, |log| log.uploads().last().is_some_and(|upload| upload.state == UploadState::Finished))?;
    let took = began.elapsed().as_secs_f64();
    let processor = (ferryd.processor_time()? - spent).as_secs_f64();
    Ok(Cost {
        rate: size as f64 / took,
        processor: processor * (1024.0 * MEBIBYTE as f64) / size as f64,
        memory: ferryd.peak()? - at_rest,
    })
}

fn wait(server: &Server, wanted: impl FnMut(&Log) -> bool) -> Result<(), Failed> {
    if server.wait_until(wanted, HANG) { Ok(()) } else { Err(format!("no upload: {:?}", server.uploads()).into()) }
}

/// The limit: creation and one `PATCH`, nothing kept, nothing checked.
async fn bare(server: &Server, file: &Path, size: usize) -> Result<f64, Failed> {
    let stream = tokio::net::TcpStream::connect(server.address()).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = |method: &str, path: &str| {
        Request::builder().method(method).uri(path).header("Host", "bench").header("Tus-Resumable", "1.0.0")
    };
    let create = request("POST", "/files/").header("Upload-Length", size).header("Content-Length", 0);
    let created: Response<_> = sender.send_request(create.body(FileBody::empty())?).await?;
    let location = created.headers().get("Location").ok_or("no Location")?.to_str()?.to_owned();
    let path = location.find("/files/").map_or(location.as_str(), |at| &location[at..]).to_owned();
    let began = Instant::now();
    let patch = request("PATCH", &path)
        .header("Upload-Offset", 0)
        .header("Content-Type", "application/offset+octet-stream")
        .body(FileBody { file: Some(File::open(file)?), left: size as u64 })?;
    sender.ready().await?;
    let answer = sender.send_request(patch).await?;
    if answer.status() != StatusCode::NO_CONTENT {
        return Err(format!("the bare client got {}", answer.status()).into());
    }
    Ok(size as f64 / began.elapsed().as_secs_f64())
}

/// A file read piece by piece.
struct FileBody {
    file: Option<File>,
    left: u64,
}

impl FileBody {
    fn empty() -> Self {
        Self { file: None, left: 0 }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let Some(file) = &mut self.file else { return Poll::Ready(None) };
        let mut piece = vec![0; MEBIBYTE / 4];
        Poll::Ready(match file.read(&mut piece) {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                self.left -= read as u64;
                Some(Ok(Frame::data(piece.into())))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Writes a file of bytes that no two places of it share; its size in whole MiB.
pub(crate) fn write(path: &Path, size: usize) -> Result<(), Failed> {
    let mut file = File::create(path)?;
    let mut random = fastrand::Rng::with_seed(5);
    let mut piece = vec![0; MEBIBYTE];
    for _ in 0..size / MEBIBYTE {
        random.fill(&mut piece);
        file.write_all(&piece)?;
    }
    Ok(())
}
