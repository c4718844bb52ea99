//! Reads the desired state. Watches the files of the desired state and the files that the desired
//! state refers to.

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

/// The time for which the source collects changes after the first change. The time is fixed: a wait
/// for a quiet period could delay the notification for ever.
const DEBOUNCE: Duration = Duration::from_millis(30);

/// The time limit for a read of the files.
const DEADLINE: Duration = Duration::from_secs(30);

/// The desired state in a file, or in the `*.yaml` files of a directory.
pub struct FileSource {
    path: PathBuf,
    watcher: Arc<Watcher>,
    /// The number of the latest change that a caller has received.
    received: AtomicU64,
}

impl FileSource {
    /// Creates a source for the desired state at `path`. The file may be missing. Watches for
    /// changes from this call on, if the system provides a watcher.
    pub fn new(path: PathBuf) -> Result<Self, SourceError> {
        let absolute = std::path::absolute(&path).map_err(|e| SourceError {
            path: path.display().to_string(),
            cause: format!("its absolute path is unknown: {e}"),
        })?;
        let watcher = Arc::new(Watcher::new(absolute));
        watcher.refresh();
        Ok(Self { path, watcher, received: AtomicU64::new(0) })
    }

    /// Returns the path of the desired state, in the form that the user gave.
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
            Ok(Err(_)) => Err(failed("the read was interrupted".to_owned())),
            Err(_) => Err(failed(format!("the disk did not respond for {} s", DEADLINE.as_secs()))),
        }
    }

    /// Watches the files at `paths` in addition to the desired state, and no longer watches the
    /// previous files. The source notices every change after this call.
    fn watch(&self, paths: &[PathBuf]) {
        self.watcher.also(paths.iter().filter_map(|p| std::path::absolute(p).ok()).collect());
        self.watcher.refresh();
    }

    async fn changed(&self) {
        self.watcher.wait_beyond(self.received.load(Ordering::Acquire)).await;
        tokio::time::sleep(DEBOUNCE).await;
        let generation = self.watcher.generation();
        // Watch the paths again, because links may have other targets, and directories may have
        // been replaced.
        let watcher = Arc::clone(&self.watcher);
        let looking = tokio::task::spawn_blocking(move || watcher.refresh());
        let _ = tokio::time::timeout(DEADLINE, looking).await;
        // Update `received` last. Otherwise a cancelled call loses the change.
        self.received.fetch_max(generation, Ordering::AcqRel);
    }
}
