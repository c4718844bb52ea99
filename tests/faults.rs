//! Tests faults of a real ejabberd. After each fault, the server converges or a condition names the
//! cause, and the status reports what the operator did.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::host::Host;
use support::real::{docker, image};
use support::watched::{
    FAST, PEOPLE, SOON, condition, converged, has_event, is_ready, restarted, signal, started,
    status, until, vm, watch,
};

/// A server that is killed, stopped or removed starts again.
fn ended_servers_restart(version: &str) {
    let (host, operator) = converged(version, PEOPLE);
    docker(&["kill", &host.container]);
    let status = until(&host, &operator, "killed", |s| is_ready(s) && has_event(s, "Killed"));
    assert!(status["server"]["supervision"]["starts"].as_u64() >= Some(1), "{status:#}");

    // The declared state is "running", so a clean stop by another program is reverted too.
    std::thread::sleep(Duration::from_secs(6));
    let before = started(&host);
    docker(&["stop", &host.container]);
    restarted(&host, &operator, &before, is_ready);

    let before = started(&host);
    host.remove_container();
    restarted(&host, &operator, &before, is_ready);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
}

#[test]
fn ended_servers_restart_newest() {
    ended_servers_restart("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn ended_servers_restart_24_12() {
    ended_servers_restart("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn ended_servers_restart_23_01() {
    ended_servers_restart("23.01");
}

/// A frozen server is detected, reported and restarted.
fn frozen_servers_restart(version: &str) {
    let (host, operator) = converged(version, PEOPLE);
    let pid = vm(&host).unwrap();
    signal(&pid, "STOP");
    let frozen = Instant::now();
    until(&host, &operator, "noticed", |s| condition(s, "Healthy")["reason"] == "Unresponsive");
    println!("noticed after {:?}", frozen.elapsed());
    until(&host, &operator, "restarted", |s| is_ready(s) && has_event(s, "Unresponsive"));
    println!("ready after {:?}", frozen.elapsed());
    assert_ne!(vm(&host).as_ref(), Some(&pid), "another VM");
}

#[test]
fn frozen_servers_restart_newest() {
    frozen_servers_restart("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn frozen_servers_restart_24_12() {
    frozen_servers_restart("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn frozen_servers_restart_23_01() {
    frozen_servers_restart("23.01");
}

/// No account is lost if the server is killed repeatedly while the operator creates accounts.
#[test]
fn accounts_survive_kills_of_the_server() {
    let (host, operator) = converged("newest", PEOPLE);
    host.declare_many(300, 10);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(900));
        let before = started(&host);
        docker(&["kill", &host.container]);
        restarted(&host, &operator, &before, |s| s["server"]["up"] == true);
    }
    until(&host, &operator, "all made", |s| is_ready(s) && s["objects"]["user"]["desired"] == 300);
    assert_eq!((host.users().len(), host.rooms().len()), (300, 10));
}

/// The delay of a crash loop grows, and survives a restart of the operator.
#[test]
fn a_crash_loop_is_slowed_down_and_reported() {
    let (host, mut operator) = converged("newest", PEOPLE);
    let killer = |times| {
        for _ in 0..times {
            until(&host, &operator, "up", |s| s["server"]["supervision"]["state"] == "running");
            docker(&["kill", &host.container]);
        }
    };
    killer(3);
    let status = until(&host, &operator, "backing off", |s| {
        s["server"]["supervision"]["state"] == "backing-off"
    });
    let healthy = condition(&status, "Healthy");
    assert_eq!(
        (healthy["status"].as_str(), healthy["reason"].as_str()),
        (Some("False"), Some("Killed"))
    );
    assert!(healthy["message"].as_str().unwrap().contains("started again at"), "{healthy}");
    let (_, metrics) = support::host::get(&host.endpoint(), "/metrics").unwrap();
    let line =
        metrics.lines().find(|l| l.starts_with("ejabberd_operator_restart_backoff_seconds "));
    assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{line:?}");
    // The next operator process knows the time of the next start.
    operator.signal("KILL");
    operator.wait(SOON);
    let operator = watch(&host, "run2.log");
    let status = until(&host, &operator, "ready again", is_ready);
    assert!(status["server"]["supervision"]["starts"].as_u64() >= Some(3), "{status:#}");
}

/// The status names a port that is in use, and the server starts when the port is free.
#[test]
fn a_port_in_use_is_reported() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port.local_addr().unwrap().port();
    let mut host = Host::new("newest");
    FAST.clone_into(&mut host.server);
    host.declare(PEOPLE);
    let text = std::fs::read_to_string(host.file()).unwrap();
    let text =
        text.replace("network: bridge", &format!("network: bridge, ports: [\"{number}:5222\"]"));
    std::fs::write(host.file(), text).unwrap();
    let operator = watch(&host, "run.log");
    let status = until(&host, &operator, "named", |s| condition(s, "Degraded")["status"] == "True");
    let message = condition(&status, "Degraded")["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&number.to_string()), "{message}");
    drop(port);
    until(&host, &operator, "ready", is_ready);
}

/// Copies files of a container, as `docker cp` does, from or to a tar stream.
fn copy(from: &str, to: &str, stream: Option<&[u8]>) -> Vec<u8> {
    let mut command = Command::new("docker");
    command.args(["cp", from, to]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stream.unwrap_or_default()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "docker cp {from} {to}");
    output.stdout
}

/// The status reports the cause of each failed start with its fix, although the log still
/// contains the cause of the previous failure.
#[test]
fn each_failed_start_is_explained_by_its_own_log() {
    let (host, operator) = converged("newest", PEOPLE);
    let starts = |s: &Value| s["server"]["supervision"]["starts"].as_u64();
    // Waits for a failed start that began after this call, and returns the message of the
    // condition.
    let named = |reason: &str| {
        let before = starts(&status(&host));
        let failed = until(&host, &operator, reason, |s| {
            s["server"]["supervision"]["state"] == "failed" && starts(s) >= before.map(|n| n + 2)
        });
        let healthy = condition(&failed, "Healthy").clone();
        assert_eq!(healthy["reason"], reason, "{healthy}");
        healthy["message"].as_str().unwrap().to_owned()
    };
    let at = |path: &str| format!("{}:/home/ejabberd/{path}", host.container);
    let cookie = copy(&at(".erlang.cookie"), "-", None);
    let settings = copy(&at("conf/ejabberdctl.cfg"), "-", None);
    docker(&["exec", &host.container, "chmod", "644", "/home/ejabberd/.erlang.cookie"]);
    docker(&["kill", &host.container]);
    let message = named("CookieUnusable");
    assert!(message.contains("must be accessible by owner only; the user that"), "{message}");

    let renamed = host.path("ejabberdctl.cfg");
    std::fs::write(&renamed, "SPOOL_DIR=/home/ejabberd/database\nERLANG_NODE=ejabberd@other\n")
        .unwrap();
    copy(renamed.to_str().unwrap(), &at("conf/ejabberdctl.cfg"), None);
    copy("-", &at(""), Some(&cookie));
    let message = named("NodeNameChanged");
    assert!(message.contains("owned by [ejabberd@localhost]; its database"), "{message}");

    copy("-", &at("conf"), Some(&settings));
    until(&host, &operator, "ready again", is_ready);
}

/// The status reports a full disk, and the server recovers when there is room.
#[test]
fn a_full_disk_is_reported() {
    let mut host = Host::new("newest");
    FAST.clone_into(&mut host.server);
    let volume = format!("{}-database", host.container);
    let uid = docker(&["run", "--rm", "--entrypoint", "id", &image("newest"), "-u"]);
    docker(&[
        "volume",
        "create",
        "--opt",
        "type=tmpfs",
        "--opt",
        "device=tmpfs",
        "--opt",
        &format!("o=size=24m,uid={}", uid.trim()),
        &volume,
    ]);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    let operator = watch(&host, "run.log");
    until(&host, &operator, "ready at first", is_ready);
    // This second container keeps the tmpfs volume mounted. Without a mount, the content of the
    // volume is lost.
    let supervisor = support::real::unique("keeps");
    docker(&[
        "run",
        "-d",
        "--name",
        &supervisor,
        "--user",
        "root",
        "-v",
        &format!("{volume}:/db"),
        "--entrypoint",
        "sleep",
        &image("newest"),
        "600",
    ]);
    let _ = Command::new("docker")
        .args(["exec", &supervisor, "dd", "if=/dev/zero", "of=/db/ballast", "bs=64k"])
        .output();
    docker(&["kill", &host.container]);
    let status =
        until(&host, &operator, "named", |s| condition(s, "Healthy")["reason"] == "DiskFull");
    assert!(
        condition(&status, "Healthy")["message"].as_str().unwrap().contains("free space"),
        "{status:#}"
    );
    docker(&["exec", &supervisor, "rm", "/db/ballast"]);
    until(&host, &operator, "ready again", |s| s["server"]["up"] == true);
    docker(&["rm", "-f", &supervisor]);
}

/// The operator reports changed settings, and replaces the container on the same volumes. The
/// operator rolls back a replacement that fails.
fn changed_settings_replace_the_container(version: &str) {
    let (host, operator) = converged(version, PEOPLE);
    let id = || docker(&["inspect", "-f", "{{.Id}}", &host.container]);
    let first = id();
    let declare = |more: &str| {
        let text = host.head() + PEOPLE;
        let text = text.replace("network: bridge", &format!("network: bridge, {more}"));
        support::host::replace(&host.file(), &text);
    };
    declare("environment: { COLOUR: blue }");
    until(&host, &operator, "only shown", |s| has_event(s, "NewRevision") && is_ready(s));
    let plan = host.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("environment.COLOUR") && plan.contains("recreate is never"), "{plan}");
    assert_eq!(id(), first);
    declare("environment: { COLOUR: blue }, recreate: whenChanged");
    until(&host, &operator, "replaced", |s| is_ready(s) && id() != first);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
    let backup = docker(&["exec", &host.container, "ls", "/home/ejabberd/database"]);
    assert!(backup.contains("before-replacement.backup"), "{backup}");
    let second = id();
    // Builds an image whose program ends at once.
    docker(&["tag", &image(version), &format!("{}-bad", host.container)]);
    let bad = format!("{}-bad", host.container);
    let made = Command::new("sh")
        .args([
            "-c",
            &format!(
                "printf 'FROM {}\\nENTRYPOINT [\"false\"]\\n' | docker build -q -t {bad} -",
                image(version)
            ),
        ])
        .status()
        .unwrap();
    assert!(made.success());
    let text = (host.head() + PEOPLE)
        .replace(&format!("\"{}\"", image(version)), &format!("\"{bad}\""))
        .replace(
            "network: bridge",
            "network: bridge, environment: { COLOUR: blue }, recreate: whenChanged",
        );
    support::host::replace(&host.file(), &text);
    let status = until(&host, &operator, "brought back", |s| {
        condition(s, "Degraded")["message"].as_str().is_some_and(|m| m.contains("brought back"))
    });
    assert_eq!(id(), second, "{status:#}");
    until(&host, &operator, "it serves", |s| s["server"]["up"] == true);
    docker(&["image", "rm", &bad]);
}

#[test]
fn changed_settings_replace_the_container_newest() {
    changed_settings_replace_the_container("newest");
}

/// The operator removes a restart policy that another program set on its container.
#[test]
fn the_restart_policy_of_an_owned_container_is_removed() {
    let (host, operator) = converged("newest", PEOPLE);
    docker(&["update", "--restart=always", &host.container]);
    let policy =
        || docker(&["inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", &host.container]);
    host.declare(&PEOPLE.replace("hall", "lobby"));
    until(&host, &operator, "owned", |_| policy().trim() == "no");
}
