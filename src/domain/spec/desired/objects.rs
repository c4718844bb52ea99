//! Accounts, groups and rooms.

use crate::domain::model::{Jid, Localpart, Secret};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The source of a secret.
#[derive(Debug, Clone, PartialEq)]
pub enum SecretSource {
    /// The secret itself, written in the desired state file.
    Inline(Secret),
    /// The content of a file without one trailing newline.
    File(PathBuf),
    /// An environment variable of the operator.
    Env(String),
    /// The output of a program without one trailing newline. Contains the path and the arguments of
    /// the program.
    Command(Vec<String>),
    /// Generated when the operator creates the account.
    Generate,
}

/// The file that the operator writes a password to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSink {
    /// The path of the file.
    pub file: PathBuf,
    /// The permissions of the file.
    pub mode: u32,
}

/// An account.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The source of the password. If `None`, the operator generates a password for a new account,
    /// and does not change the password of an existing account.
    pub password: Option<SecretSource>,
    /// Whether the operator sets the declared password again after a change on the server.
    pub password_policy: PasswordPolicy,
    /// The file that the operator writes the password to; `None` if the operator writes no file.
    pub password_to: Option<SecretSink>,
    /// The declared state.
    pub state: UserState,
    /// The declared fields of the vCard, including the nickname.
    pub vcard: BTreeMap<VcardField, String>,
    /// What the operator does with the object when the entry is removed.
    pub deletion_policy: DeletionPolicy,
    /// Whether the operator must not change the object.
    pub paused: bool,
}

/// A field of a vCard (XEP-0054): an element, or an element inside an element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct VcardField {
    /// The outer element, e.g. `FN` or `EMAIL`.
    pub element: &'static str,
    /// The inner element, e.g. `USERID` of `EMAIL`; `None` if the field is the outer element.
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

/// Whether the file or the owner of the account decides on the password of an existing account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordPolicy {
    /// The file decides.
    Enforce,
    /// The owner of the account decides.
    Initial,
}

/// The declared state of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserState {
    /// The account exists and may log in.
    Present,
    /// The account does not exist.
    Absent,
    /// The account exists and cannot log in.
    Banned {
        /// The reason for the ban; `None` accepts any reason.
        reason: Option<String>,
    },
}

/// What the operator does with an owned object when the entry of the object is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeletionPolicy {
    /// The operator deletes the object.
    Delete,
    /// The object stays, and the operator no longer owns the object.
    Retain,
}

/// A shared roster group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The name that people see; `None` if the name is not managed.
    pub display_name: Option<String>,
    /// The description for people; `None` if the description is not managed.
    pub description: Option<String>,
    /// The members; `None` if the members are not managed.
    pub members: Option<Vec<Jid>>,
    /// Whether the group is on the server, so that the members see each other in their contact lists.
    pub roster: bool,
}

/// A chat room.
#[derive(Debug, Clone, PartialEq)]
pub struct Room {
    /// The options by the names that ejabberd uses, including `title`, `description` and `persistent`.
    pub options: BTreeMap<String, OptionValue>,
    /// The subject; `None` if the subject is not managed.
    pub subject: Option<String>,
    /// The affiliations; `None` if the affiliations are not managed.
    pub affiliations: Option<BTreeMap<AffiliationKind, Vec<Member>>>,
    /// Whether the operator removes affiliations that are not listed.
    pub exclusive: bool,
    /// Whether the room must exist.
    pub present: bool,
    /// What the operator does with the object when the entry is removed.
    pub deletion_policy: DeletionPolicy,
    /// Whether the operator must not change the object.
    pub paused: bool,
}

/// The properties of a room that commands compare and set on the server.
#[derive(Debug, Clone, Copy)]
pub struct RoomSettings<'a> {
    /// The options by the names that ejabberd uses.
    pub options: &'a BTreeMap<String, OptionValue>,
    /// The subject; `None` if the subject is not managed.
    pub subject: Option<&'a str>,
}

impl Room {
    /// The settings of the room. A new field of [`Room`] does not compile until it is named here:
    /// as a setting, which the operator compares and applies, or as a rule.
    #[must_use]
    pub fn settings(&self) -> RoomSettings<'_> {
        let Self {
            options,
            subject,
            affiliations: _,
            exclusive: _,
            present: _,
            deletion_policy: _,
            paused: _,
        } = self;
        RoomSettings { options, subject: subject.as_deref() }
    }
}

/// The value of a room option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(u64),
    /// A string.
    Text(String),
    /// A list of strings.
    List(Vec<String>),
}

/// An affiliation of an account with a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AffiliationKind {
    /// The account may change everything in the room.
    Owner,
    /// The account may moderate the room.
    Admin,
    /// The account may enter a members-only room.
    Member,
    /// The account must not enter the room.
    Outcast,
}

impl AffiliationKind {
    /// All kinds, the most powerful first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::Outcast];

    /// The name that ejabberd uses.
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

/// An entry of a list of affiliations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// An account, on a managed vhost or on another server.
    Account(Jid),
    /// All members of a group.
    Group(Localpart),
}
