//! Tests with real servers that the reports of the program are true: whether people can log in,
//! which program has a port, and whether the declared state is in force.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use ejabberd_operator::domain::spec::{SourceFile, validate};
use support::findings::{Findings, free_port};
use support::host::{Host, eventually};
use support::real::{CONFIG, docker, image};

/// Returns [`CONFIG`] with the listeners `listen`, and with `more` at the end.
fn config(listen: &str, more: &str) -> String {
    let (head, rest) = CONFIG.split_once("listen:\n").unwrap();
    let (_, tail) = rest.split_once('\n').unwrap();
    format!("{head}listen:\n{listen}{tail}{more}")
}

const C2S: &str = "  - { port: 5222, ip: 127.0.0.1, module: ejabberd_c2s }\n";

/// Returns the address of the host on Docker's bridge network. Containers reach the host at this
/// address.
fn gateway() -> String {
    let subnet =
        docker(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge"]);
    let network: std::net::Ipv4Addr = subnet.split('/').next().unwrap().parse().unwrap();
    let member = std::net::Ipv4Addr::from(u32::from(network) + 2);
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect((member, 9)).unwrap();
    socket.local_addr().unwrap().ip().to_string()
}

/// The mode of the test's LDAP server in which every request succeeds.
const WORKS: u8 = 0;
const REFUSES_BIND: u8 = 1;
const SILENT: u8 = 2;

/// Runs an LDAP server that responds to a bind and to a search, which is what ejabberd needs to
/// look up an account. Supports only message ids of one byte.
fn ldap(listener: &TcpListener, mode: &Arc<AtomicU8>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        let mode = Arc::clone(mode);
        std::thread::spawn(move || answer(stream, &mode));
    }
}

fn answer(mut stream: TcpStream, mode: &AtomicU8) {
    let mut buffer = [0; 2048];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let message = &buffer[..read];
        // A message has: SEQUENCE, the length in one byte or more, INTEGER, 1, the id, and the
        // operation.
        let at = if message[1] < 0x80 { 2 } else { 2 + usize::from(message[1] & 0x7f) };
        let (id, operation) = (message[at + 2], message[at + 3]);
        let (reply, code) = match (operation, mode.load(Ordering::Relaxed)) {
            (_, SILENT) => continue,
            (0x60, REFUSES_BIND) => (0x61, 49),
            (0x60, _) => (0x61, 0),
            (0x63, _) => (0x65, 0),
            _ => return,
        };
        let body = [0x0a, 1, code, 4, 0, 4, 0];
        let mut message = vec![0x30, 12, 2, 1, id, reply, 7];
        message.extend(body);
        if stream.write_all(&message).is_err() {
            return;
        }
    }
}

/// `doctor` checks whether ejabberd can authenticate accounts.
fn a_backend_that_is_away_is_named(version: &str) {
    let at = gateway();
    let listener = TcpListener::bind((at.as_str(), 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mode = Arc::new(AtomicU8::new(WORKS));
    let copy = (listener.try_clone().unwrap(), Arc::clone(&mode));
    std::thread::spawn(move || ldap(&copy.0, &copy.1));

    let host = Host::new(version);
    let of_ldap = |backups: &str, methods: &str| {
        let mam = "  mod_mam: { default: always }\n";
        let options = format!(
            "{mam}auth_method: [{methods}]\nldap_servers: [{at}]\nldap_backups: [{backups}]\nldap_port: {port}\n\
             ldap_base: \"dc=test\"\nldap_rootdn: \"cn=ejabberd\"\nldap_password: \"hunter-2\"\n"
        );
        fs::write(host.path("ejabberd.yml"), config(C2S, &options)).unwrap();
    };
    of_ldap("", "ldap");
    host.declare("");
    host.run(&["apply"]).expect(0);
    let mut found = Findings::of(&host, &[]);
    eventually("a bound connection", Duration::from_secs(40), || {
        found = Findings::of(&host, &[]);
        found.verdict("authentication") == "fine"
    });
    found.says(
        "authentication",
        "fine",
        &["ldap (test.example)", &format!("{at}:{port}: it responds")],
    );
    found.says("client_ports", "fine", &["127.0.0.1:5222, test.example"]);
    assert!(host.run(&["doctor"]).stdout.contains("Nothing wrong was found."), "{:#}", found.0);

    // The restart ends ejabberd's LDAP connections, so ejabberd must bind again in the new mode.
    let ended_with = |with: u8| {
        mode.store(with, Ordering::Relaxed);
        docker(&["restart", &host.container]);
        eventually("a server", Duration::from_mins(1), || {
            Findings::of(&host, &["--symptom", "api"]).verdict("control") == "fine"
        });
    };
    ended_with(REFUSES_BIND);
    let found = Findings::of(&host, &[]);
    found.says(
        "authentication",
        "problem",
        &["no account can log in", "it accepts connections", "ldap_rootdn"],
    );
    let text = host.run(&["doctor"]).expect(2).stdout;
    assert!(!text.contains("Nothing wrong") && !text.contains("hunter-2"), "{text}");
    ended_with(SILENT);
    let began = Instant::now();
    let found = Findings::of(&host, &[]);
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    found.says(
        "authentication",
        "problem",
        &["no account can log in", "no connection of ejabberd"],
    );

    // A second LDAP server does not respond, because no machine has its address. Accounts in
    // ejabberd's own database can still log in.
    mode.store(WORKS, Ordering::Relaxed);
    of_ldap("192.0.2.1", "mnesia, ldap");
    host.run(&["apply"]).expect(0);
    eventually("a second server", Duration::from_secs(40), || {
        let found = Findings::of(&host, &[]);
        let (verdict, text) = (found.verdict("authentication"), found.words("authentication"));
        verdict == "problem" && text.contains("people can log in, but a server of ldap")
    });
    let began = Instant::now();
    let found = Findings::of(&host, &[]);
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    found.says("authentication", "problem", &[&format!("192.0.2.1:{port}: ")]);

    // An authentication program that ends at once, and a missing JWT key.
    let options = "auth_method: [external, jwt]\nextauth_program: /bin/false\n";
    fs::write(host.path("ejabberd.yml"), config(C2S, options)).unwrap();
    host.run(&["apply"]);
    let found = Findings::of(&host, &["--symptom", "delivery"]);
    found.says(
        "authentication",
        "problem",
        &[
            "external (test.example)",
            "jwt (test.example)",
            "/bin/false",
            "jwt_key",
            "no account can log in",
        ],
    );
}

#[test]
fn a_backend_that_is_away_is_named_newest() {
    a_backend_that_is_away_is_named("newest");
}

#[test]
fn a_backend_that_is_away_is_named_ecs() {
    a_backend_that_is_away_is_named("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn a_backend_that_is_away_is_named_23_01() {
    a_backend_that_is_away_is_named("23.01");
}

/// Starts a container with this Erlang cookie, without the operator. ejabberd opens a Unix socket
/// first under a temporary name: bytes 1 to 8 of the SHA-1 of the cookie, in base64
/// (`ejabberd_listener`). ejabberd cannot open a socket whose temporary name has a slash.
fn with_cookie(host: &Host, cookie: &str) {
    let options = format!("ERL_OPTIONS=-setcookie {cookie}");
    let loopback = "ERL_ZFLAGS=-kernel inet_dist_use_interface {127,0,0,1}";
    let settings = [options.as_str(), loopback, "ERL_EPMD_ADDRESS=127.0.0.1"];
    let settings = settings.iter().flat_map(|setting| ["-e", *setting]);
    let image = image(&host.version);
    let mut args = vec!["run", "-d", "--name", host.container.as_str()];
    args.extend(settings.chain([image.as_str()]));
    docker(&args);
}

/// If ejabberd stops in its node and the node keeps running, the health gate reports the reason,
/// and the operator restores the previous configuration.
fn a_socket_that_ejabberd_cannot_open_is_named(version: &str) {
    let host = Host::new(version);
    host.declare("");
    with_cookie(&host, "COOKIE9");
    host.run(&["apply"]).expect(0);
    let socket =
        "  - { port: \"unix:/home/ejabberd/database/claims.sock\", module: ejabberd_http }\n";
    fs::write(host.path("ejabberd.yml"), config(&format!("{C2S}{socket}"), "")).unwrap();
    let ran = host.run(&["apply"]).expect(1);
    let text = format!("{}{}", ran.stdout, ran.stderr);
    for words in
        ["ejabberd stopped in its node", "another cookie", "previous configuration was put back"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(host.users(), Vec::<String>::new());
    let plan = host.run(&["plan"]).stdout;
    assert!(plan.contains("Unix socket"), "{plan}");
}

#[test]
fn a_socket_that_ejabberd_cannot_open_is_named_newest() {
    a_socket_that_ejabberd_cannot_open_is_named("newest");
}

/// `doctor` checks listeners of every kind. Clients may also use listeners other than c2s.
fn every_kind_of_listener_counts(version: &str) {
    let host = Host::new(version);
    let listen = "  - { port: 5443, module: ejabberd_http, request_handlers: { /ws: ejabberd_http_ws, /bosh: mod_bosh, /api: mod_http_api } }\n  \
                  - { port: 5269, module: ejabberd_s2s_in }\n  \
                  - { port: 3478, transport: udp, module: ejabberd_stun }\n  \
                  - { port: 1883, ip: \"::\", module: mod_mqtt }\n  \
                  - { port: 8888, module: ejabberd_service, access: all, hosts: { x.test.example: { password: s } } }\n  \
                  - { port: \"unix:/home/ejabberd/database/claims.sock\", module: ejabberd_http, request_handlers: { /api: mod_http_api } }\n";
    let more =
        "  mod_mam: { default: always }\n  mod_bosh: {}\n  mod_mqtt: {}\n  mod_http_api: {}\n";
    fs::write(host.path("ejabberd.yml"), config(listen, more)).unwrap();
    host.declare("");
    with_cookie(&host, "COOKIE0");
    host.run(&["apply"]).expect(0);
    let mut found = Findings::of(&host, &[]);
    // ejabberd 24.12 waits five seconds before it moves a Unix socket to its path.
    eventually("all listeners", Duration::from_secs(20), || {
        found = Findings::of(&host, &[]);
        found.verdict("listeners") == "fine"
    });
    let kinds = [
        "6 listeners",
        "2 × ejabberd_http",
        "1 × ejabberd_stun",
        "1 × mod_mqtt",
        "unix:/home/ejabberd/database/claims.sock",
    ];
    found.says("listeners", "fine", &kinds);
    let ways = ["ws://0.0.0.0:5443/ws, test.example", "http://0.0.0.0:5443/bosh, test.example"];
    found.says("client_ports", "fine", &ways);
    found.says("authentication", "fine", &["mnesia (test.example)"]);
    if version == "newest" {
        found.says("http_api", "fine", &["a Unix socket (/api)/status: "]);
        let text = host.run(&["doctor"]).expect(0).stdout;
        assert!(text.contains("Nothing wrong was found."), "{text}");
    } else {
        // A connection would end the socket, so `doctor` does not connect, and the verdict is
        // unknown.
        found.says("http_api", "unknown", &["a Unix socket (/api)"]);
        let text = host.run(&["doctor"]).expect(2).stdout;
        assert!(!text.contains("Nothing wrong") && text.contains("http_api"), "{text}");
        // `doctor` has not ended the socket.
        Findings::of(&host, &[]).says("listeners", "fine", &["unix:"]);
    }
    // If `doctor` runs only a part of the checks, the output does not say that nothing is wrong.
    let text = host.run(&["doctor", "--symptom", "start"]).expect(0).stdout;
    assert!(!text.contains("Nothing wrong") && text.contains("only a part was checked"), "{text}");

    // A server without a client port.
    let only = "  - { port: 5269, module: ejabberd_s2s_in }\n";
    fs::write(host.path("ejabberd.yml"), config(only, more)).unwrap();
    host.run(&["apply"]).expect(0);
    let found = Findings::of(&host, &[]);
    found.says("client_ports", "problem", &["no account can log in", "ejabberd_http_ws"]);

    // The audit distinguishes the port of the distribution from the port of a module.
    let proxy = "  mod_proxy65: { ip: 0.0.0.0, port: 7777 }\n";
    fs::write(host.path("ejabberd.yml"), config(C2S, proxy)).unwrap();
    host.run(&["apply"]).expect(0);
    let audit = host.run(&["audit", "--output", "json"]).json();
    let item = |name: &str| {
        let all = audit["checks"].as_array().unwrap().iter();
        all.clone().find(|item| item["check"] == name).unwrap().clone()
    };
    let inside = item("loopback_inside");
    assert!(inside["seen"].as_str().unwrap().contains("0.0.0.0:7777"), "{inside:#}");
    let local = item("distribution_local");
    assert_eq!(local["verdict"], "holds", "{local:#}");
    assert!(local["seen"].as_str().unwrap().contains("(Erlang's distribution)"), "{local:#}");
}

#[test]
fn every_kind_of_listener_counts_newest() {
    every_kind_of_listener_counts("newest");
}

#[test]
fn every_kind_of_listener_counts_ecs() {
    every_kind_of_listener_counts("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn every_kind_of_listener_counts_23_01() {
    every_kind_of_listener_counts("23.01");
}

/// `doctor` and the plan report a published port that leads to loopback or to no listener, because
/// clients cannot reach such a port. `doctor` does not report the program with which Docker holds
/// the port as another program.
fn a_published_port_that_leads_nowhere_is_reported(version: &str) {
    let host = Host::new(version);
    let (clients, nothing, open) = (free_port(), free_port(), free_port());
    let listen = "  - { port: 5222, ip: 127.0.0.1, module: ejabberd_c2s }\n  \
                  - { port: 5280, module: ejabberd_http }\n";
    fs::write(host.path("ejabberd.yml"), config(listen, "  mod_mam: { default: always }\n"))
        .unwrap();
    let ports = format!(
        "network: bridge, ports: [\"{clients}:5222\", \"{nothing}:9999\", \"{open}:5280\"]"
    );
    fs::write(host.file(), host.head().replace("network: bridge", &ports)).unwrap();
    // The plan has these notes before the container exists, and after.
    for _ in 0..2 {
        let plan = host.run(&["plan"]).stdout;
        let words = [
            format!("127.0.0.1:{clients} -> 5222 is published, and clients cannot reach it"),
            "ejabberd_c2s listens on 127.0.0.1".to_owned(),
            format!("127.0.0.1:{nothing} -> 9999 is published, and no listener"),
        ];
        let flat = plan.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(flat.contains(&word), "{word} is not in {plan}");
        }
        assert!(!flat.contains(&format!("{open} -> 5280 is published")), "{plan}");
        host.run(&["apply"]).expect(0);
    }
    let found = Findings::of(&host, &[]);
    let loopback =
        format!("127.0.0.1:{clients} -> 5222: it listens on the container's own loopback");
    let none = format!("127.0.0.1:{nothing} -> 9999: nothing listens");
    found.says("published_ports", "problem", &[&loopback, &none, "network: host"]);
    found.says("ports", "fine", &[]);

    // While a server does not respond, Docker still holds its published ports.
    docker(&["exec", "-u", "0", &host.container, "sh", "-c", "kill -STOP $(pidof beam.smp)"]);
    let found = Findings::of(&host, &["--symptom", "start"]);
    docker(&["exec", "-u", "0", &host.container, "sh", "-c", "kill -CONT $(pidof beam.smp)"]);
    let (verdict, text) = (found.verdict("ports"), found.words("ports"));
    assert!(verdict != "problem" && !text.contains("another program has"), "{verdict}: {text}");
    docker(&["rm", "-f", "-v", &host.container]);

    // A listener on the loopback address of IPv6, a UDP port and a range of ports, in a container
    // that the operator did not create.
    let path = host.path("ejabberd.yml");
    let six = "  - { port: 5223, ip: \"::1\", module: ejabberd_c2s }\n  - { port: 5280, module: ejabberd_http }\n";
    fs::write(&path, config(six, "  mod_mam: { default: always }\n")).unwrap();
    let conf = "/home/ejabberd/conf/ejabberd.yml";
    let conf = if version.ends_with("ghcr") { "/opt/ejabberd/conf/ejabberd.yml" } else { conf };
    let image = support::real::image(version);
    let publish = ["127.0.0.1::3478/udp", "127.0.0.1::5223", "127.0.0.1::5278-5280"];
    let six = "net.ipv6.conf.all.disable_ipv6=0";
    let mut args = vec!["create", "--name", host.container.as_str(), "--sysctl", six];
    for port in publish {
        args.extend(["-p", port]);
    }
    args.push(&image);
    docker(&args);
    docker(&["cp", path.to_str().unwrap(), &format!("{}:{conf}", host.container)]);
    docker(&["start", &host.container]);
    fs::write(host.file(), host.head()).unwrap();
    let mut found = Findings::of(&host, &[]);
    eventually("a server", Duration::from_mins(1), || {
        found = Findings::of(&host, &[]);
        found.verdict("control") == "fine"
    });
    let (verdict, text) = (found.verdict("published_ports"), found.words("published_ports"));
    assert_eq!(verdict, "problem", "{text}");
    for word in [
        "-> 5223: it listens on the container's own loopback",
        "-> 3478/udp: nothing",
        "-> 5278: nothing",
        "-> 5279: nothing",
    ] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert!(!text.contains("-> 5280"), "{text}");
}

#[test]
fn a_published_port_that_leads_nowhere_is_reported_newest() {
    a_published_port_that_leads_nowhere_is_reported("newest");
}

#[test]
fn a_published_port_that_leads_nowhere_is_reported_ecs() {
    a_published_port_that_leads_nowhere_is_reported("24.12-ecs");
}

/// The plan names the declared options that have no effect, and the operator does not set these
/// options again.
fn a_configuration_that_is_not_in_force_is_reported(version: &str) {
    let host = Host::new(version);
    let text = CONFIG.replace("  mod_roster: {}\n", "");
    fs::write(host.path("ejabberd.yml"), text).unwrap();
    host.declare(
        "  users: [{ name: ann, password: x1 }]\n  groups: [{ name: agents, members: [ann] }]\n  rooms:\n    \
         - { name: big, options: { max_users: 300, mam: true, logging: true, captcha_protected: true } }\n    \
         - { name: shut, options: { password: secret } }\n    \
         - { name: small, options: { max_users: 20, voice_request_min_interval: 60, allow_voice_requests: false } }\n",
    );
    let applied = host.run(&["apply"]).expect(0).stdout;
    let expected = [
        "not in force: the room big@conference.test.example: `max_users` is 300, and mod_muc admits no more than 200",
        "`mam` has no effect, because mod_mam is not loaded",
        "`logging` has no effect, because mod_muc_log is not loaded",
        "`captcha_protected` has no effect, because the option `captcha_cmd` is not set",
        "the room shut@conference.test.example: `password` has no effect: `password_protected` is false",
        "the room small@conference.test.example: `voice_request_min_interval` has no effect",
        "the group agents@test.example: `roster` has no effect, because mod_roster is not loaded",
    ];
    for words in expected {
        assert!(applied.contains(words), "{words} is not in {applied}");
    }
    assert!(applied.contains("not all declared settings are in force"), "{applied}");
    // The next run repeats no step, and reports the same options.
    let again = host.run(&["apply"]).expect(0).stdout;
    assert!(again.contains("in force: 0 steps done."), "{again}");
    let plan = host.run(&["plan", "--detailed-exitcode"]).expect(0).stdout;
    assert!(!plan.contains("Nothing to do") && plan.contains("not in force:"), "{plan}");
    let json = host.run(&["plan", "--output", "json"]).expect(0).json();
    assert_eq!(json["steps"].as_array().unwrap().len(), 0);
    assert_eq!(json["notInForce"].as_array().unwrap().len(), expected.len(), "{json:#}");
    assert!(json["notInForce"].to_string().contains("big@conference.test.example"));
    // An administrator sets `max_users` to the declared 300. The plan has no step, because mod_muc
    // still admits at most 200.
    host.ctl(&["change_room_option", "big", "conference.test.example", "max_users", "300"]);
    host.run(&["plan", "--detailed-exitcode"]).expect(0);
    host.ctl(&["change_room_option", "big", "conference.test.example", "max_users", "100"]);
    host.run(&["plan", "--detailed-exitcode"]).expect(2);
    host.run(&["apply"]).expect(0);
    host.run(&["plan", "--detailed-exitcode"]).expect(0);
    let daemon = host.start(&["run", "--listen", "127.0.0.1:0"], "log");
    let mut status = serde_json::Value::Null;
    eventually("a status", Duration::from_mins(1), || {
        let ran = host.run(&["status", "--output", "json"]);
        if ran.code == Some(0) {
            status = ran.json();
        }
        ran.code == Some(0)
    });
    let room = &status["notInForce"]["room big@conference.test.example"];
    assert!(room.as_str().unwrap().contains("`max_users` is 300"), "{status:#}");
    let text = host.run(&["status"]).expect(0).stdout;
    assert!(text.contains("not in force"), "{text}");
    drop(daemon);

    // With the modules loaded and a higher limit, all settings are in force, and the plan has no
    // note.
    let text = CONFIG.replace("max_users: 200", "max_users: 400");
    let more = "  mod_mam: {}\n  mod_muc_log: { outdir: /tmp/claims }\n";
    fs::write(host.path("ejabberd.yml"), text + more).unwrap();
    host.declare(
        "  users: [{ name: ann, password: x1 }]\n  groups: [{ name: agents, members: [ann] }]\n  rooms:\n    \
         - { name: big, options: { max_users: 300, mam: true, logging: true } }\n    \
         - { name: lost, service: rooms.test.example }\n    \
         - { name: shut, options: { password: secret, password_protected: true } }\n    \
         - { name: small, options: { max_users: 20 } }\n",
    );
    let applied = host.run(&["apply"]).expect(1).stdout;
    let service =
        "the server has no service `rooms.test.example`; it has `conference.test.example`";
    assert!(applied.contains(service) && !applied.contains("not in force"), "{applied}");
    let plan = host.run(&["plan"]).expect(1).stdout;
    let plan = plan.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plan.contains(service) && !plan.contains("not in force"), "{plan}");
    let found = Findings::of(&host, &["--symptom", "delivery"]);
    found.says(
        "rooms",
        "problem",
        &["lost@rooms.test.example", "the services conference.test.example"],
    );
}

#[test]
fn a_configuration_that_is_not_in_force_is_reported_newest() {
    a_configuration_that_is_not_in_force_is_reported("newest");
}

#[test]
fn a_configuration_that_is_not_in_force_is_reported_ecs() {
    a_configuration_that_is_not_in_force_is_reported("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn a_configuration_that_is_not_in_force_is_reported_23_01() {
    a_configuration_that_is_not_in_force_is_reported("23.01");
}

/// `validate` accepts and refuses the same names and passwords as the server.
fn validate_refuses_what_the_server_refuses(version: &str) {
    let host = Host::new(version);
    host.declare("");
    host.run(&["apply"]).expect(0);
    let long = "x".repeat(1023);
    let too_long = "x".repeat(1024);
    let grows = "\u{fb03}".repeat(400);
    let passwords = [
        "plain",
        "two words",
        "a\u{a0}b",
        "pa\u{df}wort",
        &long,
        &too_long,
        &grows,
        "a\u{200e}b",
        "a\u{e000}b",
        "p\u{1f600}w",
        "\u{5d0}1a",
        "a\tb",
        "a\u{7f}b",
        "\u{ad}",
    ];
    let names =
        ["ann", "b\u{f6}b", &long, &too_long, "\u{1f600}", "a b", "a&b", "\u{5d0}1a", "a:b"];
    let valid = |objects: &str| {
        let path = "desired-state.yaml".into();
        validate(&[SourceFile { path, text: host.head() + objects }]).is_ok()
    };
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let mut tried = Vec::new();
    for (n, password) in passwords.iter().enumerate() {
        let name = format!("p{n}");
        let ours =
            valid(&format!("  users: [{{ name: {name}, password: {} }}]\n", quoted(password)));
        tried.push((name, (*password).to_owned(), ours));
    }
    for name in names {
        let ours = valid(&format!("  users: [{{ name: {}, password: pw }}]\n", quoted(name)));
        tried.push((name.to_owned(), "pw".to_owned(), ours));
    }
    assert!(tried.iter().any(|(_, _, ours)| *ours) && tried.iter().any(|(_, _, ours)| !*ours));
    for (name, password, ours) in tried {
        let output = std::process::Command::new("docker")
            .args(["exec", "-e", "LC_ALL=C.UTF-8", &host.container, "ejabberdctl", "register"])
            .args([name.as_str(), "test.example", password.as_str()])
            .output()
            .unwrap();
        let theirs = output.status.success();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            ours,
            theirs,
            "{:?} {:?}: {text}",
            &name[..3.min(name.len())],
            password.chars().take(9)
        );
    }
}

#[test]
fn validate_refuses_what_the_server_refuses_newest() {
    validate_refuses_what_the_server_refuses("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn validate_refuses_what_the_server_refuses_24_12() {
    validate_refuses_what_the_server_refuses("24.12");
}
