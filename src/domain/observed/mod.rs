//! The observed state: the readings of one reconciliation.
//!
//! A value that the operator could not read for certain is [`Reading::Unknown`]. The operator never
//! deletes an object because of an unknown value.

mod runtime;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use runtime::*;

use super::database::Database;
use super::model::{Digest, Jid, Localpart, RoomJid, ServerVersion, Vhost};
use super::spec::{AffiliationKind, VcardField};

/// A value that was read, or the reason why the value is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    /// The value.
    Known(T),
    /// The value is unknown, for this reason.
    Unknown(String),
}

impl<T> Reading<T> {
    /// Returns the value; `None` if the value is unknown.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

/// The state of the server process, as the runtime reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessState {
    /// There is no process, and no container to start.
    Absent,
    /// The container exists, but has never started. A kill of the operator may have interrupted the
    /// creation of the container.
    Created,
    /// The process does not run.
    Stopped {
        /// The exit code; `None` if the exit code is unknown.
        exit_code: Option<i64>,
        /// Whether the kernel killed the process because no memory was free.
        oom_killed: bool,
    },
    /// The process runs.
    Running {
        /// The health that the engine reports; `None` if the engine reports no health.
        health: Option<String>,
    },
}

/// The value of `health` for a paused container.
pub const PAUSED: &str = "paused";

/// The configuration on the server, compared with the declared configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigReading {
    /// The digest of the declared files.
    pub declared: Digest,
    /// The digest of the same files on the server.
    pub in_force: Digest,
    /// The reason why the operator must not put the declared configuration in force: ejabberd
    /// refuses the configuration, or the configuration does not match the desired state. `None` if
    /// the configuration is good, or if nothing checked the configuration.
    pub refused: Option<String>,
    /// The reason why the operator does not retry the declared configuration; `None` if the
    /// operator may roll out the configuration.
    pub latched: Option<Latched>,
    /// The hosts whose accounts would remain in the previous store after the change, because the
    /// declared configuration uses another store. Each host has a description of the consequence.
    pub leaves: BTreeMap<Vhost, String>,
    /// The good configuration that replaces the declared configuration while the declared
    /// configuration is latched; `None` if the declared configuration is not latched, or if no good
    /// configuration is stored.
    pub last_good: Option<LastGood>,
    /// The names of the options and files that differ between the server and the wanted
    /// configuration. The wanted configuration is the last good configuration if there is one,
    /// otherwise the declared configuration.
    pub changes: Vec<String>,
    /// The `changes` that need a restart, each with the reason.
    pub restarts: Vec<String>,
    /// Notes about the declared files, for an administrator.
    pub notes: Vec<String>,
}

/// The reason why the operator does not retry a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LatchReason {
    /// ejabberd refused the configuration.
    Invalid,
    /// The operator rolled the configuration back.
    RolledBack,
    /// An administrator replaced the configuration with `rollback`.
    ByHand,
}

/// The reason why the operator does not retry the declared configuration, for programs and for
/// people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latched {
    /// The reason, for programs.
    pub reason: LatchReason,
    /// The reason as a sentence, for people.
    pub message: String,
}

/// A good configuration that replaces a declared configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastGood {
    /// The digest of the files.
    pub digest: Digest,
    /// The variant under which the configuration was declared.
    pub variant: String,
    /// Whether the server has the files of this configuration.
    pub in_force: bool,
}

/// The options of a room: the names, and the values as ejabberd prints the values.
pub type RoomOptions = BTreeMap<String, String>;

/// A room on the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedRoom {
    /// The options of the room.
    pub options: RoomOptions,
    /// The subject of the room; `None` if the operator could not read the subject.
    pub subject: Option<String>,
    /// The accounts with an affiliation; `None` if the operator did not read the affiliations.
    pub affiliations: Option<BTreeMap<Jid, AffiliationKind>>,
}

/// The rooms of all services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedRooms {
    /// The rooms that are known to exist: every running room, and the hibernated rooms if the
    /// operator read the hibernated rooms.
    pub present: BTreeSet<RoomJid>,
    /// The rooms that the operator read one by one; `None` if the room does not exist.
    pub details: BTreeMap<RoomJid, Reading<Option<ObservedRoom>>>,
}

/// A shared roster group on the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedGroup {
    /// The name of the group in the rosters of the members.
    pub display_name: String,
    /// The description.
    pub description: String,
    /// The names of the groups that the rosters of the members show. If the members see each other,
    /// the list contains this group too.
    pub displayed: BTreeSet<String>,
    /// The members of the group.
    pub members: BTreeSet<Jid>,
}

/// The groups on the default vhost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedGroups {
    /// The names of all groups.
    pub names: BTreeSet<Localpart>,
    /// The groups that the operator read one by one; `None` if the group does not exist.
    pub details: BTreeMap<Localpart, Reading<Option<ObservedGroup>>>,
}

/// The fields of a vCard that the operator read. The value of a missing field is the empty string.
pub type Vcard = BTreeMap<VcardField, String>;

/// The readings of one reconciliation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedState {
    /// The state of the server process.
    pub process: Reading<ProcessState>,
    /// The version of the server; `Unknown` if the server does not respond.
    pub version: Reading<ServerVersion>,
    /// Whether the server runs but the operator cannot observe the server. Such a server may serve
    /// clients.
    pub unseen: bool,
    /// Whether the server is starting and does not respond for that reason.
    pub starting: bool,
    /// The configuration; `None` if no configuration is declared.
    pub config: Option<Reading<ConfigReading>>,
    /// The drift of the runtime; `Known(None)` if there is no server.
    pub drift: Reading<Option<RuntimeDrift>>,
    /// The accounts on each declared vhost.
    pub users: BTreeMap<Vhost, Reading<BTreeSet<Localpart>>>,
    /// Whether the password on the server is the declared password, for existing accounts with a
    /// declared password.
    pub passwords: BTreeMap<Jid, Reading<bool>>,
    /// The hosts whose accounts come from outside ejabberd (LDAP, JWT, …), each with a description
    /// of the store. The operator can only observe these accounts.
    pub kept_elsewhere: BTreeMap<Vhost, String>,
    /// The reason for the ban, for each account whose ban the operator read; `None` if the account
    /// is not banned.
    pub bans: BTreeMap<Jid, Reading<Option<String>>>,
    /// The vCards that this reconciliation read. Each reconciliation reads only a part of the
    /// vCards.
    pub vcards: BTreeMap<Jid, Reading<Vcard>>,
    /// The groups; `None` if no groups are declared.
    pub groups: Option<Reading<ObservedGroups>>,
    /// The rooms on the server.
    pub rooms: Reading<ObservedRooms>,
    /// The storage of the account table; `None` if no storage is declared.
    pub accounts_table: Option<Reading<String>>,
    /// The database of the server.
    pub database: Reading<Database>,
    /// The listeners in the declared configuration, or in the configuration in force if no
    /// configuration is declared; `None` if no port is published. The plan compares the listeners
    /// with the published ports.
    pub listeners: Option<Reading<Vec<ListenerPort>>>,
    /// The modules for rooms, groups and vCards, for each vhost with declared objects. The map has
    /// no entry for a vhost that the operator could not read.
    pub services: BTreeMap<Vhost, HostServices>,
}

/// The services that the modules of a vhost provide. Source: the conditions under which
/// `mod_muc_room`, `mod_muc_log`, `mod_mam` and `ejabberd_captcha` act on an option of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a module or option that is set or not")]
pub struct HostServices {
    /// The names of the services for rooms; empty if `mod_muc` is not loaded.
    pub rooms: BTreeSet<Vhost>,
    /// The maximum number of occupants of a room, which is the option `max_users` of `mod_muc`;
    /// `None` if the maximum is unknown.
    pub max_users: Option<u64>,
    /// Whether `mod_mam` is loaded. This module archives rooms.
    pub archives: bool,
    /// Whether `mod_muc_log` is loaded. This module writes the messages of rooms to files.
    pub logs: bool,
    /// Whether the option `captcha_cmd` is set. This program creates captchas.
    pub captchas: bool,
    /// Whether `mod_roster` is loaded. Without this module, no client gets a roster.
    pub rosters: bool,
}

impl ObservedState {
    /// Returns the state of a server that does not respond, or that the operator did not query.
    /// `why` is the reason of the unknown values.
    #[must_use]
    pub fn unanswered(process: Reading<ProcessState>, why: &str) -> Self {
        Self {
            process,
            version: Reading::Unknown(why.to_owned()),
            unseen: false,
            starting: false,
            config: None,
            drift: Reading::Unknown(why.to_owned()),
            users: BTreeMap::new(),
            passwords: BTreeMap::new(),
            kept_elsewhere: BTreeMap::new(),
            bans: BTreeMap::new(),
            vcards: BTreeMap::new(),
            groups: None,
            rooms: Reading::Unknown(why.to_owned()),
            accounts_table: None,
            database: Reading::Unknown(why.to_owned()),
            listeners: None,
            services: BTreeMap::new(),
        }
    }
}
