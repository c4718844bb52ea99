//! The files of the desired state.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::domain::spec::SourceFile;
use crate::engine::error::SourceError;

/// Where the desired state comes from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Reads the files of the desired state, as they are now.
    async fn load(&self) -> Result<Vec<SourceFile>, SourceError>;

    /// From now on, notices changes of `paths` as well: what the desired state
    /// names. Replaces what an earlier call said.
    fn watch(&self, paths: &[PathBuf]);

    /// Waits until something that is watched may have changed since the last
    /// time. Cancel-safe. Never ends when watching is impossible.
    async fn changed(&self);
}
