//! The evidence about the server and its runtime.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::Delivery;
use crate::domain::model::{ServerVersion, Vhost};
use crate::domain::observed::{
    Holder, ProcessState, Reading, RuntimeDiagnostics, RuntimeDrift, Space, Usage,
};
use crate::domain::supervision::Cause;

/// The server and its runtime.
#[derive(Debug, Clone)]
pub struct Server {
    /// The state of the process.
    pub process: Reading<ProcessState>,
    /// The diagnostics of the runtime.
    pub diagnostics: Reading<RuntimeDiagnostics>,
    /// The differences between the runtime and its declaration.
    pub drift: Reading<RuntimeDrift>,
    /// The last relevant lines of the log, the latest last.
    pub log: Reading<Vec<String>>,
    /// The cause of the stop, from the exit and the log; `None` for a server that runs.
    pub cause: Option<Cause>,
    /// The result of ejabberd's check of the declared configuration; `None` without a declared
    /// configuration.
    pub declared: Option<Reading<Checked>>,
    /// The result of ejabberd's check of the configuration on the server; `None` if that is the
    /// declared configuration.
    pub live: Option<Reading<Checked>>,
    /// The ports of the configured listeners.
    pub ports: Reading<Vec<Port>>,
    /// The space on the disks of the server.
    pub space: Reading<Vec<Space>>,
    /// The memory of this host.
    pub memory: Option<HostMemory>,
    /// The response of the server to a few calls; unknown for a server that was not called.
    pub response: Reading<Alive>,
    /// The configured HTTP APIs.
    pub api: Reading<Vec<Api>>,
    /// The evidence about messages and logins.
    pub delivery: Delivery,
    /// The resources that the server uses.
    pub load: Load,
}

/// The memory of a host, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostMemory {
    /// The memory that a new program can use.
    pub available: u64,
    /// The whole memory.
    pub total: u64,
}

/// The result of ejabberd's own offline check of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The path of the file, for an administrator.
    pub path: String,
    /// Why ejabberd refuses the configuration; `None` if ejabberd accepts it.
    pub refused: Option<String>,
    /// The options that differ from the declared configuration.
    pub differs: Vec<String>,
}

/// A port of a configured listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The address on this host, where another program could occupy the port.
    pub at: SocketAddr,
    /// The module of the listener.
    pub module: String,
    /// Whether the server listens at the address; `None` if that is unknown.
    pub open: Option<bool>,
    /// The programs that occupy the port.
    pub holders: Vec<Holder>,
}

/// The response of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// The version.
    pub version: ServerVersion,
    /// Whether ejabberd has started in its node.
    pub started: bool,
    /// Whether ejabberd was stopped in its node.
    pub halted: bool,
    /// The control channel of the calls: `session` or `ejabberdctl`.
    pub channel: &'static str,
    /// The duration of the calls.
    pub took: Duration,
    /// The time since the start, in seconds.
    pub uptime: Option<u64>,
}

/// A listener with an HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// The declared address; `None` for a Unix socket.
    pub at: Option<SocketAddr>,
    /// The path of the API on the listener.
    pub path: String,
    /// Whether the listener expects TLS.
    pub tls: bool,
    /// The HTTP status of a request from the network namespace of the server.
    pub status: Reading<u16>,
}

/// The resources that the server uses.
#[derive(Debug, Clone)]
pub struct Load {
    /// The usage of processor and memory.
    pub usage: Reading<UsageSamples>,
    /// The number of cores of the host.
    pub cores: usize,
    /// The numbers of the Erlang VM.
    pub vm: Reading<Vm>,
    /// The number of accounts by host, as the server counts them.
    pub registered: BTreeMap<Vhost, Reading<i64>>,
}

/// Two measurements, from which a rate follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsageSamples {
    /// The first measurement.
    pub before: Usage,
    /// The second measurement.
    pub after: Usage,
    /// The time between the two measurements.
    pub elapsed: Duration,
}

/// The numbers of an Erlang VM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vm {
    /// The number of Erlang processes.
    pub processes: i64,
    /// The limit of `processes`.
    pub process_limit: i64,
    /// The number of ports: sockets and files.
    pub ports: i64,
    /// The limit of `ports`.
    pub port_limit: i64,
    /// The memory in bytes.
    pub memory: i64,
    /// The number of processes that wait for a scheduler.
    pub run_queue: i64,
    /// The number of schedulers.
    pub schedulers: i64,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whether the account exists.
    pub exists: Reading<bool>,
    /// The reason for the ban; `None` if the account is not banned.
    pub banned: Reading<Option<String>>,
    /// The sessions.
    pub sessions: Reading<Vec<Session>>,
    /// The time of the last activity, as the server formats it.
    pub last: Reading<String>,
    /// The number of messages that wait for the account.
    pub waiting: Reading<i64>,
    /// The number of messages in the archive of the account.
    pub archived: Reading<i64>,
}

/// One session of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The resource.
    pub resource: String,
    /// The kind of the connection, such as `c2s_tls`.
    pub connection: String,
    /// The priority. A session with a negative priority receives no messages.
    pub priority: i64,
    /// The age of the session in seconds.
    pub uptime: i64,
    /// The presence.
    pub status: String,
}
