//! Judges the items about sockets and the addresses of sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::{
    ClientListener, Distribution, Evidence, Inside, Judgement, Socket, Verdict, Wire, fails, known,
    passes, unknown,
};
use crate::domain::checks::text;
use crate::domain::configuration::{Configuration, Listener, Transport};
use crate::domain::observed::{Reading, RuntimeDrift};

/// The default port of epmd. epmd tells other nodes the port of the Erlang distribution.
const EPMD: u16 = 4369;

/// The maximum number of sockets that a finding names.
const SHOWN: usize = 8;

/// Judges the addresses of the server's sockets. In a bridge network, a listener that a published
/// port reaches fails the item. The failure is intended: every container on the bridge can connect
/// to such a listener, and the listener cannot tell a container from the host.
pub(super) fn loopback_inside(evidence: &Evidence) -> Judgement {
    let inside = known!(&evidence.inside);
    let names = Names::new(evidence);
    let own: Vec<&Socket> = inside.own().collect();
    if own.is_empty() {
        return unknown(format!(
            "the server runs as user {}, and no socket of that user listens",
            inside.user
        ));
    }
    let mut open: Vec<String> =
        own.iter().filter(|socket| !socket.is_local()).map(|socket| names.of(socket)).collect();
    open.extend(inside.open_udp(names.config).map(|socket| format!("{socket} (UDP)")));
    if open.is_empty() {
        return passes(list(own));
    }
    let bridge = match &evidence.drift {
        Reading::Known(RuntimeDrift { host_network: false, .. }) => {
            "; in a bridge network this is the container's own address: other containers reach it, \
             and a published port needs it, so this item holds only with the host's network"
        }
        _ => "",
    };
    fails(list(open) + bridge)
}

pub(super) fn loopback_published(evidence: &Evidence) -> Judgement {
    let drift = known!(&evidence.drift);
    let published = &drift.published;
    let open: Vec<&SocketAddr> = published.iter().filter(|at| !at.ip().is_loopback()).collect();
    match (published.as_slice(), open.as_slice()) {
        ([], _) if drift.host_network => {
            passes("none: with the host's network there is nothing to publish")
        }
        ([], _) => passes("none is published"),
        (all, []) => passes(list(all)),
        (_, open) => fails(list(open)),
    }
}

/// Judges the addresses of the server's ports on the host: the ports of the server's sockets if the
/// container has the host's network, otherwise the published ports.
pub(super) fn loopback_host(evidence: &Evidence) -> Judgement {
    let drift = known!(&evidence.drift);
    let host = known!(&evidence.host);
    let ports: BTreeSet<u16> = if drift.host_network {
        known!(&evidence.inside).own().map(|socket| socket.at.port()).collect()
    } else {
        drift.published.iter().map(SocketAddr::port).collect()
    };
    if ports.is_empty() {
        return passes("the server has no port on the host");
    }
    // Compare the address too: another program may have a socket with the same port at another
    // address.
    let is_of_server = |socket: &&Socket| {
        if drift.host_network {
            let inside = evidence.inside.known();
            inside.is_some_and(|inside| inside.own().any(|own| own.at == socket.at))
        } else {
            drift.published.iter().any(|at| {
                at.port() == socket.at.port()
                    && (at.ip() == socket.at.ip() || socket.at.ip().is_unspecified())
            })
        }
    };
    let seen: Vec<&Socket> = host.iter().filter(is_of_server).collect();
    if seen.is_empty() {
        return unknown(format!(
            "none of its ports ({}) is open in the network that the operator sees: \
             the operator is in a container, or Docker forwards without a socket",
            list(&ports)
        ));
    }
    let names = Names::new(evidence);
    let open: Vec<String> =
        seen.iter().filter(|socket| !socket.is_local()).map(|socket| names.of(socket)).collect();
    if open.is_empty() { passes(list(&seen)) } else { fails(list(open)) }
}

/// Judges the addresses of epmd and of the Erlang distribution. The kernel assigns the port of the
/// distribution, so the server's VM reports the port. Other sockets of the server, such as the
/// socket of `mod_proxy65`, do not count.
pub(super) fn distribution_local(evidence: &Evidence) -> Judgement {
    let inside = known!(&evidence.inside);
    let names = Names::new(evidence);
    let epmd_at = names.mapper();
    let is_epmd = |socket: &&Socket| socket.at.port() == epmd_at;
    let epmd: Vec<&Socket> = inside.tcp.iter().filter(is_epmd).collect();
    let open_epmd: Vec<String> =
        epmd.iter().filter(|socket| !socket.is_local()).map(|socket| names.of(socket)).collect();
    let port = match &evidence.distribution {
        Reading::Known(distribution) => distribution.port,
        Reading::Unknown(_) if !open_epmd.is_empty() => return fails(list(open_epmd)),
        Reading::Unknown(why) => {
            return unknown(format!("the port of the Erlang distribution is unknown: {why}"));
        }
    };
    let own: Vec<&Socket> = inside.own().filter(|socket| Some(socket.at.port()) == port).collect();
    let open = own.iter().filter(|socket| !socket.is_local()).map(|socket| names.of(socket));
    let open: Vec<String> = open_epmd.into_iter().chain(open).collect();
    match port {
        _ if !open.is_empty() => fails(list(open)),
        Some(port) if own.is_empty() => {
            unknown(format!("no socket of the server listens at the distribution's port {port}"))
        }
        None if epmd.is_empty() => passes("neither epmd nor the distribution is open"),
        _ => passes(list(epmd.iter().chain(&own).map(|socket| names.of(socket)))),
    }
}

pub(super) fn starttls_wire(evidence: &Evidence) -> Judgement {
    let wire = known!(&evidence.wire);
    if wire.is_empty() {
        // If the configuration is unknown, a listener for clients may exist, so the item must not
        // pass.
        known!(&evidence.configuration);
        return passes("no listener is for clients");
    }
    let judgements: Vec<Judgement> = wire.iter().map(offered).collect();
    for verdict in [Verdict::Fails, Verdict::Unknown, Verdict::Passes] {
        let found = judgements.iter().filter(|judgement| judgement.verdict == verdict);
        let seen: Vec<&str> = found.map(|judgement| judgement.seen.as_str()).collect();
        if !seen.is_empty() {
            return Judgement::new(verdict, seen.join("; "));
        }
    }
    unknown("no listener was tried")
}

/// Judges the stream features that one listener offers.
fn offered(wire: &Wire) -> Judgement {
    let ClientListener { at, tls, proxied: _ } = &wire.listener;
    let response = match &wire.features {
        Reading::Known(response) => response,
        Reading::Unknown(why) => return unknown(format!("{at}: {why}")),
    };
    let features = response.split_once("<stream:features").map(|(_, features)| features);
    let starttls = features.and_then(|features| features.split_once("<starttls"));
    match (features, starttls) {
        (None, _) if *tls => passes(format!("{at}: TLS from the first byte")),
        (None, _) => match stream_error(response) {
            Some(error) => unknown(format!("{at}: it rejects a client with {error}")),
            None => unknown(format!("{at}: it does not respond like a listener for clients")),
        },
        (Some(_), _) if *tls => fails(format!("{at}: it responds without TLS")),
        (Some(_), None) => fails(format!("{at}: it does not offer TLS")),
        (Some(_), Some((_, rest))) => match rest.split_once("</starttls>") {
            Some((inner, _)) if inner.contains("<required") => {
                passes(format!("{at}: <starttls/> is <required/>"))
            }
            _ => fails(format!("{at}: it offers TLS and does not demand it")),
        },
    }
}

/// Returns the name of the stream error in a response, such as `host-unknown` if the server does
/// not serve the declared host; `None` if the response has no stream error.
fn stream_error(response: &str) -> Option<&str> {
    let (_, error) = response.split_once("<stream:error><")?;
    error.split([' ', '/', '>']).next()
}

impl Inside {
    /// Returns the UDP sockets of configured listeners that are not on loopback. Other UDP sockets
    /// do not count, because a DNS query opens a UDP socket too.
    fn open_udp<'a>(
        &'a self,
        config: Option<&'a Configuration>,
    ) -> impl Iterator<Item = &'a Socket> {
        let listeners = config.and_then(|config| config.listeners().ok()).unwrap_or_default();
        self.udp.iter().filter(move |socket| {
            let port = socket.at.port();
            let declared = listeners.iter().any(|l| is_at(l, Transport::Udp, port));
            socket.user == self.user && declared && !socket.is_local()
        })
    }
}

/// Whether a listener has the port `port` and the protocol `transport`.
fn is_at(listener: &Listener<'_>, transport: Transport, port: u16) -> bool {
    listener.transport == transport && listener.at().is_some_and(|at| at.port() == port)
}

/// Finds the names of sockets: the module of the configured listener, epmd or the Erlang
/// distribution. If the configuration is unknown, the sockets of listeners have no name.
struct Names<'e> {
    config: Option<&'e Configuration>,
    distribution: Option<Distribution>,
}

impl<'e> Names<'e> {
    fn new(evidence: &'e Evidence) -> Self {
        let config = evidence.configuration.known().filter(|c| c.listeners().is_ok());
        Self { config, distribution: evidence.distribution.known().copied() }
    }

    /// Returns the port of epmd: the port that the server's VM reports, otherwise the default port.
    fn mapper(&self) -> u16 {
        self.distribution.map_or(EPMD, |distribution| distribution.mapper)
    }

    fn listener(&self, socket: &Socket) -> Option<String> {
        let listeners = self.config?.listeners().ok()?;
        let found = listeners.iter().find(|l| is_at(l, Transport::Tcp, socket.at.port()))?;
        Some(found.module.to_owned())
    }

    fn of(&self, socket: &Socket) -> String {
        let name = match self.listener(socket) {
            Some(module) => module,
            None if socket.at.port() == self.mapper() => "epmd".to_owned(),
            None if self.distribution.and_then(|d| d.port) == Some(socket.at.port()) => {
                "Erlang's distribution".to_owned()
            }
            // A module such as mod_proxy65 opened the socket. The kernel does not report the
            // module.
            None => return socket.to_string(),
        };
        format!("{socket} ({name})")
    }
}

pub(super) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    text::list(SHOWN, items)
}
