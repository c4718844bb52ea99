//! The listeners of the server, from its configuration in force.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::{Arg, Call, ControlError, EjabberdClient, Result, Value};
use crate::domain::model::{ServerVersion, Vhost};

/// The first tested version in which the listener of a Unix socket survives a connection.
const UNIX_SINCE: ServerVersion = ServerVersion { year: 26, month: 7 };

/// One TCP listener of the configuration in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The configured address.
    pub at: SocketAddr,
    /// The module that serves the listener, such as `ejabberd_c2s`.
    pub module: String,
    /// The options `starttls`, `starttls_required` and `tls`.
    pub encryption: Encryption,
    /// The option `use_proxy_protocol`.
    pub proxied: bool,
}

/// One listener of any kind in the configuration in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnyListener {
    /// The configured address.
    pub address: ListenAddress,
    /// Whether the listener uses UDP.
    pub udp: bool,
    /// The module that serves the listener, such as `ejabberd_stun`.
    pub module: String,
    /// The options `starttls`, `starttls_required` and `tls`.
    pub encryption: Encryption,
    /// The option `use_proxy_protocol`.
    pub proxied: bool,
    /// The option `request_handlers`: paths and the modules behind them.
    pub handlers: Vec<(String, String)>,
}

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and port.
    Net(SocketAddr),
    /// The path of a Unix socket. A relative path begins at the database directory.
    Unix(String),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(at) => at.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// The transport with which a client begins a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening<'a> {
    /// A stream over TCP, with STARTTLS if the server offers it.
    Stream,
    /// A WebSocket at this path.
    Websocket(&'a str),
    /// BOSH at this path.
    Bosh(&'a str),
}

/// The encryption of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// No encryption.
    None,
    /// The listener offers STARTTLS (`starttls`, `starttls_required`).
    Starttls,
    /// The listener speaks TLS from the first byte (`tls`).
    Direct,
}

/// The address of a listener, and the protocols with which a client connects to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address at which the host of the server reaches the listener.
    pub at: SocketAddr,
    /// Whether the listener first expects a header of the PROXY protocol.
    pub proxied: bool,
    /// Whether the listener speaks TLS from the first byte.
    pub tls: bool,
}

impl Endpoint {
    /// The endpoint of a listener that is bound at `at`, without the PROXY protocol and without
    /// TLS.
    #[must_use]
    pub fn plain(at: SocketAddr) -> Self {
        Self { at: reachable(at), proxied: false, tls: false }
    }
}

/// The address at which the same host reaches a socket that is bound at `at`.
fn reachable(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, at.port())
}

impl Listener {
    /// Whether clients log in at this listener.
    #[must_use]
    pub fn is_c2s(&self) -> bool {
        self.module == "ejabberd_c2s"
    }

    /// The endpoint of the listener for clients on the host of the server.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        let tls = self.encryption == Encryption::Direct;
        Endpoint { at: reachable(self.at), proxied: self.proxied, tls }
    }
}

impl EjabberdClient {
    /// The TCP listeners of the configuration in force, without listeners on Unix sockets and UDP.
    pub async fn listeners(&self) -> Result<Vec<Listener>> {
        let all = self.all_listeners().await?.into_iter();
        Ok(all.filter_map(AnyListener::tcp).collect())
    }

    /// Every listener of the configuration in force. Fails if one listener cannot be parsed,
    /// because a count without that listener would be wrong.
    pub async fn all_listeners(&self) -> Result<Vec<AnyListener>> {
        const NAME: &str = "listen";
        let call = Call::function("ejabberd_option", NAME, Vec::new());
        let response = self.control.call(call, self.deadline).await?;
        let items = response.as_list().ok_or(ControlError::Malformed(NAME))?;
        let listeners = items.iter().map(listener);
        listeners.collect::<Option<_>>().ok_or(ControlError::Malformed(NAME))
    }

    /// Begins a stream at `listener` as a client of `host`, and returns the response up to the
    /// login mechanisms. The client runs on the host of the server.
    pub async fn begin_stream(
        &self,
        listener: &AnyListener,
        opening: Opening<'_>,
        host: &Vhost,
        deadline: Duration,
    ) -> Result<String> {
        let (function, more): (_, Vec<Arg>) = match opening {
            Opening::Stream => ("stream", Vec::new()),
            Opening::Websocket(path) => ("websocket", vec![path.into()]),
            Opening::Bosh(path) => ("bosh", vec![path.into()]),
        };
        let response = self.at_listener(function, listener, host.as_str(), more, deadline).await?;
        let bytes = response.into_bytes().ok_or(ControlError::Malformed(function))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The paths of the Unix sockets at which the server listens, from its supervisor. Opens no
    /// connection.
    pub async fn open_unix_sockets(&self) -> Result<BTreeSet<String>> {
        const NAME: &str = "which_children";
        let call = Call::function("supervisor", NAME, vec![Arg::Atom("ejabberd_listener")]);
        let response = self.control.call(call, self.deadline).await?;
        let children = response.as_list().ok_or(ControlError::Malformed(NAME))?.iter();
        let paths = children.filter_map(|child| match child.as_tuple()? {
            // A process is `Other`; a stopped child is the atom `undefined` or `restarting`.
            [id, Value::Other, ..] => {
                let port = id.as_tuple()?.first()?.as_text()?;
                Some(port.strip_prefix("unix:")?.to_owned())
            }
            _ => None,
        });
        Ok(paths.collect())
    }

    /// Whether the listener of a Unix socket survives a connection. In 24.12 the listener ends for
    /// five seconds after it accepts a connection, because it fails to log the connection (tested);
    /// in 26.07 the listener survives (tested).
    pub async fn takes_unix_connections(&self) -> Result<bool> {
        Ok(self.version().await? >= UNIX_SINCE)
    }

    pub(super) async fn at_listener(
        &self,
        function: &'static str,
        listener: &AnyListener,
        host: &str,
        more: Vec<Arg>,
        deadline: Duration,
    ) -> Result<Value> {
        let tls = listener.encryption == Encryption::Direct;
        let path = match &listener.address {
            ListenAddress::Net(at) => {
                let to = Endpoint { at: reachable(*at), proxied: listener.proxied, tls };
                return self.beside(function, to, host, more, deadline).await;
            }
            ListenAddress::Unix(path) if path.starts_with('/') => path.clone(),
            // Source: `ejabberd_listener:relative_socket_to_mnesia/1`.
            ListenAddress::Unix(path) => format!("{}/{path}", self.database_directory().await?),
        };
        let mut args: Vec<Arg> = vec![
            format!("unix:{path}").as_str().into(),
            Arg::Int(0),
            Arg::Atom(if listener.proxied { "proxied" } else { "direct" }),
            Arg::Atom(if tls { "direct_tls" } else { "plain" }),
            host.into(),
        ];
        args.extend(more);
        self.control.call(Call::Beside { function, args }, deadline).await
    }
}

impl AnyListener {
    fn tcp(self) -> Option<Listener> {
        let Self { address, udp, module, encryption, proxied, handlers: _ } = self;
        match address {
            ListenAddress::Net(at) if !udp => Some(Listener { at, module, encryption, proxied }),
            _ => None,
        }
    }
}

/// Parses `[{Path, Module}]`, with each path as the list of its parts.
fn handlers(value: &Value) -> Vec<(String, String)> {
    let entries = value.as_list().unwrap_or_default().iter();
    let pairs = entries.filter_map(|entry| match entry.as_tuple()? {
        [path, module] => {
            let parts = path.as_list()?.iter().map(Value::as_text).collect::<Option<Vec<_>>>()?;
            Some((format!("/{}", parts.join("/")), module.as_text()?.to_owned()))
        }
        _ => None,
    });
    pairs.collect()
}

/// Parses `{{Port, Address, Transport}, Module, Options}`; the port of a Unix socket is
/// `<<"unix:/path">>`.
fn listener(item: &Value) -> Option<AnyListener> {
    let [Value::Tuple(socket), module, options] = item.as_tuple()? else { return None };
    let [port, address, transport] = socket.as_slice() else { return None };
    let address = match port {
        Value::Int(port) => {
            ListenAddress::Net(SocketAddr::new(ip(address)?, u16::try_from(*port).ok()?))
        }
        other => ListenAddress::Unix(other.as_text()?.strip_prefix("unix:")?.to_owned()),
    };
    let udp = match transport.as_text()? {
        "tcp" => false,
        "udp" => true,
        _ => return None,
    };
    let option = |name: &str| {
        options.as_list()?.iter().filter_map(Value::as_tuple).find_map(|option| match option {
            [key, value] if key.as_text() == Some(name) => Some(value),
            _ => None,
        })
    };
    let on = |name: &str| option(name).and_then(Value::as_text) == Some("true");
    Some(AnyListener {
        address,
        udp,
        module: module.as_text()?.to_owned(),
        handlers: option("request_handlers").map(handlers).unwrap_or_default(),
        encryption: if on("tls") {
            Encryption::Direct
        } else if on("starttls") || on("starttls_required") {
            Encryption::Starttls
        } else {
            Encryption::None
        },
        proxied: on("use_proxy_protocol"),
    })
}

/// Parses an Erlang address: a tuple of four bytes or of eight 16-bit numbers.
fn ip(address: &Value) -> Option<IpAddr> {
    let parts: Vec<i64> = address
        .as_tuple()?
        .iter()
        .map(|part| match part {
            Value::Int(number) => Some(*number),
            _ => None,
        })
        .collect::<Option<_>>()?;
    match <[i64; 4]>::try_from(parts.as_slice()) {
        Ok(four) => {
            let mut bytes = [0; 4];
            for (byte, part) in bytes.iter_mut().zip(four) {
                *byte = u8::try_from(part).ok()?;
            }
            Some(IpAddr::from(bytes))
        }
        Err(_) => {
            let eight = <[i64; 8]>::try_from(parts.as_slice()).ok()?;
            let mut words = [0; 8];
            for (word, part) in words.iter_mut().zip(eight) {
                *word = u16::try_from(part).ok()?;
            }
            Some(IpAddr::from(words))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_parsed_from_ejabberds_response() {
        let atom = |word: &str| Value::Atom(word.to_owned());
        let ints = |numbers: &[i64]| Value::Tuple(numbers.iter().map(|n| Value::Int(*n)).collect());
        let item = |address: Value, options| {
            Value::Tuple(vec![
                Value::Tuple(vec![Value::Int(5222), address, atom("tcp")]),
                atom("ejabberd_c2s"),
                Value::List(options),
            ])
        };
        let required = Value::Tuple(vec![atom("starttls_required"), atom("true")]);
        let found = listener(&item(ints(&[127, 0, 0, 1]), vec![required])).unwrap();
        let found = found.tcp().unwrap();
        assert_eq!(found.at.to_string(), "127.0.0.1:5222");
        assert!(found.is_c2s() && found.encryption == Encryption::Starttls);
        let six = listener(&item(ints(&[0, 0, 0, 0, 0, 0, 0, 1]), Vec::new())).unwrap();
        assert_eq!(six.address.to_string(), "[::1]:5222");
        assert_eq!(listener(&item(ints(&[300, 0, 0, 1]), Vec::new())), None);
    }

    #[test]
    fn listeners_of_every_kind_are_read() {
        let atom = |word: &str| Value::Atom(word.to_owned());
        let text = |word: &str| Value::Text(word.to_owned());
        let pair = |key, value| Value::Tuple(vec![key, value]);
        let any = Value::Tuple([0, 0, 0, 0].map(Value::Int).to_vec());
        let item = |port: Value, transport: &str, module: &str, options| {
            let socket = Value::Tuple(vec![port, any.clone(), atom(transport)]);
            listener(&Value::Tuple(vec![socket, atom(module), Value::List(options)]))
        };
        let ws = pair(Value::List(vec![text("chat"), text("ws")]), atom("ejabberd_http_ws"));
        let root = pair(Value::List(Vec::new()), atom("mod_bosh"));
        let handlers = pair(atom("request_handlers"), Value::List(vec![ws, root]));
        let on = pair(atom("tls"), atom("true"));
        let http = item(text("unix:/run/x.sock"), "tcp", "ejabberd_http", vec![handlers, on]);
        let http = http.unwrap();
        assert_eq!(http.address, ListenAddress::Unix("/run/x.sock".into()));
        assert_eq!(http.encryption, Encryption::Direct);
        let expected = [("/chat/ws", "ejabberd_http_ws"), ("/", "mod_bosh")];
        assert_eq!(http.handlers, expected.map(|(path, m)| (path.to_owned(), m.to_owned())));
        let stun = item(Value::Int(3478), "udp", "ejabberd_stun", Vec::new()).unwrap();
        assert!(stun.udp && stun.tcp().is_none());
        assert_eq!(item(Value::Int(1), "sctp", "x", Vec::new()), None);
        assert_eq!(item(text("5222"), "tcp", "x", Vec::new()), None);
    }
}
