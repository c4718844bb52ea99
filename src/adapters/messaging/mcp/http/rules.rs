//! The names that a request may use for the host, and the origins that may send requests.
//!
//! Both rules protect against web pages that send requests to a server on the host of the browser.

use std::net::SocketAddr;

use hyper::http::uri::Authority;
use hyper::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use super::response::Refused;

/// The names of the loopback addresses.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The reason why a rule cannot be used. The message completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The text is not the name of a host.
    #[error(
        "use the host `{0}`: it is no host name; give a name such as `mcp.example.org`, or a name \
         with a port"
    )]
    Host(String),
    /// The text is not an origin.
    #[error(
        "use the origin `{0}`: it is no origin; give a scheme and a host, such as \
         `https://app.example.org`"
    )]
    Origin(String),
}

/// The permitted names and origins.
#[derive(Debug, Clone)]
pub struct Rules {
    hosts: Vec<Host>,
    origins: Vec<Origin>,
}

/// A host name in lower case. Without a port, all ports are permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    name: String,
    port: Option<u16>,
}

/// An origin. The port is the default port of the scheme if the text has no port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    name: String,
    port: u16,
}

impl Rules {
    /// Permits the loopback names, the address `listen` and `hosts` as names of the host, and
    /// `origins` as origins. A request without an origin does not come from a web page, and is
    /// permitted.
    pub fn new(
        listen: SocketAddr,
        hosts: &[String],
        origins: &[String],
    ) -> Result<Self, RuleError> {
        let known = LOOPBACK.into_iter().map(str::to_owned).chain([listen.ip().to_string()]);
        let mut permitted: Vec<Host> = known.map(|name| Host { name, port: None }).collect();
        for text in hosts {
            permitted.push(Host::parse(text).ok_or_else(|| RuleError::Host(text.clone()))?);
        }
        let origins = origins
            .iter()
            .map(|text| Origin::parse(text).ok_or_else(|| RuleError::Origin(text.clone())));
        Ok(Self { hosts: permitted, origins: origins.collect::<Result<_, _>>()? })
    }

    /// Returns a response if the host or the origin of a request is not permitted.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        let host = match single(headers, &header::HOST)? {
            Some(value) => value.to_str().ok().and_then(Host::parse),
            None => uri.authority().and_then(|authority| Host::parse(authority.as_str())),
        };
        let Some(host) = host else {
            return Err(Refused::new(
                StatusCode::BAD_REQUEST,
                "the header Host is missing or invalid\n",
            ));
        };
        if !self.hosts.iter().any(|permitted| permitted.permits(&host)) {
            let why = "this host name is not permitted; see --allowed-host\n";
            return Err(Refused::new(StatusCode::FORBIDDEN, why));
        }
        let Some(origin) = single(headers, &header::ORIGIN)? else { return Ok(()) };
        let origin = origin.to_str().ok().and_then(Origin::parse);
        if origin.is_some_and(|origin| self.origins.contains(&origin)) {
            return Ok(());
        }
        let why = "this origin is not permitted; see --allowed-origin\n";
        Err(Refused::new(StatusCode::FORBIDDEN, why))
    }

    /// The names of the host, for the SDK.
    pub(super) fn host_texts(&self) -> Vec<String> {
        let text = |host: &Host| match host.port {
            Some(port) => format!("{}:{port}", bracketed(&host.name)),
            None => bracketed(&host.name),
        };
        self.hosts.iter().map(text).collect()
    }

    /// The origins, for the SDK.
    pub(super) fn origin_texts(&self) -> Vec<String> {
        let text = |origin: &Origin| {
            format!("{}://{}:{}", origin.scheme, bracketed(&origin.name), origin.port)
        };
        self.origins.iter().map(text).collect()
    }
}

/// Returns the value of a header. Fails if the request has the header twice, because a proxy may
/// have checked the other value.
fn single<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h HeaderValue>, Refused> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Refused::new(StatusCode::BAD_REQUEST, "the request has a header twice\n"));
    }
    Ok(value)
}

/// Returns an IPv6 address in brackets, and other names unchanged.
fn bracketed(name: &str) -> String {
    if name.contains(':') { format!("[{name}]") } else { name.to_owned() }
}

/// Returns the name of an authority in lower case, without brackets.
fn name(authority: &Authority) -> Option<String> {
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let plain = !name.is_empty() && !authority.as_str().contains('@');
    plain.then(|| name.to_ascii_lowercase())
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        // An IPv6 address may be without brackets in an argument.
        if text.parse::<std::net::Ipv6Addr>().is_ok() {
            return Some(Self { name: text.to_ascii_lowercase(), port: None });
        }
        let authority: Authority = text.parse().ok()?;
        // A port such as `:x` or `:99999` is no port.
        let has_port = authority.as_str().len() > authority.host().len();
        let port = authority.port_u16();
        (has_port == port.is_some()).then_some(Self { name: name(&authority)?, port })
    }

    fn permits(&self, host: &Self) -> bool {
        self.name == host.name && (self.port.is_none() || self.port == host.port)
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let authority = uri.authority()?;
        let default = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let is_origin = uri.path() == "/" && uri.query().is_none() && !text.ends_with('/');
        let port = authority.port_u16().unwrap_or(default);
        is_origin.then_some(Self { scheme, name: name(authority)?, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(rules: &Rules, host: &str, origin: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        rules
            .check(&"/mcp".parse().unwrap(), &headers)
            .map_or_else(|refused| refused.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn hosts_and_origins_are_compared_without_regard_to_case_and_default_ports() {
        let listen = "192.0.2.7:3444".parse().unwrap();
        let hosts = ["Mcp.example.org".to_owned(), "other.example.org:8443".to_owned()];
        let rules = Rules::new(listen, &hosts, &["https://App.example.org".to_owned()]).unwrap();
        for (host, status) in [
            ("localhost", 200),
            ("LOCALHOST:3444", 200),
            ("[::1]:3444", 200),
            ("192.0.2.7:3444", 200),
            ("mcp.example.org", 200),
            ("other.example.org:8443", 200),
            ("other.example.org", 403),
            ("evil.example.org", 403),
            ("localhost.evil.example.org", 403),
            ("user@localhost", 400),
            ("localhost:x", 400),
            ("", 400),
        ] {
            assert_eq!(checked(&rules, host, None), status, "{host}");
        }
        for (origin, status) in [
            ("https://app.example.org", 200),
            ("https://app.example.org:443", 200),
            ("https://app.example.org:8443", 403),
            ("http://app.example.org", 403),
            ("https://evil.example.org", 403),
            ("https://app.example.org.evil.example.org", 403),
            ("null", 403),
            ("", 403),
        ] {
            assert_eq!(checked(&rules, "localhost", Some(origin)), status, "{origin}");
        }
    }

    #[test]
    fn a_header_twice_is_refused() {
        let rules = Rules::new("127.0.0.1:1".parse().unwrap(), &[], &[]).unwrap();
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, "localhost".parse().unwrap());
        headers.append(header::HOST, "evil.example.org".parse().unwrap());
        assert!(rules.check(&"/mcp".parse().unwrap(), &headers).is_err());
        assert!(rules.check(&"/mcp".parse().unwrap(), &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_wrong_rule_is_refused() {
        let listen = "127.0.0.1:1".parse().unwrap();
        for host in ["", "a b", "http://a"] {
            assert!(Rules::new(listen, &[host.to_owned()], &[]).is_err(), "{host}");
        }
        for origin in ["", "*", "null", "app.example.org", "https://a/", "https://a/b", "ftp://a"] {
            assert!(Rules::new(listen, &[], &[origin.to_owned()]).is_err(), "{origin}");
        }
    }
}
