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
    /// Whether a password that was changed is set again.
    #[serde(default)]
    pub(crate) password_policy: PasswordPolicy,
    /// Where the password is written for others to find.
    pub(crate) password_to: Option<SecretTo>,
    /// What the account shall be.
    #[serde(default)]
    pub(crate) state: UserState,
    /// Why it is banned. Absent: for whatever reason.
    pub(crate) reason: Option<String>,
    /// The nickname in its vCard.
    pub(crate) nickname: Option<String>,
    /// Further fields of its vCard, under their names there: `FN`, `EMAIL`, `N.GIVEN`, `ORG.ORGUNIT`.
    #[serde(default)]
    pub(crate) vcard: BTreeMap<String, String>,
    /// What happens when the entry is gone.
    #[serde(default)]
    pub(crate) deletion_policy: DeletionPolicy,
    /// Leave it alone.
    #[serde(default)]
    pub(crate) paused: bool,
}

/// Where a secret comes from: exactly one of these. One trailing newline is dropped.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(crate) struct SecretFrom {
    /// A file.
    pub(crate) file: Option<String>,
    /// An environment variable of the operator.
    pub(crate) env: Option<String>,
    /// The output of a program: its path and its arguments. Never a shell line.
    pub(crate) command: Option<Vec<String>>,
    /// The operator makes one up when it creates the account.
    pub(crate) generate: Option<bool>,
}

/// Where a password is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SecretTo {
    /// The file.
    pub(crate) file: String,
    /// Its permissions, in octal.
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
    /// The person does.
    Initial,
}

/// What an account shall be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum UserState {
    /// There.
    #[default]
    Present,
    /// Not there: it is deleted, whoever created it.
    Absent,
    /// There, and kept from logging in.
    Banned,
}

/// What happens to an object whose entry is gone.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum DeletionPolicy {
    /// It is deleted.
    #[default]
    Delete,
    /// It stays.
    Retain,
}

/// A shared roster group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Group {
    /// Its name.
    pub(crate) name: String,
    /// What people see.
    pub(crate) display_name: Option<String>,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// Who is in it: names on the default vhost, or full JIDs. Absent: not managed.
    pub(crate) members: Option<Vec<String>>,
    /// Whether its members see each other.
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
    /// The name on its service.
    pub(crate) name: String,
    /// The MUC service that has it. Absent: `conference.` and the default vhost.
    pub(crate) service: Option<String>,
    /// What people see.
    pub(crate) title: Option<String>,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// The subject that is set.
    pub(crate) subject: Option<String>,
    /// Options under ejabberd's own names. `persistent` is true unless said otherwise.
    #[serde(default)]
    pub(crate) options: BTreeMap<String, RoomOption>,
    /// Who is what in it. Absent: not managed.
    pub(crate) affiliations: Option<Affiliations>,
    /// Whoever is not listed loses the affiliation.
    #[serde(default)]
    pub(crate) exclusive: bool,
    /// Whether it shall be there.
    #[serde(default)]
    pub(crate) state: RoomState,
    /// What happens when the entry is gone.
    #[serde(default)]
    pub(crate) deletion_policy: DeletionPolicy,
    /// Leave it alone.
    #[serde(default)]
    pub(crate) paused: bool,
}

/// Who is what in a room: names on the default vhost, full JIDs, or `@group`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Affiliations {
    /// They decide on everything.
    pub(crate) owner: Option<Vec<String>>,
    /// They moderate.
    pub(crate) admin: Option<Vec<String>>,
    /// They may enter a members-only room.
    pub(crate) member: Option<Vec<String>>,
    /// They may not enter.
    pub(crate) outcast: Option<Vec<String>>,
}

/// Whether a room shall be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RoomState {
    /// It shall.
    #[default]
    Present,
    /// It is destroyed, whoever created it.
    Absent,
}
