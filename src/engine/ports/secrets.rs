//! The port for passwords outside the server and the state directory.

use std::path::Path;

use async_trait::async_trait;

use crate::domain::model::Secret;
use crate::domain::spec::{SecretSink, SecretSource};
use crate::engine::error::SecretError;

/// Whether the operator wrote a secret.
pub type IsOurs = Box<dyn Fn(&Secret) -> bool + Send + Sync>;

/// Reads and writes passwords outside the server and the state directory.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Reads a secret from its declared source.
    async fn read(&self, source: &SecretSource) -> Result<Secret, SecretError>;

    /// Generates a random password.
    fn generate(&self) -> Result<Secret, SecretError>;

    /// Writes a password to a file for others. The file must not exist, or hold this password,
    /// or hold an earlier password of the operator according to `is_ours`.
    async fn publish(
        &self,
        sink: &SecretSink,
        secret: &Secret,
        is_ours: IsOurs,
    ) -> Result<(), SecretError>;

    /// Reads the current content of a file that the desired state names.
    async fn read_file(&self, path: &Path) -> Result<Vec<u8>, SecretError>;
}
