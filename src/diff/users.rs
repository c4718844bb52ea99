//! Accounts: which are missing, which differ, which are too many.

use std::collections::BTreeSet;

use super::{Action, ChangeSet, Fate, fate};
use crate::inventory::Inventory;
use crate::model::{Jid, Kind, Localpart, ObjectKey, Op, Vhost};
use crate::observed::{ObservedState, Reading};
use crate::spec::{DesiredState, User, UserState};

pub(super) fn diff(
    desired: &DesiredState,
    observed: &ObservedState,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    for (host, reading) in &observed.users {
        match reading {
            Reading::Unknown(why) => set.unknown.push(format!("the accounts of {host}: {why}")),
            Reading::Known(there) => host_accounts(desired, observed, inventory, host, there, set),
        }
    }
}

fn host_accounts(
    desired: &DesiredState,
    observed: &ObservedState,
    inventory: &Inventory,
    host: &Vhost,
    there: &BTreeSet<Localpart>,
    set: &mut ChangeSet,
) {
    *set.present.entry(Kind::User).or_default() += there.len();
    let declared = desired.users.as_ref();
    for (jid, user) in declared.into_iter().flatten().filter(|(jid, _)| jid.host == *host) {
        if desired.policy.ignores(&jid.to_string()) || user.paused {
            set.unchanged += 1;
        } else {
            account(jid, user, there.contains(&jid.local), observed, inventory, set);
        }
    }
    for local in there {
        let jid = Jid { local: local.clone(), host: host.clone() };
        if !declared.is_some_and(|users| users.contains_key(&jid)) {
            undeclared(desired, &jid, inventory, set);
        }
    }
    // Deleted by somebody else, and no longer wanted: nothing is left to own.
    for (name, _) in inventory.of_kind(Kind::User) {
        let Ok(jid) = name.parse::<Jid>() else { continue };
        let wanted = declared.is_some_and(|users| users.contains_key(&jid));
        if jid.host == *host && !wanted && !there.contains(&jid.local) {
            set.forget.push(ObjectKey::new(Kind::User, name));
        }
    }
}

fn account(
    jid: &Jid,
    user: &User,
    there: bool,
    observed: &ObservedState,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    let key = ObjectKey::new(Kind::User, jid);
    match (&user.state, there) {
        (UserState::Present, false) => {
            set.push(
                Kind::User,
                jid,
                Op::Create,
                "declared, not on the server",
                Action::CreateUser(jid.clone()),
            );
        }
        (UserState::Present, true) => {
            if !inventory.holds(&key) {
                set.adopt.push(key);
            }
            match observed.passwords.get(jid) {
                Some(Reading::Known(false)) => {
                    set.push(
                        Kind::User,
                        jid,
                        Op::Update,
                        "its password is not the declared one",
                        Action::SetPassword(jid.clone()),
                    );
                    if let Some(change) = set.changes.last_mut() {
                        change.fields.push("password".to_owned());
                    }
                }
                Some(Reading::Unknown(why)) => {
                    set.unknown.push(format!("the password of {jid}: {why}"))
                }
                Some(Reading::Known(true)) | None => set.unchanged += 1,
            }
        }
        (UserState::Absent, true) => {
            set.push(
                Kind::User,
                jid,
                Op::Delete,
                "declared absent",
                Action::DeleteUser(jid.clone()),
            );
        }
        (UserState::Absent, false) => {
            set.unchanged += 1;
            if inventory.holds(&key) {
                set.forget.push(key);
            }
        }
        (UserState::Banned { .. }, _) => {
            set.notes.push(format!(
                "{jid} is declared banned, which is not yet supported: it is left as it is"
            ));
        }
    }
}

fn undeclared(desired: &DesiredState, jid: &Jid, inventory: &Inventory, set: &mut ChangeSet) {
    let key = ObjectKey::new(Kind::User, jid);
    let owned = inventory.get(&key).map(|owned| owned.deletion_policy);
    // An absent `users` key means that accounts are not managed at all.
    if desired.users.is_none() || desired.policy.ignores(&key.name) {
        return set.unmanaged.push(Kind::User);
    }
    match fate(desired, owned) {
        Fate::Leave => set.unmanaged.push(Kind::User),
        Fate::Forget => {
            set.notes.push(format!("{jid} is retained, and no longer owned"));
            set.unmanaged.push(Kind::User);
            set.forget.push(key);
        }
        Fate::Delete(reason) => {
            set.push(Kind::User, jid, Op::Delete, reason, Action::DeleteUser(jid.clone()));
        }
    }
}
