//! Creates, checks and locks the state directory.
//!
//! Another account may have created the directory earlier, with links, pipes or a prepared
//! database. So the operator checks the owner and the type of all files before it opens a file.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::error::io;
use crate::adapters::host::files;
use crate::engine::StoreError;

/// The maximum number of files in a state directory. A directory with more files is not a state
/// directory.
const MAX_ENTRIES: usize = 10_000;

/// Creates the directory and its parent directories if they are missing.
pub(super) fn make(dir: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| io("make", format!("{}: {e}", dir.display())))
}

/// The purpose of opening a state directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The operator reads and writes the directory.
    Write,
    /// A command only reads the directory. Root may also read the state directory of another
    /// account.
    Read,
}

/// Fails if another account owns or can change the directory or a file in the directory.
pub(super) fn check(dir: &Path, purpose: Purpose) -> Result<(), StoreError> {
    let refused = |what: &Path, why: &str| {
        io("trust the state directory", format!("{}: {why}", what.display()))
    };
    let failed = |what: &Path, e: &std::io::Error| refused(what, &e.to_string());
    let found = fs::metadata(dir).map_err(|e| failed(dir, &e))?;
    let us = rustix::process::geteuid().as_raw();
    let owners = match purpose {
        Purpose::Write => [0, us],
        Purpose::Read => [us, found.uid()],
    };
    if let Some(why) = of_others(&found, owners) {
        return Err(refused(dir, &why));
    }
    // An account that may rename a parent directory can replace the state directory. This check is
    // only for an operator that runs as root.
    let as_root = us == 0 && purpose == Purpose::Write;
    if as_root && !files::trusted_directory(dir).map_err(|e| failed(dir, &e))? {
        return Err(refused(
            dir,
            "a directory above it belongs to another user, or others may write to it: name a \
             directory with --state-dir that only root can replace",
        ));
    }
    let entries = fs::read_dir(dir).map_err(|e| failed(dir, &e))?;
    for (number, entry) in entries.enumerate() {
        let path = entry.map_err(|e| failed(dir, &e))?.path();
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            // Ignore a missing file: an operator that has just ended may have removed the file.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(failed(&path, &e)),
        };
        let kind = found.file_type();
        if !kind.is_file() && !kind.is_dir() {
            let what = if kind.is_symlink() { "a link" } else { "no file" };
            return Err(refused(
                &path,
                &format!("it is {what}, which the operator never creates; remove it"),
            ));
        }
        if let Some(why) = of_others(&found, owners) {
            return Err(refused(&path, &why));
        }
        if kind.is_file() && found.nlink() > 1 {
            return Err(refused(
                &path,
                "it has another name (hard link); remove one of the two names",
            ));
        }
        if number >= MAX_ENTRIES {
            return Err(refused(dir, "it has too many files for a state directory"));
        }
    }
    Ok(())
}

/// Returns the reason why another account could have written the file or directory. `None` if no
/// other account could.
fn of_others(found: &Metadata, owners: [u32; 2]) -> Option<String> {
    let us = rustix::process::geteuid().as_raw();
    if found.uid() != 0 && !owners.contains(&found.uid()) {
        return Some(format!(
            "it belongs to the user {}, and this program runs as {us}; run the program as that user, or name \
             another directory with --state-dir",
            found.uid()
        ));
    }
    (found.mode() & 0o022 != 0).then(|| "others may write to it; run `chmod go-w`".to_owned())
}

/// Takes the lock. The lock ends when the returned file is dropped. The lock is on the directory
/// itself, so that the removal of a file does not release the lock.
pub(super) fn lock(dir: &Path) -> Result<File, StoreError> {
    let failed = |e: std::io::Error| io("take the lock", format!("{}: {e}", dir.display()));
    let flags = OFlags::DIRECTORY.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(dir).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.display().to_string())),
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}
