//! Passwords outside the server and the store.

use std::path::Path;

use async_trait::async_trait;

use crate::domain::model::Secret;
use crate::domain::spec::{SecretSink, SecretSource};
use crate::engine::error::SecretError;

/// Whether the operator wrote a secret.
pub type IsOurs = Box<dyn Fn(&Secret) -> bool + Send + Sync>;

/// Reads and writes passwords outside the server and the store.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Reads a secret from where the file says.
    async fn read(&self, source: &SecretSource) -> Result<Secret, SecretError>;

    /// A new random password.
    fn generate(&self) -> Result<Secret, SecretError>;

    /// Writes a password where others find it: to a file that is not there, that holds
    /// it already, or that holds what the operator wrote before, as `is_ours` says.
    async fn publish(
        &self,
        sink: &SecretSink,
        secret: &Secret,
        is_ours: IsOurs,
    ) -> Result<(), SecretError>;

    /// Reads a file that the desired state names, as it is now.
    async fn read_file(&self, path: &Path) -> Result<Vec<u8>, SecretError>;
}
