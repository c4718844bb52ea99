//! Whether people can log in, as far as the server can be asked.

use std::net::SocketAddr;

use futures_util::{StreamExt, stream};

use super::{CALL, said, within};
use crate::domain::checks::audit::{Inside, Socket};
use crate::domain::checks::doctor::{Backend, Behind, Client, Listening, Opening};
use crate::domain::model::Vhost;
use crate::domain::observed::{Published, Reading};
use crate::ejabberd::EjabberdClient;
use crate::ejabberd::client::{AnyListener, Encryption, ListenAddress, Opening as Open};

/// No more vhosts, listeners and places where clients begin are looked at.
const MOST_HOSTS: usize = 20;
const MOST_LISTENERS: usize = 100;
const MOST_CLIENTS: usize = 60;

/// Questions under way at once.
const AT_ONCE: usize = 8;

/// The authentication methods of every vhost that the server has.
pub(super) async fn backends(server: &EjabberdClient) -> Result<Vec<Backend>, String> {
    let hosts = said(server.hosts().await)?;
    if hosts.len() > MOST_HOSTS {
        return Err(format!("{} hosts are too many to ask for each", hosts.len()));
    }
    let hosts = hosts.iter().map(|host| Vhost::new(host).map_err(|e| format!("{host}: {e}")));
    let asks = hosts.map(|host| async move { said(server.backends(&host?).await) });
    // All at once: a backend that is away takes seconds, and it is mostly the same.
    let asks: Vec<_> = asks.collect();
    let found: Vec<Result<_, String>> = stream::iter(asks).buffered(MOST_HOSTS).collect().await;
    Ok(found.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The listeners of every kind, and whether the kernel has a socket for each.
pub(super) async fn listeners(
    server: &EjabberdClient,
    inside: &Reading<Inside>,
) -> Result<Vec<Listening>, String> {
    let all = said(server.all_listeners().await)?;
    if all.len() > MOST_LISTENERS {
        return Err(format!("{} listeners are too many to look at each", all.len()));
    }
    let unix = said(server.open_unix_sockets().await);
    let looks = all.iter().map(|listener| {
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
    Ok(looks.collect())
}

fn is_bound(at: SocketAddr, udp: bool, inside: &Inside) -> bool {
    let sockets = if udp { &inside.udp } else { &inside.tcp };
    sockets.iter().any(|socket| {
        // An IPv4 socket that was opened by way of IPv6 is shown as IPv4.
        let same = socket.at.ip() == at.ip()
            || (socket.at.ip().is_unspecified() && at.ip().is_unspecified());
        socket.user == inside.user && socket.at.port() == at.port() && same
    })
}

/// What stands behind each published port, by the kernel's tables.
pub(super) fn published(ports: &[Published], inside: &Inside) -> Vec<(Published, Behind)> {
    let behind = |port: &Published| {
        let sockets = if port.udp { &inside.udp } else { &inside.tcp };
        let at: Vec<&Socket> =
            sockets.iter().filter(|socket| socket.at.port() == port.inside).collect();
        match at.as_slice() {
            [] => Behind::Nothing,
            all if all.iter().all(|socket| socket.is_local()) => Behind::Loopback,
            _ => Behind::Socket,
        }
    };
    ports.iter().map(|port| (*port, behind(port))).collect()
}

/// What a client reads that begins a stream, at each place and for each host.
pub(super) async fn clients(
    server: &EjabberdClient,
    hosts: Vec<Vhost>,
) -> Result<Vec<Client>, String> {
    let all = said(server.all_listeners().await)?;
    let unix = said(server.takes_unix_connections().await)?;
    let mut places: Vec<(&AnyListener, Open<'_>)> = all.iter().flat_map(openings).collect();
    let before = places.len();
    places.retain(|(listener, _)| unix || matches!(listener.address, ListenAddress::Net(_)));
    if places.is_empty() && before > 0 {
        return Err(
            "clients come in by Unix sockets alone, and a connection would end those of this version"
                .to_owned(),
        );
    }
    let wanted = places.iter().flat_map(|place| hosts.iter().map(move |host| (*place, host)));
    let asks = wanted.take(MOST_CLIENTS).map(|((listener, open), host)| async move {
        let says =
            within(CALL, async { said(server.begin_stream(listener, open, host, CALL).await) });
        let (at, opening) = shown(listener, open);
        Client { at, host: host.clone(), opening, says: says.await }
    });
    let asks: Vec<_> = asks.collect();
    Ok(stream::iter(asks).buffered(AT_ONCE).collect().await)
}

/// The ways in which clients begin a stream at a listener.
fn openings(listener: &AnyListener) -> Vec<(&AnyListener, Open<'_>)> {
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

fn shown(listener: &AnyListener, open: Open<'_>) -> (String, Opening) {
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
        let found = published(&ports, &inside).into_iter().map(|(_, behind)| behind);
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                Behind::Loopback,
                Behind::Socket,
                Behind::Socket,
                Behind::Loopback,
                Behind::Nothing,
                Behind::Nothing
            ]
        );
    }

    #[test]
    fn a_listener_is_bound_where_the_server_has_the_socket() {
        let inside = Inside {
            user: 7,
            tcp: vec![socket("0.0.0.0:5222", 7), socket("127.0.0.1:80", 0)],
            udp: vec![socket("127.0.0.1:3478", 7)],
        };
        let bound = |at: &str, udp| is_bound(at.parse().unwrap(), udp, &inside);
        assert!(bound("[::]:5222", false) && bound("127.0.0.1:3478", true));
        // Another program's, another address, another protocol.
        assert!(!bound("127.0.0.1:80", false));
        assert!(!bound("127.0.0.1:5222", false) && !bound("0.0.0.0:5222", true));
    }
}
