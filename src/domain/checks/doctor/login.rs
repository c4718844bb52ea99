//! Whether people can log in: accounts are checked, listeners listen, and a
//! client gets as far as the ways to log in.

use std::collections::BTreeMap;

use super::api::of_alive;
use super::delivery::{known, look};
use super::words::{count, some};
use super::{
    Answer, Backend, BackendState, Behind, Client, Evidence, Opening, fine, no_matter, problem,
    unknown,
};
use crate::domain::observed::Reading;

pub(super) fn authentication(e: &Evidence) -> Answer {
    of_alive(e, |server, _| {
        let backends = known!(&server.delivery.backends);
        if backends.is_empty() {
            return problem(
                "no host has an authentication method: nobody can log in",
                "set `auth_method` in the configuration",
            );
        }
        let lines: Vec<String> = backends.iter().flat_map(lines).collect();
        let failing: Vec<&Backend> =
            backends.iter().filter(|b| matches!(b.state, BackendState::Fails(_))).collect();
        if !failing.is_empty() {
            let what = some(failing.iter().map(|backend| name(backend)));
            let whole = failing.iter().any(|failing| {
                let of_host = |other: &&Backend| other.host == failing.host;
                backends.iter().filter(of_host).all(|b| matches!(b.state, BackendState::Fails(_)))
            });
            let who = if whole {
                "nobody can log in there"
            } else {
                "accounts that only it has cannot log in"
            };
            let lines = failing.iter().flat_map(|backend| self::lines(backend)).collect::<Vec<_>>();
            return problem(format!("accounts are not checked by {what}: {who}"), cure(&failing))
                .with(lines);
        }
        let away: Vec<&Backend> =
            backends.iter().filter(|b| b.servers.iter().any(|(_, why)| why.is_some())).collect();
        if !away.is_empty() {
            let what = some(away.iter().map(|backend| name(backend)));
            return problem(
                format!("people can log in, but a server of {what} is away: if another server fails, they cannot"),
                cure(&away),
            )
            .with(away.iter().flat_map(|backend| self::lines(backend)).collect::<Vec<_>>());
        }
        let untold: Vec<&Backend> =
            backends.iter().filter(|b| b.state == BackendState::Untold).collect();
        if !untold.is_empty() {
            let what = some(untold.iter().map(|backend| name(backend)));
            return unknown(format!(
                "whether {what} accepts a password cannot be seen from outside: log in with a client, or set spec.config.gate.canary"
            ))
            .with(lines);
        }
        fine(format!("accounts are checked by {}", some(backends.iter().map(name)))).with(lines)
    })
}

fn name(backend: &Backend) -> String {
    format!("{} ({})", backend.method, backend.host)
}

/// Each server of a backend, or the backend itself.
fn lines(backend: &Backend) -> Vec<String> {
    let Backend { host, method, state, servers } = backend;
    let mut lines = Vec::new();
    if let BackendState::Fails(why) = state {
        lines.push(format!("{method} of {host}: {why}"));
    }
    lines.extend(servers.iter().map(|(server, wrong)| match (wrong, state) {
        (Some(wrong), _) => format!("{server}: {wrong}"),
        (None, BackendState::Fails(_)) => format!("{server}: it accepts connections"),
        (None, _) => format!("{server}: it answers"),
    }));
    lines
}

/// The cure for backends that do not work. A backend that refuses connections has
/// another cure than a backend that accepts them.
fn cure(backends: &[&Backend]) -> String {
    let mut cures: BTreeMap<&str, String> = BTreeMap::new();
    for backend in backends {
        let reachable = backend.servers.iter().any(|(_, wrong)| wrong.is_none());
        let cure = match backend.method.as_str() {
            "ldap" if reachable => {
                "where an LDAP server accepts connections, TLS (ldap_encrypt, ldap_tls_*), the bind (ldap_rootdn, ldap_password) or ldap_base is wrong: the server's log has its words"
            }
            "ldap" => {
                "start the LDAP server, or correct ldap_servers and ldap_port in the configuration; see that the server's network reaches it"
            }
            "sql" => {
                "start the database, or correct sql_server, sql_port and the credentials in the configuration; see that its schema is loaded"
            }
            "external" => {
                "see that extauth_program is there, may be executed by the server's user, and answers"
            }
            "jwt" => "set `jwt_key` in the configuration to the file with the key",
            "mnesia" => "see the server's log for why the table `passwd` was not loaded",
            "pam" => "see that epam may use PAM: it has to be setuid root",
            _ => "see the server's log, and the documentation of that method",
        };
        cures.insert(&backend.method, cure.to_owned());
    }
    cures.into_values().collect::<Vec<_>>().join("; ")
}

pub(super) fn listeners(e: &Evidence) -> Answer {
    of_alive(e, |server, _| {
        let all = known!(&server.delivery.listeners);
        if all.is_empty() {
            return problem(
                "its configuration has no listener at all",
                "add the listeners that you need to `listen` in the configuration",
            );
        }
        let place = |l: &super::Listening| {
            format!("{}{} ({})", l.at, if l.udp { "/udp" } else { "" }, l.module)
        };
        let closed: Vec<String> =
            all.iter().filter(|l| l.open == Reading::Known(false)).map(place).collect();
        if !closed.is_empty() {
            return problem(
                format!("it does not listen where its configuration says: {}", some(&closed)),
                format!(
                    "its log says why it could not open the port (`ejabberd-operator logs`); then `{} reload_config`",
                    e.ejabberdctl()
                ),
            )
            .with(closed);
        }
        let unseen: Vec<String> = all
            .iter()
            .filter_map(|l| match &l.open {
                Reading::Unknown(why) => Some(format!("{}: {why}", place(l))),
                Reading::Known(_) => None,
            })
            .collect();
        if !unseen.is_empty() {
            return unknown(format!("not every listener could be looked at: {}", some(&unseen)))
                .with(unseen);
        }
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for listener in all {
            *kinds.entry(listener.module.as_str()).or_default() += 1;
        }
        let kinds = kinds.iter().map(|(module, n)| format!("{n} × {module}"));
        fine(format!("{} open: {}", count(all.len(), "listener"), some(kinds)))
            .with(all.iter().map(place))
    })
}

pub(super) fn client_ports(e: &Evidence) -> Answer {
    look(e, |delivery, desired| {
        let clients = known!(&delivery.clients);
        if clients.is_empty() {
            return problem(
                "no listener is for clients: nobody can log in",
                "add one to `listen` in the configuration: `module: ejabberd_c2s`, or `ejabberd_http` with `ejabberd_http_ws` or `mod_bosh` among its request_handlers",
            );
        }
        let (mut bad, mut good, mut untold, mut plain) =
            (Vec::new(), Vec::new(), Vec::new(), false);
        for client in clients {
            let place = format!("{}, {}", client.at, client.host);
            match judge(client) {
                Stream::Complete => good.push(place),
                Stream::Untold(why) => untold.push(format!("{place}: {why}")),
                Stream::Broken(what) => {
                    plain |= what == NO_STARTTLS;
                    bad.push(format!("{place}: {what}"));
                }
            }
        }
        if bad.is_empty() {
            let hosts = std::iter::once(&desired.host).chain(&desired.hosts);
            let opened = |host: &&crate::domain::model::Vhost| {
                clients.iter().any(|c| c.host == **host && judge(c) == Stream::Complete)
            };
            let unseen: Vec<_> = hosts.filter(|host| !opened(host)).collect();
            if !unseen.is_empty() {
                return unknown(format!(
                    "whether clients of {} come in could not be seen",
                    some(unseen)
                ))
                .with(untold);
            }
            return fine(format!("clients come as far as the login: {}", some(good))).with(untold);
        }
        let cure = if plain {
            "put a certificate that it can read where `certfiles` in the configuration says (spec.config.files): without one nobody can log in who wants TLS".to_owned()
        } else {
            format!(
                "see `listeners`, `authentication` and `hosts`, and the server's log; then `{} reload_config`, or {}",
                e.ejabberdctl(),
                e.restart()
            )
        };
        problem(format!("a client port does not serve clients: {}", some(&bad)), cure).with(bad)
    })
}

/// The cure where a client port does not offer what the configuration sets.
const NO_STARTTLS: &str = "it does not offer STARTTLS, though its configuration says so";

/// How far a client comes.
#[derive(Debug, PartialEq, Eq)]
enum Stream {
    /// Up to the ways to log in.
    Complete,
    /// That could not be seen, and why.
    Untold(String),
    /// Not so far, and why.
    Broken(String),
}

fn judge(client: &Client) -> Stream {
    let broken = |why: &str| Stream::Broken(why.to_owned());
    let said = match &client.says {
        Reading::Unknown(why) => return Stream::Broken(why.clone()),
        Reading::Known(said) => said,
    };
    let over_http = matches!(client.opening, Opening::Websocket | Opening::Bosh);
    if said.contains("host-unknown") {
        return broken("it does not know the host");
    }
    if client.opening == Opening::Starttls
        && said.contains("stream:")
        && !said.contains("urn:ietf:params:xml:ns:xmpp-tls")
    {
        return broken(NO_STARTTLS);
    }
    if said.contains("<mechanism>") {
        return Stream::Complete;
    }
    let status = said.strip_prefix("HTTP/1.").and_then(|rest| rest.split_whitespace().nth(1));
    match status {
        // `websocket_origin` refuses a client that does not say where it is from.
        Some("403") if client.opening == Opening::Websocket => {
            return Stream::Untold("it serves the pages of websocket_origin alone".to_owned());
        }
        Some("101" | "200") => {}
        Some(status) if over_http => return Stream::Broken(format!("it answers HTTP {status}")),
        _ => {}
    }
    if !said.contains("stream:") {
        return broken("it does not speak XMPP");
    }
    broken("it offers no way to log in")
}

pub(super) fn published(e: &Evidence) -> Answer {
    of_alive(e, |server, _| {
        let ports = known!(&server.delivery.published);
        if ports.is_empty() {
            return no_matter("no port is published");
        }
        let of = |wanted: Behind| -> Vec<String> {
            let found = ports.iter().filter(|(_, behind)| *behind == wanted);
            found.map(|(port, _)| port.to_string()).collect()
        };
        let (loopback, nothing) = (of(Behind::Loopback), of(Behind::Nothing));
        if loopback.is_empty() && nothing.is_empty() {
            return fine(format!(
                "published ports lead to a listener: {}",
                some(of(Behind::Socket))
            ));
        }
        let mut cures = Vec::new();
        if !loopback.is_empty() {
            cures.push("a listener that a published port leads to needs `ip: 0.0.0.0` (or no `ip`) in the configuration, with the port published on 127.0.0.1; or use the host's network (spec.server.docker.network: host)");
        }
        if !nothing.is_empty() {
            cures.push("add a listener for the port to the configuration, or publish it no longer (spec.server.docker.ports)");
        }
        let bad: Vec<&String> = loopback.iter().chain(&nothing).collect();
        problem(
            format!("published ports that nobody can reach: {}", some(&bad)),
            cures.join("; "),
        )
        .with(loopback.iter().map(|port| {
            format!("{port}: it listens on the container's own loopback, where a published port does not lead")
        }))
        .with(nothing.iter().map(|port| format!("{port}: nothing listens there in the container")))
    })
}
