//! An operator that runs beside its own server, and its status.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::host::{Daemon, Host};
use super::real::docker;

/// The maximum time of every wait, which is enough for a busy machine.
pub const SOON: Duration = Duration::from_mins(2);

/// Three accounts and a room.
pub const PEOPLE: &str = "  users: [{ name: ann, password: a }, { name: bob, password: b }, { name: gen }]\n  \
     rooms: [{ name: hall }]\n";

/// Backoff delays for tests, shorter than the defaults.
pub const FAST: &str = "    backoff: { initial: 1s, max: 10s, resetAfter: 5s }\n";

/// Returns the status that the running operator reports.
pub fn status(host: &Host) -> Value {
    let ran = host.run(&["status", "--output", "json"]);
    serde_json::from_str(&ran.stdout).unwrap_or_default()
}

pub fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let all = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|c| c["type"] == kind).unwrap_or(&Value::Null)
}

pub fn is_ready(status: &Value) -> bool {
    condition(status, "Ready")["status"] == "True"
}

pub fn has_event(status: &Value, reason: &str) -> bool {
    status["events"].as_array().is_some_and(|events| events.iter().any(|e| e["reason"] == reason))
}

/// Waits until `holds` accepts the status. After [`SOON`], fails the test and prints the operator's
/// log.
pub fn until(host: &Host, operator: &Daemon, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let status = status(host);
        if holds(&status) {
            return status;
        }
        assert!(began.elapsed() < SOON, "{what}\n{status:#}\n{}", operator.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Waits until the server was restarted since `before`, and then until `holds` accepts a
/// status. A status from before the restart could still report the old server as up.
pub fn restarted(
    host: &Host,
    operator: &Daemon,
    before: &str,
    holds: impl Fn(&Value) -> bool,
) -> Value {
    until(host, operator, "restarted", |_| {
        let now = started(host);
        now.starts_with("true") && now != before
    });
    until(host, operator, "as wanted after the restart", holds)
}

/// Starts the operator with a resync of an hour.
pub fn watch(host: &Host, log: &str) -> Daemon {
    host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "1h"], log)
}

/// Starts an operator with its own server, and waits until the server is ready.
pub fn converged(version: &str, people: &str) -> (Host, Daemon) {
    let mut host = Host::new(version);
    FAST.clone_into(&mut host.server);
    host.declare(people);
    host.run(&["apply"]).expect(0);
    let operator = watch(&host, "run.log");
    until(&host, &operator, "ready at first", is_ready);
    (host, operator)
}

/// Returns the process id on the host of the server's VM. `None` if the VM does not run.
pub fn vm(host: &Host) -> Option<String> {
    let top = Command::new("docker").args(["top", &host.container, "-eo", "pid,args"]).output();
    let top = String::from_utf8_lossy(&top.unwrap().stdout).into_owned();
    let line = top.lines().find(|line| {
        line.contains("beam.smp") && line.contains("-s ejabberd") && !line.contains("-extra")
    })?;
    line.split_whitespace().next().map(str::to_owned)
}

pub fn signal(pid: &str, name: &str) {
    assert!(Command::new("kill").args(["-s", name, pid]).status().unwrap().success());
}

/// Returns, as one string, whether the container runs, its id and its start time. The string is
/// empty if there is no container.
pub fn started(host: &Host) -> String {
    let format = "{{.State.Running}} {{.Id}} {{.State.StartedAt}}";
    let state = Command::new("docker").args(["inspect", "-f", format, &host.container]).output();
    String::from_utf8_lossy(&state.unwrap().stdout).trim().to_owned()
}

/// Fails the test if the server is restarted within `limit`.
pub fn left_alone(host: &Host, operator: &Daemon, limit: Duration) {
    let (before, pid, began) = (started(host), vm(host), Instant::now());
    while began.elapsed() < limit {
        assert_eq!((started(host), vm(host)), (before.clone(), pid.clone()), "{}", operator.log());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(docker(&["logs", &host.container]).contains("Start accepting TCP connections"));
}
