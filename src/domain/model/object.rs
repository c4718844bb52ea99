//! What can be created, updated and deleted.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kinds of object, in the order in which a plan creates them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The server process.
    Server,
    /// The active configuration variant.
    Config,
    /// An account.
    User,
    /// A shared roster group.
    Group,
    /// A chat room.
    Room,
    /// One account's affiliation with one room.
    Affiliation,
}

impl Kind {
    /// Every kind, in the order of a plan.
    pub const ALL: [Self; 6] =
        [Self::Server, Self::Config, Self::User, Self::Group, Self::Room, Self::Affiliation];

    /// The word used in plans, metrics and the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Config => "config",
            Self::User => "user",
            Self::Group => "group",
            Self::Room => "room",
            Self::Affiliation => "affiliation",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a step does to its object.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It is not there and shall be.
    Create,
    /// It is there and differs.
    Update,
    /// It is there and shall not be.
    Delete,
}

impl Op {
    /// Every operation.
    pub const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    /// The word used in plans and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The identity of one object: its kind and its normalised name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// What it is.
    pub kind: Kind,
    /// Its full, normalised name, e.g. `ann@example.org`.
    pub name: String,
}

impl ObjectKey {
    /// The key of an object of `kind` called `name`.
    #[must_use]
    pub fn new(kind: Kind, name: &(impl ToString + ?Sized)) -> Self {
        Self { kind, name: name.to_string() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}
