//! Opening: the directory and its lock, whose database it is, its schema, the damage, the threads.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};

use super::agenda::Agenda;
use super::books::Books;
use super::cursor::CursorKey;
use super::error::{OpenError, StoreError, is_damaged, is_full};
use super::operation::Job;
use super::ops::recover::{Recover, Recovered};
use super::read::{Pace, Query, ReadJob, serve};
use super::reserve::Reserve;
use super::writer::Writer;
use super::{Opening, Options, salvage, schema};
use crate::model::{StoreNews, WallTime};

/// Where things lie in the state directory.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) dir: PathBuf,
}

impl Places {
    /// The queue.
    pub(super) fn database(&self) -> PathBuf {
        self.dir.join("ferry.db")
    }

    /// Held while a daemon has the directory.
    fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    fn reserve(&self) -> PathBuf {
        self.dir.join("reserve")
    }

    /// There while the database is thought to be damaged.
    fn suspicion(&self) -> PathBuf {
        self.dir.join("ferry.db.suspect")
    }
}

/// Remembers across a restart that SQLite found damage, so that the next open checks the whole database.
#[derive(Debug, Clone)]
pub(super) struct Suspicion(PathBuf);

impl Suspicion {
    /// From now on.
    pub(super) fn raise(&self) {
        if let Err(error) = File::create(&self.0) {
            tracing::error!(%error, "noting that the queue database is damaged");
        }
    }

    fn is_raised(&self) -> bool {
        self.0.exists()
    }

    fn lower(&self) -> io::Result<()> {
        if self.is_raised() { std::fs::remove_file(&self.0) } else { Ok(()) }
    }
}

/// A thread and the way to it.
type Thread<T> = (Sender<T>, JoinHandle<()>);

/// The threads of an open store. Dropped, it waits until what was asked is done.
#[derive(Debug)]
pub(super) struct Threads {
    writer: Option<Thread<Box<dyn Job>>>,
    points: Option<Thread<ReadJob>>,
    scans: Option<Thread<ReadJob>>,
}

impl Threads {
    /// Hands a job to the writer. If its thread is gone, the job's future says so.
    pub(super) fn write(&self, job: Box<dyn Job>) {
        if let Some((sender, _)) = &self.writer {
            let _ = sender.send(job);
        }
    }

    /// Hands a query to its reader. If its thread is gone, the query's future says so.
    pub(super) fn read<Q: Query>(&self, job: ReadJob) {
        let reader = match Q::PACE {
            Pace::Point => &self.points,
            Pace::Scan => &self.scans,
        };
        if let Some((sender, _)) = reader {
            let _ = sender.send(job);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // The writer last: the last connection to close is the one that may write the WAL back.
        for (sender, thread) in [self.points.take(), self.scans.take()].into_iter().flatten() {
            drop(sender);
            join(thread);
        }
        if let Some((sender, thread)) = self.writer.take() {
            drop(sender);
            join(thread);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    // The last handle may be dropped by the news, which run on the writer's own thread.
    if thread.thread().id() != thread::current().id() && thread.join().is_err() {
        tracing::error!("a thread of the store panicked");
    }
}

/// See [`Store::open`](super::Store::open).
pub(super) fn open(
    dir: &Path,
    options: Options,
    now: WallTime,
    seed: u64,
    news: impl FnMut(StoreNews) + Send + 'static,
) -> Result<(Threads, Opening), OpenError> {
    let places = Places { dir: dir.to_owned() };
    let io_error = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { doing, path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error("making the state directory", dir))?;
    let lock = take_lock(&places)?;
    let ready = || -> Result<Ready, OpenError> {
        let reserve = Reserve::open(&places.reserve(), options.reserve)
            .map_err(io_error("setting space aside in", &places.reserve()))?;
        let random = fastrand::Rng::with_seed(seed);
        Ok(Ready { places: places.clone(), options: options.clone(), now, random, reserve })
    };
    let (writer, opening) = match ready()?.open() {
        // Damage that only the first transaction met: it is suspected now, and the whole database will be checked.
        Err(OpenError::Recover { source: StoreError::Damaged { .. }, .. }) => ready()?.open()?,
        other => other?,
    };
    let threads = start(writer, lock, dir, news)?;
    Ok((threads, opening))
}

fn take_lock(places: &Places) -> Result<File, OpenError> {
    let path = places.lock();
    let io_error = |source| OpenError::Io { doing: "taking the lock", path: path.clone(), source };
    let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&path).map_err(io_error)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked { path: places.dir.clone() }),
        Err(error) => Err(io_error(error.into())),
    }
}

/// The directory is ours; now the database.
struct Ready {
    places: Places,
    options: Options,
    now: WallTime,
    random: fastrand::Rng,
    reserve: Reserve,
}

impl Ready {
    /// Opens the database; if it is damaged, once more with what is readable of it.
    fn open(mut self) -> Result<(Writer, Opening), OpenError> {
        let file = self.places.database();
        let suspicion = Suspicion(self.places.suspicion());
        salvage::finish(&file, self.now)?;
        let (conn, salvage) = match self.connect(&suspicion) {
            Ok(conn) => (conn, None),
            Err(error) => {
                let Some(reason) = damage(&error) else { return Err(error) };
                let salvage = salvage::salvage(&file, &reason, self.now)?;
                (self.connect(&suspicion)?, Some(salvage))
            }
        };
        suspicion.lower().map_err(|source| OpenError::Io { doing: "removing", path: suspicion.0.clone(), source })?;
        let (mut writer, recovered) = self.recover(conn, suspicion)?;
        let news = writer.news().unwrap_or_default();
        Ok((writer, Opening { recovered: recovered.waiting, crashed: recovered.crashed, salvage, news }))
    }

    /// Even a start takes some space: on a full disk it is the reserve's.
    fn connect(&mut self, suspicion: &Suspicion) -> Result<Connection, OpenError> {
        match self.try_connect(suspicion) {
            Err(OpenError::Sqlite { source, .. }) if is_full(&source) && self.reserve.release() => {
                self.try_connect(suspicion)
            }
            other => other,
        }
    }

    fn try_connect(&mut self, suspicion: &Suspicion) -> Result<Connection, OpenError> {
        let file = self.places.database();
        peek(&file)?;
        make(&file)?;
        let conn = connect(&file, &mut self.random).and_then(|conn| {
            check(&conn, suspicion.is_raised())?;
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
            Ok(conn)
        });
        conn.map_err(|source| OpenError::Sqlite { doing: "opening the queue database", path: file, source })
    }

    fn recover(self, conn: Connection, suspicion: Suspicion) -> Result<(Writer, Recovered), OpenError> {
        let file = self.places.database();
        let sqlite = |source| OpenError::Sqlite { doing: "reading the queue database", path: file.clone(), source };
        let mut writer = Writer {
            books: Books::load(&conn).map_err(sqlite)?,
            next_seq: next_seq(&conn).map_err(sqlite)?,
            conn,
            agenda: Agenda::new(),
            options: self.options,
            random: self.random,
            reserve: self.reserve,
            suspicion,
        };
        let recovered = writer
            .perform(Recover { now: self.now })
            .map_err(|source| OpenError::Recover { path: file.clone(), source })?;
        Ok((writer, recovered))
    }
}

/// What SQLite says about the damage, if it is damage.
fn damage(error: &OpenError) -> Option<String> {
    match error {
        OpenError::Sqlite { source, .. } if is_damaged(source) => Some(source.to_string()),
        OpenError::Sqlite { .. }
        | OpenError::Io { .. }
        | OpenError::Locked { .. }
        | OpenError::Newer { .. }
        | OpenError::Foreign { .. }
        | OpenError::Recover { .. } => None,
    }
}

/// The table and its indexes: which rows stand there, and in which order.
const ENDS: [(&str, &str, &str); 8] = [
    ("NOT INDEXED", "true", "seq"),
    ("INDEXED BY task_id", "true", "id"),
    ("INDEXED BY ready", "state = 0 AND behind = 0 AND deps = 0", "lane"),
    ("INDEXED BY busy", "state IN (1, 5)", "state"),
    ("INDEXED BY ended", "state IN (2, 4)", "since"),
    ("INDEXED BY expiring", "expires IS NOT NULL AND state = 0", "expires"),
    ("INDEXED BY backoff", "state = 0 AND attempts > 0", "due"),
    ("INDEXED BY keyed", "key IS NOT NULL AND state IN (0, 1, 5)", "owner"),
];

/// Looks for damage where a start needs the database to be sound: the ends of the table and of each index. The whole of
/// it is checked only after a run that found damage, since that takes as long as reading it all.
fn check(conn: &Connection, suspected: bool) -> rusqlite::Result<()> {
    Books::load(conn)?;
    next_seq(conn)?;
    for (index, rows, order) in ENDS {
        for direction in ["ASC", "DESC"] {
            let end = format!("SELECT * FROM task {index} WHERE {rows} ORDER BY {order} {direction} LIMIT 1");
            conn.prepare(&end)?.query([])?.next()?;
        }
    }
    if !suspected {
        return Ok(());
    }
    let found: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(corrupt(found)) }
}

fn corrupt(found: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(found))
}

fn next_seq(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row(
        "SELECT max(coalesce((SELECT value FROM meta WHERE name = 'next_seq'), 1),
                    coalesce((SELECT max(seq) FROM task), 0) + 1)",
        [],
        |row| row.get(0),
    )
}

/// Makes the file if there is none, so that nobody else can read it; its WAL takes the same mode.
pub(super) fn make(file: &Path) -> Result<(), OpenError> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
        .map(drop)
        .map_err(|source| OpenError::Io { doing: "making", path: file.to_owned(), source })
}

fn connect(file: &Path, random: &mut fastrand::Rng) -> rusqlite::Result<Connection> {
    let mut conn =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Until it is known to be sound, nothing of its WAL is written into it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    schema::prepare_writer(&conn)?;
    schema::migrate(&mut conn)?;
    CursorKey::make(&conn, random)?;
    Ok(conn)
}

/// Looks whose database it is and which schema it has, and changes nothing: neither the file nor its WAL.
fn peek(file: &Path) -> Result<(), OpenError> {
    if !file.exists() {
        return Ok(());
    }
    look_at_header(file)?;
    let companions = ["-wal", "-shm"].map(|suffix| with_suffix(file, suffix));
    let made: Vec<&PathBuf> = companions.iter().filter(|path| !path.exists()).collect();
    look(file).inspect_err(|_| {
        for path in made {
            // What SQLite made to look inside; it may not be there.
            let _ = std::fs::remove_file(path);
        }
    })
}

/// What the file says without its WAL, read without SQLite. The file format, section 1.3.
fn look_at_header(file: &Path) -> Result<(), OpenError> {
    let mut header = [0; 100];
    let read = File::open(file).and_then(|mut file| io::Read::read_exact(&mut file, &mut header));
    if read.is_err() || !header.starts_with(b"SQLite format 3\0") {
        // Too short, or damaged: SQLite will say.
        return Ok(());
    }
    let number =
        |at: usize| i64::from(u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let (version, application_id) = (number(60), number(68));
    // Both are 0 in a database that has all it has in its WAL.
    if version == 0 && application_id == 0 { Ok(()) } else { is_ours(file, version, application_id) }
}

fn is_ours(file: &Path, version: i64, application_id: i64) -> Result<(), OpenError> {
    let path = file.to_owned();
    if application_id != schema::APPLICATION_ID {
        return Err(OpenError::Foreign { path, found: application_id });
    }
    if version > schema::VERSION {
        return Err(OpenError::Newer { path, found: version, known: schema::VERSION });
    }
    Ok(())
}

fn look(file: &Path) -> Result<(), OpenError> {
    let path = file.to_owned();
    let sqlite = |source| OpenError::Sqlite { doing: "opening the queue database", path: path.clone(), source };
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    let application_id = schema::application_id(&conn).map_err(sqlite)?;
    let version = schema::version(&conn).map_err(sqlite)?;
    if tables == 0 { Ok(()) } else { is_ours(file, version, application_id) }
}

/// The file beside `file` whose name ends so.
pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn start(
    writer: Writer,
    lock: File,
    dir: &Path,
    news: impl FnMut(StoreNews) + Send + 'static,
) -> Result<Threads, OpenError> {
    let file = dir.join("ferry.db");
    let sqlite = |source| OpenError::Sqlite { doing: "reading the queue database", path: file.clone(), source };
    let key = CursorKey::read(&writer.conn).map_err(sqlite)?;
    let reader = |name: &'static str| {
        let conn = schema::open_reader(&file).map_err(sqlite)?;
        let suspicion = writer.suspicion.clone();
        spawn(dir, name, move |inbox| serve(&conn, key, &suspicion, &inbox))
    };
    let points = Some(reader("store-get")?);
    let scans = Some(reader("store-list")?);
    let writer = Some(spawn(dir, "store-write", move |inbox| {
        writer.serve(&inbox, news);
        drop(lock);
    })?);
    Ok(Threads { writer, points, scans })
}

fn spawn<T: Send + 'static>(
    dir: &Path,
    name: &str,
    body: impl FnOnce(Receiver<T>) + Send + 'static,
) -> Result<Thread<T>, OpenError> {
    let (sender, inbox) = channel();
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || body(inbox))
        .map_err(|source| OpenError::Io { doing: "starting a thread for", path: dir.to_owned(), source })?;
    Ok((sender, thread))
}
