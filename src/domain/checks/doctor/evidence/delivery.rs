//! The evidence about messages and logins.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::model::{Jid, RoomJid, Vhost};
use crate::domain::observed::{Published, Reading};

/// The evidence about messages and logins.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The hosts that the server serves.
    pub hosts: Reading<Vec<String>>,
    /// The modules that store messages, by declared host.
    pub modules: BTreeMap<Vhost, HostModules>,
    /// The responses to clients that begin a stream, for each listener and host.
    pub clients: Reading<Vec<Client>>,
    /// The authentication methods of every host.
    pub backends: Reading<Vec<Backend>>,
    /// Every listener of the configuration in force.
    pub listeners: Reading<Vec<Listening>>,
    /// The published ports, and the sockets to which they lead.
    pub published: Reading<Vec<(Published, PortTarget)>>,
    /// The archive of messages.
    pub archive: Reading<Archive>,
    /// The number of waiting messages, by declared account.
    pub waiting: Reading<Vec<(Jid, i64)>>,
    /// The number of declared accounts that were not queried, because the file declares many.
    pub unasked: usize,
    /// The declared accounts that do not exist.
    pub missing: Reading<Vec<Jid>>,
    /// The accounts that are declared present and banned on the server, with the reasons.
    pub banned: Reading<Vec<(Jid, String)>>,
    /// The declared rooms.
    pub rooms: Reading<Vec<(RoomJid, RoomState)>>,
    /// The names of the server's services for rooms.
    pub services: Reading<BTreeSet<Vhost>>,
    /// The full JIDs of the connected sessions.
    pub connected: Reading<Vec<String>>,
}

/// The modules of a host that store messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostModules {
    /// Whether messages to offline accounts are stored (`mod_offline`).
    pub offline: Reading<bool>,
    /// The `default` of the archive (`mod_mam`); `None` without an archive.
    pub archive: Reading<Option<String>>,
}

/// A declared room on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomState {
    /// The room does not exist.
    Missing,
    /// The room exists, and its messages are archived.
    Archived,
    /// The room exists, and its messages are not archived.
    NotArchived,
}

/// The response to a client that begins a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The address, the Unix socket or the URL.
    pub at: String,
    /// The host that the client asks for.
    pub host: Vhost,
    /// How the client begins the stream.
    pub opening: Opening,
    /// The response: before TLS, if the listener offers TLS, and after.
    pub response: Reading<String>,
}

/// How a client begins a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Over TCP without TLS. The configuration does not offer TLS.
    Plain,
    /// Over TCP with STARTTLS, as the configuration offers it.
    Starttls,
    /// Over TLS from the first byte.
    DirectTls,
    /// Over a WebSocket.
    Websocket,
    /// Over BOSH.
    Bosh,
}

/// An authentication method of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// The host.
    pub host: Vhost,
    /// ejabberd's name of the method: `mnesia`, `ldap`, …
    pub method: String,
    /// Whether the method works.
    pub state: BackendState,
    /// The servers or the program of the method.
    pub servers: Vec<BackendServer>,
}

/// Whether an authentication method works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendState {
    /// The method responds to queries about accounts.
    Responds,
    /// The method cannot be queried from outside, or a query does not prove that the method
    /// accepts passwords.
    Unverified,
    /// The method does not work, for this reason.
    Fails(String),
}

/// A server or a program of an authentication method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendServer {
    /// The address or the path.
    pub name: String,
    /// The fault; `None` for a server that accepts connections.
    pub fault: Option<String>,
}

/// A configured listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The configured address or Unix socket.
    pub at: String,
    /// Whether the listener is for UDP.
    pub udp: bool,
    /// The module.
    pub module: String,
    /// Whether the server has a socket at the address.
    pub open: Reading<bool>,
}

/// The socket to which a published port leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortTarget {
    /// A socket that a published port reaches.
    Socket,
    /// A socket on the loopback of the container, which a published port does not reach.
    Loopback,
    /// No socket.
    Nothing,
}

/// The archive of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// The archive is in ejabberd's own database.
    Mnesia {
        /// The number of messages, with those of rooms.
        messages: i64,
        /// The size on disk, if the storage has a limit.
        bytes: Option<i64>,
    },
    /// The archive is elsewhere, and holds this number of messages of the queried accounts.
    Elsewhere(i64),
}
