//! The objects that the operator creates, updates and deletes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::jid::{AffiliationId, GroupId, Jid, NameError, RoomJid};

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
    /// The affiliation of an account with a room.
    Affiliation,
}

impl Kind {
    /// All kinds, in the order of a plan.
    pub const ALL: [Self; 6] =
        [Self::Server, Self::Config, Self::User, Self::Group, Self::Room, Self::Affiliation];

    /// The name in plans, metrics and the store.
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

/// The operation of a step.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// The object is missing and must exist.
    Create,
    /// The object exists and differs.
    Update,
    /// The object exists and must not exist.
    Delete,
}

impl Op {
    /// All operations.
    pub const ALL: [Self; 3] = [Self::Create, Self::Update, Self::Delete];

    /// The name in plans and metrics.
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

/// The identity of one object.
///
/// The serialized form is the kind and the full, normalised name, e.g. `ann@example.org`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// The server process, under the name of its container or of the desired state.
    Server(String),
    /// The configuration, under the name of its variant.
    Config(String),
    /// An account.
    User(Jid),
    /// A shared roster group.
    Group(GroupId),
    /// A room.
    Room(RoomJid),
    /// The affiliation of one account with one room.
    Affiliation(AffiliationId),
}

impl ObjectKey {
    /// Parses the [`name`](Self::name) of an object of `kind`.
    ///
    /// # Errors
    /// The name is not a name of that kind.
    pub fn parse(kind: Kind, name: &str) -> Result<Self, NameError> {
        Ok(match kind {
            Kind::Server => Self::Server(name.to_owned()),
            Kind::Config => Self::Config(name.to_owned()),
            Kind::User => Self::User(name.parse()?),
            Kind::Group => Self::Group(name.parse()?),
            Kind::Room => Self::Room(name.parse()?),
            Kind::Affiliation => Self::Affiliation(name.parse()?),
        })
    }

    /// The kind of the object.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Server(_) => Kind::Server,
            Self::Config(_) => Kind::Config,
            Self::User(_) => Kind::User,
            Self::Group(_) => Kind::Group,
            Self::Room(_) => Kind::Room,
            Self::Affiliation(_) => Kind::Affiliation,
        }
    }

    /// The full, normalised name, as plans, the store and the command line use it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Server(name) | Self::Config(name) => name.clone(),
            Self::User(jid) => jid.to_string(),
            Self::Group(id) => id.to_string(),
            Self::Room(jid) => jid.to_string(),
            Self::Affiliation(id) => id.to_string(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// The serialized form of an [`ObjectKey`].
#[derive(Serialize, Deserialize)]
struct NamedKey {
    kind: Kind,
    name: String,
}

impl Serialize for ObjectKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        NamedKey { kind: self.kind(), name: self.name() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let NamedKey { kind, name } = NamedKey::deserialize(deserializer)?;
        Self::parse(kind, &name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_its_kind_and_name() {
        for (kind, name) in [
            (Kind::Server, "v2-ejabberd"),
            (Kind::Config, "hardened"),
            (Kind::User, "ann@a.example"),
            (Kind::Group, "agents@a.example"),
            (Kind::Room, "hall@conference.a.example"),
            (Kind::Affiliation, "hall@conference.a.example/ann@b.example"),
        ] {
            let key = ObjectKey::parse(kind, name).unwrap();
            assert_eq!((key.kind(), key.name()), (kind, name.to_owned()));
            let json = serde_json::to_string(&key).unwrap();
            assert_eq!(json, format!(r#"{{"kind":"{kind}","name":"{name}"}}"#));
            assert_eq!(serde_json::from_str::<ObjectKey>(&json).unwrap(), key);
        }
        assert!(ObjectKey::parse(Kind::User, "ann").is_err());
        assert!(ObjectKey::parse(Kind::Affiliation, "hall@c.example").is_err());
        assert!(serde_json::from_str::<ObjectKey>(r#"{"kind":"room","name":"hall"}"#).is_err());
    }
}
