//! Checks of the database in the server's directory without a running server.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::failed;
use crate::domain::database::{Database, Location, SCHEMA_FILE};
use crate::engine::RuntimeError;

/// The maximum size of a `schema.DAT` to read, in bytes. The schema of ejabberd has 30 kB.
const MAX_SCHEMA_BYTES: u64 = 16 << 20;

/// Returns the path of a directory without links, or the same path if the directory does not exist.
pub(super) fn canonical(directory: &Path) -> String {
    let found = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    found.to_string_lossy().into_owned()
}

/// Returns the reason why a server that is created now would start without the `known` database. If
/// no database is known, any database in `spool` is sufficient. `None` if the server would have the
/// database.
pub(super) fn would_lose(
    spool: &Path,
    known: Option<&Database>,
) -> Result<Option<String>, RuntimeError> {
    let here = Location::Host(canonical(spool));
    if let Some(before) = known.and_then(|known| known.location.as_ref())
        && *before != here
    {
        return Ok(Some(format!(
            "its database is in {before}, and a new server would look for it in {here}"
        )));
    }
    let mut schema = Vec::new();
    match File::open(spool.join(SCHEMA_FILE)) {
        Ok(file) => {
            let read = file.take(MAX_SCHEMA_BYTES).read_to_end(&mut schema);
            read.map_err(|e| failed("read", &spool.join(SCHEMA_FILE), &e))?;
        }
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Some(format!("there is no database in {here}")));
        }
        Err(e) => return Err(failed("read", &spool.join(SCHEMA_FILE), &e)),
    }
    let ours = known.is_none_or(|known| known.cookie.is_in(&schema));
    Ok((!ours).then(|| format!("there is another database in {here}")))
}
