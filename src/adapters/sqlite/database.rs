//! Opens the database file, and creates and updates its tables.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use super::error::{QueryError, QueryResult, at, explain, failure, io};
use super::rows;
use crate::engine::StoreError;

/// The version of the schema: the number of entries in [`SCHEMA`]. The database stores the version
/// as `PRAGMA user_version`.
const SCHEMA_VERSION: i64 = 5;

/// The statements that update the schema, one entry for each version.
const SCHEMA: [&str; 5] = [SCHEMA_1, SCHEMA_2, SCHEMA_3, SCHEMA_4, SCHEMA_5];

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

/// The table of events: `time` in microseconds since 1970, the other fields as JSON.
const SCHEMA_4: &str = "
    CREATE TABLE event (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, event TEXT NOT NULL) STRICT;
    CREATE INDEX event_time ON event (time);
";

/// The table of the accounts and rooms that clients registered.
const SCHEMA_5: &str = "
    CREATE TABLE registered (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        client TEXT NOT NULL,
        since TEXT NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
";

/// The time that a connection waits for the lock of another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of attempts to read. An attempt fails if an operator starts or ends during
/// the read.
const READ_ATTEMPTS: usize = 5;

/// The length of the random key for fingerprints, in bytes.
const KEY_BYTES: usize = 32;

/// Opens the database at `path` to write. Creates the database if it is missing.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    close_to_others(path).map_err(|e| io("open the database", at(path, &e)))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |e: QueryError| explain("open the database", path, &e);
    let mut connection = Connection::open_with_flags(path, flags).map_err(|e| failed(e.into()))?;
    let found = prepare(&mut connection).map_err(failed)?;
    known(path, found)?;
    Ok(connection)
}

/// Creates the file if the file is missing, and removes the access of other accounts. `SQLite`
/// creates the files `-wal` and `-shm` with the mode of this file, and ignores the umask.
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

/// Configures the connection, and creates or updates the tables. Returns the version of the tables.
/// Does not change the tables of a newer version.
fn prepare(connection: &mut Connection) -> Result<i64, QueryError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let found = version(connection)?;
    if found > SCHEMA_VERSION {
        return Ok(found);
    }
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Overwrite deleted data. Otherwise a replaced password stays in a free page of the file.
    connection.pragma_update(None, "secure_delete", true)?;
    let health: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if health != "ok" {
        return Err(QueryError::Row(health));
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

/// Returns the key for fingerprints. Creates the key at the first start.
pub(super) fn key(connection: &mut Connection) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    const OPERATION: &str = "create the fingerprint key";
    let found = rows::key(connection).map_err(|e| failure(OPERATION, connection, &e))?;
    if let Some(key) = found {
        return Ok(key);
    }
    let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
    getrandom::fill(&mut key).map_err(|e| io(OPERATION, e.to_string()))?;
    rows::save_key(connection, &key).map_err(|e| failure(OPERATION, connection, &e))?;
    Ok(key)
}

/// Queries the database at `path`. Creates no file. `None` if the database or its tables do not
/// exist.
pub(super) fn read<T>(
    path: &Path,
    query: impl Fn(&Connection) -> QueryResult<T>,
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
        // If a WAL exists, an operator may write: share the index of the WAL, and never create an
        // index. Without a WAL no process writes, so the read needs no locks.
        let live = wal.exists();
        let mode = if live { "readonly_shm=1" } else { "immutable=1" };
        last = read_once(path, mode, &query);
        // An operator started or ended during the read, so the result may be inconsistent.
        if live == wal.exists() && (last.is_ok() || !live) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    match last {
        Ok(Some(Err(found))) => known(path, found).map(|()| None),
        Ok(result) => Ok(result.and_then(Result::ok)),
        Err(error) => Err(explain(OPERATION, path, &error)),
    }
}

/// Makes one attempt of [`read`]. The inner `Err` is the version of the tables if this program
/// cannot read that version. `None` if the database has no tables, because an operator was killed
/// before the creation of the tables.
fn read_once<T>(
    path: &Path,
    mode: &str,
    query: &impl Fn(&Connection) -> QueryResult<T>,
) -> Result<Option<Result<T, i64>>, QueryError> {
    let uri = format!("file:{}?mode=ro&{mode}", escaped(path)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match version(&connection)? {
        0 => Ok(None),
        other if other != SCHEMA_VERSION => Ok(Some(Err(other))),
        _ => query(&connection).map(|result| Some(Ok(result))),
    }
}

/// Escapes the absolute form of a path for a URI.
fn escaped(path: &Path) -> Result<String, QueryError> {
    let absolute = std::path::absolute(path)
        .map_err(|e| QueryError::Row(format!("its absolute path is unknown: {e}")))?;
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
