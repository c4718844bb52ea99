//! The desired state: validated, normalised, complete. Only
//! [`validate`](super::validate) builds one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use wildmatch::WildMatch;

use crate::model::{Digest, Jid, Localpart, Revision, RoomJid, Secret, Vhost};

/// Everything that one revision of the file asks for.
///
/// `None` for a kind means that its key is absent: that kind is not managed at
/// all. An empty map means that there shall be none of it.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredState {
    /// `metadata.name`.
    pub name: String,
    /// The hash of the content that this came from.
    pub revision: Revision,
    /// The default vhost.
    pub host: Vhost,
    /// Further vhosts, without the default one.
    pub hosts: Vec<Vhost>,
    /// Look and report, change nothing.
    pub suspend: bool,
    /// How the server is run.
    pub server: Server,
    /// The configuration that shall be in force.
    pub config: Option<Config>,
    /// The accounts.
    pub users: Option<BTreeMap<Jid, User>>,
    /// The groups, by name.
    pub groups: Option<BTreeMap<Localpart, Group>>,
    /// The rooms.
    pub rooms: Option<BTreeMap<RoomJid, Room>>,
    /// What may be changed.
    pub policy: Policy,
}

impl DesiredState {
    /// Whether `host` is one of ours.
    #[must_use]
    pub fn serves(&self, host: &Vhost) -> bool {
        self.host == *host || self.hosts.contains(host)
    }

    /// Whether rooms on `service` are ours to decide on: it belongs to one of
    /// our hosts, or a room on it is declared.
    #[must_use]
    pub fn serves_rooms_of(&self, service: &Vhost) -> bool {
        let under = |host: &Vhost| {
            service.as_str().strip_suffix(host.as_str()).is_some_and(|rest| rest.ends_with('.'))
        };
        under(&self.host)
            || self.hosts.iter().any(under)
            || self.rooms.iter().flatten().any(|(room, _)| room.service == *service)
    }
}

/// `spec.server`.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// Where and how it runs.
    pub runtime: Runtime,
    /// Whether it shall run.
    pub state: ServerState,
    /// How the account table is stored.
    pub accounts_table: Option<TableStorage>,
    /// How its health is asked for.
    pub probe: Probe,
    /// How fast it is started again.
    pub backoff: Backoff,
    /// When people may be interrupted; empty: always.
    pub maintenance: Maintenance,
    /// What connected users are told before an interruption.
    pub announce: Option<Announce>,
}

/// How the server is run.
#[derive(Debug, Clone, PartialEq)]
pub enum Runtime {
    /// In a Docker container.
    Docker(Docker),
    /// As a child of the operator.
    Process(Process),
    /// By somebody else.
    External(External),
}

/// `spec.server.docker`.
#[derive(Debug, Clone, PartialEq)]
pub struct Docker {
    /// The container's name.
    pub container: String,
    /// What it is created from; without one it must exist.
    pub image: Option<String>,
    /// The Docker API, e.g. `unix:///var/run/docker.sock`.
    pub engine: String,
    /// The container's network.
    pub network: Network,
    /// Published ports; only for [`Network::Bridge`].
    pub ports: Vec<PortMapping>,
    /// Volume names by path in the container.
    pub volumes: BTreeMap<String, String>,
    /// Environment variables, visible to whoever may inspect the container.
    pub environment: BTreeMap<String, String>,
    /// Where the server reads its configuration, if that cannot be found.
    pub config_path: Option<String>,
    /// Whether a container that differs is replaced.
    pub recreate: Recreate,
}

/// The network of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// That of the host.
    Host,
    /// Docker's default bridge.
    Bridge,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapping {
    /// The address on the host.
    pub address: std::net::IpAddr,
    /// The port on the host.
    pub host_port: u16,
    /// The port in the container.
    pub container_port: u16,
}

/// When a container is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recreate {
    /// Never; differences are only shown.
    Never,
    /// When image or settings differ.
    WhenChanged,
}

/// `spec.server.process`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The control script of an installed ejabberd.
    pub ejabberdctl: PathBuf,
    /// Where the server keeps its files.
    pub directory: Option<PathBuf>,
}

/// `spec.server.external`.
#[derive(Debug, Clone, PartialEq)]
pub struct External {
    /// The base of its `mod_http_api`.
    pub url: String,
    /// Its bearer token.
    pub token: Option<SecretSource>,
}

/// Whether the server shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// It shall.
    Running,
    /// It shall be stopped, and stay so.
    Stopped,
}

/// Mnesia's storage types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableStorage {
    /// On disk only.
    DiscOnlyCopies,
    /// In memory and on disk.
    DiscCopies,
    /// In memory only.
    RamCopies,
}

/// `spec.server.probe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Time between two probes.
    pub interval: Duration,
    /// So many failures in a row mean that it is not healthy.
    pub failures: u32,
    /// How long a start may take.
    pub start_deadline: Duration,
}

/// `spec.server.backoff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second restart.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// After so much health the next restart is immediate again.
    pub reset_after: Duration,
}

/// `spec.server.maintenance`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// Windows of the day in minutes since midnight, start and end; a window may span midnight.
    pub windows: Vec<(u16, u16)>,
    /// The time zone that they are meant in (IANA name).
    pub timezone: String,
}

/// `spec.server.announce`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// How long before.
    pub delay: Duration,
    /// What is said.
    pub text: String,
}

/// `spec.config`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The name of the variant that shall be in force.
    pub variant: String,
    /// Every variant's file.
    pub variants: BTreeMap<String, PathBuf>,
    /// Further files, by their name beside the configuration.
    pub files: BTreeMap<String, PathBuf>,
    /// Whether a reload may do.
    pub apply: ConfigApply,
    /// What must hold before it counts as good.
    pub gate: Gate,
}

/// How a changed configuration is put in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigApply {
    /// By a reload where that is enough.
    Auto,
    /// Always by a restart.
    Restart,
}

/// `spec.config.gate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// How long health must hold.
    pub settle: Duration,
    /// How long to wait for it.
    pub timeout: Duration,
    /// An account that tries to log in.
    pub canary: Option<Jid>,
}

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
    /// The vCard's nickname.
    pub nickname: Option<String>,
    /// Fields of the vCard.
    pub vcard: BTreeMap<String, String>,
    /// What happens when the entry is gone.
    pub deletion_policy: DeletionPolicy,
    /// Leave it alone.
    pub paused: bool,
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
        /// Why.
        reason: String,
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
    /// Who is in it.
    pub members: Vec<Jid>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// Who has an affiliation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// One account, of ours or elsewhere.
    Account(Jid),
    /// Everybody in a group.
    Group(Localpart),
}

/// `spec.policy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Whether anything is changed.
    pub mode: Mode,
    /// What is deleted when its entry is gone.
    pub prune: Prune,
    /// Names that are never touched.
    pub ignore: Vec<WildMatch>,
    /// How much may be deleted at once.
    pub guard: GuardLimits,
}

impl Policy {
    /// Whether `name` (`local@host`) matches one of the patterns, as a whole or
    /// by its localpart alone.
    #[must_use]
    pub fn ignores(&self, name: &str) -> bool {
        let local = name.split_once('@').map_or(name, |(local, _)| local);
        self.ignore.iter().any(|pattern| pattern.matches(name) || pattern.matches(local))
    }
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Drift is repaired.
    Enforce,
    /// Drift is reported.
    Report,
}

/// What is deleted when its entry is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// What the inventory holds.
    Managed,
    /// Nothing.
    None,
    /// Whatever is not declared.
    All,
}

/// `spec.policy.guard`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardLimits {
    /// More of a kind than this share of what the inventory holds of it is refused.
    pub max_delete_percent: u8,
    /// So many deletions of a kind pass without a look at the share.
    pub free_deletes: u32,
    /// The digest of refused deletions that may pass after all.
    pub approve: Option<Digest>,
}
