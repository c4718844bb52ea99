//! Compares shared roster groups: finds missing groups, groups that differ, and groups that are not
//! declared.

use std::collections::BTreeSet;

use super::{ChangeSet, Fate, GroupChange, ObjectAction, fate};
use crate::domain::inventory::Inventory;
use crate::domain::model::{GroupId, Jid, Kind, Localpart, ObjectKey};
use crate::domain::observed::{ObservedGroup, ObservedGroups, ObservedState, Reading};
use crate::domain::spec::{DesiredState, Group, Prune};

/// A group that the desired state declares.
struct DeclaredGroup<'a> {
    id: GroupId,
    group: &'a Group,
}

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
        let declared = DeclaredGroup { id: desired.group_id(name), group };
        if desired.policy.ignores(&declared.id.to_string()) {
            set.unchanged += 1;
            continue;
        }
        match there.details.get(name) {
            Some(Reading::Unknown(why)) => set.unknown.push(format!("the group {name}: {why}")),
            None => set.unknown.push(format!("the group {name}: it was not read")),
            Some(Reading::Known(found)) => {
                compare(desired, &declared, found.as_ref(), inventory, set);
            }
        }
    }
    undeclared(desired, there, inventory, set);
}

fn compare(
    desired: &DesiredState,
    declared: &DeclaredGroup<'_>,
    found: Option<&ObservedGroup>,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    let DeclaredGroup { id, group } = declared;
    let owned = inventory.group(id).is_some();
    match (group.roster, found) {
        (true, None) => {
            set.push(ObjectAction::CreateGroup(id.clone()), "declared, not on the server");
        }
        (true, Some(found)) => {
            if !owned {
                set.adopt.push(ObjectKey::Group(id.clone()));
            }
            differences(desired, declared, found, set);
        }
        // A group without a roster must not be on the server: the group exists only in the file, as
        // a list of accounts for `affiliations`.
        (false, Some(_)) if owned && desired.policy.prune != Prune::None => {
            set.push(ObjectAction::DeleteGroup(id.clone()), "declared without a roster");
        }
        (false, Some(_)) => set.unmanaged.push(Kind::Group),
        (false, None) => {
            set.unchanged += 1;
            if owned {
                set.forget.push(ObjectKey::Group(id.clone()));
            }
        }
    }
}

fn differences(
    desired: &DesiredState,
    declared: &DeclaredGroup<'_>,
    found: &ObservedGroup,
    set: &mut ChangeSet,
) {
    let DeclaredGroup { id, group } = declared;
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
    if !found.displayed.contains(id.name.as_str()) {
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
    let change = GroupChange { group: id.clone(), info, add, remove };
    set.push_fields(ObjectAction::UpdateGroup(change), fields, &reason);
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
        let id = desired.group_id(name);
        if desired.policy.ignores(&id.to_string()) {
            set.unmanaged.push(Kind::Group);
            continue;
        }
        let key = ObjectKey::Group(id.clone());
        match fate(desired, inventory, &key) {
            Fate::Leave => set.unmanaged.push(Kind::Group),
            Fate::Forget(why) => {
                set.notes.push(format!("the group {name} is {why}, and no longer owned"));
                set.unmanaged.push(Kind::Group);
                set.forget.push(key);
            }
            Fate::Delete(reason) => {
                set.push(ObjectAction::DeleteGroup(id), reason);
            }
        }
    }
    for (id, _) in inventory.groups() {
        if id.host == desired.host && !declared(&id.name) && !there.names.contains(&id.name) {
            set.forget.push(ObjectKey::Group(id.clone()));
        }
    }
}
