//! What the checks judge.

use std::net::SocketAddr;

use jiff::Timestamp;

use super::config::{self, ClientListener};
use super::{Certificate, Socket};
use crate::model::ServerVersion;
use crate::observed::{Reading, Surroundings};

/// Everything that was gathered about a server. Gathering never fails: what
/// could not be had is unknown, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The declared variant; `None` where none is declared.
    pub variant: Option<Variant>,
    /// The text of the main configuration on the server.
    pub configuration: Reading<String>,
    /// The sockets where the server runs.
    pub inside: Reading<Inside>,
    /// The sockets of the host, as this program sees it.
    pub host: Reading<Vec<Socket>>,
    /// How it is run; unknown as well where there is nothing.
    pub surroundings: Reading<Surroundings>,
    /// What clients are offered, by listener.
    pub wire: Reading<Vec<Wire>>,
    /// The server's version.
    pub version: Reading<ServerVersion>,
    /// The declared certificates.
    pub certificates: Reading<Vec<Certificate>>,
    /// When it was gathered.
    pub now: Timestamp,
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
        let text = match &self.configuration {
            Reading::Known(text) => text,
            Reading::Unknown(why) => return Reading::Unknown(why.clone()),
        };
        let config = match config::Config::parse(text) {
            Ok(config) => config,
            Err(why) => return Reading::Unknown(why),
        };
        let mut clients = config.client_listeners();
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
