//! Tests with real servers that an operator removes the leftovers of killed operators, and that an
//! old copy of a state directory does no harm.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use support::host::{Host, eventually};
use support::real::{CONFIG, docker};
use support::watched::{PEOPLE, SOON, condition, is_ready, started, status, until, watch};

/// Returns the names of the temporary containers of offline checks.
fn stand_ins(host: &Host) -> Vec<String> {
    let filter = format!("name={}-check-", host.container);
    let listed = docker(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]);
    listed.lines().map(str::to_owned).collect()
}

/// Returns the names of the operator's files in the container.
fn files(host: &Host) -> String {
    let list = "ls -a /tmp $HOME/conf 2>/dev/null | grep ejabberd-operator- || true";
    docker(&["exec", &host.container, "sh", "-c", list])
}

/// Kills `apply` as soon as `seen` is true. Returns false if `apply` ended before.
fn killed_when(host: &Host, log: &str, seen: impl Fn() -> bool) -> bool {
    let mut apply = host.start(&["apply"], log);
    let began = Instant::now();
    while began.elapsed() < SOON {
        if seen() {
            apply.signal("KILL");
            apply.wait(SOON);
            return true;
        }
        if apply.child.try_wait().unwrap().is_some() {
            return false;
        }
    }
    panic!("{}", apply.log());
}

/// Writes a configuration that the operator has not checked before.
fn another_configuration(host: &Host, number: usize) {
    let text = CONFIG.replacen("loglevel: info", &format!("loglevel: info # {number}"), 1);
    let text = text.replacen("modules:", &format!("max_fsm_queue: {}\nmodules:", 700 + number), 1);
    fs::write(host.path("ejabberd.yml"), text).unwrap();
}

/// The next operator removes the temporary containers and files of a killed operator.
fn removed(version: &str) {
    let host = Host::new(version);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    let mut number = 0;
    // The configuration of a stopped server is checked in a separate container.
    loop {
        number += 1;
        assert!(number < 20, "never caught it");
        docker(&["stop", &host.container]);
        another_configuration(&host, number);
        if killed_when(&host, "stopped.log", || !stand_ins(&host).is_empty())
            && !stand_ins(&host).is_empty()
        {
            break;
        }
    }
    let left = stand_ins(&host);
    host.run(&["apply"]).expect(0);
    // The engine may take a moment to remove the container.
    eventually("no container is left", SOON, || stand_ins(&host).is_empty());
    println!("{left:?} went");

    // The configuration of a running server is checked in the server's container.
    loop {
        number += 1;
        assert!(number < 40, "never caught it");
        another_configuration(&host, number);
        if killed_when(&host, "running.log", || !files(&host).is_empty())
            && !files(&host).is_empty()
        {
            break;
        }
    }
    host.run(&["apply"]).expect(0);
    assert_eq!(files(&host), "");
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// A copy of the state directory does not delete objects that were forgotten since.
fn old_copy(version: &str) {
    let host = Host::new(version);
    host.declare("  users: [{ name: ann, password: a }, { name: eve, password: e }]\n");
    host.run(&["apply"]).expect(0);
    let backup = host.path("backup");
    copy(&host.state(), &backup);
    // Nothing has changed since, so this copy equals the original.
    copy(&backup, &host.state());
    host.run(&["apply"]).expect(0);

    host.declare("  users: [{ name: ann, password: a }]\n  policy: { prune: none }\n");
    host.run(&["forget", "eve"]).expect(0);
    host.declare("  users: [{ name: ann, password: a }, { name: new, password: n }]\n");
    copy(&backup, &host.state());
    let plan = host.run(&["plan"]).expect(0);
    assert!(plan.stdout.contains("old copy") && plan.stdout.contains("adopt --all"), "{plan:?}");
    host.run(&["apply"]).expect(3);
    assert_eq!(host.users(), ["ann", "eve"]);

    // The operator still supervises the server, and takes the order while it runs.
    let operator = watch(&host, "run.log");
    until(&host, &operator, "reported", |s| condition(s, "Stalled")["reason"] == "StateOutdated");
    let before = started(&host);
    docker(&["kill", &host.container]);
    eventually("restarted", SOON, || started(&host) != before);
    host.run(&["adopt", "--all"]).expect(0);
    until(&host, &operator, "accepted", is_ready);
    assert_eq!(host.users(), ["ann", "eve", "new"]);
    assert_eq!(condition(&status(&host), "Stalled")["status"], "False");
}

#[test]
fn leftovers_of_a_killed_operator_are_removed_newest() {
    removed("newest");
}

#[test]
fn leftovers_of_a_killed_operator_are_removed_ecs() {
    removed("24.12-ecs");
}

#[test]
fn an_old_copy_of_the_state_does_no_harm_newest() {
    old_copy("newest");
}

#[test]
fn an_old_copy_of_the_state_does_no_harm_ecs() {
    old_copy("24.12-ecs");
}
