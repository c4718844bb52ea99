//! Judges the item about the routes of nginx.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::messaging::mcp_ports;
use super::network::list;
use super::{Evidence, Judgement, fails, known, passes, unknown};
use crate::domain::checks::text::count;
use crate::domain::messaging::MCP_PATH;
use crate::domain::nginx::{Route, Target};
use crate::domain::observed::Reading;

/// The default port of the operator's page and metrics.
const PAGE_PORT: u16 = 9565;

/// The directory of the operator's sockets.
const SOCKETS: &str = "/run/ejabberd-operator/";

/// The programs behind nginx that the item knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Mcp,
    Page,
    Server,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Mcp => "the MCP server",
            Self::Page => "the page of the operator",
            Self::Server => "ejabberd",
        }
    }
}

/// The programs at the ports of this host. Fails if the ports of the server are unknown.
fn programs(evidence: &Evidence, routes: &[Route]) -> Result<BTreeMap<u16, Program>, String> {
    let Reading::Known(drift) = &evidence.drift else {
        return Err("the ports of the server on this host are unknown".to_owned());
    };
    let server: Vec<u16> = if drift.host_network {
        let configuration = match &evidence.configuration {
            Reading::Known(configuration) => configuration,
            Reading::Unknown(why) => return Err(why.clone()),
        };
        let listeners = configuration.listeners()?;
        listeners.iter().filter_map(|listener| Some(listener.at()?.port())).collect()
    } else {
        drift.published.iter().map(SocketAddr::port).collect()
    };
    let mcp = mcp_ports(routes).into_iter().map(|port| (port, Program::Mcp));
    let server = server.into_iter().map(|port| (port, Program::Server));
    // A later program replaces an earlier one: nginx may use `/mcp` for the wrong port.
    Ok(mcp.chain([(PAGE_PORT, Program::Page)]).chain(server).collect())
}

/// Judges where nginx sends requests. nginx may send `/mcp` to the MCP server, and the requests of
/// listed addresses to the operator's page; both with TLS if other hosts can connect. nginx must not
/// expose ejabberd: clients use the port of ejabberd itself, or the MCP server.
pub(super) fn nginx_routes(evidence: &Evidence) -> Judgement {
    let Some(routes) = known!(&evidence.nginx) else {
        return passes("this host has no nginx: /etc/nginx/nginx.conf does not exist");
    };
    let ports = match programs(evidence, routes) {
        Ok(ports) => ports,
        Err(why) => return unknown(why),
    };
    let (mut wrong, mut doubtful, mut good) = (Vec::new(), Vec::new(), 0_usize);
    for route in routes {
        for target in &route.targets {
            match target {
                Target::Port(port) => match ports.get(port) {
                    Some(program) if is_permitted(route, *program) => good += 1,
                    Some(program) => {
                        wrong.push(shown(route, &format!("{} at port {port}", program.name())));
                    }
                    None => {}
                },
                Target::Socket(path) if path.starts_with(SOCKETS) => {
                    wrong.push(shown(route, &format!("the socket {path} of the operator")));
                }
                Target::Variable(text) => doubtful.push(shown(route, text)),
                Target::Named(host, port) if ports.contains_key(port) => {
                    doubtful.push(shown(route, &format!("{host}:{port}, which may be this host")));
                }
                Target::Socket(_) | Target::Named(..) | Target::Elsewhere => {}
            }
        }
    }
    match (wrong.as_slice(), doubtful.as_slice()) {
        ([], []) if good == 0 => passes("no route of nginx leads to ejabberd or the operator"),
        ([], []) => passes(format!("{} to the MCP server or the page", count(good, "route"))),
        ([], doubtful) => unknown(format!("the program is not certain: {}", list(doubtful))),
        (wrong, _) => fails(list(wrong)),
    }
}

fn is_permitted(route: &Route, program: Program) -> bool {
    let encrypted = route.server.listens.iter().all(|listen| listen.has_tls || listen.is_local);
    let local = route.server.listens.iter().all(|listen| listen.is_local);
    match program {
        // Only an exact location: a prefix or an expression would also pass other paths.
        Program::Mcp => {
            let exact = route.location.as_ref();
            let exact = exact.is_some_and(|l| l.modifier == "=" && l.path == MCP_PATH);
            encrypted && exact && !route.rewrites && matches!(route.path.as_str(), "" | MCP_PATH)
        }
        Program::Page => local || (encrypted && route.restricted),
        Program::Server => false,
    }
}

/// A route in words.
fn shown(route: &Route, target: &str) -> String {
    let location = route.location.as_ref().map_or_else(String::new, |location| {
        let modifier = &location.modifier;
        let blank = if modifier.is_empty() { "" } else { " " };
        format!("location {modifier}{blank}{} of ", location.path)
    });
    let name = route.server.names.first().map_or("a server without a name", String::as_str);
    format!("{location}{name} leads to {target} ({})", route.place)
}
