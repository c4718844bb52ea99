//! Accounts, groups and rooms in the document.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scalars::{FileMode, Password, RoomOption};

/// An account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct User {
    /// The name of the account on the default vhost, or the full JID for another vhost.
    pub(crate) name: String,
    /// The password in plain text. Prefer `passwordFrom`, which keeps the password out of this file.
    pub(crate) password: Option<Password>,
    /// Where the password comes from. Without `password` and `passwordFrom` the operator generates a
    /// password for a new account, and does not change the password of an existing account.
    pub(crate) password_from: Option<SecretFrom>,
    /// Whether the operator sets the declared password again after a change on the server.
    #[serde(default)]
    pub(crate) password_policy: PasswordPolicy,
    /// The file that the operator writes the password to, for other programs to read.
    pub(crate) password_to: Option<SecretTo>,
    /// Whether the account exists, and whether the account may log in.
    #[serde(default)]
    pub(crate) state: UserState,
    /// The reason of the ban; only with `state: banned`. If absent, the operator accepts any reason.
    pub(crate) reason: Option<String>,
    /// The nickname in the vCard of the account.
    pub(crate) nickname: Option<String>,
    /// Further fields of the vCard, by the names of XEP-0054: `FN`, `EMAIL`, `N.GIVEN`,
    /// `ORG.ORGUNIT`.
    #[serde(default)]
    pub(crate) vcard: BTreeMap<String, String>,
    /// What the operator does with the object when you remove the entry from the file.
    #[serde(default)]
    pub(crate) deletion_policy: DeletionPolicy,
    /// With `true` the operator neither changes nor deletes the account.
    #[serde(default)]
    pub(crate) paused: bool,
}

/// Where a secret comes from: exactly one of these. One trailing newline is removed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct SecretFrom {
    /// The path of a file that contains the secret, relative to the directory of this file.
    pub(crate) file: Option<String>,
    /// The name of an environment variable of the operator that contains the secret.
    pub(crate) env: Option<String>,
    /// The path and the arguments of a program that prints the secret. No shell interprets the
    /// arguments.
    pub(crate) command: Option<Vec<String>>,
    /// With `true` the operator generates a password when the operator creates the account. `false`
    /// is an error.
    pub(crate) generate: Option<bool>,
}

/// The file that the operator writes a password to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecretTo {
    /// The path of the file, relative to the directory of this file.
    pub(crate) file: String,
    /// The permissions of the file, in octal.
    #[serde(default)]
    pub(crate) mode: FileMode,
}

/// Whether the file or the owner of the account decides on the password of an existing account.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PasswordPolicy {
    /// The file decides. The operator sets the declared password again after a change on the server.
    #[default]
    Enforce,
    /// The owner of the account decides. The operator sets the password only when the operator
    /// creates the account.
    Initial,
}

/// Whether an account exists, and whether the account may log in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum UserState {
    /// The account exists and may log in.
    #[default]
    Present,
    /// The account does not exist. The operator deletes the account, also if the operator did not
    /// create the account.
    Absent,
    /// The account exists and cannot log in.
    Banned,
}

/// What the operator does with an object when you remove the entry from the file.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum DeletionPolicy {
    /// The operator deletes the object.
    #[default]
    Delete,
    /// The object stays on the server.
    Retain,
}

/// A shared roster group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Group {
    /// The name of the group on the default vhost. The `affiliations` of a room refer to the group
    /// as `@NAME`.
    pub(crate) name: String,
    /// The name that people see in their contact lists.
    pub(crate) display_name: Option<String>,
    /// A description of the group for people.
    pub(crate) description: Option<String>,
    /// The members: names on the default vhost, or full JIDs. If absent, the operator does not manage
    /// the members.
    pub(crate) members: Option<Vec<String>>,
    /// With `true` the members see each other in their contact lists. With `false` the server has no
    /// such group, and only the `affiliations` of rooms use the list of members.
    #[serde(default = "yes")]
    pub(crate) roster: bool,
}

fn yes() -> bool {
    true
}

/// A chat room.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Room {
    /// The name of the room: the part of its address before the `@`.
    pub(crate) name: String,
    /// The MUC service of the room: the part of its address after the `@`. If absent, `conference.`
    /// with the default vhost.
    pub(crate) service: Option<String>,
    /// The title that people see.
    pub(crate) title: Option<String>,
    /// A description of the room for people.
    pub(crate) description: Option<String>,
    /// The subject of the room. If absent, the operator does not manage the subject.
    pub(crate) subject: Option<String>,
    /// The options of the room, by the names that ejabberd uses. The default of `persistent` is
    /// `true`; the operator does not manage other absent options.
    #[serde(default)]
    pub(crate) options: BTreeMap<String, RoomOption>,
    /// The affiliations of accounts with the room. If absent, the operator does not manage
    /// affiliations of the room.
    pub(crate) affiliations: Option<Affiliations>,
    /// With `true` the operator removes every affiliation that is not listed, also affiliations that
    /// the operator did not give.
    #[serde(default)]
    pub(crate) exclusive: bool,
    /// Whether the room exists.
    #[serde(default)]
    pub(crate) state: RoomState,
    /// What the operator does with the object when you remove the entry from the file.
    #[serde(default)]
    pub(crate) deletion_policy: DeletionPolicy,
    /// With `true` the operator neither changes nor destroys the room.
    #[serde(default)]
    pub(crate) paused: bool,
}

/// The affiliations of a room: names on the default vhost, full JIDs, or `@GROUP` for all members
/// of a group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Affiliations {
    /// Accounts that may change everything in the room and may destroy the room.
    pub(crate) owner: Option<Vec<String>>,
    /// Accounts that may moderate the room.
    pub(crate) admin: Option<Vec<String>>,
    /// Accounts that may enter a members-only room.
    pub(crate) member: Option<Vec<String>>,
    /// Accounts that must not enter the room.
    pub(crate) outcast: Option<Vec<String>>,
}

/// Whether a room exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RoomState {
    /// The room exists. The operator creates a missing room.
    #[default]
    Present,
    /// The room does not exist. The operator destroys the room, also if the operator did not create
    /// the room.
    Absent,
}
