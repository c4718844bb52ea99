//! Measures how long a killed server is down: with the operator, and with
//! `docker run --restart=always` on the same machine. Times in milliseconds from the SIGKILL of
//! the container's first process.
//!
//!     cargo bench --bench restart -- [VERSION] [runs=20]

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that cannot run fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use support::bench;
use support::host::{Host, eventually};
use support::real::{CONFIG, HOST, docker, image, unique};

/// The pause before each kill. Docker restarts a container at once if the container ran for ten
/// seconds, and more slowly otherwise.
const BETWEEN: Duration = Duration::from_secs(11);

const SOON: Duration = Duration::from_mins(1);

fn main() {
    let (version, runs) = (&*bench::version(), bench::number("runs", 20));
    // The benchmark connects from outside to the address of the container.
    let config = CONFIG.replace("ip: 127.0.0.1", "ip: 0.0.0.0");
    let (calls, ready) = with_operator(version, runs, &config);
    let always = with_restart_policy(version, runs, &config);
    println!("ejabberd {version}, {runs} kills each; milliseconds: least, middle, most");
    print("operator: to the call that starts it", calls);
    print("operator: to an XMPP stream", ready);
    print("--restart=always: to an XMPP stream", always);
}

fn print(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |n: usize| times.get(n).copied().unwrap_or(f64::NAN);
    let (least, middle, most) = (at(0), at(times.len() / 2), at(times.len() - 1));
    println!("{what:<38}{least:>9.0}{middle:>9.0}{most:>9.0}");
}

fn with_operator(version: &str, runs: usize, config: &str) -> (Vec<f64>, Vec<f64>) {
    let mut host = Host::new(version);
    "    backoff: { resetAfter: 1s }\n".clone_into(&mut host.server);
    fs::write(host.path("ejabberd.yml"), config).unwrap();
    host.declare("");
    host.run(&["apply"]).expect(0);
    let operator = host.start(&["run", "--listen", "127.0.0.1:0"], "run.log");
    let (mut calls, mut ready) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        std::thread::sleep(BETWEEN);
        let killed = kill(&host.container);
        ready.push(answers_after(&host.container, killed));
        let call = operator
            .log()
            .lines()
            .rev()
            .find(|line| line.contains("starting the server"))
            .and_then(|line| line.split_whitespace().next()?.parse::<Timestamp>().ok())
            .expect("a line for the call");
        calls.push(millis(killed, call));
    }
    (calls, ready)
}

fn with_restart_policy(version: &str, runs: usize, config: &str) -> Vec<f64> {
    let name = unique("always");
    docker(&["create", "--name", &name, "--restart=always", &image(version)]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), config).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(file.path(), mode).unwrap();
    let path = file.path().to_str().unwrap();
    docker(&["cp", path, &format!("{name}:/home/ejabberd/conf/ejabberd.yml")]);
    docker(&["start", &name]);
    answers_after(&name, Timestamp::now());
    let mut ready = Vec::new();
    for _ in 0..runs {
        std::thread::sleep(BETWEEN);
        let killed = kill(&name);
        ready.push(answers_after(&name, killed));
    }
    docker(&["rm", "-f", "-v", &name]);
    ready
}

/// Kills the container's first process, and waits until that process is gone.
fn kill(container: &str) -> Timestamp {
    let pid = docker(&["inspect", "-f", "{{.State.Pid}}", container]);
    let killed = Timestamp::now();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    eventually("the old one is gone", SOON, || !fs::exists(format!("/proc/{pid}")).unwrap());
    killed
}

/// Milliseconds from `since` until a client gets stream features.
fn answers_after(container: &str, since: Timestamp) -> f64 {
    let began = Instant::now();
    loop {
        let format = "{{.NetworkSettings.IPAddress}}";
        let address = docker(&["inspect", "-f", format, container]);
        if let Ok(ip) = address.parse()
            && speaks(SocketAddr::new(ip, 5222)).is_some()
        {
            return millis(since, Timestamp::now());
        }
        assert!(began.elapsed() < SOON, "{container} does not come back");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn speaks(at: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_millis(200)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let header = format!(
        "<stream:stream version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{HOST}'>"
    );
    stream.write_all(header.as_bytes()).ok()?;
    let mut response = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&response).contains("stream:features") {
        match stream.read(&mut piece).ok()? {
            0 => return None,
            n => response.extend(piece.iter().take(n)),
        }
    }
    Some(())
}

fn millis(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1e3
}
