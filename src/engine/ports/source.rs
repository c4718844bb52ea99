//! The port for the files of the desired state.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::domain::spec::SourceFile;
use crate::engine::error::SourceError;

/// The source of the desired state: reads and watches the files.
#[async_trait]
pub trait Source: Send + Sync {
    /// Reads the current files of the desired state.
    async fn load(&self) -> Result<Vec<SourceFile>, SourceError>;

    /// Sets `paths`, the files that the desired state names, as files to watch beside the files of
    /// the desired state. Replaces the paths of an earlier call.
    fn watch(&self, paths: &[PathBuf]);

    /// Waits until a watched file may have changed since the last call. Cancel-safe: a cancelled
    /// call loses no change. Never returns if the source cannot watch files.
    async fn changed(&self);
}
