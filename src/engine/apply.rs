//! Carrying out the steps that concern single objects.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;

use super::Engine;
use super::observe::CONCURRENCY;
use super::report::{ApplyError, StepOutcome, StepResult};
use super::server::Created;
use crate::diff::Action;
use crate::inventory::{Inventory, Origin, Owned};
use crate::model::{Jid, Kind, ObjectKey, Op, RoomJid, Secret};
use crate::observed::{ObservedState, Reading};
use crate::plan::Step;
use crate::spec::{DeletionPolicy, DesiredState, SecretSource, User};

/// What a step made of the inventory.
enum Ownership {
    Keep,
    Adopted,
    Gone,
}

impl Engine {
    /// Carries out `steps`. One that fails does not hold up another, unless the
    /// server is away as a whole.
    pub(super) async fn apply(&self, desired: &DesiredState, steps: Vec<Step>) -> Vec<StepOutcome> {
        // That an account is about to be ours cannot be read back later: it is
        // remembered before the call that makes it true.
        if let Err(error) = self.intend(desired, &steps) {
            return all_failed(steps, error).collect();
        }
        let away = AtomicBool::new(false);
        let mut outcomes = Vec::new();
        let work: Vec<_> = steps.into_iter().map(|step| self.one(desired, step, &away)).collect();
        let mut done = stream::iter(work).buffer_unordered(CONCURRENCY);
        while let Some((outcome, ownership)) = done.next().await {
            self.telemetry.step(&outcome);
            outcomes.push((outcome, ownership));
        }
        drop(done);
        if let Err(error) = self.server.sync().await {
            tracing::debug!(%error, "the server's database was not synced");
        }
        let (mut adopted, mut gone) = (Vec::new(), Vec::new());
        for (outcome, ownership) in &outcomes {
            match ownership {
                Ownership::Keep => {}
                Ownership::Adopted => {
                    adopted.push((
                        outcome.step.key(),
                        owned(desired, &outcome.step.key(), Origin::Adopted),
                    ));
                }
                Ownership::Gone => gone.push(outcome.step.key()),
            }
        }
        if let Err(error) = self.store.record(&adopted, &gone) {
            // Nothing is lost: the next round sees the same and records it then.
            tracing::warn!(%error, "failed to remember what became of the steps");
        }
        outcomes.into_iter().map(|(outcome, _)| outcome).collect()
    }

    async fn one(
        &self,
        desired: &DesiredState,
        step: Step,
        away: &AtomicBool,
    ) -> (StepOutcome, Ownership) {
        if away.load(Ordering::Relaxed) {
            let result = StepResult::deferred("the server is away");
            return (StepOutcome { step, result }, Ownership::Keep);
        }
        match self.act(desired, &step).await {
            Ok(ownership) => (StepOutcome { step, result: StepResult::Done }, ownership),
            Err(error) => {
                if error.is_outage() {
                    away.store(true, Ordering::Relaxed);
                }
                (StepOutcome { step, result: StepResult::Failed(error) }, Ownership::Keep)
            }
        }
    }

    async fn act(&self, desired: &DesiredState, step: &Step) -> Result<Ownership, ApplyError> {
        match &step.action {
            Action::CreateUser(jid) => self.create_user(desired, jid).await,
            Action::SetPassword(jid) => self.set_password(desired, jid).await,
            Action::DeleteUser(jid) => {
                self.server.unregister(jid).await?;
                Ok(Ownership::Gone)
            }
            Action::CreateRoom(room) => self.create_room(desired, room).await,
            Action::SetRoomOptions(room, options) => {
                for (name, value) in options {
                    self.server.change_room_option(room, name, value).await?;
                }
                Ok(Ownership::Keep)
            }
            Action::DeleteRoom(room) => {
                self.server.destroy_room(room).await?;
                Ok(Ownership::Gone)
            }
            // The round carries these out itself, one after the other.
            Action::CreateServer
            | Action::StartServer
            | Action::StopServer
            | Action::ReplaceServer
            | Action::OwnRestarts
            | Action::ApplyConfig { .. } => Ok(Ownership::Keep),
        }
    }

    async fn create_user(
        &self,
        desired: &DesiredState,
        jid: &Jid,
    ) -> Result<Ownership, ApplyError> {
        let password = self.password_for(desired, jid).await?;
        let created = self.server.register(jid, &password).await?;
        if created == Created::Before {
            return Ok(Ownership::Adopted);
        }
        Ok(Ownership::Keep)
    }

    /// The declared password, or the one that was generated and kept when the
    /// creation was decided on.
    async fn password_for(&self, desired: &DesiredState, jid: &Jid) -> Result<Secret, ApplyError> {
        let declared = declared_user(desired, jid).and_then(|user| user.password.as_ref());
        match self.known_password(declared, jid).await? {
            Some(password) => Ok(password),
            None => Ok(self.secrets.generate()?),
        }
    }

    /// The password of an account, where it can be known.
    pub(super) async fn password_of(
        &self,
        desired: &DesiredState,
        jid: &Jid,
    ) -> Result<Option<Secret>, ApplyError> {
        let declared = declared_user(desired, jid).and_then(|user| user.password.as_ref());
        self.known_password(declared, jid).await
    }

    async fn known_password(
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

    async fn set_password(
        &self,
        desired: &DesiredState,
        jid: &Jid,
    ) -> Result<Ownership, ApplyError> {
        let password = self.password_for(desired, jid).await?;
        self.server.change_password(jid, &password).await?;
        Ok(Ownership::Keep)
    }

    /// Leaves the passwords of accounts that are there where others find them.
    /// Done in every round, so that a file that is lost comes back; one that is
    /// right is not written again. Answers what could not be written, and why.
    pub(super) async fn publish(
        &self,
        desired: &DesiredState,
        there: &ObservedState,
        inventory: &Inventory,
    ) -> Vec<String> {
        let mut failed = Vec::new();
        for (jid, user) in desired.users.iter().flatten() {
            let Some(sink) = &user.password_to else { continue };
            let present = there.users.get(&jid.host).and_then(Reading::known);
            if user.paused || !present.is_some_and(|names| names.contains(&jid.local)) {
                continue;
            }
            // What was generated is the password only of an account that we made.
            let generated = matches!(user.password, None | Some(SecretSource::Generate));
            let owned = inventory.get(&ObjectKey::new(Kind::User, jid));
            if generated && !owned.is_some_and(|owned| owned.origin == Origin::Created) {
                continue;
            }
            let result = async {
                if let Some(password) = self.known_password(user.password.as_ref(), jid).await? {
                    self.secrets.publish(sink, &password).await?;
                }
                Ok::<_, ApplyError>(())
            };
            if let Err(error) = result.await {
                failed.push(format!("the password file of {jid}: failed to {error}"));
            }
        }
        failed
    }

    async fn create_room(
        &self,
        desired: &DesiredState,
        jid: &RoomJid,
    ) -> Result<Ownership, ApplyError> {
        let Some(room) = desired.rooms.as_ref().and_then(|rooms| rooms.get(jid)) else {
            return Ok(Ownership::Keep);
        };
        match self
            .server
            .create_room(jid, desired.host_of(&jid.service).unwrap_or(&desired.host), &room.options)
            .await?
        {
            Created::Now => Ok(Ownership::Keep),
            Created::Before => Ok(Ownership::Adopted),
        }
    }

    /// Remembers, before any of them is sent, what `steps` are about to make
    /// ours, and the passwords that nobody else will know.
    fn intend(&self, desired: &DesiredState, steps: &[Step]) -> Result<(), ApplyError> {
        let creates: Vec<&Step> = steps.iter().filter(|step| step.op == Op::Create).collect();
        let mut generated = Vec::new();
        for step in &creates {
            let Action::CreateUser(jid) = &step.action else { continue };
            let declared = declared_user(desired, jid).and_then(|user| user.password.as_ref());
            let needed = matches!(declared, None | Some(SecretSource::Generate));
            if needed && self.store.generated(jid)?.is_none() {
                generated.push((jid.clone(), self.secrets.generate()?));
            }
        }
        self.store.keep_generated(&generated)?;
        let intents =
            creates.iter().map(|step| (step.key(), owned(desired, &step.key(), Origin::Created)));
        let mut owned: Vec<(ObjectKey, Owned)> = intents.collect();
        // Once a password is on its way, the one that was seen before is not to
        // be believed any more, whatever becomes of the answer.
        let changing = steps.iter().filter(|step| matches!(step.action, Action::SetPassword(_)));
        if changing.clone().next().is_some() {
            let inventory = self.store.inventory()?;
            let known =
                changing.filter_map(|step| Some((step.key(), inventory.get(&step.key())?.clone())));
            owned.extend(known.map(|(key, owned)| (key, Owned { password: None, ..owned })));
        }
        self.store.record(&owned, &[])?;
        Ok(())
    }
}

/// The inventory's entry for an object that becomes ours now.
pub(super) fn owned(desired: &DesiredState, key: &ObjectKey, origin: Origin) -> Owned {
    Owned {
        origin,
        since: Timestamp::now(),
        revision: desired.revision.clone(),
        deletion_policy: declared_policy(desired, key),
        password: None,
    }
}

fn declared_user<'a>(desired: &'a DesiredState, jid: &Jid) -> Option<&'a User> {
    desired.users.as_ref()?.get(jid)
}

/// The deletion policy that is declared for an object.
pub(super) fn declared_policy(desired: &DesiredState, key: &ObjectKey) -> DeletionPolicy {
    let of_user = || Some(desired.users.as_ref()?.get(&key.name.parse().ok()?)?.deletion_policy);
    let of_room = || Some(desired.rooms.as_ref()?.get(&key.name.parse().ok()?)?.deletion_policy);
    match key.kind {
        crate::model::Kind::User => of_user(),
        crate::model::Kind::Room => of_room(),
        _ => None,
    }
    .unwrap_or(DeletionPolicy::Delete)
}

/// Every step with the same error: the first carries it, the others refer to it.
fn all_failed(steps: Vec<Step>, error: ApplyError) -> impl Iterator<Item = StepOutcome> {
    let mut error = Some(error);
    steps.into_iter().map(move |step| StepOutcome {
        step,
        result: match error.take() {
            Some(error) => StepResult::Failed(error),
            None => StepResult::deferred("what would be ours could not be remembered"),
        },
    })
}
