//! All accounts, groups and rooms, each with its state.
//!
//! Pure. People search for an object in this list. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::inventory::Inventory;
use crate::domain::model::{Jid, Kind, ObjectKey, RoomJid};
use crate::domain::observed::{ObservedState, Reading};
use crate::domain::spec::{DesiredState, Group, OptionValue, Room, User, UserState};

/// The maximum number of objects in the list; further objects are only counted.
const MAX_OBJECTS: usize = 50_000;

/// The state of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectState {
    /// A step for the object fails.
    Failing,
    /// Another program keeps changing the object back.
    Contested,
    /// The guard refused the deletion of the object.
    Refused,
    /// The object differs, and the change waits.
    Waiting,
    /// The object differs.
    Differs,
    /// The object is as declared, but a part of it has no effect on this server.
    NotInForce,
    /// The object cannot be read now.
    Unknown,
    /// The object is as declared.
    AsDeclared,
    /// The object is owned and no longer declared, and stays.
    Kept,
    /// The object is neither declared nor owned.
    Unmanaged,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// The kind: user, group or room.
    pub kind: Kind,
    /// The full name.
    pub name: String,
    /// The state.
    pub state: ObjectState,
    /// The reason for the state; empty where the state explains itself.
    pub why: String,
    /// A summary of the entry in the file, such as `banned` or a title.
    pub about: String,
    /// The time since when the object is owned.
    pub owned_since: Option<Timestamp>,
}

/// All objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// The objects, sorted by kind and name.
    pub objects: Vec<Object>,
    /// The number of objects that are not in the list.
    pub left_out: usize,
}

/// The objects that are not as declared, each with its state and the reason.
pub type Differences = BTreeMap<ObjectKey, (ObjectState, String)>;

/// Lists every object that is declared, owned or on the server.
#[must_use]
pub fn overview(
    desired: &DesiredState,
    observed: &ObservedState,
    inventory: &Inventory,
    differences: &Differences,
) -> Overview {
    let mut seen = Seen::default();
    users(desired, observed, &mut seen);
    groups(desired, observed, &mut seen);
    rooms(desired, observed, &mut seen);
    for kind in [Kind::User, Kind::Group, Kind::Room] {
        inventory.of_kind(kind).for_each(|(key, _)| seen.present(key));
    }
    let left_out = seen.there.len().saturating_sub(MAX_OBJECTS);
    let mut all: Vec<(ObjectKey, Option<String>)> = seen.there.into_iter().collect();
    all.sort_by_cached_key(|(key, _)| (key.kind(), key.name()));
    let objects = all.into_iter().take(MAX_OBJECTS).map(|(key, about)| {
        let owned_since = inventory.get(&key).map(|owned| owned.since);
        let (state, why) = match differences.get(&key) {
            Some((state, why)) => (*state, why.clone()),
            None if seen.unknown.contains(&key) || observed.version.known().is_none() => {
                (ObjectState::Unknown, String::new())
            }
            None if about.is_some() => (ObjectState::AsDeclared, String::new()),
            None if owned_since.is_some() => (ObjectState::Kept, String::new()),
            None => (ObjectState::Unmanaged, String::new()),
        };
        let about = about.unwrap_or_default();
        Object { kind: key.kind(), name: key.name(), state, why, about, owned_since }
    });
    Overview { objects: objects.collect(), left_out }
}

/// The objects that are declared, with a summary of the entry, or that exist on the server.
#[derive(Default)]
struct Seen {
    there: BTreeMap<ObjectKey, Option<String>>,
    unknown: BTreeSet<ObjectKey>,
}

impl Seen {
    fn declared(&mut self, key: ObjectKey, about: String, readable: bool) {
        if !readable {
            self.unknown.insert(key.clone());
        }
        self.there.insert(key, Some(about));
    }

    fn present(&mut self, key: ObjectKey) {
        self.there.entry(key).or_default();
    }
}

fn users(desired: &DesiredState, observed: &ObservedState, seen: &mut Seen) {
    for (jid, user) in desired.users.iter().flatten() {
        let readable = observed.users.get(&jid.host).is_some_and(|r| r.known().is_some());
        seen.declared(ObjectKey::User(jid.clone()), about_user(user), readable);
    }
    for (host, names) in &observed.users {
        for local in names.known().into_iter().flatten() {
            let jid = Jid { local: local.clone(), host: host.clone() };
            seen.present(ObjectKey::User(jid));
        }
    }
}

fn groups(desired: &DesiredState, observed: &ObservedState, seen: &mut Seen) {
    let groups = observed.groups.as_ref().and_then(Reading::known);
    for (name, group) in desired.groups.iter().flatten() {
        let readable = groups
            .is_some_and(|groups| !matches!(groups.details.get(name), Some(Reading::Unknown(_))));
        let key = ObjectKey::Group(desired.group_id(name));
        seen.declared(key, about_group(group), readable);
    }
    for name in groups.into_iter().flat_map(|groups| &groups.names) {
        seen.present(ObjectKey::Group(desired.group_id(name)));
    }
}

fn rooms(desired: &DesiredState, observed: &ObservedState, seen: &mut Seen) {
    let rooms = observed.rooms.known();
    let readable = |room: &RoomJid| {
        rooms.is_some_and(|rooms| !matches!(rooms.details.get(room), Some(Reading::Unknown(_))))
    };
    for (name, room) in desired.rooms.iter().flatten() {
        seen.declared(ObjectKey::Room(name.clone()), about_room(room), readable(name));
    }
    for name in rooms.into_iter().flat_map(|rooms| &rooms.present) {
        seen.present(ObjectKey::Room(name.clone()));
    }
}

fn about_user(user: &User) -> String {
    let state = match &user.state {
        UserState::Present => "",
        UserState::Absent => "absent",
        UserState::Banned { .. } => "banned",
    };
    with_pause(state.to_owned(), user.paused)
}

fn about_group(group: &Group) -> String {
    let name = group.display_name.clone().unwrap_or_default();
    match &group.members {
        Some(members) if name.is_empty() => format!("{} members", members.len()),
        Some(members) => format!("{name}, {} members", members.len()),
        None => name,
    }
}

fn about_room(room: &Room) -> String {
    let about = match room.options.get("title") {
        _ if !room.present => "absent".to_owned(),
        Some(OptionValue::Text(title)) => title.clone(),
        _ => String::new(),
    };
    with_pause(about, room.paused)
}

fn with_pause(about: String, paused: bool) -> String {
    match (paused, about.is_empty()) {
        (false, _) => about,
        (true, true) => "paused".to_owned(),
        (true, false) => format!("{about}, paused"),
    }
}
