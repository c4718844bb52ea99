//! Tests good and broken configurations, one after the other, on a real ejabberd. After each
//! configuration the server responds, the expected configuration is in force, and the condition has
//! the reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::host::{Daemon, Host, eventually, replace};
use support::real::{CONFIG, HOST, docker};

const SOON: Duration = Duration::from_secs(90);

/// Returns the first configuration with `change` applied.
fn with(change: impl Fn(&str) -> String) -> String {
    let changed = change(CONFIG);
    assert_ne!(changed, CONFIG, "the change has to change something");
    changed
}

fn after(text: &str, mark: &str, more: &str) -> String {
    text.replacen(mark, &format!("{mark}{more}"), 1)
}

struct Case {
    name: &'static str,
    config: String,
    /// The reason of `ConfigApplied`, and a part of its message.
    ends: (&'static str, &'static str),
    /// `Some(true)` for a configuration that needs a reload, `Some(false)` for a restart. `None` if
    /// the configuration does not come into force.
    reload: Option<bool>,
}

fn good(name: &'static str, config: String, reload: bool) -> Case {
    Case { name, config, ends: ("RolledOut", "in force"), reload: Some(reload) }
}

fn bad(name: &'static str, config: String, reason: &'static str, says: &'static str) -> Case {
    Case { name, config, ends: (reason, says), reload: None }
}

/// The port that a program of the test occupies in the container's network.
const BUSY: u16 = 5333;

fn cases() -> Vec<Case> {
    let listener =
        |port: u16| format!("\n  - {{ port: {port}, ip: 127.0.0.1, module: ejabberd_c2s }}");
    let module = |line: &str| with(|c| after(c, "\nmodules:", &format!("\n  {line}")));
    vec![
        good("another log level", with(|c| c.replace("loglevel: info", "loglevel: warning")), true),
        bad(
            "not even YAML",
            "hosts: [test.example\nlisten: }{\n".to_owned(),
            "Invalid",
            "refuses it",
        ),
        good("a listener more", with(|c| after(c, "\nlisten:", &listener(5224))), true),
        bad(
            "an unknown option",
            with(|c| format!("{c}no_such_option: 1\n")),
            "Invalid",
            "no_such_option",
        ),
        good("a module more", module("mod_ping: {}"), true),
        bad(
            "a listener on a port that is taken",
            with(|c| after(c, "\nlisten:", &listener(BUSY))),
            "RolledBack",
            "port",
        ),
        good("a module less", with(|c| c.replace("  mod_vcard: {}\n", "")), true),
        bad(
            "a certificate that is not there",
            with(|c| format!("{c}certfiles: [/home/ejabberd/conf/nowhere.pem]\n")),
            "RolledBack",
            "nowhere.pem",
        ),
        good(
            "access rules",
            with(|c| format!("{c}access_rules:\n  closed:\n    deny: all\n")),
            true,
        ),
        bad("no hosts at all", with(|c| c.replace("hosts:", "no_hosts:")), "Invalid", ""),
        good("a shaper", with(|c| format!("{c}shaper:\n  slow: 1000\n")), true),
        bad(
            "a variant without the operator's own commands",
            with(|c| c.replace("  mod_muc_admin: {}\n", "").replace("  mod_admin_extra: {}\n", "")),
            "RolledBack",
            "lock itself out",
        ),
        good(
            "a new option that needs a restart",
            with(|c| format!("{c}cluster_nodes: []\nnet_ticktime: 30\nqueue_type: file\n")),
            false,
        ),
        bad(
            "another host altogether",
            with(|c| c.replace(HOST, "other.example")),
            "Invalid",
            "does not serve",
        ),
        // The options of the previous configuration can only be removed by a restart.
        good("only a comment", with(|c| format!("# said again\n{c}")), false),
        bad(
            "a module that does not exist",
            module("mod_no_such_thing: {}"),
            "Invalid",
            "mod_no_such_thing",
        ),
        good("a client port elsewhere", with(|c| c.replacen("port: 5222", "port: 5223", 1)), true),
        bad(
            "a module that cannot start",
            module("mod_proxy65: { port: 5333, ip: 127.0.0.1 }"),
            "RolledBack",
            "port",
        ),
        good("as it was", format!("{CONFIG}# the end\n"), true),
        bad(
            "a listener on an address that is not here",
            with(|c| {
                after(c, "\nlisten:", "\n  - { port: 5225, ip: 203.0.113.9, module: ejabberd_c2s }")
            }),
            "RolledBack",
            "",
        ),
    ]
}

/// Starts a program that occupies the port in the server's network until the container restarts.
/// Runs a program of this host, because a release layout has no program that can listen. Dropping
/// the value ends the program.
fn hold_the_port(host: &Host) -> Holder {
    let program = format!(
        "import socket, time; s = socket.create_server(('0.0.0.0', {BUSY})); time.sleep(600)"
    );
    let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &host.container]);
    let inside = ["-t", &pid, "-n", "-p", "python3", "-c", &program];
    let holder = Holder(Command::new("nsenter").args(inside).spawn().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(500));
    holder
}

struct Holder(std::process::Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn condition(host: &Host, kind: &str) -> Option<Value> {
    let status = host.run(&["status", "--output", "json"]);
    let status: Value = serde_json::from_str(&status.stdout).ok()?;
    status["conditions"].as_array()?.iter().find(|c| c["type"] == kind).cloned()
}

fn started(host: &Host) -> String {
    docker(&["inspect", "-f", "{{.State.StartedAt}}", &host.container])
}

fn in_force(host: &Host) -> String {
    docker(&["exec", &host.container, "cat", "/home/ejabberd/conf/ejabberd.yml"])
}

fn twenty(version: &str) {
    let host = Host::new(version);
    host.declare("  users: [{ name: ann, password: secret }]\n  rooms: [{ name: hall }]\n");
    host.run(&["apply"]).expect(0);
    let mut operator = host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "1h"], "run.log");
    eventually("ready", SOON, || condition(&host, "Ready").is_some_and(|c| c["status"] == "True"));
    let mut last_good = fs::read_to_string(host.path("ejabberd.yml")).unwrap();
    for case in cases() {
        step(&host, &operator, &case, &mut last_good);
    }
    // The administrator can always go back to the first configuration.
    replace(&host.path("ejabberd.yml"), CONFIG);
    settled(&host, &operator, "the first one again", CONFIG);
    let listed = host.run(&["history"]).expect(0).stdout;
    assert_eq!(listed.lines().filter(|line| line.contains("test")).count(), 5, "{listed}");
    operator.signal("TERM");
    assert_eq!(operator.wait(SOON), Some(0));
}

fn step(host: &Host, operator: &Daemon, case: &Case, last_good: &mut String) {
    let Case { name, config, ends: (reason, says), reload } = case;
    println!("== {name}");
    let _holder = hold_the_port(host);
    let before = started(host);
    replace(&host.path("ejabberd.yml"), config);
    if let Some(reload) = reload {
        settled(host, operator, name, config);
        assert_eq!(started(host) == before, *reload, "{name}: reloaded?\n{}", operator.log());
        config.clone_into(last_good);
    } else {
        // The current configuration stays or is restored, and the condition has the reason.
        let mut last;
        let began = Instant::now();
        loop {
            last = condition(host, "ConfigApplied").unwrap_or_default();
            let message = last["message"].as_str().unwrap_or_default();
            let refused = last["status"] == "False" && last["reason"] == *reason;
            if refused && message.contains(says) {
                break;
            }
            assert!(began.elapsed() < SOON, "{name}: {last}\n{}", operator.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("   {}: {}", last["reason"], last["message"]);
        assert_eq!(
            in_force(host).trim(),
            last_good.trim(),
            "{name}: the last good one is in force"
        );
    }
    // The server responds.
    assert_eq!(host.users(), ["ann"], "{name}");
}

fn settled(host: &Host, operator: &Daemon, name: &str, config: &str) {
    let began = Instant::now();
    while !condition(host, "ConfigApplied").is_some_and(|c| c["status"] == "True")
        || in_force(host).trim() != config.trim()
    {
        assert!(began.elapsed() < SOON, "{name}: not in force\n{}", operator.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn twenty_configurations_newest() {
    twenty("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn twenty_configurations_24_12() {
    twenty("24.12");
}

#[test]
fn twenty_configurations_ecs() {
    twenty("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn twenty_configurations_ghcr() {
    twenty("newest-ghcr");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn twenty_configurations_23_01() {
    twenty("23.01");
}
