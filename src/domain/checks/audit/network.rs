//! Items about sockets: what listens where.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::evidence::{ClientListener, Distribution, Evidence, Inside, Wire};
use super::{Answer, Socket, Verdict, fails, file, holds, unknown};
use crate::domain::configuration::{Configuration, Listener, Transport};
use crate::domain::observed::{Reading, RuntimeDrift};

/// Where epmd listens, which tells other nodes where the distribution does, unless
/// the server says otherwise.
const EPMD: u16 = 4369;

/// The most sockets that are named.
const SHOWN: usize = 8;

/// In a bridge network this can hold only where nothing is published. That it
/// fails there is meant: a listener that a published port can reach is open to
/// every container on the bridge, and nothing tells those from the host.
pub(super) fn loopback_inside(evidence: &Evidence) -> Answer {
    let inside = match &evidence.inside {
        Reading::Known(inside) => inside,
        Reading::Unknown(why) => return unknown(why),
    };
    let names = Names::new(evidence);
    let own: Vec<&Socket> = inside.own().collect();
    if own.is_empty() {
        return unknown(format!("no socket of user {}, as which it runs, listens", inside.user));
    }
    let mut open: Vec<String> =
        own.iter().filter(|socket| !socket.is_local()).map(|socket| names.of(socket)).collect();
    open.extend(inside.open_udp(names.config).map(|socket| format!("{socket} (UDP)")));
    if open.is_empty() {
        return holds(list(own.iter().map(std::string::ToString::to_string)));
    }
    let bridge = match &evidence.drift {
        Reading::Known(RuntimeDrift { host_network: false, .. }) => {
            "; in a bridge network that is the container's own address: other containers reach it, \
             and a published port needs it, so only with the host's network can this hold"
        }
        _ => "",
    };
    fails(list(open.into_iter()) + bridge)
}

pub(super) fn loopback_published(evidence: &Evidence) -> Answer {
    let drift = match &evidence.drift {
        Reading::Known(drift) => drift,
        Reading::Unknown(why) => return unknown(why),
    };
    let published = &drift.published;
    let open: Vec<&SocketAddr> = published.iter().filter(|at| !at.ip().is_loopback()).collect();
    match (published.as_slice(), open.as_slice()) {
        ([], _) if drift.host_network => {
            holds("none: with the host's network there is nothing to publish")
        }
        ([], _) => holds("none is published"),
        (all, []) => holds(list(all.iter().map(SocketAddr::to_string))),
        (_, open) => fails(list(open.iter().map(std::string::ToString::to_string))),
    }
}

/// The ports of the server, on the host: with the host's network those that
/// the server has open, else those that are published.
pub(super) fn loopback_host(evidence: &Evidence) -> Answer {
    let (drift, host) = match (&evidence.drift, &evidence.host) {
        (Reading::Known(drift), Reading::Known(host)) => (drift, host),
        (Reading::Unknown(why), _) | (_, Reading::Unknown(why)) => return unknown(why),
    };
    let ports: BTreeSet<u16> = if drift.host_network {
        match &evidence.inside {
            Reading::Known(inside) => inside.own().map(|socket| socket.at.port()).collect(),
            Reading::Unknown(why) => return unknown(why),
        }
    } else {
        drift.published.iter().map(SocketAddr::port).collect()
    };
    if ports.is_empty() {
        return holds("it has no port on the host");
    }
    // A socket of another program may have the same port at another address.
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
            list(ports.iter().map(u16::to_string))
        ));
    }
    let names = Names::new(evidence);
    let open: Vec<String> =
        seen.iter().filter(|socket| !socket.is_local()).map(|socket| names.of(socket)).collect();
    if open.is_empty() {
        holds(list(seen.iter().map(std::string::ToString::to_string)))
    } else {
        fails(list(open.into_iter()))
    }
}

/// epmd tells everybody where the distribution is, and the distribution has
/// whatever port it got: the server's VM knows it. What else is open, as the port
/// of `mod_proxy65`, is not taken for either.
pub(super) fn distribution_local(evidence: &Evidence) -> Answer {
    let inside = match &evidence.inside {
        Reading::Known(inside) => inside,
        Reading::Unknown(why) => return unknown(why),
    };
    let names = Names::new(evidence);
    let epmd_at = names.mapper();
    let is_epmd = |socket: &&Socket| socket.at.port() == epmd_at;
    let epmd: Vec<&Socket> = inside.tcp.iter().filter(is_epmd).collect();
    let open_epmd: Vec<String> =
        epmd.iter().filter(|socket| !socket.is_local()).map(|socket| names.of(socket)).collect();
    let port = match &evidence.distribution {
        Reading::Known(distribution) => distribution.port,
        Reading::Unknown(_) if !open_epmd.is_empty() => return fails(list(open_epmd.into_iter())),
        Reading::Unknown(why) => {
            return unknown(format!("which port the distribution has is not known: {why}"));
        }
    };
    let own: Vec<&Socket> = inside.own().filter(|socket| Some(socket.at.port()) == port).collect();
    let open = own.iter().filter(|socket| !socket.is_local()).map(|socket| names.of(socket));
    let open: Vec<String> = open_epmd.into_iter().chain(open).collect();
    match port {
        _ if !open.is_empty() => fails(list(open.into_iter())),
        Some(port) if own.is_empty() => {
            unknown(format!("no socket of the server listens at the distribution's port {port}"))
        }
        None if epmd.is_empty() => holds("neither epmd nor the distribution is open"),
        _ => holds(list(epmd.iter().chain(&own).map(|socket| names.of(socket)))),
    }
}

pub(super) fn starttls_wire(evidence: &Evidence) -> Answer {
    let wire = match &evidence.wire {
        Reading::Known(wire) => wire,
        Reading::Unknown(why) => return unknown(why),
    };
    if wire.is_empty() {
        return file::judged(evidence, |_| holds("no listener is for clients"));
    }
    let answers: Vec<Answer> = wire.iter().map(offered).collect();
    for verdict in [Verdict::Fails, Verdict::Unknown, Verdict::Holds] {
        let said: Vec<&str> =
            answers.iter().filter(|(v, _)| *v == verdict).map(|(_, seen)| seen.as_str()).collect();
        if !said.is_empty() {
            return (verdict, said.join("; "));
        }
    }
    unknown("nobody was asked")
}

fn offered(wire: &Wire) -> Answer {
    let ClientListener { at, tls, proxied: _ } = &wire.listener;
    let said = match &wire.features {
        Reading::Known(said) => said,
        Reading::Unknown(why) => return unknown(format!("{at}: {why}")),
    };
    let features = said.split_once("<stream:features").map(|(_, features)| features);
    let starttls = features.and_then(|features| features.split_once("<starttls"));
    match (features, starttls) {
        (None, _) if *tls => holds(format!("{at}: TLS from the first byte")),
        (None, _) => match stream_error(said) {
            Some(error) => unknown(format!("{at}: it turns a client away with {error}")),
            None => unknown(format!("{at}: it does not answer as a listener for clients does")),
        },
        (Some(_), _) if *tls => fails(format!("{at}: it talks without TLS")),
        (Some(_), None) => fails(format!("{at}: it does not offer TLS")),
        (Some(_), Some((_, rest))) => match rest.split_once("</starttls>") {
            Some((inner, _)) if inner.contains("<required") => {
                holds(format!("{at}: <starttls/> is <required/>"))
            }
            _ => fails(format!("{at}: it offers TLS and does not demand it")),
        },
    }
}

/// The name of a stream error: `host-unknown` where the declared host is not
/// one of the server's.
fn stream_error(said: &str) -> Option<&str> {
    let (_, error) = said.split_once("<stream:error><")?;
    error.split([' ', '/', '>']).next()
}

impl Inside {
    /// Open UDP sockets of the configuration's listeners. Others are left
    /// alone: to ask a name server opens one as well.
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

/// Whether a listener has `port` of `transport`.
fn is_at(listener: &Listener<'_>, transport: Transport, port: u16) -> bool {
    listener.transport == transport && listener.at().is_some_and(|at| at.port() == port)
}

/// What listens where, by the configuration. Nothing where that is not known.
struct Names<'e> {
    config: Option<&'e Configuration>,
    distribution: Option<Distribution>,
}

impl<'e> Names<'e> {
    fn new(evidence: &'e Evidence) -> Self {
        let config = evidence.configuration.known().filter(|c| c.listeners().is_ok());
        Self { config, distribution: evidence.distribution.known().copied() }
    }

    /// Where epmd is, if it is there.
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
            // A module opened it, as mod_proxy65 does; which one the kernel does not say.
            None => return socket.to_string(),
        };
        format!("{socket} ({name})")
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    let more = items.len().saturating_sub(SHOWN);
    items.truncate(SHOWN);
    if more > 0 {
        items.push(format!("and {more} more"));
    }
    items.join(", ")
}
