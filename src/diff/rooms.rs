//! Rooms: which are missing, which differ, which are too many.

use std::collections::BTreeSet;

use super::{Action, ChangeSet, Fate, fate};
use crate::inventory::Inventory;
use crate::model::{Kind, ObjectKey, Op, RoomJid};
use crate::observed::{ObservedRooms, ObservedState, Reading, RoomOptions};
use crate::spec::{DesiredState, OptionValue, Room};

pub(super) fn diff(
    desired: &DesiredState,
    observed: &ObservedState,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    let there = match &observed.rooms {
        Reading::Known(rooms) => rooms,
        Reading::Unknown(why) => return set.unknown.push(format!("the rooms: {why}")),
    };
    let known = there.details.iter().filter(|(_, room)| matches!(room, Reading::Known(Some(_))));
    let all: BTreeSet<&RoomJid> = there.online.iter().chain(known.map(|(jid, _)| jid)).collect();
    let ours = all.into_iter().filter(|jid| desired.serves_rooms_of(&jid.service)).count();
    set.present.insert(Kind::Room, ours);
    let declared = desired.rooms.as_ref();
    for (jid, room) in declared.into_iter().flatten() {
        if desired.policy.ignores(&jid.to_string()) || room.paused {
            set.unchanged += 1;
            continue;
        }
        match there.details.get(jid) {
            Some(Reading::Known(options)) => one_room(jid, room, options.as_ref(), inventory, set),
            Some(Reading::Unknown(why)) => set.unknown.push(format!("the room {jid}: {why}")),
            None => set.unknown.push(format!("the room {jid}: it was not looked at")),
        }
    }
    undeclared(desired, there, inventory, set);
}

fn one_room(
    jid: &RoomJid,
    room: &Room,
    there: Option<&RoomOptions>,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    let key = ObjectKey::new(Kind::Room, jid);
    match (room.present, there) {
        (true, None) => {
            set.push(
                Kind::Room,
                jid,
                Op::Create,
                "declared, not on the server",
                Action::CreateRoom(jid.clone()),
            );
        }
        (true, Some(options)) => {
            if !inventory.holds(&key) {
                set.adopt.push(key);
            }
            options_of(jid, room, options, set);
        }
        (false, Some(_)) => {
            set.push(
                Kind::Room,
                jid,
                Op::Delete,
                "declared absent",
                Action::DeleteRoom(jid.clone()),
            );
        }
        (false, None) => {
            set.unchanged += 1;
            if inventory.holds(&key) {
                set.forget.push(key);
            }
        }
    }
}

fn options_of(jid: &RoomJid, room: &Room, there: &RoomOptions, set: &mut ChangeSet) {
    let mut differing: Vec<(String, OptionValue)> = Vec::new();
    for (name, value) in &room.options {
        match there.get(name) {
            Some(printed) if is_printed_as(value, printed) => {}
            Some(_) => differing.push((name.clone(), value.clone())),
            // Sending it would crash the command, or be dropped without a word.
            None => {
                set.notes.push(format!("the room {jid}: this ejabberd has no room option `{name}`"))
            }
        }
    }
    if differing.is_empty() {
        set.unchanged += 1;
        return;
    }
    let fields = differing.iter().map(|(name, _)| format!("options.{name}")).collect();
    set.push(
        Kind::Room,
        jid,
        Op::Update,
        "its options differ",
        Action::SetRoomOptions(jid.clone(), differing),
    );
    if let Some(change) = set.changes.last_mut() {
        change.fields = fields;
    }
}

fn undeclared(
    desired: &DesiredState,
    there: &ObservedRooms,
    inventory: &Inventory,
    set: &mut ChangeSet,
) {
    let declared =
        |jid: &RoomJid| desired.rooms.as_ref().is_some_and(|rooms| rooms.contains_key(jid));
    let hibernated =
        there.details.iter().filter(|(_, room)| matches!(room, Reading::Known(Some(_))));
    let present = there.online.iter().chain(hibernated.map(|(jid, _)| jid));
    let present: BTreeSet<&RoomJid> = present.filter(|jid| !declared(jid)).collect();
    for jid in &present {
        let key = ObjectKey::new(Kind::Room, jid);
        let owned = inventory.get(&key).map(|owned| owned.deletion_policy);
        if desired.rooms.is_none()
            || !desired.serves_rooms_of(&jid.service)
            || desired.policy.ignores(&key.name)
        {
            set.unmanaged.push(Kind::Room);
            continue;
        }
        match fate(desired, owned) {
            Fate::Leave => set.unmanaged.push(Kind::Room),
            Fate::Forget => {
                set.notes.push(format!("the room {jid} is retained, and no longer owned"));
                set.unmanaged.push(Kind::Room);
                set.forget.push(key);
            }
            Fate::Delete(reason) => {
                set.push(Kind::Room, jid, Op::Delete, reason, Action::DeleteRoom((*jid).clone()));
            }
        }
    }
    for (name, _) in inventory.of_kind(Kind::Room) {
        let Ok(jid) = name.parse::<RoomJid>() else { continue };
        let gone = matches!(there.details.get(&jid), Some(Reading::Known(None)));
        if gone
            && desired.serves_rooms_of(&jid.service)
            && !declared(&jid)
            && !present.contains(&jid)
        {
            set.forget.push(ObjectKey::new(Kind::Room, name));
        }
    }
}

/// Whether ejabberd's print of an option means the declared value. Lists are
/// printed as Erlang terms, `[moderator,participant]`, in an order of their own.
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
    fn values_are_compared_with_ejabberds_print_of_them() {
        let list = OptionValue::List(vec!["participant".into(), "moderator".into()]);
        assert!(is_printed_as(&list, "[moderator,participant]"));
        assert!(!is_printed_as(&list, "[moderator]"));
        assert!(is_printed_as(&OptionValue::List(vec![]), "[]"));
        assert!(is_printed_as(&OptionValue::Bool(true), "true"));
        assert!(is_printed_as(&OptionValue::Int(200), "200"));
        assert!(!is_printed_as(&OptionValue::Text("a".into()), "b"));
    }
}
