//! Tests of a server that is a process beside the operator, on a host without Docker: a container
//! with an installed ejabberd is the host.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;

use support::inside::{DIRECTORY, Inside, STATE};
use support::real::{CONFIG, HOST, docker};

const OBJECTS: &str =
    "  users: [{ name: ann, password: hunter2 }, { name: bea }]\n  rooms: [{ name: hall }]\n";

fn users(inside: &Inside) -> Vec<String> {
    inside.ctl(&["registered_users", HOST]).lines().map(str::to_owned).collect()
}

/// Checks that the server and its children gain no rights, and do not inherit an open file of the
/// operator: descriptor 9 is open when the operator starts.
fn confined(inside: &Inside) {
    inside.own_state();
    let script = format!("exec 9</etc/hostname; ejabberd-operator --state-dir {STATE} apply");
    inside.exec(inside.user, &["sh", "-c", &script]).expect(0);
    // Only the user of a process can list its open files.
    let list_open_files = "for p in $(pgrep -f 'beam.smp|ejabberdctl|epmd|erl_child_setup'); do \
        echo $(sed -n 's/^NoNewPrivs:[[:space:]]*/privileges: /p' /proc/$p/status) \
        $(ls -l /proc/$p/fd | grep -o '[^ ]* -> .*') $(tr '\\0' ' ' </proc/$p/cmdline); done";
    let seen = inside.exec("ejabberd", &["sh", "-c", list_open_files]).stdout;
    let servers: Vec<&str> = seen.lines().filter(|line| line.contains(DIRECTORY)).collect();
    assert!(!servers.is_empty(), "{seen}");
    for line in &servers {
        assert!(line.starts_with("privileges: 1 0 -> "), "{seen}");
        assert!(!line.contains("/etc/hostname"), "{seen}");
    }
}

/// Tests the whole life of a server: creation, convergence, a rejected configuration, a rollout, a
/// stop, and a new start.
fn lifecycle(version: &str, user: &'static str) {
    let mut inside = Inside::with_operator(version);
    inside.user = user;
    if user != "root" {
        let make = ["install", "-d", "-o", user, "-m", "700", DIRECTORY];
        inside.exec("root", &make).expect(0);
    }
    inside.declare("running", OBJECTS);
    confined(&inside);
    assert_eq!(users(&inside), ["ann", "bea"], "{}", inside.log());
    inside.operator(&["plan", "--detailed-exitcode"]).expect(0);
    let pid = inside.server();
    on_loopback_only(&inside);
    closed_to_others(&inside, user);

    // A configuration that ejabberd cannot start with changes nothing.
    fs::write(inside.path("ejabberd.yml"), "hosts: [test.example]\nlisten: 5\n").unwrap();
    let out = inside.operator(&["apply"]).expect(1).stdout;
    assert!(out.contains("listen"), "{out}");
    assert_eq!(inside.server(), pid);
    let other = CONFIG.replace("max_users: 200", "max_users: 150");
    fs::write(inside.path("ejabberd.yml"), &other).unwrap();
    inside.operator(&["apply"]).expect(0);
    assert_eq!(inside.server(), pid, "for another option of a module a reload is enough");
    let conf = inside.exec("root", &["cat", &format!("{DIRECTORY}/conf/ejabberd.yml")]).stdout;
    assert_eq!(conf, other);

    inside.declare("stopped", OBJECTS);
    inside.operator(&["apply"]).expect(0);
    assert_eq!(inside.servers(), Vec::<String>::new());
    inside.operator(&["plan", "--detailed-exitcode"]).expect(0);
    inside.declare("running", OBJECTS);
    inside.operator(&["apply"]).expect(0);
    assert_eq!(users(&inside), ["ann", "bea"], "nothing is lost");

    let found = inside.exec("root", &["grep", "-r", "hunter2", &format!("{DIRECTORY}/logs")]);
    assert_eq!(found.code, Some(1), "{}", found.stdout);
    let left = inside.exec("root", &["sh", "-c", "ls -d /tmp/ejabberd-operator-*"]);
    assert_eq!(left.stdout, "", "the checked files are removed");
}

/// Checks that neither epmd nor the Erlang distribution is reachable from another host.
fn on_loopback_only(inside: &Inside) {
    let listening = inside.exec("root", &["netstat", "-ltn"]).expect(0).stdout;
    let open: Vec<&str> = listening
        .lines()
        .filter(|line| line.contains("LISTEN") && !line.contains(" 127.0.0.1:"))
        // Docker's own resolver also listens on loopback.
        .filter(|line| !line.contains(" 127.0.0.11:"))
        .collect();
    assert_eq!(open, Vec::<&str>::new(), "{listening}");
    assert!(listening.contains("127.0.0.1:4369 "), "{listening}");
}

fn closed_to_others(inside: &Inside, user: &str) {
    let supervisor = if user == "root" { "root" } else { "ejabberd" };
    for (part, owner, mode) in [
        ("conf", supervisor, "750"),
        ("database", "ejabberd", "750"),
        ("logs", "ejabberd", "750"),
        ("home", "ejabberd", "750"),
        ("home/.erlang.cookie", "ejabberd", "400"),
        ("conf/ejabberd.yml", supervisor, "640"),
    ] {
        let path = format!("{DIRECTORY}/{part}");
        let mode_of_file = inside.exec("root", &["stat", "-c", "%U %a", &path]).expect(0).stdout;
        assert_eq!(mode_of_file.trim(), format!("{owner} {mode}"), "{part}");
    }
}

#[test]
fn lifecycle_newest() {
    lifecycle("newest", "root");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn lifecycle_24_12() {
    lifecycle("24.12", "root");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn lifecycle_23_01() {
    lifecycle("23.01", "root");
}

#[test]
fn an_operator_that_is_not_root_newest() {
    lifecycle("newest", "ejabberd");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn an_operator_that_is_not_root_23_01() {
    lifecycle("23.01", "ejabberd");
}

/// The server outlives the operator, and the next operator finds the server. The operator notices
/// the server's end, also if the server is not its child. The resync interval is an hour, so the
/// resync is not the cause.
fn survival(version: &str) {
    let inside = Inside::with_operator(version);
    let ready = || inside.operator(&["status"]).code == Some(0);
    let mended = |before: &str| {
        let new = || matches!(inside.servers().as_slice(), [pid] if pid != before);
        let took = inside.wait("a new server", new);
        inside.wait("an answer", || inside.answers() && ready());
        eprintln!("{version}: a new server after {took:?}");
        inside.server()
    };
    inside.declare("running", OBJECTS);
    let operator = inside.start();
    inside.wait("ready", ready);
    let first = inside.server();
    inside.kill("KILL", &first);
    let second = mended(&first);

    // The test kills the operator, and the next operator supervises the running server.
    inside.kill("KILL", &operator);
    inside.wait("the operator's end", || !inside.runs(&operator));
    assert_eq!(inside.server(), second, "the server still runs");
    let operator = inside.start();
    inside.wait("ready again", ready);
    assert_eq!(inside.server(), second, "it is not started twice");
    inside.kill("KILL", &second);
    let third = mended(&second);
    // ejabberd stops cleanly without the operator.
    inside.ctl(&["stop"]);
    let fourth = mended(&third);
    assert_eq!(users(&inside), ["ann", "bea"]);

    inside.kill("TERM", &operator);
    inside.wait("the operator's end", || !inside.runs(&operator));
    assert_eq!(inside.server(), fourth, "{}", inside.log());
    inside.operator(&["status"]).expect(1);

    // The operator is killed right after the start, before a VM exists: the next operator starts no
    // second server.
    inside.declare("stopped", OBJECTS);
    inside.operator(&["apply"]).expect(0);
    inside.declare("running", OBJECTS);
    for _ in 0..5 {
        let operator = inside.start();
        std::thread::sleep(std::time::Duration::from_millis(900));
        inside.kill("KILL", &operator);
    }
    inside.start();
    inside.wait("ready once more", ready);
    inside.server();
}

#[test]
fn survival_newest() {
    survival("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn survival_24_12() {
    survival("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn survival_23_01() {
    survival("23.01");
}

/// The operator manages the installed server of the package beside a server with a separate
/// directory, and does not confuse the two servers.
fn installed(version: &str) {
    let mut inside = Inside::with_operator(version);
    inside.declare("running", OBJECTS);
    inside.operator(&["apply"]).expect(0);
    let own = inside.server();
    "{}".clone_into(&mut inside.process);
    fs::write(inside.path("ejabberd.yml"), CONFIG.replace("5222", "5333")).unwrap();
    inside.exec("root", &["mv", STATE, "/state-of-the-other"]).expect(0);
    inside.declare("running", "  users: [{ name: zoe }]\n");
    inside.operator(&["apply"]).expect(0);
    let servers = inside.servers();
    assert!(servers.len() == 2 && servers.contains(&own), "{servers:?}");
    let installed = inside.exec("root", &["ejabberdctl", "registered_users", HOST]);
    assert_eq!(installed.expect(0).stdout.trim(), "zoe");
    assert_eq!(users(&inside), ["ann", "bea"]);
    inside.declare("stopped", "");
    inside.operator(&["apply"]).expect(0);
    assert_eq!(inside.server(), own, "the other server still runs");
}

#[test]
fn installed_newest() {
    installed("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn installed_24_12() {
    installed("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn installed_23_01() {
    installed("23.01");
}

/// The operator refuses a setup that cannot work, and names the cause and the fix.
#[test]
fn a_setup_that_cannot_work_is_refused_with_a_hint() {
    let mut inside = Inside::with_operator("newest");
    let mut apply = |process: &str, user: &'static str| {
        process.clone_into(&mut inside.process);
        inside.user = user;
        inside.declare("running", "");
        let ran = inside.operator(&["apply"]);
        assert_eq!(ran.code, Some(1), "{process}: {}", ran.stdout);
        let state = inside.exec("root", &["rm", "-rf", STATE]);
        state.expect(0);
        ran.stdout + &ran.stderr
    };
    for (process, user, hint) in [
        ("{ ejabberdctl: /no/such }", "root", "apt-get install ejabberd"),
        ("{ directory: /etc }", "root", "a separate directory"),
        ("{ directory: /root/xmpp }", "root", "/var/lib"),
        ("{ directory: \"/srv/a b\" }", "root", "takes only"),
        ("{ directory: /srv/xmpp }", "nobody", "only root and `ejabberd`"),
    ] {
        let message = apply(process, user);
        assert!(message.contains(hint), "{process}: {message}");
    }
    assert_eq!(inside.servers(), Vec::<String>::new());
}

/// Returns whether a process runs. A zombie does not run.
fn works(inside: &Inside, pid: &str) -> bool {
    let status = inside.exec("root", &["cat", &format!("/proc/{pid}/status")]).stdout;
    status.lines().any(|line| line.starts_with("State:") && !line.contains(['Z', 'X']))
}

/// A program that prints a secret does not inherit the operator's environment, and ends, with its
/// children, when the operator ends.
#[test]
fn a_program_that_prints_a_secret_ends_with_the_operator() {
    let inside = Inside::with_operator("newest");
    let program = "env >/files/env; sleep 1000 & echo $$ $! >/files/new; mv /files/new /files/programs; sleep 1000";
    let objects = format!(
        "  users: [{{ name: ann, passwordFrom: {{ command: [sh, -c, \"{program}\"] }} }}]\n"
    );
    inside.declare("running", &objects);
    let programs = inside.path("programs");
    inside.own_state();
    for (command, signal) in [("run", "TERM"), ("apply", "TERM"), ("apply", "INT")] {
        let _ = fs::remove_file(&programs);
        let _ = fs::remove_file(inside.path("pid"));
        let start = format!(
            "echo $$ >/files/pid.new && mv /files/pid.new /files/pid && export TOKEN=hunter2 \
             KEPT=hunter3 && exec ejabberd-operator --state-dir {STATE} {command} \
             >>/files/run.log 2>&1"
        );
        let exec = ["exec", "-d", "--user", "root", "-w", "/files", &inside.name, "sh", "-c"];
        docker(&[&exec[..], &[&start]].concat());
        inside.wait("the program", || programs.exists());
        let pids = fs::read_to_string(&programs).unwrap();
        let operator = fs::read_to_string(inside.path("pid")).unwrap();
        assert!(pids.split_whitespace().all(|pid| works(&inside, pid)), "{pids}");
        inside.kill(signal, operator.trim());
        inside.wait("the operator's end", || !works(&inside, operator.trim()));
        inside
            .wait("the programs' end", || !pids.split_whitespace().any(|pid| works(&inside, pid)));
        let environment = fs::read_to_string(inside.path("env")).unwrap();
        assert!(!environment.contains("hunter"), "{environment}");
    }
}
