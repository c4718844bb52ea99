//! Files of the host outside the state directory.
//!
//! The operator is often root, and other accounts own directories in which it reads
//! and writes: a configuration that is mounted into the container, a volume of the
//! server. So paths are walked from the root, each part relative to the directory
//! before it, and nothing that others can exchange meanwhile is trusted:
//!
//! - A link is followed only where its directory and the link itself belong to root or
//!   to the operator and cannot be changed by others. Links to certificates and the
//!   exchanged `..data` of mounted secrets work; planted links do not.
//! - Nothing is written through a link at the end of a path, also not through a link of root's.
//! - A file is written only in a directory that nobody else may write to, as a draft with a
//!   random name and mode 0600 that is then renamed. The one exception is a file that
//!   is mounted alone and must keep its inode: it is written in place, if it is a regular
//!   file with one name.
//! - Nothing is opened that could block: a pipe, a device or a socket is refused.

mod walk;

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, renameat, unlinkat};
use zeroize::Zeroizing;

pub use walk::{ResolvedFile, trusted_directory};

/// Who owns a file that is written, and its permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// User and group; `None` for the operator's own.
    pub owner: Option<(u32, u32)>,
    /// Permission bits; set-user-id and the like are left out.
    pub mode: u32,
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// As the system says; [`ErrorKind::FileTooLarge`] beyond the limit,
/// [`ErrorKind::InvalidInput`] for anything but a regular file, and
/// [`ErrorKind::PermissionDenied`] for a link that is not followed.
pub fn read(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open(path)?;
    let expected = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let too_large = || io::Error::new(ErrorKind::FileTooLarge, format!("more than {limit} bytes"));
    if expected > limit {
        return Err(too_large());
    }
    // All at once, so that no outgrown buffer keeps a secret; files below `/proc` say
    // that they are empty.
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.max(256) + 1));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Opens a regular file to read it.
///
/// # Errors
/// As [`read`].
pub fn open(path: &Path) -> io::Result<File> {
    let resolved = ResolvedFile::find(path)?;
    let file = resolved.open(OFlags::RDONLY)?;
    // Another account may have created a second name of a file of root in its own directory.
    if !resolved.is_trusted() && file.metadata()?.nlink() > 1 {
        return Err(denied("it has several names, one of them in a directory of others"));
    }
    Ok(file)
}

/// Replaces the content of `path` by `content`, or creates the file.
///
/// # Errors
/// As the system says, and [`ErrorKind::PermissionDenied`] where others may write to the
/// directory or one above it.
pub fn replace(path: &Path, content: &[u8], rights: Rights) -> io::Result<()> {
    let resolved = ResolvedFile::find_to_write(path)?;
    if !resolved.is_trusted() {
        return Err(denied(&format!(
            "{} belongs to others, or others may write to it; `chown` and `chmod go-w` close it",
            path.parent().unwrap_or(Path::new("/")).display()
        )));
    }
    remove_drafts(resolved.directory());
    let draft = Draft::write(resolved.directory(), content, rights)?;
    renameat(resolved.directory(), &draft.name, resolved.directory(), resolved.name())?;
    // Without it a power failure may bring the old file back.
    File::from(resolved.directory().as_fd().try_clone_to_owned()?).sync_all()
}

/// Writes into the file that is there, which keeps its inode. It must be a regular file
/// with one name: the owner of the directory can then exchange it only for another file
/// of the same owner.
///
/// # Errors
/// As [`replace`], but for the directory.
pub fn write_in_place(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = open_in_place(path)?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()
}

/// Opens a file for [`write_in_place`], and changes nothing.
///
/// # Errors
/// As [`write_in_place`].
pub fn open_in_place(path: &Path) -> io::Result<File> {
    let file = ResolvedFile::find_to_write(path)?.open(OFlags::WRONLY)?;
    if file.metadata()?.nlink() > 1 {
        return Err(denied("it has several names: another file may be behind it"));
    }
    Ok(file)
}

/// How the name of a draft begins; sixteen digits follow.
const DRAFT: &str = ".ejabberd-operator-";

/// Removes the drafts that a killed operator left: a draft may hold a password. No other account
/// writes to this directory.
fn remove_drafts(directory: &OwnedFd) {
    let Ok(entries) = Dir::read_from(directory) else { return };
    for entry in entries.flatten() {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let digits = name.to_str().and_then(|name| name.strip_prefix(DRAFT));
        if digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit())) {
            let _ = unlinkat(directory, name, AtFlags::empty());
        }
    }
}

fn denied(why: &str) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, why)
}

/// A new file beside the file that it replaces. Removed when dropped; after the rename
/// nothing is left to remove.
struct Draft<'d> {
    directory: &'d OwnedFd,
    name: String,
}

impl<'d> Draft<'d> {
    fn write(directory: &'d OwnedFd, content: &[u8], rights: Rights) -> io::Result<Self> {
        let random = getrandom::u64().map_err(io::Error::other)?;
        let name = format!("{DRAFT}{random:016x}");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, &name, flags, Mode::RUSR | Mode::WUSR)?;
        let draft = Self { directory, name };
        let mut file = File::from(file);
        file.write_all(content)?;
        if let Some((uid, gid)) = rights.owner {
            fchown(&file, Some(uid), Some(gid))?;
        }
        // Last: a change of the owner takes bits away.
        file.set_permissions(Permissions::from_mode(rights.mode & 0o777))?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        let _ = unlinkat(self.directory, OsStr::new(&self.name), AtFlags::empty());
    }
}

#[cfg(test)]
mod tests;
