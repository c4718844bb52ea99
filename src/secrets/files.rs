//! Files: read whole with a limit, written whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::model::Secret;

/// Reads at most `limit` bytes; more is an error.
pub(super) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    // A pipe would keep us waiting for somebody to write.
    let kind = path.metadata().map_err(|e| explain(&e))?;
    if !kind.is_file() {
        return Err("it is not a file; name a file".to_owned());
    }
    let too_long = || format!("it is longer than {limit} bytes; is it the right file?");
    let expected = usize::try_from(kind.len()).unwrap_or(usize::MAX);
    if expected > limit {
        return Err(too_long());
    }
    let file = File::open(path).map_err(|e| explain(&e))?;
    // All at once, so that no outgrown buffer keeps a secret; files below
    // `/proc` say that they are empty.
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.max(256) + 1));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(|e| explain(&e))?;
    if bytes.len() > limit { Err(too_long()) } else { Ok(bytes) }
}

fn explain(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            "there is no such file; put it there, or correct the path in the desired state"
                .to_owned()
        }
        ErrorKind::PermissionDenied => {
            "permission denied; let the user read it that the operator runs as".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Writes `secret` and nothing else, no newline either, to `path`.
///
/// Whoever reads the file sees the old content or the new, and never has more
/// rights than `mode` gives.
pub(super) fn publish(path: &Path, mode: u32, secret: &Secret) -> Result<(), String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |e: std::io::Error| format!("it could not be {what}: {e}")
    };
    let mode = mode & 0o7777;
    if is_published(path, mode, secret) {
        return Ok(());
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
        .map_err(failed("written, as its directory could not be made"))?;
    let name = path.file_name().ok_or_else(|| "it cannot be written: name a file".to_owned())?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    let temporary = Temporary(directory.join(temporary));
    temporary.write(mode, secret).map_err(failed("written"))?;
    std::fs::rename(&temporary.0, path).map_err(failed("put in place"))?;
    // Without it a power failure may bring the old name back.
    File::open(directory).and_then(|d| d.sync_all()).map_err(failed("made to last"))
}

fn is_published(path: &Path, mode: u32, secret: &Secret) -> bool {
    // A link is replaced by a file: where it leads, others may decide.
    path.symlink_metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o7777 == mode)
        && read(path, super::MAX_SOURCE_BYTES)
            .is_ok_and(|bytes| bytes.as_slice() == secret.expose().as_bytes())
}

/// A file that is gone again unless it was renamed. Its name is always the
/// same, so that one that a killed operator left does not stay.
struct Temporary(PathBuf);

impl Temporary {
    fn write(&self, mode: u32, secret: &Secret) -> std::io::Result<()> {
        match std::fs::remove_file(&self.0) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(mode & 0o600).open(&self.0)?;
        // Whatever the umask is.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(secret.expose().as_bytes())?;
        file.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing to remove, which is as it should be.
        let _ = std::fs::remove_file(&self.0);
    }
}
