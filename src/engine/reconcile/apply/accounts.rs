//! Carries out the steps on accounts: passwords, vCards and bans.

use super::written::Written;
use super::{Ownership, declared_user};
use crate::domain::diff::{ObjectAction, ObjectStep};
use crate::domain::inventory::{Inventory, Origin};
use crate::domain::model::{Jid, Secret};
use crate::domain::observed::{ObservedState, Reading};
use crate::domain::spec::{DesiredState, PasswordPolicy, SecretSource, UserState};
use crate::ejabberd::Created;
use crate::engine::reconcile::report::ApplyError;
use crate::engine::reconcile::round::Reconciler;

impl Reconciler {
    pub(super) async fn create_user(
        &self,
        desired: &DesiredState,
        jid: &Jid,
    ) -> Result<Ownership, ApplyError> {
        let password = self.password_for(desired, jid).await?;
        if self.server.register(jid, &password).await? == Created::Before {
            return Ok(Ownership::Adopted);
        }
        self.set_vcard(desired, jid).await?;
        Ok(Ownership::Keep)
    }

    /// Sets the declared vCard fields that differ on the server.
    pub(super) async fn set_vcard(
        &self,
        desired: &DesiredState,
        jid: &Jid,
    ) -> Result<(), ApplyError> {
        let Some(user) = declared_user(desired, jid).filter(|user| !user.vcard.is_empty()) else {
            return Ok(());
        };
        let there = self.server.vcard(jid, user.vcard.keys()).await?;
        for (field, text) in &user.vcard {
            if there.get(field) != Some(text) {
                self.server.set_vcard(jid, field, text).await?;
            }
        }
        Ok(())
    }

    /// Lets a banned account log in again. On a server that does not remember bans, the ban has
    /// replaced the password of the account, so the account gets the declared password, or a
    /// generated password.
    pub(super) async fn lift_ban(
        &self,
        desired: &DesiredState,
        jid: &Jid,
    ) -> Result<(), ApplyError> {
        if self.server.remembers_bans().await? {
            return Ok(self.server.unban(jid).await?);
        }
        let password = match self.passwords.password_of(desired, jid).await? {
            Some(password) => password,
            None => {
                let password = self.secrets.generate()?;
                self.store.keep_generated(&[(jid.clone(), password.clone())])?;
                password
            }
        };
        Ok(self.server.change_password(jid, &password).await?)
    }

    /// Sets the declared vCard and password of an account after the end of a ban. The operator did
    /// not compare these values during the ban, and the account may still have the password from
    /// before the ban.
    pub(super) async fn catch_up(
        &self,
        desired: &DesiredState,
        jid: &Jid,
    ) -> Result<(), ApplyError> {
        let source = declared_user(desired, jid)
            .filter(|user| user.password_policy == PasswordPolicy::Enforce)
            .and_then(|user| user.password.as_ref())
            .filter(|source| **source != SecretSource::Generate);
        if let Some(source) = source {
            let password = self.secrets.read(source).await?;
            if !self.server.password_is(jid, &password).await? {
                self.server.change_password(jid, &password).await?;
            }
        }
        self.set_vcard(desired, jid).await
    }

    /// Generates and stores a password for each account that `steps` create without a declared
    /// password.
    pub(super) fn generate_passwords(
        &self,
        desired: &DesiredState,
        steps: &[ObjectStep],
    ) -> Result<(), ApplyError> {
        let mut generated = Vec::new();
        for step in steps {
            let ObjectAction::CreateUser(jid) = step.action() else { continue };
            let declared = declared_user(desired, jid).and_then(|user| user.password.as_ref());
            let needed = matches!(declared, None | Some(SecretSource::Generate));
            if needed && self.store.generated(jid)?.is_none() {
                generated.push((jid.clone(), self.secrets.generate()?));
            }
        }
        Ok(self.store.keep_generated(&generated)?)
    }

    /// Returns the declared password, or else the stored generated password, or else a new
    /// password.
    async fn password_for(&self, desired: &DesiredState, jid: &Jid) -> Result<Secret, ApplyError> {
        match self.passwords.password_of(desired, jid).await? {
            Some(password) => Ok(password),
            None => Ok(self.secrets.generate()?),
        }
    }

    pub(super) async fn set_password(
        &self,
        desired: &DesiredState,
        jid: &Jid,
    ) -> Result<(), ApplyError> {
        let password = self.password_for(desired, jid).await?;
        Ok(self.server.change_password(jid, &password).await?)
    }

    /// Writes the passwords of existing accounts to the declared password files. Every
    /// reconciliation calls this function, so that the operator restores a lost file. Does not
    /// write a correct file again. Returns a message for each file that the operator failed to
    /// write.
    pub(in crate::engine) async fn publish(
        &self,
        desired: &DesiredState,
        there: &ObservedState,
        inventory: &Inventory,
    ) -> Vec<String> {
        let mut failed = Vec::new();
        let mut written = match Written::of(&self.store) {
            Ok(written) => written,
            Err(error) => return vec![format!("the password files: failed to {error}")],
        };
        for (jid, user) in desired.users.iter().flatten() {
            let Some(sink) = &user.password_to else { continue };
            let present = there.users.get(&jid.host).and_then(Reading::known);
            let there = user.state != UserState::Absent;
            if user.paused || !there || !present.is_some_and(|names| names.contains(&jid.local)) {
                continue;
            }
            // Skip other accounts, because only an account that the operator created has the
            // generated password.
            let generated = matches!(user.password, None | Some(SecretSource::Generate));
            let owned = inventory.user(jid);
            if generated && !owned.is_some_and(|owned| owned.origin == Origin::Created) {
                continue;
            }
            let result = async {
                if let Some(password) =
                    self.passwords.known_password(user.password.as_ref(), jid).await?
                {
                    let is_ours = written.begin(&sink.file, &password)?;
                    self.secrets.publish(sink, &password, is_ours).await?;
                    written.done(&sink.file, &password)?;
                }
                Ok::<_, ApplyError>(())
            };
            if let Err(error) = result.await {
                failed.push(format!("the password file of {jid}: failed to {error}"));
            }
        }
        failed
    }
}
