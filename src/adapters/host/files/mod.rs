//! Files of the host outside the state directory.
//!
//! The operator is often root, and reads and writes in directories of other accounts, such as a
//! volume of the server. So the operator opens each path from the root, each part relative to the
//! previous directory, and trusts no file that another account can exchange meanwhile:
//!
//! - The operator follows a link only if the link and its directory belong to root or to the
//!   operator and no other account can change them. Links to certificates and the `..data` link of
//!   mounted secrets work; planted links do not.
//! - The operator does not write through a link at the end of a path, even if root created the
//!   link.
//! - The operator writes a file only in a directory that no other account may write to, as a draft
//!   with a random name and mode 0600, and then renames the draft. The exception is a file that is
//!   mounted as a single file and must keep its inode: the operator writes this file in place, if
//!   it is a regular file with only one name.
//! - The operator opens no file that could block, such as a pipe, a device or a socket.

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

/// The owner and the permission bits of a file to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// The ids of user and group; `None` for the operator's user and group.
    pub owner: Option<(u32, u32)>,
    /// The permission bits. The operator ignores the set-user-id, set-group-id and sticky bits.
    pub mode: u32,
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// The system's errors; [`ErrorKind::FileTooLarge`] above the limit, [`ErrorKind::InvalidInput`] if
/// the path is not a regular file, and [`ErrorKind::PermissionDenied`] for a link that the operator
/// does not trust.
pub fn read(path: &Path, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = open(path)?;
    let expected = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let too_large = || io::Error::new(ErrorKind::FileTooLarge, format!("more than {limit} bytes"));
    if expected > limit {
        return Err(too_large());
    }
    // Allocate the buffer once: a buffer that grows leaves a copy of the secret behind. The minimum
    // is for files below `/proc`, which report the size zero.
    let mut bytes = Zeroizing::new(Vec::with_capacity(expected.max(256) + 1));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Opens a regular file to read.
///
/// # Errors
/// The errors of [`read`].
pub fn open(path: &Path) -> io::Result<File> {
    let resolved = ResolvedFile::find(path)?;
    let file = resolved.open(OFlags::RDONLY)?;
    // Another account may have created a second name (hard link) of root's file in a directory of
    // that account.
    if !resolved.is_trusted() && file.metadata()?.nlink() > 1 {
        return Err(denied("it has several names, one of them in a directory of others"));
    }
    Ok(file)
}

/// Replaces the content of `path` with `content`, or creates the file.
///
/// # Errors
/// The system's errors, and [`ErrorKind::PermissionDenied`] if other accounts may write to the
/// directory or to a parent directory.
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
    // Without the sync, the old file may return after a power failure.
    File::from(resolved.directory().as_fd().try_clone_to_owned()?).sync_all()
}

/// Writes into an existing file, which keeps its inode. The file must be a regular file with only
/// one name. Otherwise another account could create a second name for a file of root, and the
/// operator would overwrite that file.
///
/// # Errors
/// The errors of [`replace`], but other accounts may write to the directory.
/// [`ErrorKind::PermissionDenied`] if the file has several names.
pub fn write_in_place(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = open_in_place(path)?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()
}

/// Opens a file for [`write_in_place`]. Does not change the file.
///
/// # Errors
/// The errors of [`write_in_place`].
pub fn open_in_place(path: &Path) -> io::Result<File> {
    let file = ResolvedFile::find_to_write(path)?.open(OFlags::WRONLY)?;
    if file.metadata()?.nlink() > 1 {
        return Err(denied("it has several names: another file may be behind it"));
    }
    Ok(file)
}

/// The prefix of a draft's name, before sixteen hexadecimal digits.
const DRAFT: &str = ".ejabberd-operator-";

/// Removes the drafts that a killed operator left behind, because a draft may hold a password. The
/// removal is safe: no other account may write to this directory.
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

/// A new file beside the file that the draft replaces. A drop removes the draft, unless the draft
/// was renamed.
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
        // Set the mode last, because a change of the owner clears some permission bits.
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
