//! `spec.server`: how the server runs.

use super::SecretSource;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// `spec.server`.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// The runtime.
    pub runtime: Runtime,
    /// Whether the server runs.
    pub state: ServerState,
    /// The storage type of the table of accounts; `None` if the type is not managed.
    pub accounts_table: Option<TableStorage>,
    /// How the operator checks the health of the server.
    pub probe: Probe,
    /// The time that the operator waits before a restart.
    pub backoff: Backoff,
    /// The times of the day at which the operator may interrupt users. Without windows, the
    /// operator may interrupt users at any time.
    pub maintenance: Maintenance,
    /// The message to connected users before an interruption; `None` if the operator sends no
    /// message.
    pub announce: Option<Announce>,
}

/// How the server runs.
#[derive(Debug, Clone, PartialEq)]
pub enum Runtime {
    /// The server runs in a Docker container.
    Docker(Docker),
    /// The server runs as a child process of the operator.
    Process(Process),
    /// The operator does not start or stop the server.
    External(External),
}

/// `spec.server.docker`.
#[derive(Debug, Clone, PartialEq)]
pub struct Docker {
    /// The name of the container.
    pub container: String,
    /// The image of a new container; `None` if the container must exist.
    pub image: Option<String>,
    /// The socket of the Docker engine, e.g. `unix:///var/run/docker.sock`.
    pub engine: String,
    /// The network of the container.
    pub network: Network,
    /// The published ports; only for [`Network::Bridge`].
    pub ports: Vec<PortMapping>,
    /// The names of volumes, by the path in the container.
    pub volumes: BTreeMap<String, String>,
    /// The environment variables. Every user of the Docker engine can read the variables.
    pub environment: BTreeMap<String, String>,
    /// The path of the configuration file in the container; `None` if the operator must find the
    /// path.
    pub config_path: Option<String>,
    /// Whether the operator replaces a container that differs from the declaration.
    pub recreate: Recreate,
}

/// The network of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The network of the host.
    Host,
    /// The default bridge network of Docker.
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

/// Whether the operator replaces a container that differs from the declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recreate {
    /// The operator never replaces the container, and reports the differences.
    Never,
    /// The operator replaces the container if the image or the settings differ.
    WhenChanged,
}

/// `spec.server.process`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The path of the control script of the installed ejabberd.
    pub ejabberdctl: PathBuf,
    /// The directory of the server; `None` if the control script chooses the directory.
    pub directory: Option<PathBuf>,
}

/// `spec.server.external`.
#[derive(Debug, Clone, PartialEq)]
pub struct External {
    /// The base URL of `mod_http_api`.
    pub url: String,
    /// The source of the bearer token; `None` if the requests have no token.
    pub token: Option<SecretSource>,
}

/// Whether the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// The operator starts the server and restarts the server after a failure.
    Running,
    /// The operator stops the server and does not start the server.
    Stopped,
}

/// A storage type of Mnesia.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableStorage {
    /// The table is only on disk.
    DiscOnlyCopies,
    /// The table is in memory and on disk.
    DiscCopies,
    /// The table is only in memory.
    RamCopies,
}

impl TableStorage {
    /// The name that Mnesia uses.
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
    /// The time between two probes.
    pub interval: Duration,
    /// The number of consecutive failed probes after which the server is unhealthy.
    pub failures: u32,
    /// The maximum time that a start may take.
    pub start_deadline: Duration,
}

/// `spec.server.backoff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait before the second restart.
    pub initial: Duration,
    /// The maximum wait before a restart.
    pub max: Duration,
    /// The time for which the server must stay healthy to reset the backoff. The next restart is
    /// then immediate.
    pub reset_after: Duration,
}

/// `spec.server.maintenance`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// The windows of the day.
    pub windows: Vec<Window>,
    /// The IANA name of the time zone of the windows.
    pub timezone: String,
}

/// A window of the day, in minutes since midnight. A window may span midnight.
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
    /// The time between the message and the interruption.
    pub delay: Duration,
    /// The text of the message.
    pub text: String,
}
