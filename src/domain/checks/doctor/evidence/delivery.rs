//! The evidence about messages and logins.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::model::{Jid, RoomJid, Vhost};
use crate::domain::observed::{Published, Reading};

/// The evidence about messages and logins.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The hosts that the server serves.
    pub hosts: Reading<Vec<String>>,
    /// The modules that store messages, for each declared host.
    pub modules: BTreeMap<Vhost, HostModules>,
    /// The responses to clients that begin a stream, for each listener and host.
    pub clients: Reading<Vec<Client>>,
    /// The authentication methods of every host.
    pub backends: Reading<Vec<Backend>>,
    /// Every listener of the configuration in force.
    pub listeners: Reading<Vec<Listening>>,
    /// The published ports, each with the kind of socket that the port leads to.
    pub published: Reading<Vec<(Published, PortTarget)>>,
    /// The archive of messages.
    pub archive: Reading<Archive>,
    /// The number of waiting messages, for each declared account that the engine queried.
    pub waiting: Reading<Vec<(Jid, i64)>>,
    /// The number of declared accounts that the engine did not query, because the file declares
    /// more accounts than the limit.
    pub unasked: usize,
    /// The declared accounts that do not exist.
    pub missing: Reading<Vec<Jid>>,
    /// The accounts that are declared present but banned on the server, each with the reason for
    /// the ban.
    pub banned: Reading<Vec<(Jid, String)>>,
    /// The declared rooms, each with the state of the room on the server.
    pub rooms: Reading<Vec<(RoomJid, RoomState)>>,
    /// The names of the services for rooms that the server has.
    pub services: Reading<BTreeSet<Vhost>>,
    /// The full JIDs of the connected sessions.
    pub connected: Reading<Vec<String>>,
}

/// The modules of a host that store messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostModules {
    /// Whether the host stores messages to offline accounts (`mod_offline` is loaded).
    pub offline: Reading<bool>,
    /// The option `default` of `mod_mam`; `None` if `mod_mam` is not loaded.
    pub archive: Reading<Option<String>>,
}

/// The state of a declared room on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomState {
    /// The room does not exist.
    Missing,
    /// The room exists, and the server archives the messages of the room.
    Archived,
    /// The room exists, but the server does not archive the messages of the room.
    NotArchived,
}

/// The response to a client that begins a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The address, the Unix socket or the URL to which the client connects.
    pub at: String,
    /// The host that the client asks for.
    pub host: Vhost,
    /// The way in which the client begins the stream.
    pub opening: Opening,
    /// The response of the listener: the features before TLS and, if the listener offers TLS, the
    /// features after TLS.
    pub response: Reading<String>,
}

/// The way in which a client begins a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// Over TCP without TLS, because the configuration of the listener does not offer TLS.
    Plain,
    /// Over TCP with STARTTLS, because the configuration of the listener offers STARTTLS.
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
    /// The name that ejabberd gives the method, such as `mnesia` or `ldap`.
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
    /// The state of the method is unknown: the operator cannot query the method, or a query does
    /// not prove that the method accepts passwords.
    Unverified,
    /// The method does not work, for this reason.
    Fails(String),
}

/// A server or a program of an authentication method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendServer {
    /// The address or the path.
    pub name: String,
    /// The fault; `None` if the server accepts connections.
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
    /// Whether the server has a listening socket at the address.
    pub open: Reading<bool>,
}

/// The kind of socket that a published port leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortTarget {
    /// A socket that a published port reaches.
    Socket,
    /// A socket on the loopback of the container. Docker does not forward a published port to this
    /// address.
    Loopback,
    /// No socket: no program in the container listens at the port.
    Nothing,
}

/// The archive of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// The archive is in ejabberd's own database.
    Mnesia {
        /// The number of messages, including the messages of rooms.
        messages: i64,
        /// The size on disk, in bytes; `None` if the storage has no limit.
        bytes: Option<i64>,
    },
    /// The archive is not in ejabberd's own database. The number counts the messages of the queried
    /// accounts.
    Elsewhere(i64),
}
