//! Tests the items about sockets and stream features.

use super::*;

#[test]
fn a_socket_that_is_not_on_loopback_fails() {
    table(&[
        (|_| (), "loopback_inside", Passes, "127.0.0.1:5280"),
        (
            |e| inside(e, &[("127.0.0.1:5280", 995), ("[::]:5222", 995), ("0.0.0.0:22", 0)]),
            "loopback_inside",
            Fails,
            "[::]:5222 (ejabberd_c2s)",
        ),
        (
            |e| {
                inside(e, &[("0.0.0.0:5222", 995)]);
                bridge(e, &[], &[]);
            },
            "loopback_inside",
            Fails,
            "this item holds only with the host's network",
        ),
        (|e| inside(e, &[("0.0.0.0:22", 0)]), "loopback_inside", Unknown, "runs as user 995"),
        (
            |e| {
                text(e, "listen:\n  - { port: 3478, module: ejabberd_stun, transport: udp }\n");
                let Reading::Known(inside) = &mut e.inside else { panic!() };
                inside.udp = sockets(&[("0.0.0.0:3478", 995), ("0.0.0.0:40000", 995)]);
            },
            "loopback_inside",
            Fails,
            "0.0.0.0:3478 (UDP)",
        ),
        (|_| (), "loopback_published", Passes, "with the host's network"),
        (|e| bridge(e, &[], &[]), "loopback_published", Passes, "none is published"),
        (
            |e| bridge(e, &["127.0.0.1:5222", "[::1]:5222"], &[]),
            "loopback_published",
            Passes,
            "127.0.0.1:5222, [::1]:5222",
        ),
        (
            |e| bridge(e, &["127.0.0.1:5222", "0.0.0.0:15280"], &[]),
            "loopback_published",
            Fails,
            "0.0.0.0:15280",
        ),
        (|_| (), "loopback_host", Passes, "127.0.0.1:4369"),
        (
            |e| {
                inside(e, &[("127.0.0.1:5222", 995), ("0.0.0.0:5280", 995)]);
                e.host = Reading::Known(sockets(&[("127.0.0.1:5222", 995), ("0.0.0.0:5280", 995)]));
            },
            "loopback_host",
            Fails,
            "0.0.0.0:5280 (ejabberd_http)",
        ),
        // A socket of another program, with the same port at another address, does not count.
        (
            |e| {
                let host = [("127.0.0.1:5222", 995), ("127.0.0.1:5280", 995), ("10.0.0.1:5280", 0)];
                e.host = Reading::Known(sockets(&host));
            },
            "loopback_host",
            Passes,
            "127.0.0.1:5280",
        ),
        (
            |e| {
                let host = [("127.0.0.1:15222", 0), ("10.0.0.1:15222", 0)];
                bridge(e, &["127.0.0.1:15222"], &host);
            },
            "loopback_host",
            Passes,
            "127.0.0.1:15222",
        ),
        (
            |e| e.host = Reading::Known(sockets(&[("0.0.0.0:22", 0)])),
            "loopback_host",
            Unknown,
            "in the network that the operator sees",
        ),
        (|e| bridge(e, &[], &[]), "loopback_host", Passes, "no port on the host"),
        (
            |e| bridge(e, &["0.0.0.0:15222"], &[("0.0.0.0:15222", 0)]),
            "loopback_host",
            Fails,
            "0.0.0.0:15222",
        ),
        (
            |e| bridge(e, &["127.0.0.1:15222"], &[("127.0.0.1:15222", 0)]),
            "loopback_host",
            Passes,
            "127.0.0.1:15222",
        ),
        (|e| bridge(e, &["127.0.0.1:15222"], &[]), "loopback_host", Unknown, "15222"),
    ]);
}

#[test]
fn an_open_distribution_or_epmd_port_fails() {
    table(&[
        (|_| (), "distribution_local", Passes, "127.0.0.1:4369 (epmd), 127.0.0.1:38237 (Erlang's"),
        (
            |e| inside(e, &[("0.0.0.0:4369", 7), ("127.0.0.1:5222", 995)]),
            "distribution_local",
            Fails,
            "0.0.0.0:4369 (epmd)",
        ),
        (
            |e| inside(e, &[("127.0.0.1:4369", 995), ("[::]:38237", 995)]),
            "distribution_local",
            Fails,
            "[::]:38237 (Erlang's distribution)",
        ),
        // An open listener does not fail this item, because another item judges listeners.
        (
            |e| {
                e.distribution = distribution(None);
                inside(e, &[("0.0.0.0:5222", 995)]);
            },
            "distribution_local",
            Passes,
            "neither",
        ),
        // A socket that a module opened does not count as the distribution.
        (
            |e| inside(e, &[("0.0.0.0:7777", 995), ("127.0.0.1:38237", 995)]),
            "distribution_local",
            Passes,
            "127.0.0.1:38237 (Erlang's distribution)",
        ),
        (|e| inside(e, &[("0.0.0.0:7777", 995)]), "loopback_inside", Fails, "0.0.0.0:7777"),
        // The port mapper (epmd) listens at another port than 4369.
        (
            |e| {
                e.distribution = Reading::Known(Distribution { port: Some(38237), mapper: 5000 });
                inside(e, &[("0.0.0.0:5000", 7), ("127.0.0.1:38237", 995)]);
            },
            "distribution_local",
            Fails,
            "0.0.0.0:5000 (epmd)",
        ),
        (
            |e| inside(e, &[("127.0.0.1:4369", 995), ("127.0.0.1:5222", 995)]),
            "distribution_local",
            Unknown,
            "at the distribution's port 38237",
        ),
        (
            |e| {
                e.distribution = no();
                inside(e, &[("0.0.0.0:7777", 995)]);
            },
            "distribution_local",
            Unknown,
            "the port of the Erlang distribution is unknown: it hid",
        ),
        (
            |e| {
                e.distribution = no();
                inside(e, &[("0.0.0.0:5222", 995), ("0.0.0.0:4369", 995)]);
            },
            "distribution_local",
            Fails,
            "0.0.0.0:4369",
        ),
    ]);
}

#[test]
fn a_client_connects_to_the_address_of_the_socket() {
    let at = |e: &Evidence| match e.client_listeners() {
        Reading::Known(found) => {
            found.iter().map(|c| c.at.to_string()).collect::<Vec<_>>().join(" ")
        }
        Reading::Unknown(why) => why,
    };
    let mut evidence = good();
    assert_eq!(at(&evidence), "127.0.0.1:5222");
    inside(&mut evidence, &[("172.17.0.2:5222", 995)]);
    assert_eq!(at(&evidence), "172.17.0.2:5222");
    evidence.inside = no();
    clients(&mut evidence, ", ip: \"::\"");
    assert_eq!(at(&evidence), "127.0.0.1:5222");
    clients(&mut evidence, ", ip: \"::1\"");
    assert_eq!(at(&evidence), "[::1]:5222");
    evidence.configuration = no();
    assert_eq!(at(&evidence), "it hid");
}
