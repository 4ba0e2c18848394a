//! Opening: the directory and its lock, whose database it is, its schema, the damage, the threads.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use rustix::fs::{FlockOperation, flock};

use super::agenda::Agenda;
use super::books::Books;
use super::cursor::CursorKey;
use super::error::{OpenError, StoreError, is_damaged, is_full};
use super::ops::recover::{Recover, Recovered};
use super::peek::peek;
use super::places::{Places, Suspicion};
use super::read::serve;
use super::reserve::Reserve;
use super::spool::Spool;
use super::threads::{Threads, spawn};
use super::writer::{Health, Writer};
use super::{Listener, Opening, Options, salvage, schema};
use crate::model::WallTime;

/// See [`Store::open`](super::Store::open).
pub(super) fn open(
    dir: &Path,
    options: Options,
    now: WallTime,
    seed: u64,
    listener: impl Listener,
) -> Result<(Threads, Spool, Opening), OpenError> {
    let places = Places { dir: dir.to_owned() };
    let io_error = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Io { doing, path, source }
    };
    make_folder(dir).map_err(io_error("making the state directory", dir))?;
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
    let spool = open_spool(&places, &writer, opening.salvage.is_some())?;
    // What is synced in a file whose name is not on the disk goes with the name in a power cut: the WAL and the spool may be
    // new. SQLite tries, but does not say if that failed.
    sync_folder(dir).map_err(io_error("syncing", dir))?;
    let threads = start(writer, lock, dir, listener)?;
    Ok((threads, spool, opening))
}

/// What was carried over of a damaged database may not be all of it: then the files of what is missing are kept.
fn open_spool(places: &Places, writer: &Writer, is_salvaged: bool) -> Result<Spool, OpenError> {
    let folder = &places.spool();
    let io_error = |source| OpenError::Io { doing: "opening the spool", path: folder.clone(), source };
    let spool = Spool::open(folder, &places.copies(), writer.held.clone(), writer.reserve.level()).map_err(io_error)?;
    if !is_salvaged {
        let sqlite = |source| OpenError::Sqlite { doing: "looking for the tasks of", path: folder.clone(), source };
        spool.sweep_orphans(&writer.conn).map_err(sqlite)?;
    }
    Ok(spool)
}

/// Makes a folder that is not there, with those above it. Their names are on the disk when it returns.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(above)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if !folder.is_dir() => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // Left there, it would be taken for safe by the next start.
    sync_folder(above).inspect_err(|_| drop(fs::remove_dir(folder)))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
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
        let suspicion = self.places.suspicion();
        salvage::finish(&file, self.now)?;
        let (conn, salvage) = match self.connect(&suspicion) {
            Ok(conn) => (conn, None),
            Err(error) => {
                let Some(reason) = damage(&error) else { return Err(error) };
                let salvage = salvage::salvage(&file, &reason, self.now)?;
                (self.connect(&suspicion)?, Some(salvage))
            }
        };
        suspicion.lower().map_err(|source| OpenError::Io {
            doing: "removing",
            path: self.places.dir.clone(),
            source,
        })?;
        let (mut writer, recovered) = self.recover(conn, suspicion)?;
        let news = writer.news().unwrap_or_default();
        Ok((writer, Opening { recovered: recovered.waiting, crashed: recovered.crashed, salvage, news }))
    }

    /// Even a start takes some space: on a full disk it is the reserve's.
    fn connect(&mut self, suspicion: &Suspicion) -> Result<Connection, OpenError> {
        match self.try_connect(suspicion) {
            Err(error) if lacks_space(&error) && self.reserve.release() => self.try_connect(suspicion),
            other => other,
        }
    }

    fn try_connect(&mut self, suspicion: &Suspicion) -> Result<Connection, OpenError> {
        let file = self.places.database();
        peek(&file)?;
        let wal = self.places.wal();
        write_anew(&wal).map_err(|source| OpenError::Io { doing: "writing anew", path: wal, source })?;
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
            held: Arc::default(),
            agenda: Agenda::new(),
            options: self.options,
            random: self.random,
            reserve: self.reserve,
            sync: schema::Sync::Full,
            suspicion,
            health: Health::Sound,
        };
        let recovered = writer
            .perform(Recover { now: self.now })
            .map_err(|source| OpenError::Recover { path: file.clone(), source })?;
        Ok((writer, recovered))
    }
}

/// Brings what is left of the last run to the disk. A sync that failed then may have been seen by nobody but who was killed
/// in it, and the kernel takes for written what it could not write: now it writes it. A power cut meanwhile leaves each
/// piece as it is or as it was.
fn write_anew(file: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().read(true).write(true).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let (mut piece, mut at) = (vec![0; 64 << 10], 0);
    loop {
        match file.read_at(&mut piece, at)? {
            0 => return file.sync_all(),
            count => {
                file.write_all_at(&piece[..count], at)?;
                at += count as u64;
            }
        }
    }
}

/// Whether the disk is full.
fn lacks_space(error: &OpenError) -> bool {
    match error {
        OpenError::Sqlite { source, .. } => is_full(source),
        OpenError::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
        OpenError::Locked { .. } | OpenError::Newer { .. } | OpenError::Foreign { .. } | OpenError::Recover { .. } => {
            false
        }
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

/// A row that holds what is never written, though SQLite finds it in order.
pub(super) const SENSELESS: &str = include_str!("sql/senseless.sql");

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
    if found != "ok" {
        return Err(corrupt(found));
    }
    let senseless: Option<String> = conn.query_row(SENSELESS, [], |row| row.get(0)).optional()?;
    senseless.map_or(Ok(()), |row| Err(corrupt(format!("{row} makes no sense"))))
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

fn start(writer: Writer, lock: File, dir: &Path, listener: impl Listener) -> Result<Threads, OpenError> {
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
        writer.serve(&inbox, listener);
        drop(lock);
    })?);
    Ok(Threads { writer, points, scans })
}
