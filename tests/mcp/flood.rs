//! A client that sends 10,000 requests at once, and connections that hang.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::rights::small;
use super::{OBJECTS, Rig, Value, json, nexus};
use crate::support::real::python;

/// The maximum growth of the memory of the operator and of the MCP server, in KiB.
const GROWTH: u64 = 64 * 1024;

/// The time limit for a call of another client during the flood. Without a limit for each client,
/// the call would wait for thousands of other calls.
const SERVED: Duration = Duration::from_secs(20);

#[test]
fn a_flood_of_one_client_does_not_stop_the_others() {
    let (nexus_name, nexus_fields) = nexus();
    let (small_name, small_fields) = small();
    let rig = Rig::new(
        "newest",
        &[(nexus_name, nexus_fields.as_str()), (small_name, small_fields.as_str())],
        OBJECTS,
    );
    let mut other = rig.http("2026-07-28", "nexus");
    let call = json!({ "from": "messenger", "to": "carl", "body": "x" });
    other.call("xmpp_send_message", &call);
    let processes = [
        ("operator", rig.operator.as_ref().unwrap().child.id()),
        ("mcp", rig.http.as_ref().unwrap().id()),
    ];
    let before = processes.map(|(_, pid)| memory(pid));

    let mut flood = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/flood.py"))
        .args(["--port", &rig.port.to_string(), "--token", &Rig::token("small")])
        .args(["--count", "10000", "--silent", "100"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut slowest = Duration::ZERO;
    let mut calls = 0;
    while flood.try_wait().unwrap().is_none() {
        let began = Instant::now();
        other.call("xmpp_send_message", &call);
        slowest = slowest.max(began.elapsed());
        calls += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = flood.wait_with_output().unwrap();
    let answers: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("answers {answers}; the other client: {calls} calls, the slowest {slowest:?}");
    let number = |status: &str| answers[status].as_u64().unwrap_or(0);
    // `rate_limited` is an error of the tool, with the status 200.
    assert!(number("200") > 0, "{answers}");
    let total: u64 = answers.as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(total, 10_000, "{answers}");
    assert!(calls > 1 && slowest < SERVED, "{calls} calls, the slowest {slowest:?}");
    for ((name, pid), before) in processes.into_iter().zip(before) {
        let after = memory(pid);
        assert!(after < before + GROWTH, "{name}: {before} KiB before, {after} KiB after");
    }
}

/// The largest memory of a process so far, in KiB.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}
