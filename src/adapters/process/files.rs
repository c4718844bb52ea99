//! Files in directories that other accounts may write to. No link can redirect a read or a
//! replacement.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The maximum size of a file to read, in bytes. A configuration has kilobytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The owner and the permission bits of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

/// Returns whether the operator may change the owner of a file.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the flags to open a file that another account may have created. With these flags `open`
/// does not follow a link and does not block on a pipe.
fn wary() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

/// Returns whether the operator may follow a link at `path`. Root follows only links in its own
/// directories: the creator of another link could make root read a file that the creator must not
/// read.
fn trusted(path: &Path) -> bool {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let ours = |meta: Metadata| meta.uid() == 0 && meta.mode() & 0o022 == 0;
    !is_root() || fs::metadata(directory).is_ok_and(ours)
}

/// Opens the regular file at `path`. `None` if the file does not exist.
pub(super) fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    let flags = if trusted(path) { OFlags::NONBLOCK.bits().cast_signed() } else { wary() };
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let meta = file.metadata()?;
    Ok(meta.is_file().then_some((file, meta)))
}

/// Reads the file at `path`. `None` if the file does not exist.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some((file, _)) = open(path)? else { return Ok(None) };
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 16 MiB"));
    }
    Ok(Some(content))
}

/// Opens a file to append lines, and creates the file if it is missing. The server's user also
/// appends to the file.
pub(super) fn append(path: &Path, owner: Owner) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(owner.mode).custom_flags(wary());
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    give(&file, owner)?;
    Ok(file)
}

fn give(file: &File, owner: Owner) -> io::Result<()> {
    if is_root() {
        fchown(file, Some(owner.uid), Some(owner.gid))?;
    }
    file.set_permissions(fs::Permissions::from_mode(owner.mode))
}

/// Creates a directory for `owner`, or changes the owner of an existing directory.
pub(super) fn directory(path: &Path, owner: Owner) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let flags = (OFlags::NOFOLLOW | OFlags::DIRECTORY).bits().cast_signed();
    give(&OpenOptions::new().read(true).custom_flags(flags).open(path)?, owner)
}

/// Writes a new file. Fails if the file exists.
pub(super) fn new(path: &Path, content: &[u8], owner: Owner) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    give(&file, owner)?;
    file.sync_all()
}

/// Replaces the content of each file. Writes all drafts beside the old files before the first
/// rename, so that a full disk changes no file. A reader sees the old file or the new file. An
/// existing file keeps its owner and mode; a new file gets `otherwise`. A link is replaced, not
/// followed, because the target of the link may belong to another account.
pub(super) fn replace(files: &[(PathBuf, &[u8])], otherwise: Owner) -> io::Result<()> {
    let drafts = Drafts::write(files, otherwise)?;
    drafts.0.iter().try_for_each(|(draft, path)| {
        fs::rename(draft, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    })
}

/// Fails if [`replace`] would fail because of a missing permission or a full disk. Changes nothing.
pub(super) fn try_to_replace(files: &[(PathBuf, &[u8])], otherwise: Owner) -> io::Result<()> {
    Drafts::write(files, otherwise).map(drop)
}

/// Drafts beside the files that they replace. A drop removes the drafts that were not renamed.
struct Drafts<'f>(Vec<(PathBuf, &'f Path)>);

impl<'f> Drafts<'f> {
    fn write(files: &'f [(PathBuf, &[u8])], otherwise: Owner) -> io::Result<Self> {
        let mut drafts = Self(Vec::new());
        for (path, content) in files {
            let owner = match fs::symlink_metadata(path) {
                Ok(meta) if meta.is_file() => {
                    Owner { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() & 0o777 }
                }
                _ => otherwise,
            };
            let draft = path.with_file_name(format!(".{}", unpredictable()?));
            drafts.0.push((draft.clone(), path));
            new(&draft, content, owner)?;
        }
        Ok(drafts)
    }
}

impl Drop for Drafts<'_> {
    fn drop(&mut self) {
        for (draft, _) in &self.0 {
            // Ignore the error: after a rename the draft does not exist.
            let _ = fs::remove_file(draft);
        }
    }
}

/// Returns a random file name, so that another account cannot create the file first.
pub(super) fn unpredictable() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("ejabberd-operator-{:032x}", u128::from_be_bytes(bytes)))
}

/// A locked temporary directory that other accounts cannot read. A drop removes the directory.
pub(super) struct Scratch(PathBuf, Option<File>);

impl Scratch {
    /// Creates a directory with `files` for `owner`. The owner changes last, so that no other
    /// account can create a link in the directory before all files exist.
    pub(super) fn new(files: &crate::engine::ConfigFiles, uid: u32, gid: u32) -> io::Result<Self> {
        let path = std::env::temp_dir().join(unpredictable()?);
        DirBuilder::new().mode(0o700).create(&path)?;
        let mut scratch = Self(path, None);
        scratch.1 = Some(super::leftovers::lock(&scratch.0)?);
        for (name, content) in files {
            scratch.make_above(name, Owner { uid, gid, mode: 0o700 })?;
            new(&scratch.0.join(name), content, Owner { uid, gid, mode: 0o600 })?;
        }
        directory(&scratch.0, Owner { uid, gid, mode: 0o700 })?;
        Ok(scratch)
    }

    /// Creates the parent directories in a relative file name such as `conf.d/a.yml`.
    fn make_above(&self, name: &str, owner: Owner) -> io::Result<()> {
        let above = Path::new(name).parent().unwrap_or(Path::new(""));
        let mut path = self.0.clone();
        above.components().try_for_each(|part| {
            path.push(part);
            directory(&path, owner)
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Report the failure, because the directory may contain private keys of certificates.
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "failed to remove a temporary directory");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_with_their_mode_and_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (file, other) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
        fs::write(&other, "theirs").unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&other, &link).unwrap();
        let own = fs::metadata(&file).unwrap();
        let owner = Owner { uid: own.uid(), gid: own.gid(), mode: 0o640 };
        replace(&[(file.clone(), b"new"), (link.clone(), b"mine")], owner).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o604);
        assert_eq!(fs::read(&other).unwrap(), b"theirs");
        assert_eq!(fs::symlink_metadata(&link).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read(&link).unwrap(), b"mine");
        // If one file cannot be written, the other file stays unchanged, and no draft remains.
        let nowhere = directory.path().join("no/such");
        replace(&[(file.clone(), b"newer"), (nowhere, b"x")], owner).unwrap_err();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
        // A test write changes nothing.
        try_to_replace(&[(file.clone(), b"newer")], owner).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_link_of_another_account_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(read(&link).unwrap().is_some());
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(read(&link).unwrap().is_none(), is_root(), "with our own rights it is harmless");
        assert_eq!(read(Path::new("/dev/null")).unwrap(), None, "not a file");
    }
}
