//! Collects the evidence about an operator and its state directory. Changes neither the operator
//! nor the directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};

use crate::adapters::host::disks;
use crate::adapters::sqlite::SqliteStore;
use crate::cli::session::Paths;
use crate::cli::show;
use crate::domain::checks::doctor::{Operator, Usable};
use crate::domain::observed::{Reading, Space};
use crate::domain::status::Status;

/// Collects the evidence about the operator and the state directory in `paths`.
pub(super) async fn collect(paths: &Paths) -> Operator {
    let directory = &paths.state_dir;
    let response = show::ask_operator(paths).await.map(Box::new);
    Operator {
        directory: directory.display().to_string(),
        usable: usable(directory),
        lock: holder(directory),
        response,
        remembered: remembered(directory),
        space: space(directory),
    }
}

/// Returns whether this user can use the state directory.
fn usable(directory: &Path) -> Usable {
    match fs::metadata(directory) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Usable::Missing,
        Err(e) => Usable::No(format!("{}: {e}", directory.display())),
        Ok(found) if !found.is_dir() => {
            Usable::No(format!("{} is not a directory", directory.display()))
        }
        Ok(_) => match access(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => Usable::Yes,
            Err(e) => Usable::No(format!("{}: {e}", directory.display())),
        },
    }
}

/// Reads the last status in the state directory.
fn remembered(directory: &Path) -> Reading<Option<Box<Status>>> {
    let read = || -> Result<Option<Box<Status>>, String> {
        let store = SqliteStore::open_read_only(directory).map_err(|e| format!("failed to {e}"))?;
        let Some(store) = store else { return Ok(None) };
        let Some(json) = store.status().map_err(|e| format!("failed to {e}"))? else {
            return Ok(None);
        };
        // Ignore a status that cannot be parsed: another version of the operator may have written
        // the status in another format.
        Ok(serde_json::from_str(&json).ok())
    };
    read().map_or_else(Reading::Unknown, Reading::Known)
}

/// Returns the space on the disk of the state directory. `None` if the directory does not exist.
fn space(directory: &Path) -> Option<Space> {
    directory.is_dir().then(|| disks::of("the state directory", directory)).flatten()
}

/// Returns the process that holds the lock, from the kernel's table of locks. Does not try to take
/// the lock, because an operator that starts at that moment would fail.
fn holder(lock: &Path) -> Reading<Option<i32>> {
    let file = match fs::metadata(lock) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Reading::Known(None),
        Err(e) => return Reading::Unknown(format!("{}: {e}", lock.display())),
    };
    match fs::read_to_string("/proc/locks") {
        Ok(locks) => Reading::Known(holder_in(&locks, file.dev(), file.ino())),
        Err(e) => Reading::Unknown(format!("/proc/locks: {e}")),
    }
}

/// Returns the process that holds the lock on a file. `None` if no process holds the lock. A line of
/// `locks` is for example `1: FLOCK  ADVISORY  WRITE 4242 fe:01:131090 0 EOF`.
fn holder_in(locks: &str, device: u64, inode: u64) -> Option<i32> {
    let wanted =
        format!("{:02x}:{:02x}:{inode}", rustix::fs::major(device), rustix::fs::minor(device));
    locks.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let at = columns.iter().position(|column| *column == wanted)?;
        // An arrow marks a process that waits for the lock.
        if columns.contains(&"->") {
            return None;
        }
        columns.get(at.checked_sub(1)?)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found() {
        let locks = "1: FLOCK  ADVISORY  WRITE 4242 fe:01:131090 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 17 fe:01:131091 0 EOF\n";
        let device = rustix::fs::makedev(0xfe, 1);
        assert_eq!(holder_in(locks, device, 131_090), Some(4242));
        assert_eq!(holder_in(locks, device, 131_091), None);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(holder(&path), Reading::Known(None));
        fs::create_dir(&path).unwrap();
        let file = fs::File::open(&path).unwrap();
        assert_eq!(holder(&path), Reading::Known(None));
        file.lock().unwrap();
        let us = i32::try_from(std::process::id()).unwrap();
        assert_eq!(holder(&path), Reading::Known(Some(us)));
    }
}
