//! Where the server listens, by its configuration in force.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Call, ControlError, Result, Server, Value};

/// One TCP listener of the configuration in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it shall be bound.
    pub at: SocketAddr,
    /// What answers there, e.g. `ejabberd_c2s`.
    pub module: String,
    /// Its options `starttls`, `starttls_required` and `tls`.
    pub encryption: Encryption,
    /// Its option `use_proxy_protocol`.
    pub proxied: bool,
}

/// How a listener encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// It does not.
    None,
    /// It offers STARTTLS (`starttls`, `starttls_required`).
    Starttls,
    /// It speaks TLS from the first byte (`tls`).
    Direct,
}

/// Where and how a listener is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The address, as seen from where the server runs.
    pub at: SocketAddr,
    /// Whether it waits for a header of the PROXY protocol first.
    pub proxied: bool,
    /// Whether it speaks TLS from the first byte.
    pub tls: bool,
}

impl Endpoint {
    /// A listener without options that is bound at `at`.
    #[must_use]
    pub fn plain(at: SocketAddr) -> Self {
        Self { at: reachable(at), proxied: false, tls: false }
    }
}

/// Where a socket that is bound at `at` is reached on its own machine.
fn reachable(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, at.port())
}

impl Listener {
    /// Whether clients log in there.
    #[must_use]
    pub fn is_c2s(&self) -> bool {
        self.module == "ejabberd_c2s"
    }

    /// How it is reached from where the server runs.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        let tls = self.encryption == Encryption::Direct;
        Endpoint { at: reachable(self.at), proxied: self.proxied, tls }
    }
}

impl Server {
    /// The TCP listeners of the configuration in force; those on Unix sockets
    /// and UDP are left out.
    pub async fn listeners(&self) -> Result<Vec<Listener>> {
        const NAME: &str = "listen";
        let call = Call::function("ejabberd_option", NAME, Vec::new());
        let answer = self.control.call(call, self.deadline).await?;
        let items = answer.as_list().ok_or(ControlError::Malformed(NAME))?;
        Ok(items.iter().filter_map(listener).collect())
    }
}

/// `{{Port, Address, tcp}, Module, Options}`.
fn listener(item: &Value) -> Option<Listener> {
    let [Value::Tuple(place), module, options] = item.as_tuple()? else { return None };
    let [Value::Int(port), address, transport] = place.as_slice() else { return None };
    if transport.as_text() != Some("tcp") {
        return None;
    }
    let on = |name: &str| {
        options.as_list().is_some_and(|options| {
            options.iter().filter_map(Value::as_tuple).any(|option| match option {
                [key, value] => key.as_text() == Some(name) && value.as_text() == Some("true"),
                _ => false,
            })
        })
    };
    Some(Listener {
        at: SocketAddr::new(ip(address)?, u16::try_from(*port).ok()?),
        module: module.as_text()?.to_owned(),
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

/// An Erlang address: a tuple of four bytes or eight words.
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
    fn a_listener_is_read_as_ejabberd_answers_it() {
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
        assert_eq!(found.at.to_string(), "127.0.0.1:5222");
        assert!(found.is_c2s() && found.encryption == Encryption::Starttls);
        let six = listener(&item(ints(&[0, 0, 0, 0, 0, 0, 0, 1]), Vec::new())).unwrap();
        assert_eq!(six.at.to_string(), "[::1]:5222");
        assert_eq!(listener(&item(ints(&[300, 0, 0, 1]), Vec::new())), None);
    }
}
