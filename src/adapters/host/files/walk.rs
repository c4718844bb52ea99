//! Resolves a path so that no other account can redirect the path.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};

use super::denied;

/// The maximum number of links in a path, as in the Linux kernel.
const MAX_LINKS: usize = 40;

/// The open directory that contains a file, and the file's name.
pub struct ResolvedFile {
    directory: OwnedFd,
    name: OsString,
    trusted: bool,
}

/// Returns whether a directory or link belongs to root or to the operator.
fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw()
}

/// Returns whether no other account can change the content of a directory.
fn is_closed(stat: &Stat) -> bool {
    is_ours(stat) && stat.st_mode & 0o022 == 0
}

/// Returns whether a directory is sticky, such as `/tmp`: an account can create files in the
/// directory, but cannot rename or remove the files of other accounts.
fn is_sticky(stat: &Stat) -> bool {
    is_ours(stat) && stat.st_mode & 0o1000 != 0
}

/// Returns whether no other account can change the content of the directory at `path`, or replace
/// the directory.
///
/// # Errors
///
/// The system's errors.
pub fn trusted_directory(path: &Path) -> io::Result<bool> {
    ResolvedFile::find(&path.join(".x")).map(|resolved| resolved.trusted)
}

impl ResolvedFile {
    /// Opens the directory of `path`. Follows trusted links, also a link at the end of `path`.
    ///
    /// # Errors
    /// The system's errors, and [`ErrorKind::PermissionDenied`] for a link that another account
    /// could have created.
    pub fn find(path: &Path) -> io::Result<Self> {
        Self::walk(path, true)
    }

    /// Opens the directory of a file to write. Does not follow a link at the end of `path`, even if
    /// root created the link.
    ///
    /// # Errors
    /// The errors of [`Self::find`], and [`ErrorKind::InvalidInput`] for a link at the end.
    pub fn find_to_write(path: &Path) -> io::Result<Self> {
        Self::walk(path, false)
    }

    fn walk(path: &Path, follow_last: bool) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let mut left: VecDeque<OsString> = parts(&path).collect();
        let mut walk = Walk::begin()?;
        let mut links = 0;
        loop {
            let Some(name) = left.pop_front() else {
                return Err(io::Error::new(ErrorKind::InvalidInput, "it is a directory"));
            };
            if name == ".." {
                walk.up()?;
                continue;
            }
            let stat = match statat(walk.here(), &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // A missing file is not an error, because the caller may create the file.
                Err(rustix::io::Errno::NOENT) if left.is_empty() => return walk.end(name),
                Err(error) => return Err(error.into()),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink if left.is_empty() && !follow_last => {
                    let why = "it is a link, and nothing is written through a link";
                    return Err(io::Error::new(ErrorKind::InvalidInput, why));
                }
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(io::Error::new(ErrorKind::InvalidInput, "too many links"));
                    }
                    if !walk.may_follow(&stat) {
                        return Err(denied(&format!(
                            "{} is a link that others could have created, and is not followed",
                            Path::new(&name).display()
                        )));
                    }
                    let target = readlinkat(walk.here(), &name, Vec::new())?;
                    let target = Path::new(OsStr::from_bytes(target.as_bytes())).to_owned();
                    if target.is_absolute() {
                        walk = Walk::begin()?;
                    }
                    for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                        left.push_front(part);
                    }
                }
                _ if left.is_empty() => return walk.end(name),
                _ => walk.down(&name)?,
            }
        }
    }

    /// Returns whether no other account can change the content of the directory, or exchange a
    /// parent directory.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Returns the open directory that contains the file.
    #[must_use]
    pub fn directory(&self) -> &OwnedFd {
        &self.directory
    }

    /// Returns the name of the file.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// Opens an existing regular file.
    ///
    /// # Errors
    /// The system's errors, and [`ErrorKind::InvalidInput`] if the path is not a regular file.
    pub fn open(&self, access: OFlags) -> io::Result<File> {
        let wary = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let not_a_file = || io::Error::new(ErrorKind::InvalidInput, "it is not a file");
        // Check the type before the open, because the open of a device can have an effect.
        let stat = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_a_file());
        }
        let file = openat(&self.directory, &self.name, access | wary, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(not_a_file());
        }
        Ok(File::from(file))
    }
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

/// The open directories from the root to the current directory.
struct Walk(Vec<Step>);

struct Step {
    directory: OwnedFd,
    stat: Stat,
    /// Whether no other account can exchange this directory or a parent directory.
    sure: bool,
}

impl Walk {
    fn begin() -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open("/", flags, Mode::empty())?;
        let stat = fstat(&directory)?;
        Ok(Self(vec![Step { directory, stat, sure: true }]))
    }

    fn last(&self) -> io::Result<&Step> {
        self.0.last().ok_or_else(|| io::Error::other("a walk without a beginning"))
    }

    fn here(&self) -> impl AsFd + '_ {
        // A walk begins at the root and never goes above the root, so the list is never empty.
        self.0.last().map_or(rustix::fs::CWD, |step| step.directory.as_fd())
    }

    fn up(&mut self) -> io::Result<()> {
        if self.0.len() > 1 {
            self.0.pop();
        }
        self.last().map(drop)
    }

    fn down(&mut self, name: &OsStr) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(self.here(), name, flags, Mode::empty())?;
        let stat = fstat(&directory)?;
        let above = self.last()?;
        // In a sticky directory, no other account can replace a directory of root or the operator.
        let sure =
            above.sure && (is_closed(&above.stat) || (is_sticky(&above.stat) && is_ours(&stat)));
        self.0.push(Step { directory, stat, sure });
        Ok(())
    }

    /// Returns whether the operator may follow `link` in the current directory: the link belongs to
    /// root or the operator, and no other account can have exchanged the link.
    fn may_follow(&self, link: &Stat) -> bool {
        let Some(here) = self.0.last() else { return false };
        is_ours(link) && here.sure && (is_closed(&here.stat) || is_sticky(&here.stat))
    }

    fn end(mut self, name: OsString) -> io::Result<ResolvedFile> {
        let here = self.0.pop();
        let here = here.ok_or_else(|| io::Error::other("a walk without a beginning"))?;
        let trusted = here.sure && is_closed(&here.stat);
        Ok(ResolvedFile { directory: here.directory, name, trusted })
    }
}
