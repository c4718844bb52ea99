//! The inventory: the objects that the operator owns, and the objects that clients registered.
//!
//! The operator deletes only owned objects, with two exceptions: objects that the file declares
//! absent, and all undeclared objects with `prune: all`. A registered object without an entry in
//! the file is never deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::model::{AffiliationId, GroupId, Jid, Kind, ObjectKey, Revision, RoomJid};
use super::spec::DeletionPolicy;

/// A keyed hash of a password or a vCard. Two fingerprints can only be compared for equality.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Creates a fingerprint from a hexadecimal hash.
    #[must_use]
    pub fn new(hex: String) -> Self {
        Self(hex)
    }
}

/// How the operator got an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The operator created the object, or is about to create the object.
    Created,
    /// The object existed when the file declared the object.
    Adopted,
}

/// The record of an owned object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// How the operator got the object.
    pub origin: Origin,
    /// The time since which the operator owns the object.
    pub since: Timestamp,
    /// The revision that declared the object at that time.
    pub revision: Revision,
    /// What the operator does with the object when the entry is removed. The record stores the
    /// policy, because the entry no longer exists at that time.
    pub deletion_policy: DeletionPolicy,
    /// The fingerprint of the password that the operator last verified; `None` if the operator
    /// verified no password.
    pub password: Option<Fingerprint>,
    /// The fingerprint of the declared vCard fields that the operator last verified; `None` if the
    /// operator verified no fields.
    pub vcard: Option<Fingerprint>,
    /// The ban that the operator set, or intends to set; `None` without such a ban. The operator
    /// lifts only bans that the operator set.
    pub banned: Option<Ban>,
}

/// A ban that the operator set. Up to 24.02 the server does not report whether an account is banned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// The reason.
    pub reason: String,
    /// Whether the operator verified the ban. If `false`, the operator only intends to set the ban.
    pub confirmed: bool,
}

/// The record of an account or a room that a client registered with the tool
/// `register_messaging_user`.
///
/// A registration is not ownership: the operator does not manage a registered object. A registered
/// object that the file also declares has both records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The name of the client.
    pub client: String,
    /// The time of the registration.
    pub since: Timestamp,
}

/// All owned objects and all registered objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    users: BTreeMap<Jid, Owned>,
    groups: BTreeMap<GroupId, Owned>,
    rooms: BTreeMap<RoomJid, Owned>,
    affiliations: BTreeMap<AffiliationId, Owned>,
    registered: Arc<BTreeMap<ObjectKey, Registration>>,
}

impl Inventory {
    /// Whether a client can register `key`. Clients register only accounts and rooms.
    #[must_use]
    pub const fn can_register(key: &ObjectKey) -> bool {
        matches!(key, ObjectKey::User(_) | ObjectKey::Room(_))
    }

    /// The registered objects, accounts first.
    pub fn registered(&self) -> impl Iterator<Item = (&ObjectKey, &Registration)> {
        self.registered.iter()
    }

    /// The name of the client that registered `key`; `None` if no client registered the object.
    #[must_use]
    pub fn registered_by(&self, key: &ObjectKey) -> Option<&str> {
        self.registered.get(key).map(|registration| registration.client.as_str())
    }

    /// The number of accounts that `client` registered.
    #[must_use]
    pub fn registered_users_of(&self, client: &str) -> usize {
        let users = self.registered().filter(|(key, _)| key.kind() == Kind::User);
        users.filter(|(_, registration)| registration.client == client).count()
    }

    /// Records `key` as registered, and returns whether the record is new. A registered object
    /// keeps its first record. Ignores a `key` that [clients cannot register](Self::can_register).
    pub fn register(&mut self, key: ObjectKey, registration: Registration) -> bool {
        if !Self::can_register(&key) || self.registered.contains_key(&key) {
            return false;
        }
        Arc::make_mut(&mut self.registered).insert(key, registration);
        true
    }

    /// Removes the registration of `key`, and returns whether there was one. An owned object stays
    /// owned.
    pub fn unregister(&mut self, key: &ObjectKey) -> bool {
        self.registered.contains_key(key)
            && Arc::make_mut(&mut self.registered).remove(key).is_some()
    }

    /// The record of an account; `None` if the account is not owned.
    #[must_use]
    pub fn user(&self, account: &Jid) -> Option<&Owned> {
        self.users.get(account)
    }

    /// The record of a group; `None` if the group is not owned.
    #[must_use]
    pub fn group(&self, group: &GroupId) -> Option<&Owned> {
        self.groups.get(group)
    }

    /// The record of a room; `None` if the room is not owned.
    #[must_use]
    pub fn room(&self, room: &RoomJid) -> Option<&Owned> {
        self.rooms.get(room)
    }

    /// The record of an affiliation; `None` if the affiliation is not owned.
    #[must_use]
    pub fn affiliation(&self, id: &AffiliationId) -> Option<&Owned> {
        self.affiliations.get(id)
    }

    /// The record of `key`; `None` if the object is not owned. The server and its configuration are
    /// never owned.
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

    /// All owned objects, kind by kind.
    pub fn iter(&self) -> impl Iterator<Item = (ObjectKey, &Owned)> {
        Kind::ALL.into_iter().flat_map(|kind| self.of_kind(kind))
    }

    /// The keys of all owned objects.
    pub fn keys(&self) -> impl Iterator<Item = ObjectKey> {
        self.iter().map(|(key, _)| key)
    }

    /// Whether no object is owned. Registered objects do not count.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { users, groups, rooms, affiliations, registered: _ } = self;
        users.is_empty() && groups.is_empty() && rooms.is_empty() && affiliations.is_empty()
    }

    /// The owned objects of `kind`.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (ObjectKey, &Owned)> {
        let users = (kind == Kind::User).then(|| self.users()).into_iter().flatten();
        let groups = (kind == Kind::Group).then(|| self.groups()).into_iter().flatten();
        let rooms = (kind == Kind::Room).then(|| self.rooms()).into_iter().flatten();
        let affiliations =
            (kind == Kind::Affiliation).then(|| self.affiliations()).into_iter().flatten();
        users
            .map(|(jid, owned)| (ObjectKey::User(jid.clone()), owned))
            .chain(groups.map(|(id, owned)| (ObjectKey::Group(id.clone()), owned)))
            .chain(rooms.map(|(jid, owned)| (ObjectKey::Room(jid.clone()), owned)))
            .chain(affiliations.map(|(id, owned)| (ObjectKey::Affiliation(id.clone()), owned)))
    }

    /// The number of owned objects of `kind`.
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

    /// Records `key` as owned. The server and its configuration cannot be owned.
    pub fn insert(&mut self, key: ObjectKey, owned: Owned) {
        match key {
            ObjectKey::Server(_) | ObjectKey::Config(_) => None,
            ObjectKey::User(account) => self.users.insert(account, owned),
            ObjectKey::Group(group) => self.groups.insert(group, owned),
            ObjectKey::Room(room) => self.rooms.insert(room, owned),
            ObjectKey::Affiliation(id) => self.affiliations.insert(id, owned),
        };
    }

    /// Removes the record of `key`.
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
