//! The evidence that the checklist judges.

use std::net::SocketAddr;

use jiff::Timestamp;

use super::{Certificate, ClientEvidence, Socket};
use crate::domain::configuration::Configuration;
use crate::domain::model::ServerVersion;
use crate::domain::nginx::Route;
use crate::domain::observed::{Reading, RuntimeDrift};

/// The evidence that the engine collected about a server. A value that could not be collected is
/// unknown, with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The declared variant; `None` if no configuration is declared.
    pub variant: Option<Variant>,
    /// The configuration in force, as the server reports the configuration.
    pub configuration: Reading<Configuration>,
    /// The sockets in the network namespace of the server.
    pub inside: Reading<Inside>,
    /// The ports of the Erlang distribution, as the server's VM reports the ports.
    pub distribution: Reading<Distribution>,
    /// The TCP sockets in the network namespace of the operator. This namespace is the host's,
    /// unless the operator runs in a container.
    pub host: Reading<Vec<Socket>>,
    /// The properties of the runtime, and the differences between the runtime and the declaration;
    /// unknown if there is no server.
    pub drift: Reading<RuntimeDrift>,
    /// The stream features that a client sees, for each listener for clients.
    pub wire: Reading<Vec<Wire>>,
    /// The version of the server.
    pub version: Reading<ServerVersion>,
    /// The declared certificates.
    pub certificates: Reading<Vec<Certificate>>,
    /// The declared clients of messaging.
    pub clients: Vec<ClientEvidence>,
    /// The routes of nginx; `None` if this host has no nginx.
    pub nginx: Reading<Option<Vec<Route>>>,
    /// The time of the collection.
    pub now: Timestamp,
}

/// The ports that Erlang nodes use to find and reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distribution {
    /// The distribution port of the server's node; `None` if the node has no distribution port.
    pub port: Option<u16>,
    /// The configured port of the port mapper (epmd). If epmd does not run, no program listens at
    /// this port.
    pub mapper: u16,
}

/// The declared variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The name.
    pub name: String,
    /// Whether the configuration files on the server are the files of the variant.
    pub in_force: Reading<bool>,
}

/// The sockets in the network namespace of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The numeric id of the user that the server runs as.
    pub user: u32,
    /// The listening TCP sockets of every user.
    pub tcp: Vec<Socket>,
    /// The open UDP sockets of every user.
    pub udp: Vec<Socket>,
}

impl Inside {
    /// Returns the listening TCP sockets of the server. With the host's network, `tcp` contains the
    /// sockets of every program on the host. So this function selects the sockets that belong to
    /// the user that the server runs as.
    pub fn own(&self) -> impl Iterator<Item = &Socket> {
        self.tcp.iter().filter(|socket| socket.user == self.user)
    }
}

/// A listener for clients (`ejabberd_c2s`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientListener {
    /// The address to connect to.
    pub at: SocketAddr,
    /// Whether the listener speaks TLS from the first byte.
    pub tls: bool,
    /// Whether the listener expects a header of the PROXY protocol first.
    pub proxied: bool,
}

/// The stream features that a listener offers to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The listener.
    pub listener: ClientListener,
    /// The features that the listener sends before TLS.
    pub features: Reading<String>,
}

impl Evidence {
    /// Returns the configured listeners for clients, each with the address of the listener's
    /// socket. The collector opens a stream to each listener.
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
        // Skip a listener with a Unix socket: the socket has no address, and other hosts cannot
        // connect to the socket.
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

/// Returns the address to connect to for a socket that listens at `address`: IPv4 loopback if the
/// socket listens at every address.
fn reachable(address: std::net::IpAddr) -> std::net::IpAddr {
    if address.is_unspecified() { std::net::Ipv4Addr::LOCALHOST.into() } else { address }
}
