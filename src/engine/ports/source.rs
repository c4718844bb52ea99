//! The port for the files of the desired state.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::domain::spec::SourceFile;
use crate::engine::error::SourceError;

/// Reads the files of the desired state, and watches them.
#[async_trait]
pub trait Source: Send + Sync {
    /// Reads the current files of the desired state.
    async fn load(&self) -> Result<Vec<SourceFile>, SourceError>;

    /// Also watches `paths`, the files that the desired state names. Replaces the paths of an
    /// earlier call.
    fn watch(&self, paths: &[PathBuf]);

    /// Waits until a watched file may have changed since the last call. Cancel-safe. Never
    /// returns if watching is impossible.
    async fn changed(&self);
}
