//! Compares accounts: finds missing accounts, accounts that differ, and accounts that are not
//! declared.

use std::collections::BTreeSet;

use super::{ChangeSet, Fate, ObjectAction, fate};
use crate::domain::inventory::{Inventory, Owned};
use crate::domain::model::{Jid, Kind, Localpart, ObjectKey, Vhost};
use crate::domain::observed::{ObservedState, Reading};
use crate::domain::spec::{DesiredState, User, UserState, VcardField};

pub(super) fn diff(
    desired: &DesiredState,
    observed: &ObservedState,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    for (host, reading) in &observed.users {
        match reading {
            // The operator does not manage these accounts, so the plan is complete even if the
            // external directory does not respond.
            Reading::Unknown(why) if observed.kept_elsewhere.contains_key(host) => {
                set.notes.push(format!("the accounts of {host}: {why}"));
            }
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
    if let Some(kept) = observed.kept_elsewhere.get(host) {
        return elsewhere(desired, host, kept, there, set);
    }
    let declared = desired.users.as_ref();
    for (jid, user) in declared.into_iter().flatten().filter(|(jid, _)| jid.host == *host) {
        if desired.leaves_alone(jid) {
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
    // Another program deleted the account, and the file no longer declares the account, so the
    // ownership ends.
    for (jid, _) in inventory.users() {
        let wanted = declared.is_some_and(|users| users.contains_key(jid));
        if jid.host == *host && !wanted && !there.contains(&jid.local) {
            set.forget.push(ObjectKey::User(jid.clone()));
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
    let key = ObjectKey::User(jid.clone());
    match (&user.state, there) {
        (UserState::Present, false) => {
            set.push(ObjectAction::CreateUser(jid.clone()), "declared, not on the server");
        }
        (UserState::Present, true) => {
            if !inventory.holds(&key) {
                set.adopt.push(key);
            }
            present(jid, user, observed, inventory.user(jid), set);
        }
        (UserState::Absent, true) => {
            set.push(ObjectAction::DeleteUser(jid.clone()), "declared absent");
        }
        (UserState::Absent, false) => {
            set.unchanged += 1;
            set.forget_absent(key, inventory);
        }
        (UserState::Banned { .. }, false) => {
            set.unchanged += 1;
            set.notes.push(format!("{jid} is declared banned, and there is no such account"));
        }
        (UserState::Banned { reason }, true) => {
            if !inventory.holds(&key) {
                set.adopt.push(key);
            }
            banned(jid, reason.as_deref(), observed, set);
        }
    }
}

/// Compares an existing account that is declared present.
fn present(
    jid: &Jid,
    user: &User,
    observed: &ObservedState,
    owned: Option<&Owned>,
    set: &mut ChangeSet,
) {
    // Do not use `..` in this pattern: the compiler then reports each new field of `User`, so that
    // no comparison is forgotten.
    let User {
        password: _,
        password_policy: _,
        password_to: _,
        state: _,
        vcard,
        deletion_policy: _,
        paused: _,
    } = user;
    let steps = set.objects.len() + set.unknown.len();
    let ours = owned.is_some_and(|owned| owned.banned.is_some());
    match observed.bans.get(jid) {
        Some(Reading::Unknown(why)) if ours => {
            set.unknown.push(format!("the ban of {jid}: {why}"));
        }
        Some(Reading::Known(Some(_))) if ours => {
            let reason = "it is banned, and no longer declared so";
            let fields = vec!["state".to_owned()];
            set.push_fields(ObjectAction::Unban(jid.clone()), fields, reason);
        }
        // The operator must not lift an administrator's emergency ban within seconds.
        Some(Reading::Known(Some(_))) => set.notes.push(format!(
            "{jid} was banned on the server, not by the operator: the ban stays; declare \
             `state: banned`, or lift the ban on the server"
        )),
        _ => {}
    }
    match observed.passwords.get(jid) {
        Some(Reading::Known(false)) => {
            let reason = "its password is not the declared one";
            let fields = vec!["password".to_owned()];
            set.push_fields(ObjectAction::SetPassword(jid.clone()), fields, reason);
        }
        Some(Reading::Unknown(why)) => set.unknown.push(format!("the password of {jid}: {why}")),
        Some(Reading::Known(true)) | None => {}
    }
    match observed.vcards.get(jid) {
        Some(Reading::Known(there)) => {
            let differs = |(field, text): &(&VcardField, &String)| there.get(*field) != Some(*text);
            let fields: Vec<String> =
                vcard.iter().filter(differs).map(|(field, _)| vcard_path(field)).collect();
            if !fields.is_empty() {
                let action = ObjectAction::SetVcard(jid.clone());
                set.push_fields(action, fields, "its vCard differs");
            }
        }
        Some(Reading::Unknown(why)) => set.unknown.push(format!("the vCard of {jid}: {why}")),
        None => {}
    }
    if set.objects.len() + set.unknown.len() == steps {
        set.unchanged += 1;
    }
}

/// Returns the path of a vCard field in the desired state file.
fn vcard_path(field: &VcardField) -> String {
    if field.element == "NICKNAME" { "nickname".to_owned() } else { format!("vcard.{field}") }
}

/// Compares an existing account that is declared banned.
fn banned(jid: &Jid, reason: Option<&str>, observed: &ObservedState, set: &mut ChangeSet) {
    let (field, why) = match observed.bans.get(jid) {
        // If the file declares no reason, accept any ban: a replacement would lift the ban for a
        // moment, and lose the reason that an administrator gave.
        Some(Reading::Known(Some(there))) if reason.is_none_or(|reason| reason == there) => {
            set.unchanged += 1;
            return;
        }
        Some(Reading::Known(Some(_))) => ("reason", "it is banned for another reason"),
        Some(Reading::Known(None)) => ("state", "declared banned"),
        Some(Reading::Unknown(why)) => {
            return set.unknown.push(format!("the ban of {jid}: {why}"));
        }
        None => return set.unknown.push(format!("the ban of {jid}: it was not read")),
    };
    let reason = reason.unwrap_or_default().to_owned();
    let action = ObjectAction::Ban { account: jid.clone(), reason };
    set.push_fields(action, vec![field.to_owned()], why);
}

/// Reports the accounts of a host whose accounts come from outside ejabberd, for example from LDAP.
/// The operator only observes these accounts.
fn elsewhere(
    desired: &DesiredState,
    host: &Vhost,
    kept: &str,
    there: &BTreeSet<Localpart>,
    set: &mut ChangeSet,
) {
    let on_it = || desired.users.iter().flatten().filter(|(jid, _)| jid.host == *host);
    for (jid, _) in on_it().filter(|(_, user)| matches!(user.state, UserState::Banned { .. })) {
        set.unknown.push(format!(
            "{jid} is declared banned and can still log in: the accounts of {host} come from \
             {kept}; ban the account there"
        ));
    }
    let declared = on_it().count();
    set.unmanaged.extend(there.iter().map(|_| Kind::User));
    set.unchanged += declared;
    if declared > 0 {
        set.notes.push(format!(
            "the accounts of {host} come from {kept}: the operator only observes them, and ignores \
             the declarations of {declared} of them"
        ));
    }
}

fn undeclared(desired: &DesiredState, jid: &Jid, inventory: &Inventory, set: &mut ChangeSet) {
    let owned = inventory.user(jid);
    // If the file has no key `users`, the operator manages no accounts.
    if desired.users.is_none() || desired.policy.ignores(&jid.to_string()) {
        return set.unmanaged.push(Kind::User);
    }
    if owned.is_some_and(|owned| owned.banned.is_some()) {
        // A deletion would free the name of the account, and the banned user could register the
        // name again.
        set.notes.push(format!(
            "{jid} was banned by the operator, and its entry is gone: the account stays, and stays \
             banned; declare `state: present` to lift the ban, or `state: absent` to delete the \
             account"
        ));
        return set.unmanaged.push(Kind::User);
    }
    let key = ObjectKey::User(jid.clone());
    match fate(desired, inventory, &key) {
        Fate::Leave => set.unmanaged.push(Kind::User),
        Fate::Forget(why) => {
            set.notes.push(format!("{jid} is {why}, and no longer owned"));
            set.unmanaged.push(Kind::User);
            set.forget.push(key);
        }
        Fate::Delete(reason) => {
            set.push(ObjectAction::DeleteUser(jid.clone()), reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::observed::ProcessState;
    use crate::domain::spec::{SourceFile, validate};

    #[test]
    fn an_external_directory_without_a_response_is_a_note_and_not_unknown() {
        let text = "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\n\
                    metadata: { name: test }\nspec:\n  host: a.example\n  hosts: [b.example]\n  \
                    server: { docker: { container: xmpp } }\n  users: []\n";
        let file = SourceFile { path: "desired-state.yaml".into(), text: text.to_owned() };
        let desired = validate(&[file]).unwrap().desired;
        let [home, other] = ["a.example", "b.example"].map(|name| Vhost::new(name).unwrap());
        let process = Reading::Known(ProcessState::Running { health: None });
        let mut observed = ObservedState::unanswered(process, "not asked");
        observed.users = [home, other.clone()]
            .map(|host| (host, Reading::Unknown("no response".to_owned())))
            .into();
        observed.kept_elsewhere = BTreeMap::from([(other, "ldap".to_owned())]);
        let mut set = ChangeSet::default();
        diff(&desired, &observed, &Inventory::default(), &mut set);
        assert_eq!(set.unknown, ["the accounts of a.example: no response"]);
        assert_eq!(set.notes, ["the accounts of b.example: no response"]);
    }
}
