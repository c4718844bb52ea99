//! Carrying out the steps that concern single objects.

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
use crate::domain::diff::Action;
use crate::domain::inventory::{Ban, Origin, Owned};
use crate::domain::model::{AffiliationId, Jid, Kind, ObjectKey};
use crate::domain::plan::Step;
use crate::domain::spec::{DeletionPolicy, DesiredState, User};
use crate::engine::Engine;
use crate::engine::ports::EngineEvent;

/// What a step made of the inventory.
enum Ownership {
    Keep,
    Adopted,
    Gone,
    Banned(String),
    Unbanned,
}

impl Engine {
    /// Carries out `steps`. One that fails does not hold up another, unless the
    /// server is away as a whole.
    pub(in crate::engine) async fn apply(
        &self,
        desired: &DesiredState,
        steps: Vec<Step>,
    ) -> Vec<StepOutcome> {
        // That an account is about to be ours cannot be read back later: it is
        // remembered before the call that makes it true.
        if let Err(error) = self.intend(desired, &steps) {
            return all_failed(steps, error).collect();
        }
        let away = AtomicBool::new(false);
        let mut outcomes = Vec::new();
        // How accounts are stored decides how fast they are made.
        let (first, steps): (Vec<Step>, Vec<Step>) =
            steps.into_iter().partition(|step| matches!(step.action, Action::StoreAccounts(_)));
        for steps in [first, steps] {
            let work = steps.into_iter().map(|step| self.one(desired, step, &away));
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
            let result = StepResult::Deferred(Deferral::ServerAway);
            return (StepOutcome { step, result }, Ownership::Keep);
        }
        match self.act(desired, &step).instrument(step_span(&step)).await {
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
        let host = &desired.host;
        match &step.action {
            Action::StoreAccounts(storage) => self.server.store_accounts(*storage).await?,
            Action::CreateUser(jid) => return self.create_user(desired, jid).await,
            Action::SetPassword(jid) => self.set_password(desired, jid).await?,
            Action::SetVcard(jid) => self.set_vcard(desired, jid).await?,
            Action::Ban { account, reason } => {
                self.server.ban(account, reason).await?;
                return Ok(Ownership::Banned(reason.clone()));
            }
            Action::Unban(jid) => {
                self.lift_ban(desired, jid).await?;
                self.catch_up(desired, jid).await?;
                return Ok(Ownership::Unbanned);
            }
            Action::DeleteUser(jid) => {
                self.server.unregister(jid).await?;
                return Ok(Ownership::Gone);
            }
            Action::CreateGroup(name) => self.create_group(desired, name).await?,
            Action::UpdateGroup { name, info, add, remove } => {
                if *info {
                    self.write_group(desired, name).await?;
                }
                self.change_members(desired, name, add, remove).await?;
            }
            Action::DeleteGroup(name) => {
                self.server.delete_group(host, name).await?;
                return Ok(Ownership::Gone);
            }
            Action::CreateRoom(room) => return self.create_room(desired, room).await,
            Action::UpdateRoom { room, options, subject } => {
                self.update_room(desired, room, options, subject.as_deref()).await?;
            }
            Action::DeleteRoom(room) => {
                self.server.destroy_room(room).await?;
                return Ok(Ownership::Gone);
            }
            Action::Affiliate(id, to) => {
                self.server.affiliate(id, *to).await?;
                if to.is_none() {
                    return Ok(Ownership::Gone);
                }
            }
            // The round carries these out itself, one after the other.
            Action::CreateServer
            | Action::StartServer
            | Action::StopServer
            | Action::ReplaceServer
            | Action::OwnRestarts
            | Action::ApplyConfig { .. } => {}
        }
        Ok(Ownership::Keep)
    }

    /// Remembers what became of the steps.
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
            let key = outcome.step.key();
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
        // With a room go the affiliations that were given in it.
        let rooms = gone.iter().filter(|key| key.kind == Kind::Room);
        let rooms: BTreeSet<String> = rooms.map(|key| key.name.clone()).collect();
        let in_them =
            |name: &str| name.split_once('/').is_some_and(|(room, _)| rooms.contains(room));
        let lost = inventory.of_kind(Kind::Affiliation).filter(|(name, _)| in_them(name));
        gone.extend(lost.map(|(name, _)| ObjectKey::new(Kind::Affiliation, name)));
        let entries: Vec<(ObjectKey, Owned)> = entries.into_iter().collect();
        Ok(self.store.record(&entries, &gone)?)
    }

    /// Remembers, before any of them is sent, what `steps` are about to make
    /// ours, and the passwords that nobody else will know.
    fn intend(&self, desired: &DesiredState, steps: &[Step]) -> Result<(), ApplyError> {
        self.generate_passwords(desired, steps)?;
        let inventory = self.store.inventory()?;
        let mut entries: BTreeMap<ObjectKey, Owned> = BTreeMap::new();
        for step in steps {
            let key = step.key();
            let created = || owned(desired, &key, Origin::Created);
            let before = entries.get(&key).or_else(|| inventory.get(&key)).cloned();
            let entry = match &step.action {
                Action::CreateRoom(room) => {
                    let ours = rooms::affiliations_at_creation(desired, room);
                    for account in ours.into_keys() {
                        let id = AffiliationId { room: room.clone(), account };
                        let key = ObjectKey::new(Kind::Affiliation, &id);
                        entries.insert(key.clone(), owned(desired, &key, Origin::Created));
                    }
                    Some(created())
                }
                Action::CreateUser(_) | Action::CreateGroup(_) => Some(created()),
                Action::Affiliate(_, Some(_)) => Some(before.unwrap_or_else(created)),
                // Once a change is on its way, what was seen before is not to be
                // believed any more, whatever becomes of the answer.
                Action::SetPassword(_) | Action::Unban(_) => {
                    before.map(|owned| Owned { password: None, ..owned })
                }
                Action::SetVcard(_) => before.map(|owned| Owned { vcard: None, ..owned }),
                Action::Ban { reason, .. } => before.map(|owned| {
                    let banned = Some(Ban { reason: reason.clone(), confirmed: false });
                    Owned { banned, password: None, ..owned }
                }),
                _ => None,
            };
            entries.extend(entry.map(|entry| (key, entry)));
        }
        let entries: Vec<(ObjectKey, Owned)> = entries.into_iter().collect();
        Ok(self.store.record(&entries, &[])?)
    }
}

/// The inventory's entry for an object that becomes ours now.
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

/// The deletion policy that is declared for an object.
pub(in crate::engine) fn declared_policy(
    desired: &DesiredState,
    key: &ObjectKey,
) -> DeletionPolicy {
    let of_user = || Some(desired.users.as_ref()?.get(&key.name.parse().ok()?)?.deletion_policy);
    let of_room = || Some(desired.rooms.as_ref()?.get(&key.name.parse().ok()?)?.deletion_policy);
    match key.kind {
        Kind::User => of_user(),
        Kind::Room => of_room(),
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
            None => StepResult::Deferred(Deferral::NotNoted),
        },
    })
}
