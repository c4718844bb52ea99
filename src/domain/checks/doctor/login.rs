//! Checks of logins: whether the authentication methods work, the listeners listen, and a client
//! gets as far as the login.

use std::collections::BTreeMap;

use super::parts::{judge_alive, judge_delivery};
use super::{
    Backend, BackendServer, BackendState, Client, Evidence, Judgement, Opening, PortTarget,
    does_not_apply, known, listed, passes, problem, unknown,
};
use crate::domain::checks::text::count;
use crate::domain::observed::Reading;

pub(super) fn authentication(e: &Evidence) -> Judgement {
    judge_alive(e, |server, _| {
        let backends = known!(&server.delivery.backends);
        if backends.is_empty() {
            return problem(
                "no host has an authentication method: no account can log in",
                "set `auth_method` in the configuration",
            );
        }
        let lines: Vec<String> = backends.iter().flat_map(lines).collect();
        let failing: Vec<&Backend> =
            backends.iter().filter(|b| matches!(b.state, BackendState::Fails(_))).collect();
        if !failing.is_empty() {
            let what = listed(failing.iter().map(|backend| name(backend)));
            let whole = failing.iter().any(|failing| {
                let of_host = |other: &&Backend| other.host == failing.host;
                backends.iter().filter(of_host).all(|b| matches!(b.state, BackendState::Fails(_)))
            });
            let who = if whole {
                "no account can log in there"
            } else {
                "accounts that only it has cannot log in"
            };
            let lines = failing.iter().flat_map(|backend| self::lines(backend)).collect::<Vec<_>>();
            return problem(format!("accounts are not checked by {what}: {who}"), cure(&failing))
                .with(lines);
        }
        let away: Vec<&Backend> = backends
            .iter()
            .filter(|b| b.servers.iter().any(|server| server.fault.is_some()))
            .collect();
        if !away.is_empty() {
            let what = listed(away.iter().map(|backend| name(backend)));
            return problem(
                format!("people can log in, but a server of {what} is away: if another server fails, they cannot"),
                cure(&away),
            )
            .with(away.iter().flat_map(|backend| self::lines(backend)).collect::<Vec<_>>());
        }
        let unverified: Vec<&Backend> =
            backends.iter().filter(|b| b.state == BackendState::Unverified).collect();
        if !unverified.is_empty() {
            let what = listed(unverified.iter().map(|backend| name(backend)));
            return unknown(format!(
                "whether {what} accepts a password cannot be checked from outside: log in with a client, or set spec.config.gate.canary"
            ))
            .with(lines);
        }
        passes(format!("accounts are checked by {}", listed(backends.iter().map(name)))).with(lines)
    })
}

/// Formats the name of a method and the host for a sentence.
fn name(backend: &Backend) -> String {
    format!("{} ({})", backend.method, backend.host)
}

/// Returns the lines of evidence about a method and the servers of the method.
fn lines(backend: &Backend) -> Vec<String> {
    let Backend { host, method, state, servers } = backend;
    let mut lines = Vec::new();
    if let BackendState::Fails(why) = state {
        lines.push(format!("{method} of {host}: {why}"));
    }
    lines.extend(servers.iter().map(|BackendServer { name, fault }| match (fault, state) {
        (Some(fault), _) => format!("{name}: {fault}"),
        (None, BackendState::Fails(_)) => format!("{name}: it accepts connections"),
        (None, _) => format!("{name}: it responds"),
    }));
    lines
}

/// Returns the cure for methods that do not work. The cure for an LDAP server that accepts
/// connections is different from the cure for an LDAP server that refuses connections.
fn cure(backends: &[&Backend]) -> String {
    let mut cures: BTreeMap<&str, String> = BTreeMap::new();
    for backend in backends {
        let reachable = backend.servers.iter().any(|server| server.fault.is_none());
        let cure = match backend.method.as_str() {
            "ldap" if reachable => {
                "where an LDAP server accepts connections, TLS (ldap_encrypt, ldap_tls_*), the bind (ldap_rootdn, ldap_password) or ldap_base is wrong: the server's log has the error"
            }
            "ldap" => {
                "start the LDAP server, or correct ldap_servers and ldap_port in the configuration; check that the server's network reaches it"
            }
            "sql" => {
                "start the database, or correct sql_server, sql_port and the credentials in the configuration; check that its schema is loaded"
            }
            "external" => {
                "check that extauth_program exists, that the server's user may run it, and that it responds"
            }
            "jwt" => "set `jwt_key` in the configuration to the file with the key",
            "mnesia" => "see the server's log for why the table `passwd` was not loaded",
            "pam" => "check that epam may use PAM: it must be setuid root",
            _ => "see the server's log, and the documentation of that method",
        };
        cures.insert(&backend.method, cure.to_owned());
    }
    cures.into_values().collect::<Vec<_>>().join("; ")
}

pub(super) fn listeners(e: &Evidence) -> Judgement {
    judge_alive(e, |server, _| {
        let all = known!(&server.delivery.listeners);
        if all.is_empty() {
            return problem(
                "its configuration has no listener",
                "add the listeners that you need to `listen` in the configuration",
            );
        }
        let label = |l: &super::Listening| {
            format!("{}{} ({})", l.at, if l.udp { "/udp" } else { "" }, l.module)
        };
        let closed: Vec<String> =
            all.iter().filter(|l| l.open == Reading::Known(false)).map(label).collect();
        if !closed.is_empty() {
            return problem(
                format!("it does not listen where its configuration says: {}", listed(&closed)),
                format!(
                    "its log (`ejabberd-operator logs`) shows why it could not open the port; fix that, then run `{} reload_config`",
                    e.ejabberdctl()
                ),
            )
            .with(closed);
        }
        let unseen: Vec<String> = all
            .iter()
            .filter_map(|l| match &l.open {
                Reading::Unknown(why) => Some(format!("{}: {why}", label(l))),
                Reading::Known(_) => None,
            })
            .collect();
        if !unseen.is_empty() {
            return unknown(format!("not every listener could be checked: {}", listed(&unseen)))
                .with(unseen);
        }
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for listener in all {
            *kinds.entry(listener.module.as_str()).or_default() += 1;
        }
        let kinds = kinds.iter().map(|(module, n)| format!("{n} × {module}"));
        passes(format!("{} open: {}", count(all.len(), "listener"), listed(kinds)))
            .with(all.iter().map(label))
    })
}

pub(super) fn client_ports(e: &Evidence) -> Judgement {
    judge_delivery(e, |delivery, desired| {
        let clients = known!(&delivery.clients);
        if clients.is_empty() {
            return problem(
                "no listener is for clients: no account can log in",
                "add one to `listen` in the configuration: `module: ejabberd_c2s`, or `ejabberd_http` with `ejabberd_http_ws` or `mod_bosh` among its request_handlers",
            );
        }
        let (mut bad, mut good, mut unobserved, mut plain) =
            (Vec::new(), Vec::new(), Vec::new(), false);
        for client in clients {
            let label = format!("{}, {}", client.at, client.host);
            match progress(client) {
                Stream::Complete => good.push(label),
                Stream::Unobserved(why) => unobserved.push(format!("{label}: {why}")),
                Stream::NoStarttls => {
                    plain = true;
                    bad.push(format!(
                        "{label}: it does not offer STARTTLS, though its configuration says so"
                    ));
                }
                Stream::Broken(why) => bad.push(format!("{label}: {why}")),
            }
        }
        if bad.is_empty() {
            let hosts = desired.all_hosts();
            let opened = |host: &&crate::domain::model::Vhost| {
                clients.iter().any(|c| c.host == **host && progress(c) == Stream::Complete)
            };
            let unseen: Vec<_> = hosts.filter(|host| !opened(host)).collect();
            if !unseen.is_empty() {
                return unknown(format!(
                    "whether clients of {} can log in could not be observed",
                    listed(unseen)
                ))
                .with(unobserved);
            }
            return passes(format!("clients get as far as the login: {}", listed(good)))
                .with(unobserved);
        }
        let cure = if plain {
            "put a certificate that the server can read at the path in `certfiles` of the configuration (spec.config.files): without it, no client that requires TLS can log in".to_owned()
        } else {
            format!(
                "see `listeners`, `authentication` and `hosts`, and the server's log; then `{} reload_config`, or {}",
                e.ejabberdctl(),
                e.restart()
            )
        };
        problem(format!("a client port does not serve clients: {}", listed(&bad)), cure).with(bad)
    })
}

/// The progress of a client on the way to the login.
#[derive(Debug, PartialEq, Eq)]
enum Stream {
    /// The client gets as far as the login.
    Complete,
    /// The progress of the client is unknown, for this reason.
    Unobserved(String),
    /// The listener does not offer STARTTLS, but the configuration of the listener sets STARTTLS.
    NoStarttls,
    /// The client does not get as far as the login, for another reason.
    Broken(String),
}

/// Derives the progress of `client` from the response of the server.
fn progress(client: &Client) -> Stream {
    let broken = |why: &str| Stream::Broken(why.to_owned());
    let response = match &client.response {
        Reading::Unknown(why) => return Stream::Broken(why.clone()),
        Reading::Known(response) => response,
    };
    let over_http = matches!(client.opening, Opening::Websocket | Opening::Bosh);
    if response.contains("host-unknown") {
        return broken("it does not know the host");
    }
    if client.opening == Opening::Starttls
        && response.contains("stream:")
        && !response.contains("urn:ietf:params:xml:ns:xmpp-tls")
    {
        return Stream::NoStarttls;
    }
    if response.contains("<mechanism>") {
        return Stream::Complete;
    }
    let status = response.strip_prefix("HTTP/1.").and_then(|rest| rest.split_whitespace().nth(1));
    match status {
        // With `websocket_origin`, the listener refuses the operator's request, because the request
        // has no `Origin`. Clients with an accepted `Origin` may still log in.
        Some("403") if client.opening == Opening::Websocket => {
            return Stream::Unobserved(
                "it accepts only clients of the pages in websocket_origin".to_owned(),
            );
        }
        Some("101" | "200") => {}
        Some(status) if over_http => return Stream::Broken(format!("it responds HTTP {status}")),
        _ => {}
    }
    if !response.contains("stream:") {
        return broken("it does not speak XMPP");
    }
    broken("it offers no way to log in")
}

pub(super) fn published(e: &Evidence) -> Judgement {
    judge_alive(e, |server, _| {
        let ports = known!(&server.delivery.published);
        if ports.is_empty() {
            return does_not_apply("no port is published");
        }
        let of = |wanted: PortTarget| -> Vec<String> {
            let found = ports.iter().filter(|(_, target)| *target == wanted);
            found.map(|(port, _)| port.to_string()).collect()
        };
        let (loopback, nothing) = (of(PortTarget::Loopback), of(PortTarget::Nothing));
        if loopback.is_empty() && nothing.is_empty() {
            return passes(format!(
                "published ports lead to a listener: {}",
                listed(of(PortTarget::Socket))
            ));
        }
        let mut cures = Vec::new();
        if !loopback.is_empty() {
            cures.push("a listener that a published port leads to needs `ip: 0.0.0.0` (or no `ip`) in the configuration, with the port published on 127.0.0.1; or use the host's network (spec.server.docker.network: host)");
        }
        if !nothing.is_empty() {
            cures.push("add a listener for the port to the configuration, or stop publishing the port (spec.server.docker.ports)");
        }
        let bad: Vec<&String> = loopback.iter().chain(&nothing).collect();
        problem(
            format!("published ports that cannot be reached: {}", listed(&bad)),
            cures.join("; "),
        )
        .with(loopback.iter().map(|port| {
            format!("{port}: it listens on the container's own loopback, which a published port does not reach")
        }))
        .with(nothing.iter().map(|port| format!("{port}: nothing listens there in the container")))
    })
}
