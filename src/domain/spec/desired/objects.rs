//! Accounts, groups and rooms.

use crate::domain::model::{Jid, Localpart, Secret};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum SecretSource {
    /// Written in the file itself.
    Inline(Secret),
    /// A file's content, less one trailing newline.
    File(PathBuf),
    /// An environment variable of the operator.
    Env(String),
    /// A program's output, less one trailing newline. Never a shell line.
    Command(Vec<String>),
    /// Made by the operator when it creates the account.
    Generate,
}

/// Where a password is written for others to find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSink {
    /// The file.
    pub file: PathBuf,
    /// Its permissions.
    pub mode: u32,
}

/// One account.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Its password; `None`: generated when the account is created, else kept.
    pub password: Option<SecretSource>,
    /// Whether a password that was changed is set again.
    pub password_policy: PasswordPolicy,
    /// Where the password is written.
    pub password_to: Option<SecretSink>,
    /// What it shall be.
    pub state: UserState,
    /// Fields of the vCard, the nickname among them.
    pub vcard: BTreeMap<VcardField, String>,
    /// What happens when the entry is gone.
    pub deletion_policy: DeletionPolicy,
    /// Leave it alone.
    pub paused: bool,
}

/// A field of a vCard (XEP-0054): an element, or one inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct VcardField {
    /// E.g. `FN`, `EMAIL`.
    pub element: &'static str,
    /// E.g. `USERID` in `EMAIL`.
    pub part: Option<&'static str>,
}

impl std::fmt::Display for VcardField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.part {
            Some(part) => write!(f, "{}.{part}", self.element),
            None => f.write_str(self.element),
        }
    }
}

/// Who decides on a password after the account was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordPolicy {
    /// The file.
    Enforce,
    /// The person.
    Initial,
}

/// What an account shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserState {
    /// There.
    Present,
    /// Not there.
    Absent,
    /// There, and kept from logging in.
    Banned {
        /// Why; `None`: whatever the reason.
        reason: Option<String>,
    },
}

/// What happens to an owned object whose entry is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeletionPolicy {
    /// It is deleted.
    Delete,
    /// It stays, and is no longer owned.
    Retain,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What people see.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Who is in it; `None`: not managed.
    pub members: Option<Vec<Jid>>,
    /// Whether its members see each other.
    pub roster: bool,
}

/// One room.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    /// Options under ejabberd's own names, `title`, `description` and
    /// `persistent` among them.
    pub options: BTreeMap<String, OptionValue>,
    /// The subject that is set.
    pub subject: Option<String>,
    /// Who is what in it; `None`: not managed.
    pub affiliations: Option<BTreeMap<AffiliationKind, Vec<Member>>>,
    /// Whoever is not listed loses the affiliation.
    pub exclusive: bool,
    /// Whether it shall be there.
    pub present: bool,
    /// What happens when the entry is gone.
    pub deletion_policy: DeletionPolicy,
    /// Leave it alone.
    pub paused: bool,
}

/// The value of a room option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(u64),
    /// A text or a word.
    Text(String),
    /// Several words.
    List(Vec<String>),
}

/// What one account may be to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AffiliationKind {
    /// Decides on everything.
    Owner,
    /// Moderates.
    Admin,
    /// May enter a members-only room.
    Member,
    /// May not enter.
    Outcast,
}

impl AffiliationKind {
    /// Every kind, the most powerful first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::Outcast];

    /// ejabberd's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Outcast => "outcast",
        }
    }
}

/// Who has an affiliation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// One account, of ours or elsewhere.
    Account(Jid),
    /// Everybody in a group.
    Group(Localpart),
}
