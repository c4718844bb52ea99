//! Tests, with real servers of every layout, that the operator restarts only a server that does not
//! serve clients.

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
use std::sync::Arc;
use std::time::{Duration, Instant};

use ejabberd_operator::adapters::docker::DockerRuntime;
use ejabberd_operator::adapters::session::Session;
use ejabberd_operator::ejabberd::EjabberdClient;
use ejabberd_operator::engine::Spawner;
use support::host::{Host, eventually};
use support::real::{CONFIG, Container, docker, image};
use support::watched::{
    PEOPLE, SOON, condition, has_event, is_ready, left_alone, restarted, signal, started, until,
    vm, watch,
};

/// The settings with short intervals, so that the tests are fast. A start may take five seconds.
const QUICK: &str = "    probe: { interval: 1s, failures: 3, startDeadline: 5s }\n    \
     backoff: { initial: 1s, max: 10s, resetAfter: 5s }\n";

/// A time longer than each limit of [`QUICK`].
const LONG: Duration = Duration::from_secs(25);

fn host(version: &str) -> Host {
    let mut host = Host::new(version);
    QUICK.clone_into(&mut host.server);
    host.declare(PEOPLE);
    host
}

/// Creates the container without the operator, with `args` of `docker run`.
fn run(host: &Host, args: &[&str]) {
    let image = image(&host.version);
    let all = [&["run", "-d", "--name", host.container.as_str()], args, &[image.as_str()]].concat();
    docker(&all);
}

/// Changes a line of the server's configuration.
fn configure(host: &Host, from: &str, to: &str) {
    let text = CONFIG.replacen(from, to, 1);
    assert_ne!(text, CONFIG, "{from}");
    fs::write(host.path("ejabberd.yml"), text).unwrap();
}

const C2S: &str = "{ port: 5222, ip: 127.0.0.1, module: ejabberd_c2s }";

/// Stops ejabberd in its node. Simulates an operator that stopped ejabberd and was then killed.
fn stop_inside(host: &Host) {
    let runtime = DockerRuntime::new(Container::spec(&host.container, &host.version));
    let server = EjabberdClient::new(Arc::new(Session::new(Arc::new(runtime) as Arc<dyn Spawner>)));
    let tokio = tokio::runtime::Runtime::new().unwrap();
    tokio.block_on(server.stop()).unwrap();
}

/// The operator does not restart a server whose client port expects the PROXY protocol. Such a port
/// does not respond to a client without a header.
fn proxied(version: &str) {
    let host = host(version);
    configure(&host, C2S, &C2S.replace(" }", ", use_proxy_protocol: true }"));
    host.run(&["apply"]).expect(0);
    let operator = watch(&host, "run.log");
    until(&host, &operator, "ready", is_ready);
    left_alone(&host, &operator, LONG);
}

/// The operator does not restart a server without epmd, whose Erlang distribution has a fixed port,
/// and does not start epmd.
fn without_epmd(version: &str) {
    let host = host(version);
    run(&host, &["-e", "ERL_DIST_PORT=5210"]);
    host.run(&["apply"]).expect(0);
    let operator = watch(&host, "run.log");
    until(&host, &operator, "ready", is_ready);
    left_alone(&host, &operator, LONG);
    let processes = docker(&["top", &host.container, "-eo", "pid,args"]);
    assert!(!processes.contains("epmd -daemon"), "the operator started epmd: {processes}");
}

/// The operator manages a server with a long node name and with the cookie on the command line, and
/// applies a configuration that changed while the container was stopped.
fn long_name_and_cookie(version: &str) {
    let host = host(version);
    let node = ["--hostname", "main.example", "-e", "ERLANG_NODE_ARG=ejabberd@main.example"];
    run(&host, &[&node[..], &["-e", "ERL_OPTIONS=-setcookie s3cret"]].concat());
    host.run(&["apply"]).expect(0);
    let operator = watch(&host, "run.log");
    until(&host, &operator, "ready", is_ready);
    drop(operator);
    docker(&["stop", &host.container]);
    configure(&host, "loglevel: info", "loglevel: warning");
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
    let home = docker(&["exec", &host.container, "sh", "-c", "ls -a $HOME /tmp"]);
    assert!(!home.contains("crash") && !home.contains("operator-check"), "{home}");
}

/// The operator restarts a server in which ejabberd stopped but the node keeps running. Case 1: the
/// operator runs. Case 2: the operator starts later. Case 3: `apply` runs.
fn stopped_inside(version: &str) {
    let host = host(version);
    host.run(&["apply"]).expect(0);
    let mut operator = watch(&host, "run.log");
    until(&host, &operator, "ready", is_ready);
    let before = started(&host);
    stop_inside(&host);
    restarted(&host, &operator, &before, is_ready);
    assert!(has_event(&support::watched::status(&host), "Halted"), "{}", operator.log());

    operator.signal("TERM");
    operator.wait(SOON);
    let before = started(&host);
    stop_inside(&host);
    let began = Instant::now();
    let operator = watch(&host, "run2.log");
    restarted(&host, &operator, &before, is_ready);
    println!("ready {:?} after the next operator began", began.elapsed());

    drop(operator);
    let before = started(&host);
    stop_inside(&host);
    host.run(&["apply"]).expect(0);
    assert_ne!(started(&host), before, "`apply` restarts it too");
}

/// The operator restarts a VM that is frozen during its start, before the VM responds.
fn frozen_at_the_start(version: &str) {
    let host = host(version);
    host.run(&["apply"]).expect(0);
    docker(&["stop", &host.container]);
    docker(&["start", &host.container]);
    eventually("a VM", SOON, || vm(&host).is_some());
    let pid = vm(&host).unwrap();
    signal(&pid, "STOP");
    let frozen = Instant::now();
    let operator = watch(&host, "run.log");
    let status = until(&host, &operator, "restarted", |s| is_ready(s) && has_event(s, "Frozen"));
    println!("ready {:?} after the freeze", frozen.elapsed());
    assert_ne!(vm(&host), Some(pid), "{status:#}");
}

/// If the operator reads another cookie than the cookie of the running server, the operator cannot
/// observe the server. The operator does not restart the server, because the server serves clients.
fn kept_out(version: &str) {
    let host = host(version);
    host.run(&["apply"]).expect(0);
    let home = docker(&["exec", &host.container, "sh", "-c", "echo $HOME"]);
    let cookie = format!("{home}/.erlang.cookie");
    let own = docker(&["exec", &host.container, "cat", &cookie]);
    let write = |text: &str| {
        let script = format!("chmod 600 {cookie} && printf {text} >{cookie} && chmod 400 {cookie}");
        docker(&["exec", &host.container, "sh", "-c", &script]);
    };
    write("ANOTHERONE");
    let plan = host.run(&["plan"]);
    assert!(plan.stdout.contains("clients are served at"), "{}{}", plan.stdout, plan.stderr);
    let operator = watch(&host, "run.log");
    let status =
        until(&host, &operator, "unseen", |s| condition(s, "Healthy")["reason"] == "CannotSee");
    let healthy = condition(&status, "Healthy");
    assert_eq!(healthy["status"], "Unknown", "{healthy}");
    assert!(healthy["message"].as_str().unwrap().contains("cookie"), "{healthy}");
    // The operator must not apply a change of the configuration either.
    configure(&host, "loglevel: info", "queue_type: file\nloglevel: info");
    left_alone(&host, &operator, LONG);
    write(own.trim());
    until(&host, &operator, "seen again", is_ready);
}

/// A recreated container has the configuration of its image. The operator changes the configuration
/// with a restart. The operator must not interrupt the running start, and must not use the log of
/// that start to judge the change.
fn changed_while_it_starts(version: &str) {
    let host = host(version);
    let volume = format!("{}-database:/home/ejabberd/database", host.container);
    run(&host, &["-v", &volume]);
    host.run(&["apply"]).expect(0);
    let operator = watch(&host, "run.log");
    until(&host, &operator, "ready", is_ready);
    for _ in 0..3 {
        host.remove_container();
        run(&host, &["-v", &volume]);
        until(&host, &operator, "its configuration in force again", |status| {
            let file = ["exec", &host.container, "sh", "-c", "cat $HOME/conf/ejabberd.yml"];
            let file = Command::new("docker").args(file).output().unwrap().stdout;
            file == CONFIG.as_bytes() && is_ready(status)
        });
        let log = Command::new("docker").args(["logs", &host.container]).output().unwrap();
        let log = String::from_utf8([log.stdout, log.stderr].concat()).unwrap();
        assert_eq!(log.matches("is started in the node").count(), 2, "{log}{}", operator.log());
        assert!(!operator.log().contains("taken back"), "{}", operator.log());
    }
}

/// The canary logs in like a client, with every kind of listener and mechanism.
fn canaries(version: &str) {
    let host = host(version);
    support::shipped::certificate(&host);
    let file = "/home/ejabberd/conf/server.pem";
    let file = if version.contains("ghcr") { "/opt/ejabberd/conf/server.pem" } else { file };
    let declare = |users: &str| {
        let head = host.head().replace("timeout: 30s }", "timeout: 30s, canary: ann }");
        let head = head.replace("    gate:", "    files: { server.pem: server.pem }\n    gate:");
        fs::write(host.file(), head + users).unwrap();
    };
    declare("  users: [{ name: ann, password: \"pä, =ss✓\" }]\n");
    host.run(&["apply"]).expect(0);
    let starttls = format!("starttls: true, certfile: {file} }}");
    let direct = format!("tls: true, certfile: {file} }}");
    let no = |names: &str| format!("disable_sasl_mechanisms: [{names}]\nacl:");
    let scrams = "scram-sha-1, scram-sha-256, scram-sha-512";
    let plus = "scram-sha-1-plus, scram-sha-256-plus, scram-sha-512-plus, digest-md5, x-oauth2";
    for (listener, mechanisms) in [
        (starttls.clone(), no("plain")),
        (starttls.clone(), no(scrams)),
        (starttls.clone(), no("scram-sha-512, scram-sha-256, plain")),
        (direct.clone(), "acl:".to_owned()),
        (format!("use_proxy_protocol: true, {starttls}"), "acl:".to_owned()),
        (format!("use_proxy_protocol: true, {direct}"), no("plain")),
    ] {
        let text = CONFIG.replace(C2S, &C2S.replace(" }", &format!(", {listener}")));
        fs::write(host.path("ejabberd.yml"), text.replacen("acl:", &mechanisms, 1)).unwrap();
        let ran = host.run(&["apply"]);
        assert_eq!(ran.code, Some(0), "{listener} {mechanisms}: {}{}", ran.stdout, ran.stderr);
    }
    let text = CONFIG.replace(C2S, &C2S.replace(" }", &format!(", {starttls}")));
    // At `debug` the log would contain the password, so the gate skips the canary.
    let logs = text.replace("loglevel: info", "loglevel: debug");
    fs::write(host.path("ejabberd.yml"), logs.replacen("acl:", &no(scrams), 1)).unwrap();
    let ran = host.run(&["apply"]).expect(0);
    assert!(ran.stderr.contains("skips the login of the canary"), "{}{}", ran.stdout, ran.stderr);
    let none = no(&format!("plain, {scrams}, {plus}"));
    fs::write(host.path("ejabberd.yml"), text.replacen("acl:", &none, 1)).unwrap();
    let ran = host.run(&["apply"]).expect(1);
    assert!(ran.stdout.contains("offers none of SCRAM"), "{}{}", ran.stdout, ran.stderr);
}

/// After `docker-compose down` of an adopted container, the operator waits for the owner, and
/// adopts the new container after `up -d`.
fn compose(version: &str) {
    let host = host(version);
    fs::write(
        host.path("docker-compose.yml"),
        format!(
            "version: '3'\nservices:\n  xmpp:\n    image: {}\n    container_name: {}\n    \
             volumes: ['{1}-db:{}']\nvolumes:\n  {1}-db: {{ name: {1}-db }}\n",
            image(version),
            host.container,
            if version.contains("ghcr") { "/opt/ejabberd" } else { "/home/ejabberd/database" }
        ),
    )
    .unwrap();
    let compose = |args: &[&str]| {
        let mut command = Command::new("docker-compose");
        command.current_dir(host.path("")).args(["-p", &host.container]).args(args);
        let output = command.output().expect("docker-compose is needed");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "docker-compose {args:?}: {text}");
    };
    compose(&["up", "-d"]);
    host.run(&["apply"]).expect(0);
    let operator = watch(&host, "run.log");
    until(&host, &operator, "ready", is_ready);
    compose(&["down"]);
    std::thread::sleep(Duration::from_secs(15));
    let there = Command::new("docker").args(["inspect", &host.container]).output().unwrap();
    assert!(!there.status.success(), "the operator created a container\n{}", operator.log());
    compose(&["up", "-d"]);
    until(&host, &operator, "adopted", |s| is_ready(s) && s["server"]["up"] == true);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
    // Compose replaces the container, as it does after a change of `docker-compose.yml`.
    compose(&["up", "-d", "--force-recreate"]);
    until(&host, &operator, "adopted again", is_ready);
    compose(&["stop"]);
    until(&host, &operator, "started again, after a while", is_ready);
    drop(operator);
    compose(&["down", "-v"]);
}

macro_rules! on {
    ($case:ident: $($name:ident($version:literal)),+ ; all: $($other:ident($on:literal)),*) => {
        mod $case {
            $(#[test]
            fn $name() {
                super::$case($version);
            })+
            $(#[test]
            #[ignore = "scripts/test --all runs it"]
            fn $other() {
                super::$case($on);
            })*
        }
    };
}

on!(proxied: newest("newest"), ecs("24.12-ecs"); all: ghcr("newest-ghcr"), v24_12("24.12"), v23_01("23.01"));
on!(without_epmd: newest("newest"), ecs("24.12-ecs"); all: ghcr("newest-ghcr"), v24_12("24.12"));
on!(long_name_and_cookie: newest("newest"), ecs("24.12-ecs"); all: ghcr("newest-ghcr"), v24_12("24.12"));
on!(stopped_inside: newest("newest"), ecs("24.12-ecs"); all: ghcr("newest-ghcr"), v24_12("24.12"), v23_01("23.01"));
on!(frozen_at_the_start: newest("newest"), ecs("24.12-ecs"); all: ghcr("newest-ghcr"), v23_01("23.01"));
on!(kept_out: newest("newest"), ecs("24.12-ecs"); all: ghcr("newest-ghcr"), v24_12("24.12"), v23_01("23.01"));
on!(changed_while_it_starts: newest("newest"), ecs("24.12-ecs"); all:);
on!(canaries: newest("newest"), ecs("24.12-ecs"); all: ghcr("newest-ghcr"), v24_12("24.12"), v23_01("23.01"));
on!(compose: newest("newest"), ecs("24.12-ecs"); all: ghcr("newest-ghcr"));
