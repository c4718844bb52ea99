//! Writes files of the host that are mounted into the container as single files.
//!
//! Such a file keeps its inode as long as the container lives. If a rename replaces the file on the
//! host, the container still has the old file. The engine cannot replace the file at all ("device
//! or resource busy"). So the operator writes such a file in place. The operator keeps a copy of
//! the old content beside the file, if no other account may write to that directory.

use std::path::{Path, PathBuf};

use super::DockerRuntime;
use crate::adapters::host::files;
use crate::adapters::host::files::Rights;
use crate::domain::configuration::MAX_BYTES;
use crate::engine::RuntimeError;

/// A mount of the container.
pub(super) struct Mounted {
    /// The path in the container.
    destination: String,
    /// The path on the host; for a volume, the path where the engine stores the volume.
    pub(super) source: PathBuf,
    /// Whether the container may write to the mount.
    pub(super) writable: bool,
    /// Whether the mount is a path of the host, not a volume.
    bind: bool,
}

impl Mounted {
    /// Whether the mount is the file at `path` itself, and not a directory above the file.
    pub(super) fn is_file_at(&self, path: &str) -> bool {
        self.bind && self.destination == path
    }
}

/// All mounts of a container.
pub(super) struct Mounts(Vec<Mounted>);

impl Mounts {
    /// The mount that holds `path`, which is the nearest mount above `path`; `None` if no mount
    /// holds `path`.
    pub(super) fn covering(&self, path: &str) -> Option<&Mounted> {
        let above = self.0.iter().filter(|mount| Path::new(path).starts_with(&mount.destination));
        above.max_by_key(|mount| mount.destination.len())
    }
}

impl DockerRuntime {
    /// The mounts of the container.
    pub(super) async fn mounts(&self) -> Result<Mounts, RuntimeError> {
        let mounts = self.container().await?.and_then(|c| c.mounts).unwrap_or_default();
        let mounts = mounts.into_iter().filter_map(|mount| {
            Some(Mounted {
                destination: mount.destination?,
                source: PathBuf::from(mount.source.unwrap_or_default()),
                writable: mount.rw != Some(false),
                bind: mount.typ.as_deref() == Some("bind"),
            })
        });
        Ok(Mounts(mounts.collect()))
    }

    /// The error for a write to a read-only mount.
    pub(super) fn read_only(&self, path: &str, mount: &Mounted) -> RuntimeError {
        let source = mount.source.display();
        let cause = if mount.is_file_at(path) {
            format!(
                "the host mounts this file read-only, so it belongs to the host and is never \
                 written; edit {source} on the host, or mount it read-write"
            )
        } else {
            format!(
                "the host mounts {} read-only; edit the file in {source} on the host, or mount \
                 that directory read-write",
                mount.destination
            )
        };
        RuntimeError::Refused { operation: format!("write {path} of {}", self.name()), cause }
    }

    /// Writes `content` into the file at `source` on the host, and keeps the inode of the file.
    /// `path` is the path of the file in the container.
    pub(super) async fn write_in_place(
        &self,
        path: &str,
        source: &Path,
        content: &[u8],
    ) -> Result<(), RuntimeError> {
        self.is_of_this_host(path, source)?;
        let (file, content) = (source.to_owned(), content.to_vec());
        let written = tokio::task::spawn_blocking(move || in_place(&file, &content)).await;
        let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(|e| self.not_written(path, source, &e.to_string()))
    }

    /// Fails if [`write_in_place`](Self::write_in_place) would fail because of a missing
    /// permission.
    pub(super) async fn can_write_in_place(
        &self,
        path: &str,
        source: &Path,
    ) -> Result<(), RuntimeError> {
        self.is_of_this_host(path, source)?;
        let file = source.to_owned();
        let opened = tokio::task::spawn_blocking(move || files::open_in_place(&file)).await;
        let opened = opened.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        opened.map(drop).map_err(|e| self.not_written(path, source, &e.to_string()))
    }

    fn is_of_this_host(&self, path: &str, source: &Path) -> Result<(), RuntimeError> {
        if self.spec.engine.starts_with("unix://") {
            return Ok(());
        }
        Err(self.not_written(path, source, "its engine is on another host"))
    }

    fn not_written(&self, path: &str, source: &Path, cause: &str) -> RuntimeError {
        RuntimeError::Refused {
            operation: format!("write {path} of {}", self.name()),
            cause: format!(
                "{cause}; it is the file {} of the host, mounted alone: mount its directory, or let \
                 the operator write that file",
                source.display()
            ),
        }
    }
}

fn in_place(source: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut copy = source.as_os_str().to_owned();
    copy.push(".before");
    let before = files::read(source, MAX_BYTES)?;
    // A failed copy is no error: the copy is for administrators, and the operator keeps the last
    // good files in its state directory.
    if let Err(error) =
        files::replace(Path::new(&copy), &before, Rights { owner: None, mode: 0o600 })
    {
        tracing::debug!(%error, "failed to copy the old file");
    }
    files::write_in_place(source, content)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_nearest_mount_above_a_path_holds_the_path() {
        let mount = |destination: &str, writable| Mounted {
            destination: destination.to_owned(),
            source: PathBuf::from("/srv"),
            writable,
            bind: true,
        };
        let mounts = Mounts(vec![
            mount("/opt/ejabberd", true),
            mount("/opt/ejabberd/conf", false),
            mount("/opt/ejabberd/conf/ejabberd.yml", true),
        ]);
        let writable = |path: &str| mounts.covering(path).map(|mount| mount.writable);
        assert_eq!(writable("/opt/ejabberd/conf/ejabberd.yml"), Some(true));
        assert_eq!(writable("/opt/ejabberd/conf/a.pem"), Some(false));
        assert_eq!(writable("/opt/ejabberd/confx"), Some(true));
        assert_eq!(writable("/opt/ejabberdx/a"), None);
    }

    #[test]
    fn a_write_keeps_the_inode_and_a_copy_of_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ejabberd.yml");
        std::fs::write(&path, "a longer text from before").unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        in_place(&path, b"a new one").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a new one");
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
        let copy = std::fs::read(dir.path().join("ejabberd.yml.before")).unwrap();
        assert_eq!(copy, b"a longer text from before");
        in_place(&dir.path().join("nowhere"), b"x").unwrap_err();
    }

    /// If the operator followed the link, the owner of the directory could choose which file the
    /// operator overwrites.
    #[test]
    fn a_link_at_the_path_of_the_copy_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join("theirs");
        std::fs::create_dir(&theirs).unwrap();
        let (path, victim) = (theirs.join("ejabberd.yml"), dir.path().join("victim"));
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o4755))
            .unwrap();
        std::fs::write(&victim, "kept").unwrap();
        std::os::unix::fs::symlink(&victim, theirs.join("ejabberd.yml.before")).unwrap();
        for path in [&theirs, &path] {
            std::os::unix::fs::chown(path, Some(65_531), Some(65_531)).unwrap();
        }
        in_place(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"kept");
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        in_place(&path, b"evil").unwrap_err();
        assert_eq!(std::fs::read(&victim).unwrap(), b"kept");
    }
}
