//! Updates the inventory after an observation: adopts objects, forgets objects, and records
//! fingerprints of declared values that are in force.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::database::FOR_LONG;
use super::observe::Observation;
use crate::domain::diff::ChangeSet;
use crate::domain::inventory::{Ban, Inventory, Origin, Owned};
use crate::domain::model::{Kind, ObjectKey};
use crate::domain::observed::{ObservedState, Reading};
use crate::domain::spec::{DesiredState, PasswordPolicy, UserState};
use crate::engine::error::StoreError;
use crate::engine::ports::Store;
use crate::engine::reconcile::round::Reconciler;

/// Ends the ownership and the registration of objects by order of an administrator. Returns a
/// message about the result.
pub fn forget(store: &dyn Store, keys: &[ObjectKey]) -> Result<String, StoreError> {
    let inventory = store.inventory()?;
    let is_registered = |key: &&ObjectKey| inventory.registered_by(key).is_some();
    let owned: Vec<ObjectKey> = keys.iter().filter(|key| inventory.holds(key)).cloned().collect();
    let registered: Vec<ObjectKey> = keys.iter().filter(is_registered).cloned().collect();
    store.record(&[], &owned)?;
    if !registered.is_empty() {
        store.forget_registered(&registered)?;
    }
    let what = match (owned.is_empty(), registered.is_empty()) {
        (true, true) => return Ok("none of them is owned or registered".to_owned()),
        (false, true) => "owned",
        (true, false) => "registered",
        (false, false) => "owned or registered",
    };
    let forgotten: BTreeSet<ObjectKey> = owned.into_iter().chain(registered).collect();
    Ok(match (forgotten.first(), forgotten.len()) {
        (Some(one), 1) => format!("{one} is no longer {what}"),
        (_, many) => format!("{many} objects are no longer {what}"),
    })
}

/// Adds an object to the inventory by order of an administrator. Returns a message about the
/// result.
pub fn adopt(
    store: &dyn Store,
    key: &ObjectKey,
    desired: &DesiredState,
) -> Result<String, StoreError> {
    if store.inventory()?.holds(key) {
        return Ok(format!("{key} is owned already"));
    }
    store.record(&[(key.clone(), super::apply::owned(desired, key, Origin::Adopted))], &[])?;
    Ok(format!("{key} is owned now"))
}

impl Reconciler {
    pub(in crate::engine) fn settle_inventory(
        &self,
        desired: &DesiredState,
        inventory: &mut Inventory,
        set: &ChangeSet,
        observation: &Observation,
    ) -> Result<(), StoreError> {
        let mut owned = BTreeMap::new();
        for key in &set.adopt {
            owned.insert(key.clone(), super::apply::owned(desired, key, Origin::Adopted));
        }
        // Changes the entry of an object that the operator owns or adopts now.
        let mut note = |key: &ObjectKey, note: &dyn Fn(&mut Owned)| {
            let entry = owned.entry(key.clone()).or_insert_with(|| {
                let known = inventory.get(key).cloned();
                known.unwrap_or_else(|| super::apply::owned(desired, key, Origin::Adopted))
            });
            note(entry);
        };
        for (key, seen) in &observation.seen.passwords {
            note(key, &|owned| owned.password = Some(seen.clone()));
        }
        for (key, seen) in &observation.seen.vcards {
            note(key, &|owned| owned.vcard = Some(seen.clone()));
        }
        for (key, ban) in bans_seen(desired, &observation.state, inventory) {
            note(&key, &|owned| owned.banned.clone_from(&ban));
        }
        for (key, changed) in changed_policies(desired, inventory) {
            let policy = changed.deletion_policy;
            owned.entry(key).or_insert(changed).deletion_policy = policy;
        }
        for (key, forget) in let_go(desired, inventory) {
            let Some(before) = inventory.get(&key) else { continue };
            forget(owned.entry(key).or_insert_with(|| before.clone()));
        }
        if !set.forget_registered.is_empty() {
            self.store.forget_registered(&set.forget_registered)?;
            for key in &set.forget_registered {
                inventory.unregister(key);
            }
        }
        if owned.is_empty() && set.forget.is_empty() {
            return Ok(());
        }
        let owned: Vec<_> = owned.into_iter().collect();
        self.store.record(&owned, &set.forget)?;
        owned.into_iter().for_each(|(key, entry)| inventory.insert(key, entry));
        set.forget.iter().for_each(|key| inventory.remove(key));
        Ok(())
    }
}

/// Returns the number of missing declared accounts that were owned for longer than [`FOR_LONG`]; 0
/// if only one such account is missing. If two or more accounts disappear at once, another program
/// deletes accounts, or an administrator has restored an older database.
pub(in crate::engine) fn vanished(
    desired: &DesiredState,
    there: &ObservedState,
    inventory: &Inventory,
    now: Timestamp,
) -> usize {
    let users = desired.users.iter().flatten();
    let missing = users.filter(|(jid, user)| {
        let names = there.users.get(&jid.host).and_then(Reading::known);
        let owned = inventory.user(jid);
        user.state == UserState::Present
            && names.is_some_and(|names| !names.contains(&jid.local))
            && owned.is_some_and(|owned| now.duration_since(owned.since) > FOR_LONG)
    });
    let missing = missing.count();
    if missing > 1 { missing } else { 0 }
}

/// Returns the owned objects whose declared deletion policy has changed, with the new inventory
/// entries. The operator must record the policy while the object is declared, because the recorded
/// policy decides what happens when the object is no longer declared.
pub(in crate::engine) fn changed_policies(
    desired: &DesiredState,
    inventory: &Inventory,
) -> Vec<(ObjectKey, Owned)> {
    let mut changed = Vec::new();
    for kind in [Kind::User, Kind::Room] {
        for (key, before) in inventory.of_kind(kind) {
            let policy = super::apply::declared_policy(desired, &key);
            if desired.declares(&key) && policy != before.deletion_policy {
                changed.push((key, Owned { deletion_policy: policy, ..before.clone() }));
            }
        }
    }
    changed
}

/// A function that removes a value from an entry of the inventory.
type Forgetting = fn(&mut Owned);

/// Returns the objects whose password or vCard is no longer enforced, each with the function that
/// removes the fingerprint. Users may change such a value, so the old fingerprint would be wrong if
/// the value is declared again.
fn let_go(desired: &DesiredState, inventory: &Inventory) -> Vec<(ObjectKey, Forgetting)> {
    let mut go: Vec<(ObjectKey, Forgetting)> = Vec::new();
    for (jid, user) in desired.users.iter().flatten() {
        let key = ObjectKey::User(jid.clone());
        let Some(owned) = inventory.user(jid) else { continue };
        let free = user.password.is_none() || user.password_policy == PasswordPolicy::Initial;
        if free && owned.password.is_some() {
            go.push((key.clone(), |owned| owned.password = None));
        }
        if user.vcard.is_empty() && owned.vcard.is_some() {
            go.push((key, |owned| owned.vcard = None));
        }
    }
    go
}

/// Returns the bans that differ from the inventory: declared bans that an administrator made on the
/// server, and bans that an administrator lifted on the server.
fn bans_seen(
    desired: &DesiredState,
    there: &ObservedState,
    inventory: &Inventory,
) -> Vec<(ObjectKey, Option<Ban>)> {
    let mut seen = Vec::new();
    for (jid, reading) in &there.bans {
        let key = ObjectKey::User(jid.clone());
        let known = inventory.user(jid).and_then(|owned| owned.banned.as_ref());
        let declared = desired.users.as_ref().and_then(|users| users.get(jid));
        let is_declared =
            declared.is_some_and(|user| matches!(user.state, UserState::Banned { .. }));
        match (reading, known) {
            (Reading::Known(Some(reason)), None) if is_declared => {
                seen.push((key, Some(Ban { reason: reason.clone(), confirmed: true })));
            }
            (Reading::Known(None), Some(_)) if !is_declared => seen.push((key, None)),
            _ => {}
        }
    }
    // The deletion of an account also removes the ban. Remove the ban from the inventory, because
    // ejabberd before 24.06 cannot report that an account that is created again has no ban.
    for (jid, owned) in inventory.users() {
        let names = there.users.get(&jid.host).and_then(Reading::known);
        if owned.banned.is_some() && names.is_some_and(|names| !names.contains(&jid.local)) {
            seen.push((ObjectKey::User(jid.clone()), None));
        }
    }
    seen
}
