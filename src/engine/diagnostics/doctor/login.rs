//! Collects the evidence about logins.

use std::net::SocketAddr;

use futures_util::{StreamExt, stream};

use super::queries::AT_ONCE;
use super::{CALL, explained, within};
use crate::domain::checks::audit::{Inside, Socket};
use crate::domain::checks::doctor::{Backend, Client, Listening, Opening, PortTarget};
use crate::domain::model::Vhost;
use crate::domain::observed::{Published, Reading};
use crate::ejabberd::EjabberdClient;
use crate::ejabberd::client::{AnyListener, Encryption, ListenAddress, Opening as Open};

/// The maximum number of hosts whose authentication methods the operator queries. If the server has
/// more hosts, the methods are unknown.
const MOST_HOSTS: usize = 20;

/// The maximum number of listeners in the evidence. If the server has more listeners, the listeners
/// are unknown.
const MOST_LISTENERS: usize = 100;

/// The maximum number of streams to open, one for each listener and host. The operator skips
/// further streams.
const MOST_CLIENTS: usize = 60;

/// Returns the authentication methods of every host of the server, or an error if there are more
/// than [`MOST_HOSTS`] hosts.
pub(super) async fn backends(server: &EjabberdClient) -> Result<Vec<Backend>, String> {
    let hosts = explained(server.hosts().await)?;
    if hosts.len() > MOST_HOSTS {
        return Err(format!("{} hosts are too many to ask for each", hosts.len()));
    }
    let hosts = hosts.iter().map(|host| Vhost::new(host).map_err(|e| format!("{host}: {e}")));
    let asks = hosts.map(|host| async move { explained(server.backends(&host?).await) });
    // Query all hosts at the same time, because a method whose server does not respond takes
    // seconds, and most hosts have the same method.
    let asks: Vec<_> = asks.collect();
    let found: Vec<Result<_, String>> = stream::iter(asks).buffered(MOST_HOSTS).collect().await;
    Ok(found.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Returns every listener, and whether the server has a socket for the listener, or an error if
/// there are more than [`MOST_LISTENERS`] listeners.
pub(super) async fn listeners(
    server: &EjabberdClient,
    inside: &Reading<Inside>,
) -> Result<Vec<Listening>, String> {
    let all = explained(server.all_listeners().await)?;
    if all.len() > MOST_LISTENERS {
        return Err(format!("{} listeners are too many to check", all.len()));
    }
    let unix = explained(server.open_unix_sockets().await);
    let listeners = all.iter().map(|listener| {
        let AnyListener { address, udp, module, .. } = listener;
        let open = match (address, inside, &unix) {
            (ListenAddress::Net(at), Reading::Known(inside), _) => {
                Reading::Known(is_bound(*at, *udp, inside))
            }
            (ListenAddress::Net(_), Reading::Unknown(why), _)
            | (ListenAddress::Unix(_), _, Err(why)) => Reading::Unknown(why.clone()),
            (ListenAddress::Unix(path), _, Ok(unix)) => Reading::Known(unix.contains(path)),
        };
        Listening { at: address.to_string(), udp: *udp, module: module.clone(), open }
    });
    Ok(listeners.collect())
}

/// Whether the server has a socket for the listener.
fn is_bound(at: SocketAddr, udp: bool, inside: &Inside) -> bool {
    let sockets = if udp { &inside.udp } else { &inside.tcp };
    sockets.iter().any(|socket| {
        // Two unspecified addresses count as equal, because a socket for every IPv6 address may
        // also serve every IPv4 address.
        let same = socket.at.ip() == at.ip()
            || (socket.at.ip().is_unspecified() && at.ip().is_unspecified());
        socket.user == inside.user && socket.at.port() == at.port() && same
    })
}

/// Returns the published ports, each with the kind of socket that the port leads to, according to
/// the kernel's tables.
pub(super) fn published(ports: &[Published], inside: &Inside) -> Vec<(Published, PortTarget)> {
    let target = |port: &Published| {
        let sockets = if port.udp { &inside.udp } else { &inside.tcp };
        let at: Vec<&Socket> =
            sockets.iter().filter(|socket| socket.at.port() == port.inside).collect();
        match at.as_slice() {
            [] => PortTarget::Nothing,
            all if all.iter().all(|socket| socket.is_local()) => PortTarget::Loopback,
            _ => PortTarget::Socket,
        }
    };
    ports.iter().map(|port| (*port, target(port))).collect()
}

/// Returns the responses to clients that begin a stream, for each listener and host.
pub(super) async fn clients(
    server: &EjabberdClient,
    hosts: Vec<Vhost>,
) -> Result<Vec<Client>, String> {
    let all = explained(server.all_listeners().await)?;
    let unix = explained(server.takes_unix_connections().await)?;
    let mut openings: Vec<(&AnyListener, Open<'_>)> = all.iter().flat_map(openings_at).collect();
    let before = openings.len();
    openings.retain(|(listener, _)| unix || matches!(listener.address, ListenAddress::Net(_)));
    if openings.is_empty() && before > 0 {
        return Err(
            "clients come in by Unix sockets alone, and a connection would end those of this version"
                .to_owned(),
        );
    }
    let wanted = openings.iter().flat_map(|opening| hosts.iter().map(move |host| (*opening, host)));
    let asks = wanted.take(MOST_CLIENTS).map(|((listener, open), host)| async move {
        let response = within(CALL, async {
            explained(server.begin_stream(listener, open, host, CALL).await)
        });
        let (at, opening) = described(listener, open);
        Client { at, host: host.clone(), opening, response: response.await }
    });
    let asks: Vec<_> = asks.collect();
    Ok(stream::iter(asks).buffered(AT_ONCE).collect().await)
}

/// Returns the ways in which clients begin a stream at a listener.
fn openings_at(listener: &AnyListener) -> Vec<(&AnyListener, Open<'_>)> {
    match listener.module.as_str() {
        _ if listener.udp => Vec::new(),
        "ejabberd_c2s" => vec![(listener, Open::Stream)],
        "ejabberd_http" => {
            let ways = listener.handlers.iter().filter_map(|(path, module)| {
                let open = match module.as_str() {
                    "ejabberd_http_ws" => Open::Websocket(path),
                    "mod_bosh" => Open::Bosh(path),
                    _ => return None,
                };
                Some((listener, open))
            });
            ways.collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the address and the kind of an opening, for the evidence.
fn described(listener: &AnyListener, open: Open<'_>) -> (String, Opening) {
    let direct = listener.encryption == Encryption::Direct;
    let place = &listener.address;
    match (open, listener.encryption) {
        (Open::Stream, Encryption::Direct) => (place.to_string(), Opening::DirectTls),
        (Open::Stream, Encryption::Starttls) => (place.to_string(), Opening::Starttls),
        (Open::Stream, Encryption::None) => (place.to_string(), Opening::Plain),
        (Open::Websocket(path), _) => {
            let scheme = if direct { "wss" } else { "ws" };
            (format!("{scheme}://{place}{path}"), Opening::Websocket)
        }
        (Open::Bosh(path), _) => {
            let scheme = if direct { "https" } else { "http" };
            (format!("{scheme}://{place}{path}"), Opening::Bosh)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(at: &str, user: u32) -> Socket {
        Socket { at: at.parse().unwrap(), user }
    }

    #[test]
    fn a_published_port_needs_a_socket_that_is_not_on_loopback() {
        let inside = Inside {
            user: 7,
            tcp: vec![
                socket("127.0.0.1:5222", 7),
                socket("[::1]:5222", 7),
                socket("0.0.0.0:5280", 7),
                socket("127.0.0.1:5269", 7),
                socket("[::]:5269", 7),
            ],
            udp: vec![socket("127.0.0.1:3478", 7)],
        };
        let port = |inside, udp| Published { outside: "127.0.0.1:9".parse().unwrap(), inside, udp };
        let ports = [
            port(5222, false),
            port(5280, false),
            port(5269, false),
            port(3478, true),
            port(3478, false),
            port(1, true),
        ];
        let found = published(&ports, &inside).into_iter().map(|(_, target)| target);
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                PortTarget::Loopback,
                PortTarget::Socket,
                PortTarget::Socket,
                PortTarget::Loopback,
                PortTarget::Nothing,
                PortTarget::Nothing
            ]
        );
    }

    #[test]
    fn a_listener_is_bound_only_at_a_socket_of_the_server() {
        let inside = Inside {
            user: 7,
            tcp: vec![socket("0.0.0.0:5222", 7), socket("127.0.0.1:80", 0)],
            udp: vec![socket("127.0.0.1:3478", 7)],
        };
        let bound = |at: &str, udp| is_bound(at.parse().unwrap(), udp, &inside);
        assert!(bound("[::]:5222", false) && bound("127.0.0.1:3478", true));
        // Sockets of another user, at another address, and of another protocol do not count.
        assert!(!bound("127.0.0.1:80", false));
        assert!(!bound("127.0.0.1:5222", false) && !bound("0.0.0.0:5222", true));
    }
}
