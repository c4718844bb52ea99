//! The listeners of a configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Configuration, Value};

/// An entry of `listen`. `Debug` shows no options, because an option can be a password.
#[derive(Clone, Copy, PartialEq)]
pub struct Listener<'c> {
    /// The module that serves the port: `ejabberd_c2s`, `ejabberd_http`, ….
    pub module: &'c str,
    /// The address of the listener.
    pub address: ListenAddress<'c>,
    /// The protocol below the listener.
    pub transport: Transport,
    /// The options in the configuration.
    pub options: &'c Value,
}

/// The address of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenAddress<'c> {
    /// A port. If the number is 0, the operating system chooses the port.
    Port(SocketAddr),
    /// A Unix socket.
    Unix(&'c str),
}

/// The protocol below a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP, or a Unix stream socket.
    Tcp,
    /// UDP.
    Udp,
}

impl Configuration {
    /// The entries of `listen`, in their order. An error names the invalid entry.
    pub fn listeners(&self) -> Result<Vec<Listener<'_>>, String> {
        let entries = match self.get("listen") {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::List(entries)) => entries,
            Some(_) => return Err("`listen` is not a list".to_owned()),
        };
        let number = |n: usize, why: &str| format!("entry {} of `listen` {why}", n + 1);
        let each = entries.iter().enumerate();
        each.map(|(n, entry)| listener(entry).map_err(|why| number(n, why))).collect()
    }
}

/// Reads an entry as `ejabberd_listener:listen_opt_type/1` does (23.01 to 26.07): a port is a
/// number or `unix:PATH`, never a range. Without `ip`, the listener listens on every IPv4 address.
fn listener(entry: &Value) -> Result<Listener<'_>, &'static str> {
    let is_module = |word: &&str| {
        word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
    };
    let module = entry.get("module").and_then(Value::text).filter(is_module);
    let module = module.ok_or("names no module")?;
    let transport = match entry.get("transport").map(Value::text) {
        None | Some(Some("tcp")) => Transport::Tcp,
        Some(Some("udp")) => Transport::Udp,
        Some(_) => return Err("has a `transport` that is neither `tcp` nor `udp`"),
    };
    let address = match entry.get("port") {
        Some(Value::Int(port)) => {
            let port = u16::try_from(*port).map_err(|_| "has a `port` above 65535")?;
            ListenAddress::Port(SocketAddr::new(address(entry)?, port))
        }
        Some(Value::Text(text)) => match text.strip_prefix("unix:") {
            Some(path) => ListenAddress::Unix(path),
            None => return Err("has a `port` that is neither a number nor `unix:PATH`"),
        },
        Some(_) => return Err("has a `port` that is neither a number nor `unix:PATH`"),
        None => return Err("has no `port`"),
    };
    Ok(Listener { module, address, transport, options: entry })
}

fn address(entry: &Value) -> Result<IpAddr, &'static str> {
    match entry.get("ip") {
        None => Ok(Ipv4Addr::UNSPECIFIED.into()),
        Some(ip) => {
            let parsed = ip.text().and_then(|ip| ip.trim_matches(['[', ']']).parse().ok());
            parsed.ok_or("has an `ip` that is not an address")
        }
    }
}

impl<'c> Listener<'c> {
    /// Whether XMPP clients log in at this listener.
    #[must_use]
    pub fn is_for_clients(&self) -> bool {
        self.module == "ejabberd_c2s"
    }

    /// The address and port; `None` for a Unix socket.
    #[must_use]
    pub const fn at(&self) -> Option<SocketAddr> {
        match self.address {
            ListenAddress::Port(at) => Some(at),
            ListenAddress::Unix(_) => None,
        }
    }

    /// Whether `option` is true, in any spelling that ejabberd accepts.
    #[must_use]
    pub fn is_on(&self, option: &str) -> bool {
        self.options.get(option).and_then(Value::truth) == Some(true)
    }

    /// Whether the listener uses TLS from the first byte.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        self.is_on("tls")
    }

    /// Whether the listener expects a header of the PROXY protocol first.
    #[must_use]
    pub fn is_proxied(&self) -> bool {
        self.is_on("use_proxy_protocol")
    }

    /// The module of each HTTP path. `None` if the option is not a mapping of paths to modules.
    #[must_use]
    pub fn handlers(&self) -> Option<Vec<(&'c str, &'c str)>> {
        let Some(handlers) = self.options.get("request_handlers") else { return Some(Vec::new()) };
        let handlers = handlers.entries()?.iter();
        handlers.map(|(path, module)| Some((path.as_str(), module.text()?))).collect()
    }
}

impl fmt::Debug for Listener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.module, self.address, self.transport)
    }
}

impl fmt::Display for Listener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            ListenAddress::Port(at) => write!(f, "the {} on port {}", self.module, at.port()),
            ListenAddress::Unix(_) => write!(f, "the {} on a unix socket", self.module),
        }
    }
}
