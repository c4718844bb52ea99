//! What the checks judge.

use std::net::SocketAddr;

use jiff::Timestamp;

use super::{Certificate, Socket};
use crate::domain::configuration::Configuration;
use crate::domain::model::ServerVersion;
use crate::domain::observed::{Reading, RuntimeDrift};

/// Everything that was gathered about a server. Gathering never fails: what
/// could not be had is unknown, with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The declared variant; `None` where none is declared.
    pub variant: Option<Variant>,
    /// The configuration in force, as the server read it.
    pub configuration: Reading<Configuration>,
    /// The sockets where the server runs.
    pub inside: Reading<Inside>,
    /// The ports of the Erlang distribution, as the server's own VM tells them.
    pub distribution: Reading<Distribution>,
    /// The sockets of the host, as this program sees it.
    pub host: Reading<Vec<Socket>>,
    /// How it is run; unknown as well where there is nothing.
    pub drift: Reading<RuntimeDrift>,
    /// What clients are offered, by listener.
    pub wire: Reading<Vec<Wire>>,
    /// The server's version.
    pub version: Reading<ServerVersion>,
    /// The declared certificates.
    pub certificates: Reading<Vec<Certificate>>,
    /// When it was gathered.
    pub now: Timestamp,
}

/// The ports by which Erlang nodes find and reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distribution {
    /// Where the server's node is reached; `None` where it is not.
    pub port: Option<u16>,
    /// Where its port mapper (epmd) listens, if there is one.
    pub mapper: u16,
}

/// The variant that is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Whether the files on the server are its files.
    pub in_force: Reading<bool>,
}

/// The network as the server sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The user that the server runs as, as a number.
    pub user: u32,
    /// The sockets that listen, anybody's.
    pub tcp: Vec<Socket>,
    /// The open UDP sockets, anybody's.
    pub udp: Vec<Socket>,
}

impl Inside {
    /// The server's own sockets that listen. With the host's network everybody's
    /// sockets are seen; its own are told by their owner.
    pub(super) fn own(&self) -> impl Iterator<Item = &Socket> {
        self.tcp.iter().filter(|socket| socket.user == self.user)
    }
}

/// A listener for clients (`ejabberd_c2s`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientListener {
    /// Where it can be called.
    pub at: SocketAddr,
    /// Whether it speaks TLS from the first byte.
    pub tls: bool,
    /// Whether it waits for a header of the PROXY protocol first.
    pub proxied: bool,
}

/// What a listener offers to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The listener.
    pub listener: ClientListener,
    /// Its stream features, as it writes them before any TLS.
    pub features: Reading<String>,
}

impl Evidence {
    /// The listeners that a client is to try: those for clients in the
    /// configuration, at the address where they really listen.
    #[must_use]
    pub fn client_listeners(&self) -> Reading<Vec<ClientListener>> {
        let configuration = match &self.configuration {
            Reading::Known(configuration) => configuration,
            Reading::Unknown(why) => return Reading::Unknown(why.clone()),
        };
        let listeners = match configuration.listeners() {
            Ok(listeners) => listeners,
            Err(why) => return Reading::Unknown(why),
        };
        // Nobody else can call a Unix socket.
        let clients = listeners.iter().filter(|listener| listener.is_for_clients());
        let clients = clients.filter_map(|listener| {
            let (tls, proxied) = (listener.speaks_tls(), listener.is_proxied());
            Some(ClientListener { at: listener.at()?, tls, proxied })
        });
        let mut clients: Vec<ClientListener> = clients.collect();
        for client in &mut clients {
            let socket = self.inside.known().and_then(|inside| {
                inside.own().find(|socket| socket.at.port() == client.at.port())
            });
            let address = socket.map_or(client.at.ip(), |socket| socket.at.ip());
            client.at = SocketAddr::new(reachable(address), client.at.port());
        }
        Reading::Known(clients)
    }
}

/// An address at which one can call what listens at `address`.
fn reachable(address: std::net::IpAddr) -> std::net::IpAddr {
    if address.is_unspecified() { std::net::Ipv4Addr::LOCALHOST.into() } else { address }
}
