//! Compares rooms: finds missing rooms, rooms that differ, and rooms that are not declared.

use std::collections::{BTreeMap, BTreeSet};

use super::{ChangeSet, Fate, ObjectAction, affiliations, fate, limits};
use crate::domain::inventory::Inventory;
use crate::domain::model::{Jid, Kind, ObjectKey, RoomJid, ServerVersion};
use crate::domain::observed::{ObservedRoom, ObservedRooms, ObservedState, Reading};
use crate::domain::spec::{
    AffiliationKind, DesiredState, OptionValue, Room, RoomSettings, room_option,
};

/// A room that the desired state declares.
#[derive(Clone, Copy)]
pub(super) struct DeclaredRoom<'a> {
    pub(super) jid: &'a RoomJid,
    pub(super) room: &'a Room,
}

/// The data that the comparison of one room needs.
struct RoomContext<'a> {
    desired: &'a DesiredState,
    observed: &'a ObservedState,
    inventory: &'a Inventory,
    version: ServerVersion,
}

pub(super) fn diff(
    desired: &DesiredState,
    observed: &ObservedState,
    inventory: &Inventory,
    version: ServerVersion,
    set: &mut ChangeSet,
) {
    let there = match &observed.rooms {
        Reading::Known(rooms) => rooms,
        Reading::Unknown(why) => return set.unknown.push(format!("the rooms: {why}")),
    };
    let present: BTreeSet<&RoomJid> = present(there).collect();
    let ours = present.iter().filter(|jid| desired.serves_rooms_of(&jid.service)).count();
    set.present.insert(Kind::Room, ours);
    let declared = desired.rooms.as_ref();
    let context = RoomContext { desired, observed, inventory, version };
    for (jid, room) in declared.into_iter().flatten() {
        if desired.policy.ignores(&jid.to_string()) || room.paused {
            set.unchanged += 1;
            continue;
        }
        match there.details.get(jid) {
            Some(Reading::Known(found)) => {
                let declared = DeclaredRoom { jid, room };
                compare(&context, declared, found.as_ref(), set);
            }
            Some(Reading::Unknown(why)) => set.unknown.push(format!("the room {jid}: {why}")),
            None => set.unknown.push(format!("the room {jid}: it was not read")),
        }
    }
    undeclared(desired, there, inventory, set);
    let found = |room: &RoomJid| -> Option<Option<BTreeMap<Jid, AffiliationKind>>> {
        match there.details.get(room)?.known()? {
            None => Some(None),
            Some(room) => Some(Some(room.affiliations.clone()?)),
        }
    };
    affiliations::forgotten(desired, found, inventory, set);
}

/// Returns every room that is known to exist.
fn present(there: &ObservedRooms) -> impl Iterator<Item = &RoomJid> {
    let known = there.details.iter().filter(|(_, room)| matches!(room, Reading::Known(Some(_))));
    there.present.iter().chain(known.map(|(jid, _)| jid))
}

fn compare(
    context: &RoomContext<'_>,
    declared: DeclaredRoom<'_>,
    there: Option<&ObservedRoom>,
    set: &mut ChangeSet,
) {
    let &RoomContext { desired, observed, inventory, version } = context;
    let DeclaredRoom { jid, room } = declared;
    let key = ObjectKey::Room(jid.clone());
    // A change of the server may load other modules, so the observed services may not be the
    // services after the change.
    let services = limits::services_of(desired, observed, &jid.service);
    let services = services.filter(|_| !set.server_changes());
    match (room.present, there) {
        (true, None) if !set.server_changes() && no_service(desired, observed, jid, set) => {}
        (true, None) => {
            limits::room(&declared, None, services, set);
            unknown_options(jid, room, |name| room_option(name, version), version, set);
            set.push(ObjectAction::CreateRoom(jid.clone()), "declared, not on the server");
        }
        (true, Some(found)) => {
            if !inventory.holds(&key) {
                set.adopt.push(key);
            }
            // The options of the existing room are more reliable than the operator's table of
            // options by version.
            let has = |name: &str| found.options.contains_key(name);
            unknown_options(jid, room, has, version, set);
            let fixed = limits::room(&declared, Some(found), services, set);
            settings(declared, found, &fixed, version, set);
            affiliations::left_over(desired, jid, found.affiliations.as_ref(), set);
            affiliations::diff(desired, declared, found.affiliations.as_ref(), inventory, set);
        }
        (false, Some(_)) => {
            set.push(ObjectAction::DeleteRoom(jid.clone()), "declared absent");
        }
        (false, None) => {
            set.unchanged += 1;
            set.forget_absent(key, inventory);
        }
    }
}

/// Whether the room cannot exist because the server does not have the room's service. In this case
/// the function adds the reason to `set`.
fn no_service(
    desired: &DesiredState,
    observed: &ObservedState,
    jid: &RoomJid,
    set: &mut ChangeSet,
) -> bool {
    let why = limits::unknown_service(desired, observed, &jid.service);
    let missing = why.is_some();
    set.unknown.extend(why.map(|why| format!("the room {jid}: {why}")));
    missing
}

/// Reports declared options that this version of ejabberd does not have. Such an option would crash
/// ejabberd's command, or have no effect.
fn unknown_options(
    jid: &RoomJid,
    room: &Room,
    has: impl Fn(&str) -> bool,
    version: ServerVersion,
    set: &mut ChangeSet,
) {
    for name in room.options.keys().filter(|name| !has(name)) {
        set.unknown.push(format!(
            "the room {jid}: ejabberd {version} has no room option `{name}`; remove it from the \
             file, or run a version that has it"
        ));
    }
}

/// Whether ejabberd can change an option of an existing room. ejabberd 23.01 and 24.12 accept
/// `enable_hats` only at creation, and a later change of `enable_hats` crashes the command; 26.07
/// can change the option (tested).
fn can_change(name: &str, version: ServerVersion) -> bool {
    name != "enable_hats" || version >= ServerVersion { year: 25, month: 1 }
}

/// Compares the options and the subject of a room.
fn settings(
    declared: DeclaredRoom<'_>,
    there: &ObservedRoom,
    fixed: &BTreeSet<&'static str>,
    version: ServerVersion,
    set: &mut ChangeSet,
) {
    let DeclaredRoom { jid, room } = declared;
    let RoomSettings { options: declared, subject } = room.settings();
    let differs = |(name, value): &(&String, &OptionValue)| {
        there.options.get(*name).is_some_and(|printed| !is_printed_as(value, printed))
    };
    let options: Vec<(String, OptionValue)> = declared
        .iter()
        .filter(differs)
        .filter(|(name, _)| !fixed.contains(name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let (options, fixed): (Vec<_>, Vec<_>) =
        options.into_iter().partition(|(name, _)| can_change(name, version));
    for (name, _) in fixed {
        set.unknown.push(format!(
            "the room {jid}: ejabberd {version} sets `{name}` only when a room is created, and \
             this room was created with another value"
        ));
    }
    let subject = match (subject, &there.subject) {
        (Some(wanted), Some(there)) if wanted != there => Some(wanted.to_owned()),
        (Some(_), None) => {
            set.unknown.push(format!("the subject of {jid}: it could not be read"));
            None
        }
        _ => None,
    };
    let reason = match (options.is_empty(), &subject) {
        (true, None) => return set.unchanged += 1,
        (true, Some(_)) => "its subject differs",
        (false, None) => "its options differ",
        (false, Some(_)) => "its options and its subject differ",
    };
    let mut fields: Vec<String> =
        options.iter().map(|(name, _)| format!("options.{name}")).collect();
    fields.extend(subject.is_some().then(|| "subject".to_owned()));
    let action = ObjectAction::UpdateRoom { room: jid.clone(), options, subject };
    set.push_fields(action, fields, reason);
}

fn undeclared(
    desired: &DesiredState,
    there: &ObservedRooms,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    let declared =
        |jid: &RoomJid| desired.rooms.as_ref().is_some_and(|rooms| rooms.contains_key(jid));
    let present: BTreeSet<&RoomJid> = present(there).filter(|jid| !declared(jid)).collect();
    for jid in &present {
        if desired.rooms.is_none()
            || !desired.serves_rooms_of(&jid.service)
            || desired.policy.ignores(&jid.to_string())
        {
            set.unmanaged.push(Kind::Room);
            continue;
        }
        let key = ObjectKey::Room((*jid).clone());
        match fate(desired, inventory, &key) {
            Fate::Leave => set.unmanaged.push(Kind::Room),
            Fate::Forget(why) => {
                set.notes.push(format!("the room {jid} is {why}, and no longer owned"));
                set.unmanaged.push(Kind::Room);
                set.forget.push(key);
            }
            Fate::Delete(reason) => {
                set.push(ObjectAction::DeleteRoom((*jid).clone()), reason);
            }
        }
    }
    for (jid, _) in inventory.rooms() {
        let gone = matches!(there.details.get(jid), Some(Reading::Known(None)));
        if gone && desired.serves_rooms_of(&jid.service) && !declared(jid) && !present.contains(jid)
        {
            set.forget.push(ObjectKey::Room(jid.clone()));
        }
    }
}

/// Whether the string that ejabberd prints for an option means the declared value. ejabberd prints
/// a list as an Erlang term, such as `[moderator,participant]`, in any order.
fn is_printed_as(value: &OptionValue, printed: &str) -> bool {
    match value {
        OptionValue::Bool(flag) => printed == if *flag { "true" } else { "false" },
        OptionValue::Int(number) => printed == number.to_string(),
        OptionValue::Text(text) => printed == text,
        OptionValue::List(words) => {
            let split = |text: &str| -> BTreeSet<String> {
                let words =
                    text.trim_matches(['[', ']']).split(',').map(|word| word.trim().to_owned());
                words.filter(|word| !word.is_empty()).collect()
            };
            split(printed) == words.iter().cloned().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_with_the_string_that_ejabberd_prints() {
        let list = OptionValue::List(vec!["participant".into(), "moderator".into()]);
        assert!(is_printed_as(&list, "[moderator,participant]"));
        assert!(!is_printed_as(&list, "[moderator]"));
        assert!(is_printed_as(&OptionValue::List(vec![]), "[]"));
        assert!(is_printed_as(&OptionValue::Bool(true), "true"));
        assert!(is_printed_as(&OptionValue::Int(200), "200"));
        assert!(!is_printed_as(&OptionValue::Text("a".into()), "b"));
    }
}
