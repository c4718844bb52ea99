//! `spec.server`, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::objects::SecretFrom;
use super::scalars::{Period, Port, Window};

/// How the server is run: exactly one of `docker`, `process` and `external`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Server {
    /// A server in a Docker container.
    pub(crate) docker: Option<Docker>,
    /// An ejabberd that is installed on this host, run as a process.
    pub(crate) process: Option<Process>,
    /// A server that somebody else runs; the operator manages what is on it. Not yet supported.
    pub(crate) external: Option<External>,
    /// Whether the server shall run.
    #[serde(default)]
    pub(crate) state: ServerState,
    /// How the table of accounts is stored. Absent: as it is.
    pub(crate) accounts_table: Option<TableStorage>,
    /// How the server's health is asked for.
    #[serde(default)]
    pub(crate) probe: Probe,
    /// How fast it is started again after it failed.
    #[serde(default)]
    pub(crate) backoff: Backoff,
    /// When people may be interrupted.
    #[serde(default)]
    pub(crate) maintenance: Maintenance,
    /// What connected users are told before an interruption.
    pub(crate) announce: Option<Announce>,
}

/// A Docker container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Docker {
    /// The container's name. It is adopted if it exists, else created from `image`.
    pub(crate) container: String,
    /// The image that the container is created from. Absent: the container must exist.
    pub(crate) image: Option<String>,
    /// The Unix socket of the Docker engine on this host, as `unix:///PATH`.
    #[serde(default = "default_engine")]
    pub(crate) engine: String,
    /// The container's network.
    #[serde(default)]
    pub(crate) network: Network,
    /// Published ports; with `network: bridge` only. They are bound to 127.0.0.1 unless an
    /// address is given.
    #[serde(default)]
    pub(crate) ports: Vec<Port>,
    /// Names of volumes by path in the container. Database and configuration get named ones by
    /// default.
    #[serde(default)]
    pub(crate) volumes: BTreeMap<String, String>,
    /// Environment variables. Never secrets: `docker inspect` shows them.
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// Where the server reads its configuration. Found by itself in the known images.
    pub(crate) config_path: Option<String>,
    /// Whether a container that differs from this is replaced.
    #[serde(default)]
    pub(crate) recreate: Recreate,
}

fn default_engine() -> String {
    "unix:///var/run/docker.sock".to_owned()
}

/// The network of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Network {
    /// The network of the host.
    #[default]
    Host,
    /// Docker's default bridge.
    Bridge,
}

/// Whether a container that differs is replaced.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Recreate {
    /// It never is; differences are only shown.
    #[default]
    Never,
    /// It is when image or settings differ, after a backup.
    WhenChanged,
}

/// An installed ejabberd.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Process {
    /// The path of its control script.
    #[serde(default = "default_ejabberdctl")]
    pub(crate) ejabberdctl: String,
    /// Where it keeps its files. Absent: where the control script says.
    pub(crate) directory: Option<String>,
}

fn default_ejabberdctl() -> String {
    "/usr/sbin/ejabberdctl".to_owned()
}

/// A server that somebody else runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct External {
    /// The base URL of its `mod_http_api`.
    #[schemars(regex(pattern = "^https?://"))]
    pub(crate) url: String,
    /// Where its bearer token comes from.
    pub(crate) token_from: Option<SecretFrom>,
}

/// Whether the server shall run.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ServerState {
    /// It shall run, and is started again when it dies.
    #[default]
    Running,
    /// It shall be stopped, and stay so.
    Stopped,
}

/// Mnesia's types of storage.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names, reason = "these are the names that Mnesia gives them")]
pub(crate) enum TableStorage {
    /// It is kept on disk only.
    DiscOnlyCopies,
    /// It is kept in memory and on disk.
    DiscCopies,
    /// It is kept in memory only, and lost when the server ends.
    RamCopies,
}

/// How health is asked for.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Probe {
    /// The time between two probes.
    pub(crate) interval: Period,
    /// So many failures in a row mean that it is not healthy.
    #[schemars(range(min = 1))]
    pub(crate) failures: u32,
    /// How long a start may take.
    pub(crate) start_deadline: Period,
}

impl Default for Probe {
    fn default() -> Self {
        Self { interval: Period::seconds(5), failures: 3, start_deadline: Period::seconds(600) }
    }
}

/// How fast the server is started again.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Backoff {
    /// The wait before the second restart; it doubles each time.
    pub(crate) initial: Period,
    /// The longest wait between two restarts.
    pub(crate) max: Period,
    /// After so much health the next restart is immediate again.
    pub(crate) reset_after: Period,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Period::seconds(10),
            max: Period::seconds(300),
            reset_after: Period::seconds(600),
        }
    }
}

/// When people may be interrupted.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Maintenance {
    /// Windows of the day, e.g. `02:00-04:00`; they may span midnight. None: always.
    pub(crate) windows: Vec<Window>,
    /// The time zone that they are meant in, e.g. `Europe/Berlin`.
    pub(crate) timezone: String,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { windows: Vec::new(), timezone: "UTC".to_owned() }
    }
}

/// What connected users are told before an interruption.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Announce {
    /// How long before the interruption it is said.
    pub(crate) delay: Period,
    /// The text that is sent to everybody who is connected.
    pub(crate) text: String,
}
