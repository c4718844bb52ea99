//! Carries out the steps on objects.

mod accounts;
mod rooms;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tracing::Instrument;

use super::deferral::Deferral;
use super::observe::CONCURRENCY;
use super::report::{ApplyError, StepOutcome, StepResult, step_span};
use crate::domain::diff::{ObjectAction, ObjectStep};
use crate::domain::inventory::{Ban, Origin, Owned};
use crate::domain::model::{AffiliationId, Jid, ObjectKey, RoomJid};
use crate::domain::spec::{DeletionPolicy, DesiredState, User};
use crate::engine::ports::EngineEvent;
use crate::engine::reconcile::round::Reconciler;

/// The effect of a step on the inventory.
enum Ownership {
    Keep,
    Adopted,
    Gone,
    Banned(String),
    Unbanned,
}

impl Reconciler {
    /// Carries out `steps`, and returns the outcome of each step. A failed step does not stop other
    /// steps. If the server does not respond at all, defers the remaining steps.
    pub(in crate::engine) async fn apply(
        &self,
        desired: &DesiredState,
        steps: Vec<ObjectStep>,
    ) -> Vec<StepOutcome> {
        // Record the ownership before the call that creates an account. Otherwise a killed operator
        // leaves an account without an owner, because the server cannot report which accounts the
        // operator created.
        if let Err(error) = self.record_intent(desired, &steps) {
            return all_failed(steps, error).collect();
        }
        let away = AtomicBool::new(false);
        let mut outcomes = Vec::new();
        // Change the storage of the account table first, because the storage decides how fast the
        // server creates accounts.
        let (first, steps): (Vec<ObjectStep>, Vec<ObjectStep>) = steps
            .into_iter()
            .partition(|step| matches!(step.action(), ObjectAction::StoreAccounts { .. }));
        for steps in [first, steps] {
            let work = steps.into_iter().map(|step| self.carry_out(desired, step, &away));
            let work: Vec<_> = work.collect();
            let mut done = stream::iter(work).buffer_unordered(CONCURRENCY);
            while let Some((outcome, ownership)) = done.next().await {
                self.events.take(EngineEvent::StepTried(&outcome));
                outcomes.push((outcome, ownership));
            }
        }
        if let Err(error) = self.server.sync().await {
            tracing::debug!(%error, "the server's database was not synced");
        }
        if let Err(error) = self.note_ownership(desired, &outcomes) {
            // Only log the error, because the next reconciliation observes the same state and
            // records the ownership.
            tracing::warn!(%error, "failed to record the results of the steps");
        }
        outcomes.into_iter().map(|(outcome, _)| outcome).collect()
    }

    async fn carry_out(
        &self,
        desired: &DesiredState,
        step: ObjectStep,
        away: &AtomicBool,
    ) -> (StepOutcome, Ownership) {
        if away.load(Ordering::Relaxed) {
            let result = StepResult::Deferred(Deferral::ServerAway);
            return (StepOutcome { step: step.into_info(), result }, Ownership::Keep);
        }
        let done = self.act(desired, step.action()).instrument(step_span(step.info())).await;
        let step = step.into_info();
        match done {
            Ok(ownership) => (StepOutcome { step, result: StepResult::Done }, ownership),
            Err(error) => {
                if error.is_outage() {
                    away.store(true, Ordering::Relaxed);
                }
                (StepOutcome { step, result: StepResult::Failed(error) }, Ownership::Keep)
            }
        }
    }

    async fn act(
        &self,
        desired: &DesiredState,
        action: &ObjectAction,
    ) -> Result<Ownership, ApplyError> {
        match action {
            ObjectAction::StoreAccounts { storage, .. } => {
                self.server.store_accounts(*storage).await?
            }
            ObjectAction::CreateUser(jid) => return self.create_user(desired, jid).await,
            ObjectAction::SetPassword(jid) => self.set_password(desired, jid).await?,
            ObjectAction::SetVcard(jid) => self.set_vcard(desired, jid).await?,
            ObjectAction::Ban { account, reason } => {
                self.server.ban(account, reason).await?;
                return Ok(Ownership::Banned(reason.clone()));
            }
            ObjectAction::Unban(jid) => {
                self.lift_ban(desired, jid).await?;
                self.catch_up(desired, jid).await?;
                return Ok(Ownership::Unbanned);
            }
            ObjectAction::DeleteUser(jid) => {
                self.server.unregister(jid).await?;
                return Ok(Ownership::Gone);
            }
            ObjectAction::CreateGroup(group) => self.create_group(desired, group).await?,
            ObjectAction::UpdateGroup(change) => self.update_group(desired, change).await?,
            ObjectAction::DeleteGroup(group) => {
                self.server.delete_group(&group.host, &group.name).await?;
                return Ok(Ownership::Gone);
            }
            ObjectAction::CreateRoom(room) => return self.create_room(desired, room).await,
            ObjectAction::UpdateRoom { room, options, subject } => {
                self.update_room(desired, room, options, subject.as_deref()).await?;
            }
            ObjectAction::DeleteRoom(room) => {
                self.server.destroy_room(room).await?;
                return Ok(Ownership::Gone);
            }
            ObjectAction::SetAffiliation { id, from: _, to } => {
                self.server.affiliate(id, Some(*to)).await?;
            }
            ObjectAction::RemoveAffiliation(id) => {
                self.server.affiliate(id, None).await?;
                return Ok(Ownership::Gone);
            }
        }
        Ok(Ownership::Keep)
    }

    /// Records the ownership that results from the steps.
    fn note_ownership(
        &self,
        desired: &DesiredState,
        outcomes: &[(StepOutcome, Ownership)],
    ) -> Result<(), ApplyError> {
        let changed =
            |(_, ownership): &&(StepOutcome, Ownership)| !matches!(ownership, Ownership::Keep);
        if !outcomes.iter().any(|outcome| changed(&outcome)) {
            return Ok(());
        }
        let inventory = self.store.inventory()?;
        let mut entries: BTreeMap<ObjectKey, Owned> = BTreeMap::new();
        let mut gone = Vec::new();
        for (outcome, ownership) in outcomes.iter().filter(changed) {
            let key = outcome.step.key.clone();
            let before = entries.remove(&key).or_else(|| inventory.get(&key).cloned());
            let before = before.unwrap_or_else(|| owned(desired, &key, Origin::Adopted));
            match ownership {
                Ownership::Keep => {}
                Ownership::Gone => gone.push(key),
                Ownership::Adopted => {
                    entries.insert(key.clone(), owned(desired, &key, Origin::Adopted));
                }
                Ownership::Banned(reason) => {
                    let banned = Some(Ban { reason: reason.clone(), confirmed: true });
                    entries.insert(key, Owned { banned, ..before });
                }
                Ownership::Unbanned => {
                    entries.insert(key, Owned { banned: None, password: None, ..before });
                }
            }
        }
        // The deletion of a room also deletes the affiliations of the room.
        let room_of = |key: &ObjectKey| match key {
            ObjectKey::Room(room) => Some(room.clone()),
            _ => None,
        };
        let rooms: BTreeSet<RoomJid> = gone.iter().filter_map(room_of).collect();
        let lost = inventory.affiliations().filter(|(id, _)| rooms.contains(&id.room));
        gone.extend(lost.map(|(id, _)| ObjectKey::Affiliation(id.clone())));
        let entries: Vec<(ObjectKey, Owned)> = entries.into_iter().collect();
        self.store.record(&entries, &gone)?;
        // A client can register an undeclared object of the same name right after its deletion, so
        // only the deletion of an object that is declared absent ends a registration.
        gone.retain(|key| desired.declares(key) && inventory.registered_by(key).is_some());
        if !gone.is_empty() {
            self.store.forget_registered(&gone)?;
        }
        Ok(())
    }

    /// Records the ownership that `steps` will create, and generates and stores passwords. The
    /// caller must call this function before the operator sends any step to the server.
    fn record_intent(
        &self,
        desired: &DesiredState,
        steps: &[ObjectStep],
    ) -> Result<(), ApplyError> {
        self.generate_passwords(desired, steps)?;
        let inventory = self.store.inventory()?;
        let mut entries: BTreeMap<ObjectKey, Owned> = BTreeMap::new();
        for step in steps {
            let key = step.key().clone();
            let created = || owned(desired, &key, Origin::Created);
            let before = entries.get(&key).or_else(|| inventory.get(&key)).cloned();
            let entry = match step.action() {
                ObjectAction::CreateRoom(room) => {
                    let ours = rooms::affiliations_at_creation(desired, room);
                    for account in ours.into_keys() {
                        let id = AffiliationId { room: room.clone(), account };
                        let key = ObjectKey::Affiliation(id);
                        entries.insert(key.clone(), owned(desired, &key, Origin::Created));
                    }
                    Some(created())
                }
                ObjectAction::CreateUser(_) | ObjectAction::CreateGroup(_) => Some(created()),
                ObjectAction::SetAffiliation { .. } => Some(before.unwrap_or_else(created)),
                // A sent change may take effect even if the response is lost, so remove the earlier
                // fingerprint.
                ObjectAction::SetPassword(_) | ObjectAction::Unban(_) => {
                    before.map(|owned| Owned { password: None, ..owned })
                }
                ObjectAction::SetVcard(_) => before.map(|owned| Owned { vcard: None, ..owned }),
                ObjectAction::Ban { reason, .. } => before.map(|owned| {
                    let banned = Some(Ban { reason: reason.clone(), confirmed: false });
                    Owned { banned, password: None, ..owned }
                }),
                ObjectAction::StoreAccounts { .. }
                | ObjectAction::DeleteUser(_)
                | ObjectAction::UpdateGroup(_)
                | ObjectAction::DeleteGroup(_)
                | ObjectAction::UpdateRoom { .. }
                | ObjectAction::DeleteRoom(_)
                | ObjectAction::RemoveAffiliation(_) => None,
            };
            entries.extend(entry.map(|entry| (key, entry)));
        }
        let entries: Vec<(ObjectKey, Owned)> = entries.into_iter().collect();
        Ok(self.store.record(&entries, &[])?)
    }
}

/// Returns the inventory entry of an object that the operator owns from now on.
pub(in crate::engine) fn owned(desired: &DesiredState, key: &ObjectKey, origin: Origin) -> Owned {
    Owned {
        origin,
        since: Timestamp::now(),
        revision: desired.revision.clone(),
        deletion_policy: declared_policy(desired, key),
        password: None,
        vcard: None,
        banned: None,
    }
}

fn declared_user<'a>(desired: &'a DesiredState, jid: &Jid) -> Option<&'a User> {
    desired.users.as_ref()?.get(jid)
}

/// Returns the declared deletion policy of an object; `Delete` if no policy is declared.
pub(in crate::engine) fn declared_policy(
    desired: &DesiredState,
    key: &ObjectKey,
) -> DeletionPolicy {
    let declared = match key {
        ObjectKey::User(jid) => declared_user(desired, jid).map(|user| user.deletion_policy),
        ObjectKey::Room(jid) => {
            let room = desired.rooms.as_ref().and_then(|rooms| rooms.get(jid));
            room.map(|room| room.deletion_policy)
        }
        ObjectKey::Server(_)
        | ObjectKey::Config(_)
        | ObjectKey::Group(_)
        | ObjectKey::Affiliation(_) => None,
    };
    declared.unwrap_or(DeletionPolicy::Delete)
}

/// Returns the outcomes of steps that fail with the same error: the first step fails with `error`,
/// and the other steps are deferred.
fn all_failed(steps: Vec<ObjectStep>, error: ApplyError) -> impl Iterator<Item = StepOutcome> {
    let mut error = Some(error);
    steps.into_iter().map(move |step| StepOutcome {
        step: step.into_info(),
        result: match error.take() {
            Some(error) => StepResult::Failed(error),
            None => StepResult::Deferred(Deferral::NotNoted),
        },
    })
}
