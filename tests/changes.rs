//! Tests changes of a working configuration. Clients stay connected, the server uses a renewed
//! certificate, and the operator reverts manual edits and restores an earlier good configuration.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::client::Client;
use support::host::{Daemon, Host, replace};
use support::real::docker;
use support::shipped::{self, DOMAIN, MANIFESTS};

const SOON: Duration = Duration::from_secs(90);

const PEOPLE: &str = "  users: [{ name: ann, password: \"a secret\" }]\n";

/// Writes the file of the desired state. The declared variant is `ours.yml`, a copy of the hardened
/// variant. The test can change this copy.
fn declare(host: &Host, more_of_server: &str, more_of_config: &str) {
    let text = format!(
        "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: changes }}\nspec:\n  host: {DOMAIN}\n  \
         server:\n    docker: {{ container: {}, image: \"{}\", network: bridge }}\n{more_of_server}  config:\n    variant: ours\n    \
         variants: {{ ours: ours.yml }}\n    files: {{ server.pem: server.pem }}\n{more_of_config}{PEOPLE}",
        host.container,
        support::real::image(&host.version)
    );
    replace(&host.file(), &text);
}

const QUICK: &str = "    gate: { settle: 1s, timeout: 30s }\n";

fn converged(version: &str) -> (Host, Daemon) {
    let host = Host::new(version);
    shipped::certificate(&host);
    fs::copy(format!("{MANIFESTS}/ejabberd-hardened.yml"), host.path("ours.yml")).unwrap();
    declare(&host, "", QUICK);
    host.run(&["apply"]).expect(0);
    let operator = host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "2s"], "run.log");
    until(&host, &operator, "ready", |s| condition(s, "Ready")["status"] == "True");
    (host, operator)
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let all = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|c| c["type"] == kind).unwrap_or(&Value::Null)
}

fn until(host: &Host, operator: &Daemon, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let ran = host.run(&["status", "--output", "json"]);
        let status: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        if holds(&status) {
            return status;
        }
        assert!(began.elapsed() < SOON, "{what}\n{status:#}\n{}", operator.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn on_server(host: &Host, file: &str) -> String {
    docker(&["exec", &host.container, "cat", &format!("/home/ejabberd/conf/{file}")])
}

fn started(host: &Host) -> String {
    docker(&["inspect", "-f", "{{.State.StartedAt}}", &host.container])
}

/// Returns the serial number of the server's certificate.
fn serial(host: &Host) -> String {
    // Use the `openssl` of this host, because the images in the layouts of `ecs` and `ghcr` have no
    // `openssl`.
    let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &host.container]);
    let script = format!(
        "echo | openssl s_client -connect 127.0.0.1:5222 -starttls xmpp -xmpphost {DOMAIN} 2>/dev/null \
         | openssl x509 -noout -serial"
    );
    let inside = ["-t", &pid, "-n", "sh", "-c", &script];
    let output = std::process::Command::new("nsenter").args(inside).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(shown.contains("serial="), "{shown}");
    shown
}

fn logged_in(host: &Host, user: &str) -> Client {
    Client::new(host, &format!("{user}@{DOMAIN}"), "a secret")
}

fn edit(host: &Host, from: &str, to: &str) {
    let text = fs::read_to_string(host.path("ours.yml")).unwrap();
    assert!(text.contains(from), "{from}");
    replace(&host.path("ours.yml"), &text.replacen(from, to, 1));
}

fn applied(host: &Host, operator: &Daemon) {
    let wanted = fs::read_to_string(host.path("ours.yml")).unwrap();
    until(host, operator, "in force", |s| {
        condition(s, "ConfigApplied")["status"] == "True"
            && condition(s, "Ready")["status"] == "True"
            && on_server(host, "ejabberd.yml").trim() == wanted.trim()
    });
}

fn configuration_changes_reach_clients(version: &str) {
    let (host, operator) = converged(version);
    let client = logged_in(&host, "ann");
    let first = started(&host);

    // After a reload, clients are still connected.
    edit(&host, "loglevel: info", "loglevel: warning");
    applied(&host, &operator);
    assert_eq!(started(&host), first);

    // A new certificate with the same name needs no restart.
    let before = serial(&host);
    shipped::certificate(&host);
    until(&host, &operator, "the new certificate", |_| serial(&host) != before);
    assert_eq!(started(&host), first);
    assert!(client.events().iter().all(|e| e["event"] != "out"), "{:?}", client.events());

    // The next round reverts a manual edit.
    let good = on_server(&host, "ejabberd.yml");
    docker(&[
        "exec",
        &host.container,
        "sh",
        "-c",
        "echo '# by hand' >> /home/ejabberd/conf/ejabberd.yml",
    ]);
    until(&host, &operator, "put back", |_| on_server(&host, "ejabberd.yml") == good);
    applied(&host, &operator);

    // `rollback` restores the previous configuration until the file changes.
    let listed = host.run(&["history"]).expect(0).stdout;
    assert!(listed.lines().filter(|line| line.contains("ours")).count() >= 3, "{listed}");
    host.run(&["rollback"]).expect(0);
    until(&host, &operator, "the old certificate", |s| {
        condition(s, "ConfigApplied")["reason"] == "RolledBack" && serial(&host) == before
    });
    docker(&[
        "exec",
        &host.container,
        "sh",
        "-c",
        "echo '# by hand' >> /home/ejabberd/conf/ejabberd.yml",
    ]);
    until(&host, &operator, "the configuration of the rollback again", |_| {
        !on_server(&host, "ejabberd.yml").contains("by hand")
    });
    assert_eq!(serial(&host), before);
    host.run(&["retry"]).expect(0);
    applied(&host, &operator);
    until(&host, &operator, "the new certificate again", |_| serial(&host) != before);

    // A restart waits for the maintenance window, and the status reports that.
    declare(
        &host,
        "    maintenance: { windows: [\"WINDOW\"] }\n".replace("WINDOW", &closed()).as_str(),
        QUICK,
    );
    edit(&host, "log_rotate_count: 3", "log_rotate_count: 3\nqueue_type: file");
    let status = until(&host, &operator, "waits", |s| {
        condition(s, "ConfigApplied")["message"]
            .as_str()
            .is_some_and(|m| m.contains("maintenance window"))
    });
    assert_eq!(
        (condition(&status, "ConfigApplied")["reason"].as_str(), started(&host)),
        (Some("RollingOut"), first.clone())
    );
    let plan = host.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("queue_type"), "the plan names what forces a restart: {plan}");

    // Without a window, the operator announces the restart and then restarts.
    declare(&host, "    announce: { delay: 1s, text: \"back in a moment\" }\n", QUICK);
    applied(&host, &operator);
    assert_ne!(started(&host), first);
    let events = client.events();
    let is_announcement = |e: &Value| e["event"] == "message" && e["text"] == "back in a moment";
    assert!(events.iter().any(is_announcement), "{events:?}");
    drop(client);
    // The restart gave the container a new network namespace, so the test needs a new client.
    drop(logged_in(&host, "ann"));

    // A canary that cannot log in causes a rollback.
    let with_canary = QUICK.replace("30s", "30s, canary: ann");
    declare(&host, "", &with_canary);
    edit(&host, "access_rules:\n", "access_rules:\n  closed:\n    - deny: all\n");
    applied(&host, &operator);
    edit(&host, "    access: c2s\n", "    access: closed\n");
    until(&host, &operator, "the canary", |s| {
        condition(s, "ConfigApplied")["message"].as_str().is_some_and(|m| m.contains("canary"))
    });
    assert!(on_server(&host, "ejabberd.yml").contains("access: c2s"));
}

/// Returns a maintenance window that opens in about twelve hours, so the window is closed during
/// the test.
fn closed() -> String {
    let hour = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).hour();
    format!("{:02}:00-{:02}:00", (hour + 12).rem_euclid(24), (hour + 13).rem_euclid(24))
}

#[test]
fn configuration_changes_reach_clients_newest() {
    configuration_changes_reach_clients("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn configuration_changes_reach_clients_24_12() {
    configuration_changes_reach_clients("24.12");
}

#[test]
fn configuration_changes_reach_clients_ecs() {
    configuration_changes_reach_clients("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn configuration_changes_reach_clients_ghcr() {
    configuration_changes_reach_clients("newest-ghcr");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn configuration_changes_reach_clients_23_01() {
    configuration_changes_reach_clients("23.01");
}
