//! Reads files with secrets up to a limit, and writes such files atomically.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::adapters::host::files;
use crate::adapters::host::files::{ResolvedFile, Rights};
use crate::domain::model::Secret;
use crate::engine::IsOurs;

/// Reads a file of at most `limit` bytes. A longer file is an error.
pub(super) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    files::read(path, limit).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            "no such file; put it there, or correct the path in the desired state".to_owned()
        }
        // Only an error of the system has an error number. An untrusted link has a different
        // message.
        ErrorKind::PermissionDenied if error.raw_os_error().is_some() => {
            "permission denied; make the file readable by the user of the operator".to_owned()
        }
        ErrorKind::InvalidInput => format!("{error}; name a file"),
        ErrorKind::FileTooLarge => {
            format!("it is longer than {limit} bytes; check that the path names the right file")
        }
        _ => error.to_string(),
    })
}

/// Which other accounts can read or replace the file, in words; `None` if only its owner and its
/// group can read it, and only its owner can replace it.
pub(super) fn exposure(path: &Path) -> Result<Option<String>, String> {
    let mode = path.metadata().map_err(|error| error.to_string())?.permissions().mode();
    let trusted = ResolvedFile::find(path).map_err(|error| error.to_string())?.is_trusted();
    let path = path.display();
    Ok(if mode & 0o004 != 0 {
        Some(format!("every account of this host can read {path}"))
    } else if mode & 0o022 != 0 {
        Some(format!("other accounts can write {path}"))
    } else if !trusted {
        Some(format!("other accounts can replace {path}, because they can write to its directory"))
    } else {
        None
    })
}

/// Writes `secret` to `path`, without a newline. Replaces an existing file only if `is_ours`
/// returns `true` for its content, or if the content is already `secret`.
///
/// A reader of the file sees the old content or the new content. At no time does the new file give
/// more rights than `mode`.
pub(super) fn publish(
    path: &Path,
    mode: u32,
    secret: &Secret,
    is_ours: &IsOurs,
) -> Result<(), String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |e: std::io::Error| format!("it could not be {what}: {e}")
    };
    let mode = mode & 0o777;
    match path.symlink_metadata() {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(failed("inspected")(e)),
        Ok(found) if !found.is_file() => {
            return Err(
                "the path exists and is not a regular file; move it away, or name another file"
                    .to_owned(),
            );
        }
        Ok(found) => {
            let there = read(path, super::MAX_SOURCE_BYTES)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
                .map(Secret::new);
            let same = there.as_ref().is_some_and(|there| there.expose() == secret.expose());
            if same && found.permissions().mode() & 0o7777 == mode {
                return Ok(());
            }
            if !same && !there.as_ref().is_some_and(is_ours) {
                return Err("the operator did not write the existing file; move it away, or \
                            name another file"
                    .to_owned());
            }
        }
    }
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Err("it cannot be written: name a file".to_owned()),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(failed("written, because its directory could not be created"))?;
    let rights = Rights { owner: None, mode };
    files::replace(path, secret.expose().as_bytes(), rights).map_err(failed("written"))
}
