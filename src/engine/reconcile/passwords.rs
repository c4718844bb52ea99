//! The access to the passwords that the operator knows.

use std::sync::Arc;

use super::report::ApplyError;
use crate::domain::model::{Jid, Secret};
use crate::domain::spec::{DesiredState, SecretSource};
use crate::engine::ports::{Secrets, Store};

/// The reader of declared and generated passwords.
pub(in crate::engine) struct Passwords {
    pub(in crate::engine) store: Arc<dyn Store>,
    pub(in crate::engine) secrets: Arc<dyn Secrets>,
}

impl Passwords {
    /// Returns the password of an account; `None` if no password is declared and the operator has
    /// not generated a password.
    pub(in crate::engine) async fn password_of(
        &self,
        desired: &DesiredState,
        jid: &Jid,
    ) -> Result<Option<Secret>, ApplyError> {
        let declared = desired
            .users
            .as_ref()
            .and_then(|users| users.get(jid))
            .and_then(|user| user.password.as_ref());
        self.known_password(declared, jid).await
    }

    /// Returns the password from `source`, or else the generated password of the account; `None` if
    /// neither exists.
    pub(in crate::engine) async fn known_password(
        &self,
        source: Option<&SecretSource>,
        jid: &Jid,
    ) -> Result<Option<Secret>, ApplyError> {
        match source {
            Some(source) if *source != SecretSource::Generate => {
                Ok(Some(self.secrets.read(source).await?))
            }
            _ => Ok(self.store.generated(jid)?),
        }
    }
}
