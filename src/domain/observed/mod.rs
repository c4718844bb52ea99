//! The observed state: the readings of one reconciliation.
//!
//! A value that could not be read for certain is [`Reading::Unknown`]. The operator never deletes
//! anything because of an unknown value.

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
    /// The value, if it is known.
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
    /// The container was created and never started. Its creation may have been interrupted.
    Created,
    /// The process does not run.
    Stopped {
        /// The exit code.
        exit_code: Option<i64>,
        /// Whether the kernel killed the process because memory was exhausted.
        oom_killed: bool,
    },
    /// The process runs.
    Running {
        /// The health that the engine reports, if any.
        health: Option<String>,
    },
}

/// The health of a container that is paused.
pub const PAUSED: &str = "paused";

/// The configuration on the server, compared with the declared configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigReading {
    /// The digest of the declared files.
    pub declared: Digest,
    /// The digest of the same files on the server.
    pub in_force: Digest,
    /// Why the declared configuration must not be put in force: ejabberd refuses it, or it does not
    /// do what it declares. `None` also if it was not checked.
    pub refused: Option<String>,
    /// Why the operator does not retry the declared configuration; `None` if the operator may
    /// retry.
    pub latched: Option<Latched>,
    /// The hosts whose accounts would remain in another store after the change, each with the
    /// consequence.
    pub leaves: BTreeMap<Vhost, String>,
    /// The good configuration that replaces the declared configuration for now, if any.
    pub last_good: Option<LastGood>,
    /// The options and files that differ between the server and the wanted configuration.
    pub changes: Vec<String>,
    /// The `changes` that need a restart, with the reasons.
    pub restarts: Vec<String>,
    /// Notes about the declared files, for an administrator.
    pub notes: Vec<String>,
}

/// Why the operator does not try a configuration again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LatchReason {
    /// ejabberd refused the configuration.
    Invalid,
    /// The configuration was rolled back.
    RolledBack,
    /// An administrator replaced the configuration with `rollback`.
    ByHand,
}

/// A configuration that the operator does not try again, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latched {
    /// One word for programs.
    pub reason: LatchReason,
    /// A sentence for people.
    pub message: String,
}

/// A good configuration that replaces a declared configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastGood {
    /// The digest.
    pub digest: Digest,
    /// The variant as which it was declared.
    pub variant: String,
    /// Whether the server has this configuration.
    pub in_force: bool,
}

/// The options of a room, as ejabberd prints them.
pub type RoomOptions = BTreeMap<String, String>;

/// A room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedRoom {
    /// The options.
    pub options: RoomOptions,
    /// The subject; `None` if the subject could not be read.
    pub subject: Option<String>,
    /// The accounts with an affiliation; `None` if the affiliations were not read.
    pub affiliations: Option<BTreeMap<Jid, AffiliationKind>>,
}

/// The rooms of all services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedRooms {
    /// The rooms that are known to exist: every running room, and the hibernated rooms if those
    /// were read.
    pub present: BTreeSet<RoomJid>,
    /// The rooms that were read one by one; `None` for a room that does not exist.
    pub details: BTreeMap<RoomJid, Reading<Option<ObservedRoom>>>,
}

/// A shared roster group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedGroup {
    /// The name in the rosters.
    pub display_name: String,
    /// The description.
    pub description: String,
    /// The groups in the rosters of the members. The group itself is among them if its members see
    /// each other.
    pub displayed: BTreeSet<String>,
    /// The members.
    pub members: BTreeSet<Jid>,
}

/// The groups of the default vhost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedGroups {
    /// The names of all groups.
    pub names: BTreeSet<Localpart>,
    /// The groups that were read one by one; `None` for a group that does not exist.
    pub details: BTreeMap<Localpart, Reading<Option<ObservedGroup>>>,
}

/// The fields of a vCard that were read. A missing field is empty.
pub type Vcard = BTreeMap<VcardField, String>;

/// The readings of one reconciliation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedState {
    /// The process.
    pub process: Reading<ProcessState>,
    /// The version of the server; `Unknown` if the server does not answer.
    pub version: Reading<ServerVersion>,
    /// Whether the server runs and cannot be observed. It may serve clients.
    pub unseen: bool,
    /// Whether the server is starting, which is why it does not respond.
    pub starting: bool,
    /// The configuration; `None` if no configuration is declared.
    pub config: Option<Reading<ConfigReading>>,
    /// The drift of the runtime; `Known(None)` without a server.
    pub drift: Reading<Option<RuntimeDrift>>,
    /// The accounts of each declared vhost.
    pub users: BTreeMap<Vhost, Reading<BTreeSet<Localpart>>>,
    /// Whether the password on the server is the declared password, for existing accounts with a
    /// declared password.
    pub passwords: BTreeMap<Jid, Reading<bool>>,
    /// The hosts whose accounts are in another store (LDAP, JWT, …), each with the store. The
    /// operator can only observe these accounts.
    pub kept_elsewhere: BTreeMap<Vhost, String>,
    /// The reason of the ban, for each account whose ban was read; `None` if the account is not
    /// banned.
    pub bans: BTreeMap<Jid, Reading<Option<String>>>,
    /// The vCards that this reconciliation read. Each reconciliation reads a part of them.
    pub vcards: BTreeMap<Jid, Reading<Vcard>>,
    /// The groups; `None` if no groups are declared.
    pub groups: Option<Reading<ObservedGroups>>,
    /// The rooms.
    pub rooms: Reading<ObservedRooms>,
    /// The storage of the account table; `None` if no storage is declared.
    pub accounts_table: Option<Reading<String>>,
    /// The database of the server.
    pub database: Reading<Database>,
    /// The listeners behind published ports, by the declared configuration, or by the configuration
    /// in force if none is declared. `None` if no port is published.
    pub listeners: Option<Reading<Vec<ListenerPort>>>,
    /// The modules for rooms, groups and vCards, for each vhost with declared objects. A vhost that
    /// could not be read is left out.
    pub services: BTreeMap<Vhost, HostServices>,
}

/// The effect of the modules of a vhost. Source: the conditions under which `mod_muc_room`,
/// `mod_muc_log`, `mod_mam` and `ejabberd_captcha` act on an option of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a module or option that is set or not")]
pub struct HostServices {
    /// The names of the services for rooms; empty if `mod_muc` is not loaded.
    pub rooms: BTreeSet<Vhost>,
    /// The maximum number of occupants of a room in `mod_muc`.
    pub max_users: Option<u64>,
    /// Whether `mod_mam` is loaded, which archives rooms.
    pub archives: bool,
    /// Whether `mod_muc_log` is loaded, which writes rooms to files.
    pub logs: bool,
    /// Whether `captcha_cmd` is set, which creates captchas.
    pub captchas: bool,
    /// Whether `mod_roster` is loaded, without which no client gets a roster.
    pub rosters: bool,
}

impl ObservedState {
    /// The state of a server that does not answer, or that was not queried.
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
