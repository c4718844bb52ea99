//! The files of the desired state, and everything that they name:
//! read, and watched for changes.

mod read;
#[cfg(test)]
mod tests;
mod watched_paths;
mod watcher;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::spec::SourceFile;
use crate::engine::{Source, SourceError};
use watcher::Watcher;

/// How long the source waits for further changes after the first. A fixed time and not a pause
/// between events, so that a burst cannot delay the notification for ever.
const DEBOUNCE: Duration = Duration::from_millis(30);

/// A disk that takes longer than this is taken for dead.
const DEADLINE: Duration = Duration::from_secs(30);

/// The desired state in a file, or in the `*.yaml` of a directory.
pub struct FileSource {
    path: PathBuf,
    watcher: Arc<Watcher>,
    /// The latest generation of changes that a caller has received.
    told: AtomicU64,
}

impl FileSource {
    /// The desired state at `path`, which need not exist yet. From now on its
    /// changes are noticed, as far as the system lets us watch.
    pub fn new(path: PathBuf) -> Result<Self, SourceError> {
        let absolute = std::path::absolute(&path).map_err(|e| SourceError {
            path: path.display().to_string(),
            cause: format!("its place is unclear: {e}"),
        })?;
        let watcher = Arc::new(Watcher::new(absolute));
        watcher.refresh();
        Ok(Self { path, watcher, told: AtomicU64::new(0) })
    }

    /// Where the desired state is, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[async_trait]
impl Source for FileSource {
    async fn load(&self) -> Result<Vec<SourceFile>, SourceError> {
        let path = self.path.clone();
        let failed = |cause: String| SourceError { path: self.path.display().to_string(), cause };
        let reading = tokio::task::spawn_blocking(move || read::load(&path));
        match tokio::time::timeout(DEADLINE, reading).await {
            Ok(Ok(files)) => files,
            Ok(Err(_)) => Err(failed("the attempt was broken off".to_owned())),
            Err(_) => Err(failed(format!("the disk did not answer for {} s", DEADLINE.as_secs()))),
        }
    }

    /// What is read after this call cannot change unnoticed.
    fn watch(&self, paths: &[PathBuf]) {
        self.watcher.also(paths.iter().filter_map(|p| std::path::absolute(p).ok()).collect());
        self.watcher.refresh();
    }

    async fn changed(&self) {
        self.watcher.wait_beyond(self.told.load(Ordering::Acquire)).await;
        tokio::time::sleep(DEBOUNCE).await;
        let generation = self.watcher.generation();
        // Links may lead elsewhere now, and directories may be new ones.
        let watcher = Arc::clone(&self.watcher);
        let looking = tokio::task::spawn_blocking(move || watcher.refresh());
        let _ = tokio::time::timeout(DEADLINE, looking).await;
        // Last, so that a cancelled caller receives the change at its next call.
        self.told.fetch_max(generation, Ordering::AcqRel);
    }
}
