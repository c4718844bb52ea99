//! The inventory, what the operator owns.
//!
//! It is the one thing that a deletion may rest on. What is not in it was made
//! by others and stays.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::model::{Kind, ObjectKey, Revision};
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
    objects: BTreeMap<ObjectKey, Owned>,
}

impl Inventory {
    /// What is remembered of `key`, if it is owned.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Owned> {
        self.objects.get(key)
    }

    /// Whether `key` is owned.
    #[must_use]
    pub fn holds(&self, key: &ObjectKey) -> bool {
        self.objects.contains_key(key)
    }

    /// Everything that is owned.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.objects.keys()
    }

    /// How many objects of `kind` are owned.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.of_kind(kind).count()
    }

    /// The owned objects of `kind`, by name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&str, &Owned)> {
        let first = ObjectKey { kind, name: String::new() };
        self.objects
            .range(first..)
            .take_while(move |(key, _)| key.kind == kind)
            .map(|(key, owned)| (key.name.as_str(), owned))
    }

    /// Notes `key` as owned.
    pub fn insert(&mut self, key: ObjectKey, owned: Owned) {
        self.objects.insert(key, owned);
    }

    /// Forgets `key`.
    pub fn remove(&mut self, key: &ObjectKey) {
        self.objects.remove(key);
    }
}

impl FromIterator<(ObjectKey, Owned)> for Inventory {
    fn from_iter<I: IntoIterator<Item = (ObjectKey, Owned)>>(objects: I) -> Self {
        Self { objects: objects.into_iter().collect() }
    }
}
