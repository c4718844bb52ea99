//! What the checks judge.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::model::{Jid, RoomJid, ServerVersion, Vhost};
use crate::domain::observed::{
    Holder, ProcessState, Published, Reading, RuntimeDiagnostics, RuntimeDrift, Space, Usage,
};
use crate::domain::spec;
use crate::domain::spec::{DesiredState, ServerState};
use crate::domain::status::Status;
use crate::domain::supervision::Cause;

/// Everything that was gathered. Gathering never fails: what could not be had
/// is unknown, with the reason.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// When it was gathered.
    pub now: Timestamp,
    /// The file.
    pub file: File,
    /// What it declares; of one that is not valid, what could be made of it:
    /// which server it is about.
    pub desired: Option<DesiredState>,
    /// The operator.
    pub operator: Operator,
    /// The server; nothing where the file does not say which.
    pub server: Option<Server>,
    /// The account that was asked about.
    pub account: Option<(Jid, Reading<Account>)>,
}

/// The desired state as a file.
#[derive(Debug, Clone)]
pub enum File {
    /// It is valid.
    Valid {
        /// Where it is.
        path: String,
        /// The hash of its content.
        revision: String,
        /// What is doubtful in it.
        warnings: Vec<String>,
    },
    /// It is not.
    Invalid {
        /// Where it is.
        path: String,
        /// What is wrong, each with its place.
        problems: Vec<String>,
    },
    /// It cannot be read.
    Unreadable(String),
}

/// The operator of this server, if one runs.
#[derive(Debug, Clone)]
pub struct Operator {
    /// Its state directory.
    pub directory: String,
    /// Whether that is there, and why it cannot be used, if so.
    pub usable: Usable,
    /// The process that has its lock; nothing if none has.
    pub lock: Reading<Option<i32>>,
    /// What the one that runs says.
    pub answers: Option<Box<Status>>,
    /// What the last one said.
    pub remembered: Reading<Option<Box<Status>>>,
    /// The disk that holds it.
    pub space: Option<Space>,
}

/// Whether the state directory can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usable {
    /// No operator has been here yet.
    NotThere,
    /// It can.
    Yes,
    /// Not by whoever asks, and why.
    No(String),
}

/// The server and what is around it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its process.
    pub process: Reading<ProcessState>,
    /// How it is set up.
    pub diagnostics: Reading<RuntimeDiagnostics>,
    /// How that is declared.
    pub drift: Reading<RuntimeDrift>,
    /// The last lines of its log that matter, the latest last.
    pub log: Reading<Vec<String>>,
    /// Why it ended, as far as its end and its log tell. Only of one that has.
    pub cause: Option<Cause>,
    /// What ejabberd says of the declared configuration; `None` where none is declared.
    pub declared: Option<Reading<Checked>>,
    /// What it says of that on the server; `None` where it is the declared one.
    pub live: Option<Reading<Checked>>,
    /// Where its configuration has it listen.
    pub ports: Reading<Vec<Port>>,
    /// Room on its disks.
    pub space: Reading<Vec<Space>>,
    /// Memory of this host: what is available, and all of it.
    pub memory: Option<(u64, u64)>,
    /// What it says; of one that is not asked, why.
    pub answer: Reading<Alive>,
    /// Where its configuration has an API.
    pub api: Reading<Vec<Api>>,
    /// What is in the way of messages; nothing where that was not asked for.
    pub delivery: Delivery,
    /// What it uses.
    pub load: Load,
}

/// What ejabberd's own offline check said of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its file, as somebody would look for it.
    pub path: String,
    /// Why it refused, if it did.
    pub refused: Option<String>,
    /// How many options differ from what is on the server.
    pub differs: Vec<String>,
}

/// A port of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Where it is, seen from this host where others could have it.
    pub at: SocketAddr,
    /// What shall answer there.
    pub module: String,
    /// Whether the server itself listens there now; nothing if that is not known.
    pub open: Option<bool>,
    /// Who else has it.
    pub holders: Vec<Holder>,
}

/// A server that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// Its version.
    pub version: ServerVersion,
    /// Whether it has started as a whole.
    pub started: bool,
    /// Whether ejabberd in it was stopped.
    pub halted: bool,
    /// The way that it was asked by.
    pub way: &'static str,
    /// How long that took.
    pub took: Duration,
    /// For how long it has been up, in seconds.
    pub uptime: Option<u64>,
}

/// A listener with an HTTP API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Where it is declared; nothing for a Unix socket.
    pub at: Option<SocketAddr>,
    /// The path of the API there.
    pub path: String,
    /// Whether it wants TLS.
    pub tls: bool,
    /// The HTTP status of a question from where the server runs.
    pub status: Reading<u16>,
}

/// What may be in the way of messages.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The hosts that it serves.
    pub hosts: Reading<Vec<String>>,
    /// By declared host: whether messages wait for who is not online, and
    /// how the archive is set, if there is one.
    pub modules: BTreeMap<Vhost, (Reading<bool>, Reading<Option<String>>)>,
    /// What clients read where they can begin a stream, each place for each host.
    pub clients: Reading<Vec<Client>>,
    /// How accounts are checked, for every vhost and method.
    pub backends: Reading<Vec<Backend>>,
    /// Every listener of the configuration in force.
    pub listeners: Reading<Vec<Listening>>,
    /// What stands behind each published port.
    pub published: Reading<Vec<(Published, Behind)>>,
    /// So many messages are archived, in so many bytes on disk where there is a limit to it.
    pub archive: Reading<Archive>,
    /// Messages that wait, by declared account.
    pub waiting: Reading<Vec<(Jid, i64)>>,
    /// Declared accounts that were not asked for, because there are many.
    pub unasked: usize,
    /// Declared accounts that are not there.
    pub missing: Reading<Vec<Jid>>,
    /// Declared accounts that are kept from logging in, though the file does not say so.
    pub banned: Reading<Vec<(Jid, String)>>,
    /// Declared rooms: whether each is there, and whether it is archived.
    pub rooms: Reading<Vec<(RoomJid, Option<bool>)>>,
    /// The names under which the server has rooms.
    pub services: Reading<BTreeSet<Vhost>>,
    /// Who is connected: full names with their resources.
    pub connected: Reading<Vec<String>>,
}

/// A place where clients begin a stream, and what one reads there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Where it is: an address, a Unix socket, a URL.
    pub at: String,
    /// The host that was asked for.
    pub host: Vhost,
    /// How a client begins.
    pub opening: Opening,
    /// What it says: before TLS, where it offers that, and after.
    pub says: Reading<String>,
}

/// How a client begins a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Over TCP without TLS, which is not offered either.
    Plain,
    /// Over TCP with STARTTLS, as its configuration says.
    Starttls,
    /// Over TLS from the first byte.
    DirectTls,
    /// Over a WebSocket.
    Websocket,
    /// Over BOSH.
    Bosh,
}

/// An authentication method of a vhost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The vhost.
    pub host: Vhost,
    /// ejabberd's word for the method: `mnesia`, `ldap`, …
    pub method: String,
    /// Whether it works.
    pub state: BackendState,
    /// The servers or the program behind it, and what is wrong with each, if
    /// anything.
    pub servers: Vec<(String, Option<String>)>,
}

/// Whether an authentication method works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendState {
    /// It answers questions about accounts.
    Answers,
    /// That cannot be seen from outside, or does not show that it accepts a password.
    Untold,
    /// It does not, and why.
    Fails(String),
}

/// A listener, and whether it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// Where it is to be bound.
    pub at: String,
    /// Whether it is UDP.
    pub udp: bool,
    /// What answers there.
    pub module: String,
    /// Whether it is bound.
    pub open: Reading<bool>,
}

/// What stands behind a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// A socket that others reach.
    Socket,
    /// A socket on the container's own loopback, where a published port does not lead.
    Loopback,
    /// Nothing.
    Nothing,
}

/// The archive of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// In ejabberd's own database.
    Mnesia {
        /// Messages in it, those of rooms too.
        messages: i64,
        /// What it takes on disk, where that is limited.
        bytes: Option<i64>,
    },
    /// Elsewhere; it answered, with so many messages of the accounts that were asked about.
    Elsewhere(i64),
}

/// What it uses.
#[derive(Debug, Clone)]
pub struct Load {
    /// What it had used, twice, and the time between in which that grew.
    pub usage: Reading<(Usage, Usage, Duration)>,
    /// The cores of the host.
    pub cores: usize,
    /// Its VM.
    pub vm: Reading<Vm>,
    /// Accounts by host, as it counts them.
    pub registered: BTreeMap<Vhost, Reading<i64>>,
}

/// The numbers of a VM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vm {
    /// Erlang processes.
    pub processes: i64,
    /// How many there may be.
    pub process_limit: i64,
    /// Ports: sockets and files.
    pub ports: i64,
    /// How many there may be.
    pub port_limit: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Processes that wait for a processor.
    pub run_queue: i64,
    /// Schedulers.
    pub schedulers: i64,
}

/// One account, looked at closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whether it is there.
    pub exists: Reading<bool>,
    /// Why it is banned, if it is.
    pub banned: Reading<Option<String>>,
    /// Its sessions.
    pub sessions: Reading<Vec<Session>>,
    /// When it was last there, in the server's words.
    pub last: Reading<String>,
    /// Messages that wait for it.
    pub waiting: Reading<i64>,
    /// Messages in its archive.
    pub archived: Reading<i64>,
}

/// One session of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its resource.
    pub resource: String,
    /// How it is connected, e.g. `c2s_tls`.
    pub connection: String,
    /// Its priority; with a negative one it gets no messages.
    pub priority: i64,
    /// For how long, in seconds.
    pub uptime: i64,
    /// Its presence.
    pub status: String,
}

impl Evidence {
    /// Whether the server shall be stopped.
    pub(super) fn shall_stop(&self) -> bool {
        self.desired.as_ref().is_some_and(|desired| desired.server.state == ServerState::Stopped)
    }

    /// What is declared of a container, if it is one.
    pub(super) fn docker(&self) -> Option<&spec::Docker> {
        match &self.desired.as_ref()?.server.runtime {
            spec::Runtime::Docker(docker) => Some(docker),
            _ => None,
        }
    }

    /// What somebody would call the server in a command of Docker's.
    pub(super) fn name(&self) -> &str {
        self.docker().map_or("the process", |docker| docker.container.as_str())
    }

    /// How `ejabberdctl` is called for this server.
    pub(super) fn ejabberdctl(&self) -> String {
        match self.docker() {
            Some(docker) => format!("docker exec {} ejabberdctl", docker.container),
            None => "ejabberdctl".to_owned(),
        }
    }

    /// How it is started anew by hand.
    pub(super) fn restart(&self) -> String {
        match self.docker() {
            Some(docker) => format!("`docker restart {}`", docker.container),
            None => "end its process".to_owned(),
        }
    }

    /// What the operator says, or said last.
    pub(super) fn status(&self) -> Option<&Status> {
        let remembered = || self.operator.remembered.known().and_then(Option::as_deref);
        self.operator.answers.as_deref().or_else(remembered)
    }
}
