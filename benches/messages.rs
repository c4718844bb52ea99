//! Measures messages per second through nginx, the MCP server, the operator and ejabberd, beside
//! `docker exec … ejabberdctl send_message` on the same machine.
//!
//!     cargo bench --bench messages -- [VERSION] [count=1000]
//!
//! Without an archive the operator cannot look a message up, so the result is `accepted`; with an
//! archive it is `delivered` to an account that is online, else `stored_offline`. Times are
//! milliseconds of one call, with up to 16 calls at the same time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run fails by panicking"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::Instant;

use serde_json::Value;
use support::bench;
use support::client::Client;
use support::messaging::{OBJECTS, Rig, nexus};
use support::nginx::Nginx;
use support::real::{CONFIG, HOST, docker};

/// The number of messages of the loop with `docker exec`.
const BY_EXEC: u32 = 20;

/// The number of archived messages in the last lines of the table.
const ARCHIVED: usize = 10_000;

fn main() {
    let (version, count) = (&*bench::version(), bench::number("count", 1000));
    let (name, fields) = nexus();
    let clients = [(name, fields.as_str())];

    let rig = Rig::with_config(version, CONFIG, &clients, OBJECTS);
    let nginx = rig.nginx();
    let bob = online(&rig);
    let exec = by_exec(&rig);
    println!("ejabberd {version}, {count} messages in each line; {}", machine());
    println!("{:<44}{:>8}{:>8}{:>8}{:>8}{:>9}", "", "1/s", "ratio", "p50", "p99", "most");
    println!("{:<44}{exec:>8.1}{:>8.0}", "docker exec ejabberdctl send_message", 1.0);
    let line = |rig: &Rig, nginx: &Nginx, what: &str, to: &str, calls: u32, expected: &str| {
        let result = load(rig, nginx, to, calls, count);
        assert_eq!(result["answers"], serde_json::json!({ expected: count }), "{what}: {result}");
        let number = |name: &str| result[name].as_f64().unwrap();
        println!(
            "{:<44}{:>8.0}{:>8.0}{:>8.1}{:>8.1}{:>9.1}",
            format!("{what}, {calls} at once"),
            number("rate"),
            number("rate") / exec,
            number("p50"),
            number("p99"),
            number("most")
        );
    };
    for calls in [1, 4, 16] {
        line(&rig, &nginx, "accepted: online, no archive", "bob", calls, "accepted");
    }
    drop(bob);
    drop(nginx);
    drop(rig);

    let rig = Rig::new(version, &clients, OBJECTS);
    let nginx = rig.nginx();
    let bob = online(&rig);
    for archived in [0, ARCHIVED] {
        if archived > 0 {
            fill(&rig, archived);
        }
        for calls in [1, 16] {
            let what = format!("delivered, {archived} archived before");
            line(&rig, &nginx, &what, "bob", calls, "delivered");
        }
        let what = format!("stored_offline, {archived} archived before");
        line(&rig, &nginx, &what, "carl", 16, "stored_offline");
    }
    let hall = format!("hall@conference.{HOST}");
    line(&rig, &nginx, "delivered to a room", &hall, 16, "delivered");
    drop(bob);
}

/// The number of processors, and the average load before the benchmark.
fn machine() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{processors} processors, load {load}; milliseconds")
}

fn online(rig: &Rig) -> Client {
    Client::with(&rig.host, &format!("bob@{HOST}"), "secret-bob", &["--unencrypted"])
}

/// Messages per second by a loop of `docker exec`, as in the guide.
fn by_exec(rig: &Rig) -> f64 {
    let (from, to) = (format!("messenger@{HOST}"), format!("bob@{HOST}"));
    let began = Instant::now();
    for n in 0..BY_EXEC {
        rig.host.ctl(&["send_message", "chat", &from, &to, "", &format!("message {n}")]);
    }
    f64::from(BY_EXEC) / began.elapsed().as_secs_f64()
}

fn load(rig: &Rig, nginx: &Nginx, to: &str, connections: u32, count: usize) -> Value {
    let mut command = rig.load(&nginx.url(), to, count);
    command.arg("--ca").arg(nginx.certificate());
    command.args(["--connections", &connections.to_string()]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Copies an archived message until each of the three accounts has `count` messages in its archive.
/// Sending them takes a quarter of an hour, because Mnesia reads the archive of an account to add a
/// message.
fn fill(rig: &Rig, count: usize) {
    let program = format!(
        "Accounts = [<<\"messenger\">>, <<\"bob\">>, <<\"carl\">>], \
         ok = rpc:call('ejabberd@localhost', erlang, apply, [fun() -> \
             [begin \
                  Of = mnesia:dirty_read(archive_msg, {{Account, <<\"{HOST}\">>}}), \
                  Copy = fun(N) -> setelement(3, hd(Of), integer_to_binary(N)) end, \
                  ok = dets:insert(archive_msg, [Copy(N) || N <- lists:seq(1, {count} - length(Of))]) \
              end || Account <- Accounts], ok end, []]), \
         halt(0)."
    );
    docker(&["exec", &rig.host.container, "erl", "-noshell", "-sname", "fill", "-eval", &program]);
}
