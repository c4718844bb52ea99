//! Files of the host that are mounted into the container one by one.
//!
//! Such a file keeps its inode as long as the container lives: what takes its
//! place by a rename is not seen inside, and the engine cannot replace it at
//! all ("device or resource busy"). So it is written in place, with a copy of
//! what it was beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::AsyncWriteExt;

use super::DockerRuntime;
use crate::engine::RuntimeError;

impl DockerRuntime {
    /// Files of the host by the place in the container where they are mounted.
    pub(super) async fn mounted_files(&self) -> Result<BTreeMap<String, PathBuf>, RuntimeError> {
        let mounts = self.container().await?.and_then(|c| c.mounts).unwrap_or_default();
        let binds = mounts.into_iter().filter(|mount| mount.typ.as_deref() == Some("bind"));
        Ok(binds
            .filter_map(|mount| Some((mount.destination?, PathBuf::from(mount.source?))))
            .collect())
    }

    /// Writes `content` into the file of the host at `source`.
    pub(super) async fn write_in_place(
        &self,
        place: &str,
        source: &Path,
        content: &[u8],
    ) -> Result<(), RuntimeError> {
        let refused = |cause: String| RuntimeError::Refused {
            operation: format!("write {place} of {}", self.name()),
            cause: format!(
                "{cause}; it is the file {} of the host, mounted alone: mount its directory, or let \
                 the operator write that file",
                source.display()
            ),
        };
        if !self.spec.engine.starts_with("unix://") {
            return Err(refused("its engine is on another host".to_owned()));
        }
        in_place(source, content).await.map_err(|e| refused(e.to_string()))
    }
}

async fn in_place(source: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut copy = source.as_os_str().to_owned();
    copy.push(".before");
    fs::copy(source, &copy).await?;
    // Neither created nor truncated: the inode stays, and a reader never finds it empty.
    let mut file = fs::OpenOptions::new().write(true).open(source).await?;
    file.write_all(content).await?;
    file.set_len(content.len() as u64).await?;
    file.sync_all().await
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[tokio::test]
    async fn the_inode_stays_and_a_copy_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ejabberd.yml");
        std::fs::write(&path, "a longer text from before").unwrap();
        let inode = std::fs::metadata(&path).unwrap().ino();
        in_place(&path, b"a new one").await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a new one");
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode);
        let copy = std::fs::read(dir.path().join("ejabberd.yml.before")).unwrap();
        assert_eq!(copy, b"a longer text from before");
        in_place(&dir.path().join("nowhere"), b"x").await.unwrap_err();
    }
}
