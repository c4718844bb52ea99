//! The database file: how it is opened, what is in it, what can be wrong with it.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use zeroize::Zeroizing;

use super::{io, rows};
use crate::engine::StoreError;

/// The version of the tables below, kept as `PRAGMA user_version`: one for each part.
const SCHEMA_VERSION: i64 = 4;

/// What each version added to the one before.
const SCHEMA: [&str; 4] = [SCHEMA_1, SCHEMA_2, SCHEMA_3, SCHEMA_4];

const SCHEMA_1: &str = "
    CREATE TABLE inventory (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        origin TEXT NOT NULL,
        since TEXT NOT NULL,
        revision TEXT NOT NULL,
        deletion_policy TEXT NOT NULL,
        password TEXT,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE generated (jid TEXT PRIMARY KEY, password TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
";

const SCHEMA_2: &str = "
    CREATE TABLE config_good (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        digest TEXT NOT NULL UNIQUE,
        variant TEXT NOT NULL,
        revision TEXT NOT NULL,
        since TEXT NOT NULL
    ) STRICT;
    CREATE TABLE config_file (
        digest TEXT NOT NULL,
        name TEXT NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (digest, name)
    ) STRICT, WITHOUT ROWID;
";

const SCHEMA_3: &str = "
    ALTER TABLE inventory ADD COLUMN vcard TEXT;
    ALTER TABLE inventory ADD COLUMN banned TEXT;
";

/// `time` in microseconds since 1970; the rest as JSON.
const SCHEMA_4: &str = "
    CREATE TABLE event (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, event TEXT NOT NULL) STRICT;
    CREATE INDEX event_time ON event (time);
";

/// How long one connection waits for another.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a reader looks again when an operator started or ended meanwhile.
const READ_ATTEMPTS: usize = 5;

/// The random key of fingerprints, in bytes.
const KEY_BYTES: usize = 32;

/// Why a question or change failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// `SQLite` says so.
    Sqlite(rusqlite::Error),
    /// A row that this program cannot have written.
    Row(String),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Opens the database at `path` to change it.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    close_to_others(path).map_err(|e| io("open the database", at(path, &e)))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |e: Failure| explain("open the database", path, &e);
    let mut connection = Connection::open_with_flags(path, flags).map_err(|e| failed(e.into()))?;
    let found = prepare(&mut connection).map_err(failed)?;
    known(path, found)?;
    Ok(connection)
}

/// Makes the file if need be. `SQLite` gives the files beside it (`-wal`,
/// `-shm`) the mode that this one has, whatever the umask.
fn close_to_others(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    for suffix in ["", "-wal", "-shm"] {
        match std::fs::set_permissions(beside(path, suffix), Permissions::from_mode(0o600)) {
            Err(e) if !suffix.is_empty() && e.kind() == std::io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

/// Sets the connection up, makes the tables where there are none, and gives
/// the version that it found or made.
fn prepare(connection: &mut Connection) -> Result<i64, Failure> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let found = version(connection)?;
    if found > SCHEMA_VERSION {
        return Ok(found);
    }
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // A password that is replaced must not stay in a free page.
    connection.pragma_update(None, "secure_delete", true)?;
    let health: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if health != "ok" {
        return Err(Failure::Row(health));
    }
    if found < SCHEMA_VERSION {
        let transaction = connection.transaction()?;
        let known = usize::try_from(found).unwrap_or(0);
        for version in SCHEMA.iter().skip(known) {
            transaction.execute_batch(version)?;
        }
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
    }
    Ok(SCHEMA_VERSION)
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn known(path: &Path, found: i64) -> Result<(), StoreError> {
    if found == SCHEMA_VERSION {
        return Ok(());
    }
    if found < SCHEMA_VERSION {
        return Err(io(
            "open the database",
            format!(
                "{} was written by an older ejabberd-operator (schema {found}, this one reads \
                 {SCHEMA_VERSION}): `run` or `apply` of this one brings it up to date",
                path.display()
            ),
        ));
    }
    Err(io(
        "open the database",
        format!(
            "{} was written by a newer ejabberd-operator (schema {found}, this one knows \
             {SCHEMA_VERSION}): run that version, or give this one another state directory",
            path.display()
        ),
    ))
}

/// The key of fingerprints; made at the first start.
pub(super) fn key(connection: &mut Connection) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    const OPERATION: &str = "make the fingerprint key";
    let found = rows::key(connection).map_err(|e| failure(OPERATION, connection, &e))?;
    if let Some(key) = found {
        return Ok(key);
    }
    let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
    getrandom::fill(&mut key).map_err(|e| io(OPERATION, e.to_string()))?;
    rows::save_key(connection, &key).map_err(|e| failure(OPERATION, connection, &e))?;
    Ok(key)
}

/// Asks the database at `path` without leaving a trace. `None` where there is none yet.
pub(super) fn read<T>(
    path: &Path,
    question: impl Fn(&Connection) -> rows::Answer<T>,
) -> Result<Option<T>, StoreError> {
    const OPERATION: &str = "read the database";
    let wal = beside(path, "-wal");
    let mut last = Ok(None);
    for _ in 0..READ_ATTEMPTS {
        match path.metadata() {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io(OPERATION, at(path, &e))),
            Ok(_) => {}
        }
        // With a WAL there, its index is shared with the operator but never
        // made by us; without one nobody writes, and no locks are needed.
        let live = wal.exists();
        let mode = if live { "readonly_shm=1" } else { "immutable=1" };
        last = read_once(path, mode, &question);
        // An operator came or went while we looked: what was read may be torn.
        if live == wal.exists() && (last.is_ok() || !live) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    match last {
        Ok(Some(Err(found))) => known(path, found).map(|()| None),
        Ok(answer) => Ok(answer.and_then(Result::ok)),
        Err(failure) => Err(explain(OPERATION, path, &failure)),
    }
}

/// The answer; or the version, where it is not ours; or nothing, where
/// an operator died before it had made the tables.
fn read_once<T>(
    path: &Path,
    mode: &str,
    question: &impl Fn(&Connection) -> rows::Answer<T>,
) -> Result<Option<Result<T, i64>>, Failure> {
    let uri = format!("file:{}?mode=ro&{mode}", escaped(path)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match version(&connection)? {
        0 => Ok(None),
        other if other != SCHEMA_VERSION => Ok(Some(Err(other))),
        _ => question(&connection).map(|answer| Some(Ok(answer))),
    }
}

/// A path as part of a URI.
fn escaped(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path)
        .map_err(|e| Failure::Row(format!("its place is unclear: {e}")))?;
    let bytes = absolute.as_os_str().as_encoded_bytes();
    Ok(bytes.iter().fold(String::new(), |mut uri, &byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push('%');
            uri.push_str(&hex::encode([byte]));
        }
        uri
    }))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn at(path: &Path, cause: &impl std::fmt::Display) -> String {
    format!("{}: {cause}", path.display())
}

/// Says what went wrong on an open connection.
pub(super) fn failure(
    operation: &'static str,
    connection: &Connection,
    failure: &Failure,
) -> StoreError {
    explain(operation, Path::new(connection.path().unwrap_or("state.sqlite")), failure)
}

fn explain(operation: &'static str, path: &Path, failure: &Failure) -> StoreError {
    let damaged = |cause: &dyn std::fmt::Display| {
        format!(
            "{} is damaged ({cause}): put a copy of it back, or move it away and start again; \
             what is declared and on the server is then adopted anew, and generated passwords \
             that were not published are lost",
            path.display()
        )
    };
    let cause = match failure {
        Failure::Row(cause) => damaged(cause),
        Failure::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(error),
            Some(ErrorCode::DiskFull) => at(path, &format!("{error}: make room on its disk")),
            _ => at(path, error),
        },
    };
    io(operation, cause)
}
