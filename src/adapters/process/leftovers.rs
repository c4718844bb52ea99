//! The operator's note beside the database, and the removal of files that killed operators left
//! behind on this host.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};

use super::files::Owner;
use super::{ServerSetup, database, failed, files};
use crate::engine::{NOTE, RuntimeError};

/// The prefix of the names that [`files::unpredictable`] creates, and the number of hexadecimal
/// digits after the prefix.
const PREFIX: &str = "ejabberd-operator-";
const DIGITS: usize = 32;

/// The minimum age of a leftover that the operator removes. A younger directory may be new and not
/// locked yet. A draft exists for a shorter time while it is in use.
const YOUNG: Duration = Duration::from_secs(10);

/// Returns the path of the note in `directory`. `None` if `directory` is not the directory of the
/// server's database: the server reports `directory`, and a compromised server could report a wrong
/// path.
fn note(setup: &ServerSetup, directory: &str) -> Option<PathBuf> {
    let spool = &setup.layout.spool;
    (database::canonical(spool) == database::canonical(Path::new(directory)))
        .then(|| spool.join(NOTE))
}

pub(super) fn read_note(
    setup: &ServerSetup,
    directory: &str,
) -> Result<Option<Vec<u8>>, RuntimeError> {
    let Some(path) = note(setup, directory) else { return Ok(None) };
    files::read(&path).map_err(|e| failed("read", &path, &e))
}

pub(super) fn write_note(
    setup: &ServerSetup,
    directory: &str,
    content: &[u8],
) -> Result<(), RuntimeError> {
    let Some(path) = note(setup, directory) else { return Ok(()) };
    let owner = Owner { mode: 0o600, ..setup.operator(0o600) };
    files::replace(&[(path.clone(), content)], owner).map_err(|e| failed("write", &path, &e))
}

/// Locks a directory until the returned file is dropped. The kernel also releases the lock when the
/// process is killed.
pub(super) fn lock(directory: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(directory)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Removes unlocked scratch directories, and drafts in the directories of the configuration and of
/// the database.
pub(super) fn remove(setup: &ServerSetup) {
    let owners = [0, setup.account.uid];
    let config = setup.layout.config.parent().unwrap_or(Path::new("/")).to_owned();
    for entry in left(&std::env::temp_dir(), "", &owners) {
        if entry.is_dir() && lock(&entry).is_ok() {
            log_removal(&entry, fs::remove_dir_all(&entry));
        }
    }
    for directory in [&config, &setup.layout.spool] {
        for entry in left(directory, ".", &owners) {
            if !entry.is_dir() {
                log_removal(&entry, fs::remove_file(&entry));
            }
        }
    }
}

fn log_removal(path: &Path, removed: io::Result<()>) {
    match removed {
        Ok(()) => {
            tracing::info!(path = %path.display(), "removed a leftover of a killed operator");
        }
        Err(error) => tracing::warn!(path = %path.display(), %error, "failed to remove a leftover"),
    }
}

/// Returns the files in `directory` that are older than [`YOUNG`], have a name that the operator
/// creates, and belong to one of `owners`.
fn left(directory: &Path, before: &str, owners: &[u32]) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(before)?.strip_prefix(PREFIX));
        let named = digits
            .is_some_and(|d| d.len() == DIGITS && d.bytes().all(|byte| byte.is_ascii_hexdigit()));
        named
            && entry.metadata().is_ok_and(|meta| {
                let age = meta.modified().ok().and_then(|at| at.elapsed().ok());
                owners.contains(&meta.uid()) && age.is_some_and(|age| age >= YOUNG)
            })
    });
    ours.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn old(path: &Path) {
        let touched = Command::new("touch").args(["-h", "-d", "1 hour ago"]).arg(path).status();
        assert!(touched.unwrap().success());
    }

    #[test]
    fn only_old_files_with_a_name_of_the_operator_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let name = |number: u8| format!("{PREFIX}{number:032x}");
        for (name, is_old) in [
            (name(1), true),
            (name(2), false),
            (format!("{PREFIX}1"), true),
            (format!("{}g", name(3)), true),
            (format!(".{}", name(4)), true),
            ("mine".to_owned(), true),
        ] {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            if is_old {
                old(&path);
            }
        }
        let us = rustix::process::geteuid().as_raw();
        let found = left(directory.path(), "", &[us]);
        assert_eq!(found, [directory.path().join(name(1))]);
        assert!(left(directory.path(), "", &[us + 1]).is_empty(), "another account has it");
        assert_eq!(
            left(directory.path(), ".", &[us]),
            [directory.path().join(format!(".{}", name(4)))]
        );
    }

    #[test]
    fn a_scratch_directory_is_locked_while_it_is_in_use() {
        let files = crate::engine::ConfigFiles::from([("a.yml".to_owned(), Vec::new())]);
        let us = rustix::process::geteuid().as_raw();
        let scratch = files::Scratch::new(&files, us, us).unwrap();
        assert!(lock(scratch.path()).is_err());
        drop(scratch);
    }
}
