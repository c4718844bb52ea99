//! The observed state: the readings of one reconciliation.
//!
//! Whatever could not be read for certain is [`Reading::Unknown`], and nothing
//! is ever deleted because of that.

mod host;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use host::*;

use super::database::Database;
use super::model::{Digest, Jid, Localpart, RoomJid, ServerVersion, Vhost};
use super::spec::{AffiliationKind, VcardField};

/// Something that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    /// The answer.
    Known(T),
    /// There is none to rely on, and why.
    Unknown(String),
}

impl<T> Reading<T> {
    /// The answer, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

/// The server process, as its runtime sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessState {
    /// There is none, and nothing to start.
    Absent,
    /// It was made and never started: the making may have been interrupted.
    Created,
    /// It exists and does not run.
    Stopped {
        /// How it ended.
        exit_code: Option<i64>,
        /// Whether the kernel killed it for want of memory.
        oom_killed: bool,
    },
    /// It runs.
    Running {
        /// The engine's own word for its health, where it has one.
        health: Option<String>,
    },
}

/// The health word of a process that its engine has frozen on somebody's order.
pub const PAUSED: &str = "paused";

/// The configuration on the server beside the declared one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigReading {
    /// The digest of the declared files as they are now.
    pub declared: Digest,
    /// The digest of the same files on the server.
    pub in_force: Digest,
    /// Why the declared one must not be put in force, if so: ejabberd refuses
    /// it, or it is not what is declared. Nothing where it was not judged.
    pub refused: Option<String>,
    /// Why the declared one is not to be tried again, if so.
    pub latched: Option<Latched>,
    /// Hosts whose accounts would be left behind in another store with it, and
    /// what that means.
    pub leaves: BTreeMap<Vhost, String>,
    /// The good one that stands in its place meanwhile, if there is one.
    pub last_good: Option<LastGood>,
    /// The options and files that differ between what is on the server and
    /// what shall be there.
    pub changes: Vec<String>,
    /// Those of them that only a restart puts in force, and why.
    pub restarts: Vec<String>,
    /// What an administrator should know of the declared files.
    pub notes: Vec<String>,
}

/// Why the operator does not try a configuration again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LatchReason {
    /// ejabberd refused it.
    Invalid,
    /// It was taken back.
    RolledBack,
    /// `rollback` set it aside.
    ByHand,
}

/// Why a configuration is not to be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latched {
    /// One word for programs.
    pub reason: LatchReason,
    /// A sentence for people.
    pub message: String,
}

/// A good configuration that stands in the place of a declared one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastGood {
    /// Its digest.
    pub digest: Digest,
    /// The variant that it was declared as.
    pub variant: String,
    /// Whether it is what is on the server.
    pub in_force: bool,
}

/// A room's options as ejabberd prints them.
pub type RoomOptions = BTreeMap<String, String>;

/// One room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedRoom {
    /// Its options.
    pub options: RoomOptions,
    /// Its subject. `None`: it could not be read.
    pub subject: Option<String>,
    /// Who is what in it; those without any affiliation are left out. `None`:
    /// that was not asked for.
    pub affiliations: Option<BTreeMap<Jid, AffiliationKind>>,
}

/// The rooms of all services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedRooms {
    /// Those that are known to be there: all that run, and the hibernated ones
    /// where they were asked for.
    pub present: BTreeSet<RoomJid>,
    /// Those that were looked at one by one; `None`: there is no such room.
    pub details: BTreeMap<RoomJid, Reading<Option<ObservedRoom>>>,
}

/// One shared roster group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedGroup {
    /// What people see.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// The groups that its members see, itself among them where they see each other.
    pub displayed: BTreeSet<String>,
    /// Who is in it.
    pub members: BTreeSet<Jid>,
}

/// The groups of the default vhost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedGroups {
    /// All that are there.
    pub names: BTreeSet<Localpart>,
    /// Those that were looked at one by one; `None`: there is no such group.
    pub details: BTreeMap<Localpart, Reading<Option<ObservedGroup>>>,
}

/// The fields of a vCard that were asked for; one that is not there is empty.
pub type Vcard = BTreeMap<VcardField, String>;

/// Everything that was read in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedState {
    /// The process.
    pub process: Reading<ProcessState>,
    /// The server's version; `Unknown` when it does not answer.
    pub version: Reading<ServerVersion>,
    /// Whether nothing can be said of a server that runs: it may be serving.
    pub unseen: bool,
    /// Whether the server is starting, which is why it does not respond.
    pub starting: bool,
    /// The configuration; `None` where none is declared.
    pub config: Option<Reading<ConfigReading>>,
    /// Where it runs; `Known(None)` where there is nothing.
    pub drift: Reading<Option<RuntimeDrift>>,
    /// The accounts of each declared vhost.
    pub users: BTreeMap<Vhost, Reading<BTreeSet<Localpart>>>,
    /// Whether the password on the server is the declared one, for accounts
    /// that are there and have one declared.
    pub passwords: BTreeMap<Jid, Reading<bool>>,
    /// Hosts whose accounts are kept elsewhere (LDAP, JWT, …), and where: they
    /// can be observed and not changed.
    pub kept_elsewhere: BTreeMap<Vhost, String>,
    /// Whether an account is kept from logging in, and the reason that is
    /// remembered for it. Only of those that were asked about.
    pub bans: BTreeMap<Jid, Reading<Option<String>>>,
    /// The vCards of accounts whose turn it was.
    pub vcards: BTreeMap<Jid, Reading<Vcard>>,
    /// The groups; `None` where none are declared.
    pub groups: Option<Reading<ObservedGroups>>,
    /// The rooms.
    pub rooms: Reading<ObservedRooms>,
    /// How the account table is stored; `None` where that is not declared.
    pub accounts_table: Option<Reading<String>>,
    /// Its database.
    pub database: Reading<Database>,
    /// The listeners that published ports lead to: of the declared
    /// configuration, else of that in force. `None` where no port is published.
    pub listeners: Option<Reading<Vec<ListenerPort>>>,
    /// What each vhost with declared objects does for rooms, groups and vCards.
    /// A vhost that could not be asked is left out.
    pub services: BTreeMap<Vhost, HostServices>,
}

/// What the modules of a vhost do. Source: the conditions under which `mod_muc_room`,
/// `mod_muc_log`, `mod_mam` and `ejabberd_captcha` act on an option of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a module or option that is there or not")]
pub struct HostServices {
    /// The names under which it has rooms; empty where `mod_muc` is not loaded.
    pub rooms: BTreeSet<Vhost>,
    /// How many people `mod_muc` lets into a room at most.
    pub max_users: Option<u64>,
    /// Whether `mod_mam` is loaded, which archives rooms.
    pub archives: bool,
    /// Whether `mod_muc_log` is loaded, which writes rooms to files.
    pub logs: bool,
    /// Whether `captcha_cmd` is set, which makes captchas.
    pub captchas: bool,
    /// Whether `mod_roster` is loaded, without which no client gets a roster.
    pub rosters: bool,
}

impl ObservedState {
    /// The state of a server that does not answer, or was not asked.
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
