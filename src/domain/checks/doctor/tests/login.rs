//! Tests the checks of logins.

use super::delivery::client;
use super::*;
use crate::domain::observed::Published;

/// The host, the method, the state of the method, and the servers of the method with their faults.
type Row<'a> = (&'a str, &'a str, BackendState, &'a [(&'a str, Option<&'a str>)]);

fn backends(e: &mut Evidence, of: &[Row<'_>]) {
    let found = of.iter().map(|(host, method, state, servers)| Backend {
        host: Vhost::new(host).unwrap(),
        method: (*method).into(),
        state: state.clone(),
        servers: servers
            .iter()
            .map(|(name, fault)| BackendServer {
                name: (*name).into(),
                fault: fault.map(Into::into),
            })
            .collect(),
    });
    delivery(e).backends = Reading::Known(found.collect());
}

fn fails(why: &str) -> BackendState {
    BackendState::Fails(why.into())
}

fn listener(e: &mut Evidence, at: &str, module: &str, udp: bool, open: Reading<bool>) {
    let Reading::Known(all) = &mut delivery(e).listeners else { panic!() };
    all.push(Listening { at: at.into(), udp, module: module.into(), open });
}

fn published(e: &mut Evidence, of: &[(u16, bool, PortTarget)]) {
    let outside = "127.0.0.1:15222".parse().unwrap();
    let ports = of
        .iter()
        .map(|(inside, udp, target)| (Published { outside, inside: *inside, udp: *udp }, *target));
    delivery(e).published = Reading::Known(ports.collect());
}

#[test]
fn a_method_whose_server_does_not_respond_is_a_problem() {
    table(&[
        (|_| {}, "authentication", Passes, &["mnesia (a.test)"]),
        (|e| delivery(e).backends = no(), "authentication", Unknown, &["it hid"]),
        (|e| backends(e, &[]), "authentication", Fails, &["auth_method", "no account can log in"]),
        (
            |e| {
                let servers = [("l:389", Some("connection refused"))];
                backends(e, &[("a.test", "ldap", fails("no connection"), &servers)]);
            },
            "authentication",
            Fails,
            &[
                "ldap (a.test)",
                "no account can log in there",
                "l:389: connection refused",
                "ldap_servers",
            ],
        ),
        // The LDAP server accepts connections, so the cause is TLS or the bind.
        (
            |e| backends(e, &[("a.test", "ldap", fails("no connection"), &[("l:389", None)])]),
            "authentication",
            Fails,
            &["l:389: it accepts connections", "ldap_rootdn"],
        ),
        // One method fails, but another method of the same host works.
        (
            |e| {
                let down = ("a.test", "sql", fails("no"), &[][..]);
                backends(e, &[("a.test", "mnesia", BackendState::Responds, &[]), down]);
            },
            "authentication",
            Fails,
            &["sql (a.test): accounts that only it has", "sql_server"],
        ),
        // One host has a working method, but the other host has none.
        (
            |e| {
                let down = ("b.test", "external", fails("no"), &[][..]);
                backends(e, &[("a.test", "mnesia", BackendState::Responds, &[]), down]);
            },
            "authentication",
            Fails,
            &["external (b.test): no account can log in there", "extauth_program"],
        ),
        // One of several servers does not respond.
        (
            |e| {
                let servers = [("l:389", Some("no response in time")), ("m:389", None)];
                backends(e, &[("a.test", "ldap", BackendState::Responds, &servers)]);
            },
            "authentication",
            Fails,
            &[
                "people can log in, but a server of ldap (a.test) is away",
                "l:389: no response",
                "m:389: it responds",
            ],
        ),
        (
            |e| backends(e, &[("a.test", "pam", BackendState::Unverified, &[])]),
            "authentication",
            Unknown,
            &["pam (a.test)", "cannot be checked from outside"],
        ),
        (
            |e| backends(e, &[("a.test", "jwt", fails("the option"), &[])]),
            "authentication",
            Fails,
            &["jwt_key"],
        ),
    ]);
}

#[test]
fn listeners_are_counted_by_module() {
    table(&[
        (|_| {}, "listeners", Passes, &["1 listener open: 1 × ejabberd_c2s"]),
        (|e| delivery(e).listeners = no(), "listeners", Unknown, &["it hid"]),
        (
            |e| delivery(e).listeners = Reading::Known(Vec::new()),
            "listeners",
            Fails,
            &["its configuration has no listener"],
        ),
        (
            |e| {
                listener(e, "0.0.0.0:3478", "ejabberd_stun", true, Reading::Known(true));
                listener(e, "unix:/run/x", "ejabberd_http", false, Reading::Known(true));
            },
            "listeners",
            Passes,
            &["3 listeners", "0.0.0.0:3478/udp (ejabberd_stun)", "unix:/run/x (ejabberd_http)"],
        ),
        (
            |e| listener(e, "0.0.0.0:5060", "ejabberd_sip", true, Reading::Known(false)),
            "listeners",
            Fails,
            &["0.0.0.0:5060/udp (ejabberd_sip)", "reload_config"],
        ),
        (
            |e| listener(e, "unix:x", "ejabberd_sip", true, no()),
            "listeners",
            Unknown,
            &["unix:x/udp (ejabberd_sip): it hid"],
        ),
    ]);
}

#[test]
fn a_client_over_http_gets_as_far_as_the_login() {
    let ws = |e: &mut Evidence, response: &str| {
        client(e).opening = Opening::Websocket;
        client(e).response = Reading::Known(response.into());
    };
    let judged = |response: &str| {
        let mut evidence = good();
        ws(&mut evidence, response);
        let found = diagnose(&evidence, &Symptom::ALL);
        let found = found.into_iter().find(|f| f.check == "client_ports").unwrap();
        (found.verdict, found.seen)
    };
    let features = "HTTP/1.1 101 X\r\n\r\n<stream:features><mechanism>PLAIN</mechanism>";
    assert_eq!(judged(features).0, Passes);
    let bosh = "HTTP/1.0 200 OK\r\n\r\n<body><stream:features><mechanism>X</mechanism>";
    assert_eq!(judged(bosh).0, Passes);
    let (verdict, seen) = judged("HTTP/1.1 404 Not Found\r\n");
    assert!(verdict == Fails && seen.contains("it responds HTTP 404"), "{seen}");
    let (verdict, seen) = judged("HTTP/1.1 403 Forbidden\r\n");
    assert!(verdict == Unknown && seen.contains("a.test"), "{seen}");
    let (verdict, seen) = judged("HTTP/1.1 101 X\r\n\r\n<stream:features></stream:features>");
    assert!(verdict == Fails && seen.contains("no way to log in"), "{seen}");
    let (verdict, seen) = judged("HTTP/1.1 200 OK\r\n\r\n<html>");
    assert!(verdict == Fails && seen.contains("does not speak XMPP"), "{seen}");
}

#[test]
fn a_published_port_without_a_reachable_listener_is_a_problem() {
    table(&[
        (|_| {}, "published_ports", DoesNotApply, &["no port is published"]),
        (|e| delivery(e).published = no(), "published_ports", Unknown, &["it hid"]),
        (
            |e| published(e, &[(5222, false, PortTarget::Socket)]),
            "published_ports",
            Passes,
            &["127.0.0.1:15222 -> 5222"],
        ),
        (
            |e| {
                published(
                    e,
                    &[(5222, false, PortTarget::Loopback), (3478, true, PortTarget::Nothing)],
                )
            },
            "published_ports",
            Fails,
            &[
                "-> 5222: it listens on the container's own loopback",
                "-> 3478/udp: nothing listens",
                "network: host",
            ],
        ),
    ]);
}
