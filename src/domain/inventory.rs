//! The inventory, what the operator owns.
//!
//! It is the one thing that a deletion may rest on. What is not in it was made
//! by others and stays.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::model::{AffiliationId, GroupId, Jid, Kind, ObjectKey, Revision, RoomJid};
use super::spec::DeletionPolicy;

/// A keyed hash of a password: tells whether it is the same one, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Takes a hexadecimal hash.
    #[must_use]
    pub fn new(hex: String) -> Self {
        Self(hex)
    }
}

/// How an object came to be owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It was, or is about to be, created.
    Created,
    /// It was there when it was declared.
    Adopted,
}

/// What is remembered of an owned object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// How it came to be owned.
    pub origin: Origin,
    /// Since when.
    pub since: Timestamp,
    /// The revision that declared it then.
    pub revision: Revision,
    /// What happens when its entry is gone; the entry cannot be asked then.
    pub deletion_policy: DeletionPolicy,
    /// The password that was last seen to be in force.
    pub password: Option<Fingerprint>,
    /// The declared part of the vCard that was last seen to be in force.
    pub vcard: Option<Fingerprint>,
    /// That it was banned by the operator, which alone lifts such a ban.
    pub banned: Option<Ban>,
}

/// A ban that the operator has put on an account. Up to 24.02 the server
/// itself cannot tell that an account is banned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Why.
    pub reason: String,
    /// Whether the server was seen to accept it; else it was only intended.
    pub confirmed: bool,
}

/// Everything that is owned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    users: BTreeMap<Jid, Owned>,
    groups: BTreeMap<GroupId, Owned>,
    rooms: BTreeMap<RoomJid, Owned>,
    affiliations: BTreeMap<AffiliationId, Owned>,
}

impl Inventory {
    /// The entry of an account, if it is owned.
    #[must_use]
    pub fn user(&self, account: &Jid) -> Option<&Owned> {
        self.users.get(account)
    }

    /// The entry of a group, if it is owned.
    #[must_use]
    pub fn group(&self, group: &GroupId) -> Option<&Owned> {
        self.groups.get(group)
    }

    /// The entry of a room, if it is owned.
    #[must_use]
    pub fn room(&self, room: &RoomJid) -> Option<&Owned> {
        self.rooms.get(room)
    }

    /// The entry of an affiliation, if it is owned.
    #[must_use]
    pub fn affiliation(&self, id: &AffiliationId) -> Option<&Owned> {
        self.affiliations.get(id)
    }

    /// The entry of `key`, if it is owned. The server and its configuration never are.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Owned> {
        match key {
            ObjectKey::Server(_) | ObjectKey::Config(_) => None,
            ObjectKey::User(account) => self.user(account),
            ObjectKey::Group(group) => self.group(group),
            ObjectKey::Room(room) => self.room(room),
            ObjectKey::Affiliation(id) => self.affiliation(id),
        }
    }

    /// Whether `key` is owned.
    #[must_use]
    pub fn holds(&self, key: &ObjectKey) -> bool {
        self.get(key).is_some()
    }

    /// The owned accounts.
    pub fn users(&self) -> impl Iterator<Item = (&Jid, &Owned)> {
        self.users.iter()
    }

    /// The owned groups.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, &Owned)> {
        self.groups.iter()
    }

    /// The owned rooms.
    pub fn rooms(&self) -> impl Iterator<Item = (&RoomJid, &Owned)> {
        self.rooms.iter()
    }

    /// The owned affiliations.
    pub fn affiliations(&self) -> impl Iterator<Item = (&AffiliationId, &Owned)> {
        self.affiliations.iter()
    }

    /// Everything that is owned.
    pub fn iter(&self) -> impl Iterator<Item = (ObjectKey, &Owned)> {
        let users = self.users().map(|(jid, owned)| (ObjectKey::User(jid.clone()), owned));
        let groups = self.groups().map(|(id, owned)| (ObjectKey::Group(id.clone()), owned));
        let rooms = self.rooms().map(|(jid, owned)| (ObjectKey::Room(jid.clone()), owned));
        let affiliations =
            self.affiliations().map(|(id, owned)| (ObjectKey::Affiliation(id.clone()), owned));
        users.chain(groups).chain(rooms).chain(affiliations)
    }

    /// The keys of everything that is owned.
    pub fn keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.iter().map(|(key, _)| key)
    }

    /// Whether nothing is owned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }

    /// The owned objects of `kind`.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (ObjectKey, &Owned)> {
        self.iter().filter(move |(key, _)| key.kind() == kind)
    }

    /// How many objects of `kind` are owned.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        match kind {
            Kind::Server | Kind::Config => 0,
            Kind::User => self.users.len(),
            Kind::Group => self.groups.len(),
            Kind::Room => self.rooms.len(),
            Kind::Affiliation => self.affiliations.len(),
        }
    }

    /// Notes `key` as owned. The server and its configuration cannot be owned.
    pub fn insert(&mut self, key: ObjectKey, owned: Owned) {
        match key {
            ObjectKey::Server(_) | ObjectKey::Config(_) => None,
            ObjectKey::User(account) => self.users.insert(account, owned),
            ObjectKey::Group(group) => self.groups.insert(group, owned),
            ObjectKey::Room(room) => self.rooms.insert(room, owned),
            ObjectKey::Affiliation(id) => self.affiliations.insert(id, owned),
        };
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: &ObjectKey) {
        match key {
            ObjectKey::Server(_) | ObjectKey::Config(_) => None,
            ObjectKey::User(account) => self.users.remove(account),
            ObjectKey::Group(group) => self.groups.remove(group),
            ObjectKey::Room(room) => self.rooms.remove(room),
            ObjectKey::Affiliation(id) => self.affiliations.remove(id),
        };
    }
}

impl FromIterator<(ObjectKey, Owned)> for Inventory {
    fn from_iter<I: IntoIterator<Item = (ObjectKey, Owned)>>(objects: I) -> Self {
        let mut inventory = Self::default();
        objects.into_iter().for_each(|(key, owned)| inventory.insert(key, owned));
        inventory
    }
}
