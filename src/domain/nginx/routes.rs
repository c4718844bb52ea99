//! The routes of nginx: which requests nginx sends to which program.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::syntax::Directive;

/// The directives that send a request to another program: `proxy_pass` of `ngx_http_proxy_module`
/// and of `ngx_stream_proxy_module`, and those of the modules for other protocols.
const PASSES: [&str; 5] = ["fastcgi_pass", "grpc_pass", "proxy_pass", "scgi_pass", "uwsgi_pass"];

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
        for server in outer.block.iter().filter(|d| d.name() == "server") {
            let context = Context {
                upstreams: &upstreams,
                server: server_block(&server.block),
                location: None,
                restricted: restricts(&outer.block),
            };
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
}

impl Context<'_> {
    fn collect(mut self, block: &[Directive], found: &mut Vec<Route>) {
        // Rules of an inner level replace those of the outer levels (`ngx_http_access_module`).
        if block.iter().any(|d| matches!(d.name(), "allow" | "deny")) {
            self.restricted = restricts(block);
        }
        for directive in block {
            match directive.name() {
                "location" => {
                    let location = location(directive.parameters());
                    let inner = Self { location: Some(location), ..self.clone() };
                    inner.collect(&directive.block, found);
                }
                "if" | "limit_except" => self.clone().collect(&directive.block, found),
                name if PASSES.contains(&name) => {
                    let text = directive.parameters().first().map_or("", String::as_str);
                    let (host, path) = split(text);
                    let targets = if text.contains('$') {
                        vec![Target::Variable(text.to_owned())]
                    } else {
                        self.upstreams.targets(host)
                    };
                    found.push(Route {
                        place: directive.place.clone(),
                        server: self.server.clone(),
                        location: self.location.clone(),
                        restricted: self.restricted,
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

fn server_block(block: &[Directive]) -> ServerBlock {
    let parameters = |name: &'static str| {
        block.iter().filter(move |d| d.name() == name).map(Directive::parameters)
    };
    // The directive `ssl on` existed before nginx 1.25.1.
    let all_tls = parameters("ssl").any(|words| words.first().is_some_and(|word| word == "on"));
    let mut listens: Vec<Listen> = parameters("listen")
        .filter_map(|words| {
            let (address, options) = words.split_first()?;
            // `quic` always uses TLS.
            let has_tls = all_tls || options.iter().any(|word| word == "ssl" || word == "quic");
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
    if is_local(address) || address.parse::<SocketAddr>().is_ok_and(|at| at.ip().is_unspecified()) {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        return Target::Port(port.unwrap_or(80));
    }
    Target::Elsewhere
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
