//! Reads and writes files in a container, as tar archives through the engine's API. The container
//! does not have to run, and the archives include files on volumes.

use std::io::{Cursor, Read};

use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::StreamExt;
use jiff::Timestamp;

use super::{DockerRuntime, status};
use crate::engine::{ConfigFiles, RuntimeError};

/// The maximum size of a file that the operator reads from a container, in bytes. A configuration
/// has only kilobytes.
const MAX_FILE_BYTES: usize = 16 << 20;

/// A file of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContainerFile {
    pub(super) content: Vec<u8>,
    pub(super) owner: Owner,
}

/// The owner and the permission bits of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// The permission bits.
    pub(super) mode: u32,
}

/// Files for a directory in a container.
struct Content<'a> {
    /// The directory, for messages.
    directory: &'a str,
    /// The path of the directory in the archive; empty if the directory exists.
    prefix: &'a str,
    files: &'a ConfigFiles,
    owner: Owner,
}

impl DockerRuntime {
    /// Whether a file, directory or link exists at `path` in `container`.
    pub(super) async fn exists(&self, container: &str, path: &str) -> Result<bool, RuntimeError> {
        let options = query::ContainerArchiveInfoOptionsBuilder::default().path(path).build();
        match self.client().await?.get_container_archive_info(container, Some(options)).await {
            Ok(_) => Ok(true),
            Err(e) if status(&e) == Some(404) => Ok(false),
            Err(e) => Err(self.error("look for a file in", &e)),
        }
    }

    /// The file at `path` in `container`; `None` if no file exists there. Follows one link within
    /// the container. Fails if the archive has more than [`MAX_FILE_BYTES`].
    pub(super) async fn download(
        &self,
        container: &str,
        path: &str,
    ) -> Result<Option<ContainerFile>, RuntimeError> {
        match self.download_entry(container, path).await? {
            Some(Entry::File(file)) => Ok(Some(file)),
            Some(Entry::Link(target)) => {
                let target = if target.starts_with('/') {
                    target
                } else {
                    format!("{}/{target}", parent(path))
                };
                Ok(match self.download_entry(container, &target).await? {
                    Some(Entry::File(file)) => Some(file),
                    _ => None,
                })
            }
            None => Ok(None),
        }
    }

    async fn download_entry(
        &self,
        container: &str,
        path: &str,
    ) -> Result<Option<Entry>, RuntimeError> {
        let options = query::DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut stream =
            Box::pin(self.client().await?.download_from_container(container, Some(options)));
        let mut archive = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(bytes) => archive.extend_from_slice(&bytes),
                Err(e) if status(&e) == Some(404) => return Ok(None),
                Err(e) => return Err(self.error("read a file from", &e)),
            }
            if archive.len() > MAX_FILE_BYTES {
                return Err(RuntimeError::Refused {
                    operation: format!("read {path} from {container}"),
                    cause: format!("it has more than {MAX_FILE_BYTES} bytes"),
                });
            }
        }
        first_entry(&archive).map_err(|e| RuntimeError::Refused {
            operation: format!("read {path} from {container}"),
            cause: e.to_string(),
        })
    }

    /// Writes `files` into the existing `directory` of `container`, owned by `owner`.
    pub(super) async fn upload(
        &self,
        container: &str,
        directory: &str,
        files: &ConfigFiles,
        owner: Owner,
    ) -> Result<(), RuntimeError> {
        let content = Content { directory, prefix: "", files, owner };
        self.extract(container, directory, content).await
    }

    /// Creates `directory` in `container` and writes `files` into the directory, all owned by
    /// `owner`.
    pub(super) async fn upload_as_new_directory(
        &self,
        container: &str,
        directory: &str,
        files: &ConfigFiles,
        owner: Owner,
    ) -> Result<(), RuntimeError> {
        let prefix = format!("{}/", directory.rsplit('/').next().unwrap_or_default());
        let content = Content { directory, prefix: &prefix, files, owner };
        self.extract(container, parent(directory), content).await
    }

    /// Has the engine extract `content` in the existing directory `to` of `container`.
    async fn extract(
        &self,
        container: &str,
        to: &str,
        content: Content<'_>,
    ) -> Result<(), RuntimeError> {
        let Content { directory, prefix, files, owner } = content;
        let archive = pack(prefix, files, owner).map_err(|e| RuntimeError::Refused {
            operation: format!("pack files for {directory}"),
            cause: e.to_string(),
        })?;
        let options = query::UploadToContainerOptionsBuilder::default().path(to).build();
        let body = bollard::body_full(Bytes::from(archive));
        let sent = self.client().await?.upload_to_container(container, Some(options), body).await;
        sent.map_err(|e| self.error(&format!("write files to {directory} of"), &e))
    }
}

/// The directory part of an absolute path.
pub(super) fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((directory, _)) => directory,
    }
}

enum Entry {
    File(ContainerFile),
    Link(String),
}

fn first_entry(archive: &[u8]) -> std::io::Result<Option<Entry>> {
    let mut archive = tar::Archive::new(Cursor::new(archive));
    let Some(entry) = archive.entries()?.next() else { return Ok(None) };
    let mut entry = entry?;
    if let Some(target) = entry.link_name()? {
        return Ok(Some(Entry::Link(target.to_string_lossy().into_owned())));
    }
    let header = entry.header();
    let owner = Owner { uid: header.uid()?, gid: header.gid()?, mode: header.mode()? & 0o777 };
    let mut content = Vec::new();
    entry.read_to_end(&mut content)?;
    Ok(Some(Entry::File(ContainerFile { content, owner })))
}

fn pack(prefix: &str, files: &ConfigFiles, owner: Owner) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    let mut header = |path: String, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner.uid);
        header.set_gid(owner.gid);
        header.set_size(content.len() as u64);
        // ejabberd reads a certificate again only if the modification time of the file is newer.
        header.set_mtime(now);
        archive.append_data(&mut header, path, content)
    };
    if !prefix.is_empty() {
        header(prefix.to_owned(), tar::EntryType::Directory, 0o755, &[])?;
    }
    for (name, content) in files {
        header(format!("{prefix}{name}"), tar::EntryType::Regular, owner.mode, content)?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unpacked_file_has_the_content_and_owner_that_were_packed() {
        let files = ConfigFiles::from([("ejabberd.yml".to_owned(), b"hosts: []".to_vec())]);
        let archive = pack("", &files, Owner { uid: 9000, gid: 42, mode: 0o640 }).unwrap();
        let Some(Entry::File(file)) = first_entry(&archive).unwrap() else { panic!("no file") };
        assert_eq!(file.content, b"hosts: []");
        assert_eq!(file.owner, Owner { uid: 9000, gid: 42, mode: 0o640 });
    }

    #[test]
    fn the_parent_is_the_directory_part_of_a_path() {
        assert_eq!((parent("/a/b"), parent("/a"), parent("/a/b/")), ("/a", "/", "/a"));
    }
}
