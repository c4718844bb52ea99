//! Tests `doctor` with real servers. `doctor` finds nothing wrong with a good server, and reports
//! the cause and the fix of each fault.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::too_many_lines, reason = "one server has all faults in turn")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use support::findings::{Findings, free_port};
use support::host::{Host, eventually};
use support::real::{docker, ejabberd_version, image};
use support::shipped::{self, DOMAIN};

/// Two accounts, a group with both, and a room for the group.
const OBJECTS: &str = "  users:\n    - { name: ann, password: \"hunter-2\" }\n    - { name: bob, password: \"hunter-3\" }\n  \
                       groups:\n    - { name: agents, members: [ann, bob] }\n  \
                       rooms:\n    - { name: general, affiliations: { member: [\"@agents\"] } }\n";

/// Runs `doctor`, and checks the exit code and that no password is printed.
fn findings(host: &Host, args: &[&str], code: i32) -> Findings {
    let args = [&["doctor", "--output", "json"], args].concat();
    let ran = host.run(&args).expect(code);
    for secret in ["hunter-2", "hunter-3"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret));
    }
    Findings(ran.json())
}

/// Returns a host with the hardened variant in force.
fn hardened(version: &str, network: &str) -> Host {
    let host = Host::new(version);
    shipped::certificate(&host);
    shipped::declare(&host, network, "hardened", OBJECTS);
    host.run(&["apply"]).expect(0);
    host
}

fn declare(host: &Host, from: &str, to: &str) {
    let text = fs::read_to_string(host.file()).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(host.file(), text.replacen(from, to, 1)).unwrap();
}

/// Checks a good server, then one fault after the other.
fn from_well_to_worse(version: &str) {
    let host = hardened(version, "bridge");
    let found = findings(&host, &[], 0);
    assert_eq!(found.likely(), "nothing");
    assert!(
        found.words("control").contains(&ejabberd_version(version)),
        "{}",
        found.words("control")
    );
    assert!(found.words("http_api").contains("/api/status: 200"), "{}", found.words("http_api"));
    assert!(found.words("disk").contains("/ejabberd/database"), "{}", found.words("disk"));
    assert!(found.words("archive").contains("default: always"), "{}", found.words("archive"));
    assert!(found.words("operator").contains("no operator runs"));
    let found = findings(&host, &["--symptom", "api"], 0);
    assert_eq!(found.0["checks"].as_array().unwrap().len(), 3);
    let text = host.run(&["doctor", "--symptom", "start"]).expect(0).stdout;
    assert!(text.contains("ejabberd does not start\n") && !text.contains('\x1b'), "{text}");
    assert!(text.contains("\nNo problem was seen: only a part was checked"), "{text}");
    let text = host.run(&["doctor"]).expect(0).stdout;
    assert!(text.ends_with("\nNothing wrong was found.\n"), "{text}");
    // `doctor` changes nothing, also in the state directory.
    host.run(&["plan", "--detailed-exitcode"]).expect(0);

    let (ann, bob) = (format!("ann@{DOMAIN}"), format!("bob@{DOMAIN}"));
    for text in ["one", "two"] {
        host.ctl(&["send_message", "chat", &bob, &ann, "", text]);
    }
    let found = findings(&host, &["--symptom", "delivery"], 2);
    found.says("waiting_messages", "problem", &["2 messages", "not connected", "start its client"]);
    assert_eq!(found.likely(), "waiting_messages");
    let found = findings(&host, &["ann", "--symptom", "delivery"], 2);
    found.says("account_messages", "problem", &[&format!("2 messages wait for {ann}"), "password"]);
    assert!(found.words("account").contains("in the groups agents"), "{}", found.words("account"));
    assert!(
        found.words("account").contains(&format!("general@conference.{DOMAIN} (member)")),
        "{}",
        found.words("account")
    );
    let found = findings(&host, &["unknown", "--symptom", "api"], 2);
    found.says("account", "problem", &["does not exist", "spec.users"]);
    assert_eq!(host.run(&["doctor", "a b"]).code, Some(64));

    if version != "23.01" {
        host.ctl(&["ban_account", "ann", DOMAIN, "a test"]);
        let found = findings(&host, &["ann"], 2);
        found.says("bans", "problem", &[&ann, "a test", "state: present"]);
        found.says("account", "problem", &["is banned", "a test"]);
        assert_eq!(found.likely(), "bans");
    }

    docker(&["pause", &host.container]);
    let began = std::time::Instant::now();
    let found = findings(&host, &[], 2);
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
    docker(&["unpause", &host.container]);
    found.says("process", "problem", &["paused", &format!("docker unpause {}", host.container)]);
    assert_eq!(found.likely(), "process");
    assert_eq!(found.words("control"), "it is paused\n\n");

    // An administrator edits the file on the server, and the server does not start again.
    fs::write(host.path("broken.yml"), "hosts: [smoothcurves.nexus\nlisten: [\n").unwrap();
    let path = format!("{}:/home/ejabberd/conf/ejabberd.yml", host.container);
    docker(&["cp", host.path("broken.yml").to_str().unwrap(), &path]);
    docker(&["restart", &host.container]);
    eventually("an end", Duration::from_mins(1), || {
        docker(&["inspect", "-f", "{{.State.Running}}", &host.container]) == "false"
    });
    let found = findings(&host, &["--symptom", "start"], 2);
    found.says("configuration_live", "problem", &["ejabberd refuses", "apply", "line"]);
    found.says("process", "problem", &["does not run: exit code", "it ran from"]);
    found.says("operator", "problem", &["nothing restarts the server", "systemctl start"]);
    found.check("last_words");
    assert_eq!(found.check("configuration")["verdict"], "fine", "the declared one is good");
    assert_eq!(found.likely(), "configuration_live");

    // The reported fix works.
    host.run(&["apply"]).expect(0);
    findings(&host, &["--symptom", "start"], 0);
    docker(&["stop", "-t", "0", &host.container]);
    let found = findings(&host, &[], 2);
    found.says("process", "problem", &["does not run", "ejabberd-operator apply"]);
    assert_eq!(found.words("waiting_messages"), "the server does not run\n\n");
    let text = host.run(&["doctor"]).expect(2).stdout;
    assert!(text.contains("Most likely: "), "{text}");
    assert_eq!(text.matches("\n  ? ").count(), 3, "once for each symptom\n{text}");

    declare(&host, "  server:\n", "  server:\n    state: stopped\n");
    let found = findings(&host, &[], 0);
    assert!(found.words("process").contains("as spec.server.state: stopped declares"));
}

#[test]
fn from_well_to_worse_newest() {
    from_well_to_worse("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn from_well_to_worse_24_12() {
    from_well_to_worse("24.12");
}

#[test]
fn from_well_to_worse_ecs() {
    from_well_to_worse("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn from_well_to_worse_ghcr() {
    from_well_to_worse("newest-ghcr");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn from_well_to_worse_23_01() {
    from_well_to_worse("23.01");
}

/// `doctor` reports the program that has a port of the server, before the server starts and after
/// the start failed. With the network of the host, the server itself finds the port in use.
#[test]
fn a_taken_port_is_reported_with_its_program() {
    let mut host = Host::new("newest");
    let (port, other) = (free_port(), free_port());
    let listen = format!(
        "listen:\n  - {{ port: {port}, ip: 127.0.0.1, module: ejabberd_c2s }}\n  - {{ port: {other}, ip: 127.0.0.1, module: ejabberd_http }}\n"
    );
    let config = support::real::CONFIG;
    let (head, rest) = config.split_once("listen:\n").unwrap();
    let (_, tail) = rest.split_once('\n').unwrap();
    fs::write(host.path("ejabberd.yml"), format!("{head}{listen}{tail}")).unwrap();
    host.server = "    probe: { interval: 1s }\n".to_owned();
    // A separate node name, because the host has one epmd for all nodes.
    let of_image = ["run", "--rm", "--entrypoint", "cat", &image("newest")];
    let settings = docker(&[&of_image[..], &["/home/ejabberd/conf/ejabberdctl.cfg"]].concat());
    let node = format!("{settings}\nERLANG_NODE={}@localhost\n", host.container);
    fs::write(host.path("ejabberdctl.cfg"), node).unwrap();
    let text = host.head().replace("network: bridge", "network: host");
    fs::write(host.file(), text + "    files: { ejabberdctl.cfg: ejabberdctl.cfg }\n").unwrap();
    host.run(&["apply"]).expect(0);
    let found = findings(&host, &["--symptom", "start"], 0);
    assert!(found.words("ports").contains("it listens where"), "{}", found.words("ports"));
    docker(&["stop", "-t", "0", &host.container]);
    let mut taken = None;
    eventually("a free port", Duration::from_secs(10), || {
        taken = TcpListener::bind(("127.0.0.1", port)).ok();
        taken.is_some()
    });
    let us = format!("process {}", std::process::id());
    let found = findings(&host, &["--symptom", "start"], 2);
    let at = format!("127.0.0.1:{port} (ejabberd_c2s)");
    let words = [at.as_str(), us.as_str(), "ss -tlnp", "another port"];
    found.says("ports", "problem", &words);
    assert_eq!(found.likely(), "ports");
    assert!(!found.words("ports").contains(&format!("{other} (")), "that is free");

    docker(&["start", &host.container]);
    eventually("an error in its log", Duration::from_mins(1), || {
        let logs = Command::new("docker").args(["logs", "--tail", "200", &host.container]).output();
        let logs = logs.unwrap();
        let all = [logs.stdout, logs.stderr].concat();
        String::from_utf8_lossy(&all).contains("address already in use")
    });
    let found = findings(&host, &["--symptom", "start"], 2);
    found.says("ports", "problem", &words);
    found.says("last_words", "problem", &[&port.to_string()]);
    assert_eq!(found.likely(), "ports");
    drop(taken);
}

/// `doctor` reports the program that has a published port. Docker cannot start the container while
/// another program has the port.
#[test]
fn a_taken_published_port_is_reported_with_its_program() {
    let host = Host::new("newest");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let ports = format!("network: bridge, ports: [\"{at}:5222\"]");
    fs::write(host.file(), host.head().replace("network: bridge", &ports)).unwrap();
    // Before there is a container, `doctor` checks the declared port.
    let found = findings(&host, &["--symptom", "start"], 2);
    let us = format!("process {}", std::process::id());
    found.says(
        "ports",
        "problem",
        &[&format!("{at} (ejabberd_c2s)"), &us, "spec.server.docker.ports"],
    );
    host.run(&["apply"]).expect(1);
    let found = findings(&host, &["--symptom", "start"], 2);
    found.says("ports", "problem", &[&format!("{at} (ejabberd_c2s)"), &us]);
    assert_eq!(found.likely(), "ports");
    drop(taken);
    host.run(&["apply"]).expect(0);
    let found = findings(&host, &["--symptom", "start"], 0);
    assert!(
        found.words("ports").contains(&format!("it listens where its configuration says: {at}"))
    );
}

/// `doctor` reports what prevents messages on a server without the declared hosts, accounts and
/// rooms.
#[test]
fn causes_of_undelivered_messages_are_reported() {
    let host = Host::new("newest");
    host.declare("  users:\n    - { name: ann, password: x1 }\n  rooms:\n    - { name: r1 }\n");
    host.run(&["apply"]).expect(0);
    let found = findings(&host, &[], 2);
    assert_eq!(found.with_verdict("problem"), ["archive"], "{:#}", found.0);
    found.says(
        "archive",
        "problem",
        &["mod_mam is not loaded for test.example", "default: always"],
    );
    assert!(found.words("http_api").contains("no HTTP API is configured, and none is needed"));

    host.ctl(&["unregister", "ann", "test.example"]);
    host.ctl(&["destroy_room", "r1", "conference.test.example"]);
    declare(&host, "  host: test.example\n", "  host: test.example\n  hosts: [other.example]\n");
    let mut found = findings(&host, &["--symptom", "delivery"], 2);
    eventually("a room that is gone", Duration::from_secs(10), || {
        found = findings(&host, &["--symptom", "delivery"], 2);
        found.check("rooms")["verdict"] == "problem"
    });
    found.says("hosts", "problem", &["other.example", "`hosts`"]);
    found.says("client_ports", "problem", &["other.example", "does not know the host"]);
    found.says("accounts", "problem", &["ann@test.example", "apply"]);
    found.says("rooms", "problem", &["r1@conference.test.example"]);
    assert_eq!(found.likely(), "hosts");

    // ejabberd refuses the declared configuration, and the server keeps running.
    fs::write(host.path("ejabberd.yml"), "hosts: []\nmodules: { mod_x: {} }\n").unwrap();
    let found = findings(&host, &["--symptom", "start"], 2);
    found.says(
        "configuration",
        "problem",
        &["ejabberd refuses", "ejabberd.yml", "spec.config.variant"],
    );
    assert_eq!(found.likely(), "configuration_live", "what is on the server is another one");

    // If the file is invalid, `doctor` uses the part that declares the server.
    declare(&host, "  users:\n", "  usrs: []\n  users:\n");
    let found = findings(&host, &[], 2);
    found.says(
        "desired_state",
        "problem",
        &["is not valid: 1 error", ":13:3: unknown field `usrs`", "git revert"],
    );
    assert_eq!(found.check("process")["verdict"], "fine");
    assert_eq!(found.check("control")["verdict"], "fine");

    // A server does not respond while a signal stops its VM.
    docker(&["exec", "-u", "0", &host.container, "sh", "-c", "kill -STOP $(pidof beam.smp)"]);
    let found = findings(&host, &[], 2);
    found.says(
        "control",
        "problem",
        &["does not respond", &format!("docker restart {}", host.container)],
    );
    docker(&["rm", "-f", "-v", &host.container]);
    let found = findings(&host, &[], 2);
    found.says("process", "problem", &["there is no container", "apply"]);
    declare(&host, "  usrs: []\n", "");
    declare(&host, "ejabberd-operator/ejabberd:newest", "ejabberd-operator/nowhere:1");
    let found = findings(&host, &["--symptom", "start"], 2);
    found.says(
        "image",
        "problem",
        &["ejabberd-operator/nowhere:1", "docker pull", "spec.server.docker.image"],
    );
    assert_eq!(found.likely(), "image");
}

/// `doctor` reports findings without an engine, a container or a file.
#[test]
fn a_missing_engine_is_the_likely_cause() {
    let host = Host::new("newest");
    let declare = |socket: &str| {
        let engine = format!("network: bridge, engine: \"unix://{socket}\"");
        fs::write(host.file(), host.head().replace("network: bridge", &engine)).unwrap();
        let found = findings(&host, &[], 2);
        assert_eq!(found.with_verdict("problem"), ["engine"], "{:#}", found.0);
        assert_eq!(found.likely(), "engine");
        assert_eq!(found.check("desired_state")["verdict"], "fine");
        assert_eq!(found.check("control")["verdict"], "unknown");
        found.words("engine")
    };
    let socket = host.path("docker.sock");
    let path = socket.to_str().unwrap();
    let text = declare(path);
    assert!(text.contains("its socket does not exist"), "{text}");
    assert!(text.contains("systemctl start"), "{text}");
    let listener = UnixListener::bind(&socket).unwrap();
    let text = declare(path);
    assert!(text.contains("it does not respond") && text.contains("restart docker"), "{text}");
    drop(listener);
    let text = declare(path);
    assert!(text.contains("no program listens"), "{text}");
    assert!(text.contains("journalctl -u docker"), "{text}");

    fs::write(host.file(), "spec: [\n").unwrap();
    let found = findings(&host, &[], 2);
    found.says(
        "desired_state",
        "problem",
        &["the server that it declares could not be read", "desired-state.yaml:", "validate"],
    );
    assert_eq!(found.words("process"), "the file does not declare which server\n\n");
    fs::remove_file(host.file()).unwrap();
    let found = findings(&host, &["ann"], 2);
    found.says("desired_state", "problem", &["desired-state.yaml", "--desired-state"]);
    assert_eq!(host.run(&["doctor", "--symptom", "nonsense"]).code, Some(64));
}

/// `doctor` observes the operator and its state directory from another process.
#[test]
fn an_operator_that_runs_or_hangs_is_reported() {
    let host = Host::new("newest");
    host.declare("  users: []\n");
    let daemon = host.start(&["run", "--listen", "127.0.0.1:0"], "log");
    eventually("a ready operator", Duration::from_mins(1), || {
        host.run(&["status"]).code == Some(0)
    });
    let found = findings(&host, &["--symptom", "start"], 0);
    let pid = daemon.child.id();
    assert!(
        found.words("operator").contains("everything is as declared"),
        "{}",
        found.words("operator")
    );
    assert!(found.words("state_directory").contains(&format!("process {pid} has its lock")));
    assert!(found.words("supervision").contains("running"), "{}", found.words("supervision"));

    daemon.signal("STOP");
    let found = findings(&host, &["--symptom", "start"], 2);
    daemon.signal("CONT");
    found.says("operator", "problem", &[&format!("process {pid} holds the lock"), "ps -fp"]);
    drop(daemon);
    let found = findings(&host, &["--symptom", "start"], 0);
    assert!(found.words("operator").contains("last known status"));
    let shut = Command::new("docker").args(["kill", &host.container]).output().unwrap();
    assert!(shut.status.success());
    findings(&host, &["--symptom", "start"], 2).says("operator", "problem", &["nothing restarts"]);
}
