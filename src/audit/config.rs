//! An `ejabberd.yml`, as far as the checks look at it. What is not as expected
//! is said to be so: then an item is unknown, not broken.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

/// The option by which a file says something that its text does not show. Macros
/// are no such thing: where the checks expect yes or no, a list or a module,
/// the name of a macro is none of these, and is not understood.
const HIDING: &str = "include_config_file";

/// A configuration.
pub(super) struct Config {
    root: Map<String, Value>,
}

/// An entry of `listen`.
pub(super) struct Listener<'a> {
    pub(super) module: &'a str,
    /// None for a unix socket: that has no port.
    pub(super) ports: Option<RangeInclusive<u16>>,
    pub(super) udp: bool,
    pub(super) options: &'a Map<String, Value>,
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

/// ejabberd's own way to write yes and no.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(word) => match word.as_str() {
            "true" | "on" | "yes" | "y" => Some(true),
            "false" | "off" | "no" | "n" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

impl Config {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let root = serde_yaml::from_str(text).map_err(|e| {
            let cause = e.to_string();
            format!("failed to read the configuration: {}", cause.lines().next().unwrap_or("?"))
        })?;
        Ok(Self { root })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.root.get(name)
    }

    /// Why there may be more to it than its text shows, if so.
    pub(super) fn hides(&self) -> Option<String> {
        self.root.contains_key(HIDING).then(|| {
            format!("the configuration uses `{HIDING}`, and what it includes is not looked at")
        })
    }

    /// The entries of `listen`.
    pub(super) fn listeners(&self) -> Result<Vec<Listener<'_>>, String> {
        match self.get("listen") {
            None => Ok(Vec::new()),
            Some(Value::Array(entries)) => entries
                .iter()
                .enumerate()
                .map(|(n, entry)| {
                    listener(entry)
                        .ok_or_else(|| format!("entry {} of `listen` is not understood", n + 1))
                })
                .collect(),
            Some(_) => Err("`listen` is not understood".to_owned()),
        }
    }

    /// The listeners for clients that can be called over the network, each at
    /// its declared address; those that are not understood are left out.
    pub(super) fn client_listeners(&self) -> Vec<ClientListener> {
        let entries = self.get("listen").and_then(Value::as_array).into_iter().flatten();
        let clients = entries.filter_map(listener).filter(Listener::is_for_clients);
        clients
            .filter_map(|listener| {
                let declared = listener.options.get("ip").and_then(Value::as_str);
                let address: IpAddr = declared.map_or_else(
                    || Some(Ipv4Addr::UNSPECIFIED.into()),
                    |ip| ip.trim_matches(['[', ']']).parse().ok(),
                )?;
                let on = |name| listener.options.get(name).and_then(truth) == Some(true);
                let (tls, proxied) = (on("tls"), on("use_proxy_protocol"));
                let at = SocketAddr::new(address, *listener.ports?.start());
                Some(ClientListener { at, tls, proxied })
            })
            .collect()
    }
}

impl Listener<'_> {
    pub(super) fn is_for_clients(&self) -> bool {
        self.module == "ejabberd_c2s"
    }

    pub(super) fn has_port(&self, port: u16) -> bool {
        self.ports.as_ref().is_some_and(|ports| ports.contains(&port))
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> String {
        match &self.ports {
            None => format!("the {} on a unix socket", self.module),
            Some(ports) => format!("the {} on port {}", self.module, ports.start()),
        }
    }
}

/// Whether a word can be a module; that of a macro cannot.
fn is_module(word: &str) -> bool {
    word.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
}

fn listener(entry: &Value) -> Option<Listener<'_>> {
    let options = entry.as_object()?;
    let module = options.get("module")?.as_str().filter(|name| is_module(name))?;
    let ports = match options.get("port")? {
        Value::Number(port) => {
            let port = u16::try_from(port.as_u64()?).ok()?;
            Some(port..=port)
        }
        Value::String(text) if text.starts_with("unix:") => None,
        Value::String(text) => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
        }
        _ => return None,
    };
    let udp = match options.get("transport") {
        None => false,
        Some(transport) => match transport.as_str()? {
            "tcp" => false,
            "udp" => true,
            _ => return None,
        },
    };
    Some(Listener { module, ports, udp, options })
}
