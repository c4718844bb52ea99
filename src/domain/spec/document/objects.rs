//! Accounts, groups and rooms, as they are written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scalars::{FileMode, Password, RoomOption};

/// An account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct User {
    /// The name on the default vhost, or a full JID for another one.
    pub(crate) name: String,
    /// The password itself. Better: `passwordFrom`.
    pub(crate) password: Option<Password>,
    /// Where the password comes from. Without any, one is generated when the account is created,
    /// and an account that exists keeps its own.
    pub(crate) password_from: Option<SecretFrom>,
    /// Whether a password that somebody changed is set again.
    #[serde(default)]
    pub(crate) password_policy: PasswordPolicy,
    /// Where the operator writes the password, for others to find.
    pub(crate) password_to: Option<SecretTo>,
    /// Whether the account shall be there, and whether it may log in.
    #[serde(default)]
    pub(crate) state: UserState,
    /// Why it is banned, with `state: banned`. Absent: for whatever reason.
    pub(crate) reason: Option<String>,
    /// The nickname in its vCard.
    pub(crate) nickname: Option<String>,
    /// Further fields of its vCard, under their names there: `FN`, `EMAIL`, `N.GIVEN`, `ORG.ORGUNIT`.
    #[serde(default)]
    pub(crate) vcard: BTreeMap<String, String>,
    /// What happens when the entry is gone.
    #[serde(default)]
    pub(crate) deletion_policy: DeletionPolicy,
    /// Whether the operator leaves it alone: nothing about it is changed, and it is not deleted.
    #[serde(default)]
    pub(crate) paused: bool,
}

/// Where a secret comes from: exactly one of these. One trailing newline is dropped.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct SecretFrom {
    /// The path of a file, relative to this one.
    pub(crate) file: Option<String>,
    /// The name of an environment variable of the operator.
    pub(crate) env: Option<String>,
    /// The output of a program: its path and its arguments. Never a shell line.
    pub(crate) command: Option<Vec<String>>,
    /// Whether the operator makes one up when it creates the account; only `true` makes sense.
    pub(crate) generate: Option<bool>,
}

/// Where a password is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecretTo {
    /// The path of the file, relative to this one.
    pub(crate) file: String,
    /// The permissions of the file, in octal.
    #[serde(default)]
    pub(crate) mode: FileMode,
}

/// Who decides on a password after the account was created.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum PasswordPolicy {
    /// The file does: a changed password is set again.
    #[default]
    Enforce,
    /// The person does: it is set once, when the account is created.
    Initial,
}

/// What an account shall be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum UserState {
    /// It is there, and may log in.
    #[default]
    Present,
    /// It is not there: it is deleted, whoever created it.
    Absent,
    /// It is there, and kept from logging in.
    Banned,
}

/// What happens to an object whose entry is gone.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum DeletionPolicy {
    /// The object is deleted.
    #[default]
    Delete,
    /// The object stays on the server.
    Retain,
}

/// A shared roster group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Group {
    /// Its name on the default vhost, and in `@name` of affiliations.
    pub(crate) name: String,
    /// The name that people see in their contact lists.
    pub(crate) display_name: Option<String>,
    /// What the group is for, in words.
    pub(crate) description: Option<String>,
    /// Who is in it: names on the default vhost, or full JIDs. Absent: not managed.
    pub(crate) members: Option<Vec<String>>,
    /// Whether its members see each other in their contact lists; if not, it is a list alone.
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
    /// The name on its service: the part before the `@`.
    pub(crate) name: String,
    /// The MUC service that has it. Absent: `conference.` and the default vhost.
    pub(crate) service: Option<String>,
    /// The title that people see.
    pub(crate) title: Option<String>,
    /// What the room is for, in words.
    pub(crate) description: Option<String>,
    /// The subject that is set in the room. Absent: not managed.
    pub(crate) subject: Option<String>,
    /// Options under ejabberd's own names. `persistent` is true unless said otherwise.
    #[serde(default)]
    pub(crate) options: BTreeMap<String, RoomOption>,
    /// Who is what in it. Absent: not managed.
    pub(crate) affiliations: Option<Affiliations>,
    /// Whether whoever is not listed loses the affiliation, also one that others gave.
    #[serde(default)]
    pub(crate) exclusive: bool,
    /// Whether the room shall be there.
    #[serde(default)]
    pub(crate) state: RoomState,
    /// What happens when the entry is gone.
    #[serde(default)]
    pub(crate) deletion_policy: DeletionPolicy,
    /// Whether the operator leaves it alone: nothing about it is changed, and it is not deleted.
    #[serde(default)]
    pub(crate) paused: bool,
}

/// Who is what in a room: names on the default vhost, full JIDs, or `@group`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Affiliations {
    /// Who decides on everything in the room.
    pub(crate) owner: Option<Vec<String>>,
    /// Who may moderate the room.
    pub(crate) admin: Option<Vec<String>>,
    /// Who may enter, if the room is for members only.
    pub(crate) member: Option<Vec<String>>,
    /// Who may not enter the room.
    pub(crate) outcast: Option<Vec<String>>,
}

/// Whether a room shall be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RoomState {
    /// It is there, and created if not.
    #[default]
    Present,
    /// It is destroyed, whoever created it.
    Absent,
}
