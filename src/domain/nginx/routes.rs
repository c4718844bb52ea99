//! The routes of nginx: which requests nginx sends to which program.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use super::syntax::Directive;

/// The end of the name of each directive that sends a request to another program: `proxy_pass` of
/// `ngx_http_proxy_module` and `ngx_stream_proxy_module`, `memcached_pass`, and those of the modules
/// for other protocols.
const PASS: &str = "_pass";

/// A route: requests that nginx sends to a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The place of the directive, as `file:line`.
    pub place: String,
    /// The server block.
    pub server: ServerBlock,
    /// The location; `None` for a server of `stream`.
    pub location: Option<Location>,
    /// Whether `deny all` refuses the clients that no `allow` admits.
    pub restricted: bool,
    /// Whether `rewrite` may change the path before nginx sends the request.
    pub rewrites: bool,
    /// The programs. More than one for an upstream with more than one server.
    pub targets: Vec<Target>,
    /// The path that the program receives instead of the path of the location; empty if the
    /// directive has no path.
    pub path: String,
}

/// A `server` block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerBlock {
    /// The parameters of `server_name`.
    pub names: Vec<String>,
    /// The addresses.
    pub listens: Vec<Listen>,
}

/// A `listen` directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Whether only this host can connect.
    pub is_local: bool,
    /// Whether the address uses TLS.
    pub has_tls: bool,
}

/// The parameters of `location`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// `=`, `~`, `~*` or `^~`; empty for a prefix.
    pub modifier: String,
    /// The path or the expression.
    pub path: String,
}

/// A program that nginx sends requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A port of this host.
    Port(u16),
    /// A Unix socket.
    Socket(String),
    /// A host by its name and port: this host or another one.
    Named(String, u16),
    /// Another host.
    Elsewhere,
    /// A text with a variable, which only a request decides.
    Variable(String),
}

/// Finds all routes.
#[must_use]
pub fn routes(directives: &[Directive]) -> Vec<Route> {
    let mut found = Vec::new();
    for outer in directives.iter().filter(|d| matches!(d.name(), "http" | "stream")) {
        let upstreams = Upstreams::of(&outer.block);
        let encrypted = encrypted_addresses(&outer.block);
        for server in outer.block.iter().filter(|d| d.name() == "server") {
            let context = Context {
                upstreams: &upstreams,
                server: server_block(&server.block, &encrypted),
                location: None,
                restricted: false,
                rewrites: false,
                admits_others: false,
            };
            let context = context.within(&outer.block);
            context.collect(&server.block, &mut found);
        }
    }
    found
}

/// The servers of each upstream, by the name of the upstream.
struct Upstreams(HashMap<String, Vec<Target>>);

impl Upstreams {
    fn of(block: &[Directive]) -> Self {
        let upstreams = block.iter().filter(|d| d.name() == "upstream");
        let servers = |upstream: &Directive| {
            let servers = upstream.block.iter().filter(|d| d.name() == "server");
            servers.filter_map(|server| Some(target(server.parameters().first()?))).collect()
        };
        Self(
            upstreams.filter_map(|u| Some((u.parameters().first()?.clone(), servers(u)))).collect(),
        )
    }

    fn targets(&self, host: &str) -> Vec<Target> {
        self.0.get(host).cloned().unwrap_or_else(|| vec![target(host)])
    }
}

/// What the outer blocks decide about a directive.
#[derive(Clone)]
struct Context<'u> {
    upstreams: &'u Upstreams,
    server: ServerBlock,
    location: Option<Location>,
    restricted: bool,
    rewrites: bool,
    /// Whether another check, such as a password, can admit a client that `deny` refuses
    /// (`satisfy any` of `ngx_http_core_module`).
    admits_others: bool,
}

impl Context<'_> {
    /// The context inside `block`.
    fn within(mut self, block: &[Directive]) -> Self {
        // Rules of an inner level replace those of the outer levels (`ngx_http_access_module`).
        if block.iter().any(|d| matches!(d.name(), "allow" | "deny")) {
            self.restricted = restricts(block);
        }
        let satisfy = block.iter().rev().find(|d| d.name() == "satisfy");
        if let Some(satisfy) = satisfy {
            self.admits_others = satisfy.parameters().first().is_some_and(|word| word == "any");
        }
        self.rewrites |= block.iter().any(|d| d.name() == "rewrite");
        self
    }

    fn collect(self, block: &[Directive], found: &mut Vec<Route>) {
        let inside = self.within(block);
        for directive in block {
            match directive.name() {
                "location" => {
                    let location = location(directive.parameters());
                    let inner = Self { location: Some(location), ..inside.clone() };
                    inner.collect(&directive.block, found);
                }
                "if" | "limit_except" => inside.clone().collect(&directive.block, found),
                name if name.ends_with(PASS) => {
                    let text = directive.parameters().first().map_or("", String::as_str);
                    let (host, path) = split(text);
                    let targets = if text.contains('$') {
                        vec![Target::Variable(text.to_owned())]
                    } else {
                        inside.upstreams.targets(host)
                    };
                    found.push(Route {
                        place: directive.place.clone(),
                        server: inside.server.clone(),
                        location: inside.location.clone(),
                        restricted: inside.restricted && !inside.admits_others,
                        rewrites: inside.rewrites,
                        targets,
                        path: path.to_owned(),
                    });
                }
                _ => {}
            }
        }
    }
}

/// Whether a block has the rule `deny all`, and at most admits addresses before it.
fn restricts(block: &[Directive]) -> bool {
    let mut rules = block.iter().filter(|d| matches!(d.name(), "allow" | "deny"));
    // The first rule that matches counts.
    let everybody = |whom: &String| matches!(whom.as_str(), "all" | "0.0.0.0/0" | "::/0");
    rules
        .find(|rule| rule.parameters().first().is_some_and(everybody))
        .is_some_and(|rule| rule.name() == "deny")
}

fn location(parameters: &[String]) -> Location {
    match parameters {
        [modifier, path] => Location { modifier: modifier.clone(), path: path.clone() },
        // nginx accepts a modifier without a blank before the path, as in `=/mcp`.
        [both] => {
            let modifier = ["=", "~*", "^~", "~"].into_iter().find(|m| both.starts_with(m));
            let modifier = modifier.unwrap_or_default();
            let path = both.strip_prefix(modifier).unwrap_or(both);
            Location { modifier: modifier.to_owned(), path: path.to_owned() }
        }
        _ => Location { modifier: String::new(), path: String::new() },
    }
}

/// The addresses with `ssl` at one of their `listen` directives. nginx uses TLS for all servers of
/// such an address (`ngx_http_add_addresses`).
fn encrypted_addresses(block: &[Directive]) -> HashSet<&str> {
    let servers = block.iter().filter(|d| d.name() == "server");
    let listens = servers.flat_map(|s| &s.block).filter(|d| d.name() == "listen");
    let encrypted = listens.filter_map(|listen| {
        let (address, options) = listen.parameters().split_first()?;
        options.iter().any(|word| word == "ssl").then_some(address.as_str())
    });
    encrypted.collect()
}

fn server_block(block: &[Directive], encrypted: &HashSet<&str>) -> ServerBlock {
    let parameters = |name: &'static str| {
        block.iter().filter(move |d| d.name() == name).map(Directive::parameters)
    };
    // The directive `ssl on` existed before nginx 1.25.1.
    let all_tls = parameters("ssl").any(|words| words.first().is_some_and(|word| word == "on"));
    let mut listens: Vec<Listen> = parameters("listen")
        .filter_map(|words| {
            let (address, options) = words.split_first()?;
            // `quic` always uses TLS.
            let has_tls = all_tls
                || encrypted.contains(address.as_str())
                || options.iter().any(|word| word == "quic");
            Some(Listen { is_local: is_local(address), has_tls })
        })
        .collect();
    if listens.is_empty() {
        // The default is `*:80`, or `*:8000` without the rights of root.
        listens.push(Listen { is_local: false, has_tls: all_tls });
    }
    ServerBlock { names: parameters("server_name").flatten().cloned().collect(), listens }
}

/// The address and the path of a target: `http://127.0.0.1:80/a` gives `127.0.0.1:80` and `/a`. The
/// path of a Unix socket ends with a colon, before the path of the request.
fn split(text: &str) -> (&str, &str) {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    if let Some(socket) = rest.strip_prefix("unix:") {
        let end = socket.find(':').map_or(rest.len(), |at| at + "unix:".len());
        return (&rest[..end], rest[end..].trim_start_matches(':'));
    }
    rest.find('/').map_or((rest, ""), |at| rest.split_at(at))
}

/// The program at an address.
fn target(address: &str) -> Target {
    if address.contains('$') {
        return Target::Variable(address.to_owned());
    }
    if let Some(path) = address.strip_prefix("unix:") {
        return Target::Socket(path.to_owned());
    }
    let (host, port) = match address.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host, port),
        _ => (address, 80),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(ip) if ip.is_loopback() || ip.is_unspecified() => Target::Port(port),
        Ok(_) => Target::Elsewhere,
        Err(_) if host.eq_ignore_ascii_case("localhost") => Target::Port(port),
        Err(_) => Target::Named(host.to_owned(), port),
    }
}

/// Whether only this host can connect to an address with an optional port.
fn is_local(address: &str) -> bool {
    if address.starts_with("unix:") {
        return true;
    }
    if let Ok(at) = address.parse::<SocketAddr>() {
        return at.ip().to_canonical().is_loopback();
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(address).parse::<IpAddr>() {
        return ip.to_canonical().is_loopback();
    }
    let host = address.split_once(':').map_or(address, |(host, _)| host);
    host.eq_ignore_ascii_case("localhost")
}
