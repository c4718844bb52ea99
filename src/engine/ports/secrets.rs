//! The port for passwords outside the server and the state directory.

use std::path::Path;

use async_trait::async_trait;

use crate::domain::model::Secret;
use crate::domain::spec::{SecretSink, SecretSource};
use crate::engine::error::SecretError;

/// A function that returns whether the operator wrote the given secret.
pub type IsOurs = Box<dyn Fn(&Secret) -> bool + Send + Sync>;

/// The access to passwords and files outside the server and the state directory.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// Reads a secret from the declared source of the secret.
    async fn read(&self, source: &SecretSource) -> Result<Secret, SecretError>;

    /// Generates a random password.
    fn generate(&self) -> Result<Secret, SecretError>;

    /// Writes a password to a file for other programs. Fails if the file exists and holds another
    /// content, unless `is_ours` recognizes the content as an earlier password of the operator.
    async fn publish(
        &self,
        sink: &SecretSink,
        secret: &Secret,
        is_ours: IsOurs,
    ) -> Result<(), SecretError>;

    /// Which other accounts can read or replace a file with a secret, in words; `None` if no
    /// account can.
    async fn exposure(&self, path: &Path) -> Result<Option<String>, SecretError>;

    /// Reads the current content of a file that the desired state names.
    async fn read_file(&self, path: &Path) -> Result<Vec<u8>, SecretError>;
}
