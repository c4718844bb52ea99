//! `spec.server` in the document.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::objects::SecretFrom;
use super::scalars::{Period, Port, Window};

/// How the server runs: exactly one of `docker`, `process` and `external`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Server {
    /// A server in a Docker container.
    pub(crate) docker: Option<Docker>,
    /// An ejabberd that is installed on this host. The operator runs the server as a process.
    pub(crate) process: Option<Process>,
    /// A server that the operator does not start or stop. The operator manages the objects on the
    /// server. Not yet supported.
    pub(crate) external: Option<External>,
    /// Whether the server runs.
    #[serde(default)]
    pub(crate) state: ServerState,
    /// The Mnesia storage type of the table of accounts. If absent, the operator does not change the
    /// storage type.
    pub(crate) accounts_table: Option<TableStorage>,
    /// How the operator checks the health of the server.
    #[serde(default)]
    pub(crate) probe: Probe,
    /// How long the operator waits before the operator restarts a failed server.
    #[serde(default)]
    pub(crate) backoff: Backoff,
    /// When the operator may interrupt connected users.
    #[serde(default)]
    pub(crate) maintenance: Maintenance,
    /// The message to connected users before an interruption. If absent, the operator sends no
    /// message.
    pub(crate) announce: Option<Announce>,
}

/// A Docker container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Docker {
    /// The name of the container. The operator adopts an existing container, and creates a missing
    /// container from `image`.
    pub(crate) container: String,
    /// The image of a new container. If absent, the container must exist.
    pub(crate) image: Option<String>,
    /// The Unix socket of the Docker engine on this host, as `unix:///PATH`.
    #[serde(default = "default_engine")]
    pub(crate) engine: String,
    /// The network of the container.
    #[serde(default)]
    pub(crate) network: Network,
    /// The published ports; only with `network: bridge`. A port without an address is published on
    /// 127.0.0.1.
    #[serde(default)]
    pub(crate) ports: Vec<Port>,
    /// The names of volumes, by the path in the container. By default the operator creates named
    /// volumes for the database and the configuration.
    #[serde(default)]
    pub(crate) volumes: BTreeMap<String, String>,
    /// The environment variables of the container. Do not write secrets here: `docker inspect` shows
    /// the variables.
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    /// The path of the configuration file in the container. The operator finds the path in the
    /// official images.
    pub(crate) config_path: Option<String>,
    /// Whether the operator replaces a container whose image or settings differ from this file.
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
    /// The network of the host. The server uses the addresses and ports of the host.
    #[default]
    Host,
    /// The default bridge network of Docker.
    Bridge,
}

/// Whether the operator replaces a container that differs from the file.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Recreate {
    /// The operator reports the differences and does not replace the container.
    #[default]
    Never,
    /// The operator makes a backup and replaces the container.
    WhenChanged,
}

/// An ejabberd that is installed on this host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Process {
    /// The path of the control script `ejabberdctl`.
    #[serde(default = "default_ejabberdctl")]
    pub(crate) ejabberdctl: String,
    /// The directory of the server, with the configuration, the database and the logs. If absent, the
    /// control script decides.
    pub(crate) directory: Option<String>,
}

fn default_ejabberdctl() -> String {
    "/usr/sbin/ejabberdctl".to_owned()
}

/// A server that the operator does not start or stop.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct External {
    /// The base URL of `mod_http_api` of the server.
    #[schemars(regex(pattern = "^https?://"))]
    pub(crate) url: String,
    /// Where the bearer token for the API comes from.
    pub(crate) token_from: Option<SecretFrom>,
}

/// Whether the server runs.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ServerState {
    /// The server runs. The operator restarts the server after a failure.
    #[default]
    Running,
    /// The server is stopped. The operator does not start the server.
    Stopped,
}

/// A storage type of Mnesia.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names, reason = "these are the names that Mnesia gives them")]
pub(crate) enum TableStorage {
    /// The table is on disk only.
    DiscOnlyCopies,
    /// The table is in memory and on disk.
    DiscCopies,
    /// The table is in memory only. The accounts are lost when the server stops.
    RamCopies,
}

/// How the operator checks the health of the server.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Probe {
    /// The time between two probes.
    pub(crate) interval: Period,
    /// The number of consecutive failed probes after which the server is unhealthy.
    #[schemars(range(min = 1))]
    pub(crate) failures: u32,
    /// The longest time that a start of the server may take.
    pub(crate) start_deadline: Period,
}

impl Default for Probe {
    fn default() -> Self {
        Self { interval: Period::seconds(5), failures: 3, start_deadline: Period::seconds(600) }
    }
}

/// How long the operator waits before a restart.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Backoff {
    /// The wait before the second restart. The first restart is immediate, and the wait doubles with
    /// each further restart.
    pub(crate) initial: Period,
    /// The longest wait between two restarts.
    pub(crate) max: Period,
    /// The time that the server must stay healthy until the next restart is immediate again.
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

/// When the operator may interrupt connected users.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Maintenance {
    /// The windows of the day, e.g. `02:00-04:00`. A window may span midnight. With an empty list the
    /// operator may interrupt users at any time.
    pub(crate) windows: Vec<Window>,
    /// The IANA name of the time zone of the windows, e.g. `Europe/Berlin`.
    pub(crate) timezone: String,
}

impl Default for Maintenance {
    fn default() -> Self {
        Self { windows: Vec::new(), timezone: "UTC".to_owned() }
    }
}

/// The message to connected users before an interruption.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Announce {
    /// How long before the interruption the operator sends the message.
    pub(crate) delay: Period,
    /// The text of the message.
    pub(crate) text: String,
}
