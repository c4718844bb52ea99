//! Shared roster groups: which are missing, which differ, which are too many.

use std::collections::BTreeSet;

use super::{Action, ChangeSet, Fate, fate};
use crate::domain::inventory::Inventory;
use crate::domain::model::{Jid, Kind, Localpart, ObjectKey, Op};
use crate::domain::observed::{ObservedGroup, ObservedGroups, ObservedState, Reading};
use crate::domain::spec::{DesiredState, Group, Prune};

pub(super) fn diff(
    desired: &DesiredState,
    observed: &ObservedState,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    let Some(declared) = &desired.groups else { return };
    let there = match &observed.groups {
        Some(Reading::Known(groups)) => groups,
        Some(Reading::Unknown(why)) => return set.unknown.push(format!("the groups: {why}")),
        None => return,
    };
    set.present.insert(Kind::Group, there.names.len());
    for (name, group) in declared {
        let key = ObjectKey::new(Kind::Group, &desired.group_id(name));
        if desired.policy.ignores(&key.name) {
            set.unchanged += 1;
            continue;
        }
        match there.details.get(name) {
            Some(Reading::Unknown(why)) => set.unknown.push(format!("the group {name}: {why}")),
            None => set.unknown.push(format!("the group {name}: it was not looked at")),
            Some(Reading::Known(found)) => {
                one(desired, (&key, name, group), found.as_ref(), inventory, set);
            }
        }
    }
    undeclared(desired, there, inventory, set);
}

fn one(
    desired: &DesiredState,
    (key, name, group): (&ObjectKey, &Localpart, &Group),
    found: Option<&ObservedGroup>,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    match (group.roster, found) {
        (true, None) => {
            let action = Action::CreateGroup(name.clone());
            set.push(Kind::Group, &key.name, Op::Create, "declared, not on the server", action);
        }
        (true, Some(found)) => {
            if !inventory.holds(key) {
                set.adopt.push(key.clone());
            }
            differences(desired, (key, name, group), found, set);
        }
        // It lives in the file alone, as a list for `affiliations`.
        (false, Some(_)) if inventory.holds(key) && desired.policy.prune != Prune::None => {
            let action = Action::DeleteGroup(name.clone());
            set.push(Kind::Group, &key.name, Op::Delete, "declared without a roster", action);
        }
        (false, Some(_)) => set.unmanaged.push(Kind::Group),
        (false, None) => {
            set.unchanged += 1;
            if inventory.holds(key) {
                set.forget.push(key.clone());
            }
        }
    }
}

fn differences(
    desired: &DesiredState,
    (key, name, group): (&ObjectKey, &Localpart, &Group),
    found: &ObservedGroup,
    set: &mut ChangeSet,
) {
    let Group { display_name, description, members: _, roster: _ } = group;
    let differs = |wanted: &Option<String>, there: &str| {
        wanted.as_ref().is_some_and(|wanted| wanted != there)
    };
    let mut fields = Vec::new();
    if differs(display_name, &found.display_name) {
        fields.push("displayName");
    }
    if differs(description, &found.description) {
        fields.push("description");
    }
    if !found.displayed.contains(name.as_str()) {
        fields.push("roster");
    }
    let info = !fields.is_empty();
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    if let Some(wanted) = desired.members_of(group) {
        let touched = |member: &&Jid| !desired.leaves_alone(member);
        add = wanted.difference(&found.members).filter(touched).cloned().collect();
        remove = found.members.difference(&wanted).filter(touched).cloned().collect();
    }
    if !add.is_empty() || !remove.is_empty() {
        fields.push("members");
    }
    if fields.is_empty() {
        set.unchanged += 1;
        return;
    }
    let reason = match (info, add.len(), remove.len()) {
        (true, 0, 0) => "it differs from what is declared".to_owned(),
        (false, add, remove) => format!("its members differ: {add} to add, {remove} to remove"),
        (true, add, remove) => {
            format!("it and its members differ: {add} to add, {remove} to remove")
        }
    };
    let fields = fields.into_iter().map(str::to_owned).collect();
    let action = Action::UpdateGroup { name: name.clone(), info, add, remove };
    set.push_fields(Kind::Group, &key.name, Op::Update, fields, &reason, action);
}

fn undeclared(
    desired: &DesiredState,
    there: &ObservedGroups,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    let declared =
        |name: &Localpart| desired.groups.as_ref().is_some_and(|groups| groups.contains_key(name));
    let names: BTreeSet<&Localpart> = there.names.iter().filter(|name| !declared(name)).collect();
    for name in &names {
        let key = ObjectKey::new(Kind::Group, &desired.group_id(name));
        if desired.policy.ignores(&key.name) {
            set.unmanaged.push(Kind::Group);
            continue;
        }
        match fate(desired, inventory.get(&key).map(|owned| owned.deletion_policy)) {
            Fate::Leave => set.unmanaged.push(Kind::Group),
            Fate::Forget => {
                set.notes.push(format!("the group {name} is retained, and no longer owned"));
                set.unmanaged.push(Kind::Group);
                set.forget.push(key);
            }
            Fate::Delete(reason) => {
                let action = Action::DeleteGroup((*name).clone());
                set.push(Kind::Group, &key.name, Op::Delete, reason, action);
            }
        }
    }
    for (name, _) in inventory.of_kind(Kind::Group) {
        let Ok(id) = name.parse::<Jid>() else { continue };
        if id.host == desired.host && !declared(&id.local) && !there.names.contains(&id.local) {
            set.forget.push(ObjectKey::new(Kind::Group, name));
        }
    }
}
