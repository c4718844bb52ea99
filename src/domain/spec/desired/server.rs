//! `spec.server`: how the server is run.

use super::SecretSource;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

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

impl TableStorage {
    /// Mnesia's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiscOnlyCopies => "disc_only_copies",
            Self::DiscCopies => "disc_copies",
            Self::RamCopies => "ram_copies",
        }
    }
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
    /// Windows of the day.
    pub windows: Vec<Window>,
    /// The time zone that they are meant in (IANA name).
    pub timezone: String,
}

/// A window of the day, in minutes since midnight. It may span midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first minute of the window.
    pub start: u16,
    /// The first minute after the window.
    pub end: u16,
}

/// `spec.server.announce`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// How long before.
    pub delay: Duration,
    /// What is said.
    pub text: String,
}
