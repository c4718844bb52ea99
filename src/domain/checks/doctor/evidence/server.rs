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
    /// The relevant lines of the log, in the order of the log.
    pub log: Reading<Vec<String>>,
    /// The cause of the stop, derived from the exit code and the log; `None` if the server has not
    /// stopped.
    pub cause: Option<Cause>,
    /// The result of ejabberd's check of the declared configuration; `None` if no configuration is
    /// declared.
    pub declared: Option<Reading<Checked>>,
    /// The result of ejabberd's check of the configuration on the server; `None` if the
    /// configuration on the server is the declared configuration, or if there is no configuration
    /// on the server.
    pub live: Option<Reading<Checked>>,
    /// The ports of the configured listeners.
    pub ports: Reading<Vec<Port>>,
    /// The space on the disks of the server.
    pub space: Reading<Vec<Space>>,
    /// The memory of this host; `None` if the kernel does not report the memory.
    pub memory: Option<HostMemory>,
    /// The response of the server to a few small calls; unknown if the server does not respond, or
    /// if the engine did not call the server.
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
    /// The path of the file, for messages to an administrator.
    pub path: String,
    /// The reason why ejabberd refuses the configuration; `None` if ejabberd accepts the
    /// configuration.
    pub refused: Option<String>,
    /// The names of the options that differ from the declared configuration.
    pub differs: Vec<String>,
}

/// A port of a configured listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The address on this host, where another program could occupy the port.
    pub at: SocketAddr,
    /// The module of the listener.
    pub module: String,
    /// Whether the server listens at the address; `None` if the sockets of the server are unknown.
    pub open: Option<bool>,
    /// The listening sockets of this host that occupy the port, with their programs.
    pub holders: Vec<Holder>,
}

/// The response of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// The version of ejabberd.
    pub version: ServerVersion,
    /// Whether ejabberd has started in its Erlang node.
    pub started: bool,
    /// Whether ejabberd is stopped while its Erlang node still runs.
    pub halted: bool,
    /// The control channel that carried the calls: `session` or `ejabberdctl`.
    pub channel: &'static str,
    /// The duration of the calls for the version and the phase.
    pub took: Duration,
    /// The time since the start of ejabberd, in seconds; `None` if ejabberd has not started, or if
    /// the time is unknown.
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
    /// The load and the limits of the Erlang VM.
    pub vm: Reading<Vm>,
    /// The number of accounts on each declared host, as the server reports the number.
    pub registered: BTreeMap<Vhost, Reading<i64>>,
}

/// Two measurements of the usage, to calculate a rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsageSamples {
    /// The first measurement.
    pub before: Usage,
    /// The second measurement.
    pub after: Usage,
    /// The time between the two measurements.
    pub elapsed: Duration,
}

/// The load of an Erlang VM and the limits of the VM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vm {
    /// The number of Erlang processes.
    pub processes: i64,
    /// The limit of `processes`.
    pub process_limit: i64,
    /// The number of open Erlang ports: sockets and files.
    pub ports: i64,
    /// The limit of `ports`.
    pub port_limit: i64,
    /// The memory that the VM uses, in bytes.
    pub memory: i64,
    /// The number of processes that wait for a scheduler.
    pub run_queue: i64,
    /// The number of schedulers.
    pub schedulers: i64,
}

/// The evidence about one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whether the account exists.
    pub exists: Reading<bool>,
    /// The reason for the ban; `None` if the account is not banned.
    pub banned: Reading<Option<String>>,
    /// The connected sessions of the account.
    pub sessions: Reading<Vec<Session>>,
    /// The time of the last activity, as a string that the server formats.
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
    /// The presence, such as `available`.
    pub status: String,
    /// The text of the presence; empty without a text.
    pub status_text: String,
}
