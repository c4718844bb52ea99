//! Tests the commands that print past events: `events`, `status` and `logs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use serde_json::Value;
use support::host::{Host, eventually, replace};
use support::real::HOST;

const SOON: Duration = Duration::from_mins(1);

/// Returns the events that `args` select.
fn events(host: &Host, args: &[&str]) -> Vec<Value> {
    let all: Vec<&str> = ["events", "--output", "json"].iter().chain(args).copied().collect();
    host.run(&all).expect(0).json().as_array().unwrap().clone()
}

fn reasons(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["reason"].as_str().unwrap()).collect()
}

fn ready(host: &Host) -> bool {
    host.run(&["status"]).code == Some(0)
}

#[test]
fn past_events_are_in_the_output_of_the_commands() {
    let host = Host::new("newest");
    let none = host.run(&["events"]).expect(1).stderr;
    assert!(none.contains("no operator has run"), "{none}");
    host.declare("  users: [{ name: ann }, { name: bob }]\n");
    let mut operator = host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "1s"], "log");
    eventually("ready", SOON, || ready(&host));

    // The event of a repair has the object, the reason and the revision.
    let before = events(&host, &["--about", &format!("ann@{HOST}")]);
    assert_eq!(reasons(&before), ["Created"], "{before:?}");
    assert_eq!(before[0]["message"], "declared, not on the server");
    host.ctl(&["unregister", "ann", HOST]);
    let again = || events(&host, &["--about", &format!("ann@{HOST}")]);
    eventually("created again", SOON, || again()[0]["count"] == 2);
    let after = again();
    assert_eq!(after[0]["object"], format!("user ann@{HOST}"));
    assert_eq!(after[0]["type"], "Normal");
    assert_eq!(after[0]["revision"], before[0]["revision"]);
    assert!(after[0]["time"].as_str() > after[0]["first"].as_str(), "{after:?}");

    // An invalid file is a fault that an administrator must fix.
    let good = std::fs::read_to_string(host.file()).unwrap();
    replace(&host.file(), &good.replace("users", "usrs"));
    let invalid = || reasons(&events(&host, &["--warnings"])).contains(&"InvalidDesiredState");
    eventually("reported as invalid", SOON, invalid);
    let text = host.run(&["status"]).expect(1).stdout;
    assert!(text.contains("● The desired state cannot be used since "), "{text}");
    assert!(text.contains("unknown field `usrs`"), "{text}");
    assert!(text.lines().count() <= 24, "more than a screen:\n{text}");
    replace(&host.file(), &good);
    eventually("ready again", SOON, || ready(&host));
    let text = host.run(&["status"]).expect(0).stdout;
    assert!(text.contains("● All as declared since "), "{text}");
    let yaml = host.run(&["status", "--output", "yaml"]).expect(0).stdout;
    assert!(yaml.contains("lastTransitionTime:") && yaml.contains("type: Ready"), "{yaml}");

    // `logs` prints the lines of the server and the events in the order of time.
    let logs = host.run(&["logs", "--output", "json", "--since", "10m"]).expect(0).stdout;
    let lines: Vec<Value> = logs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let times: Vec<jiff::Timestamp> =
        lines.iter().map(|line| line["time"].as_str().unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted(), "{logs}");
    let place = |holds: &dyn Fn(&Value) -> bool| lines.iter().position(holds).expect(&logs);
    let says = |line: &Value, text: &str| line["line"].as_str().is_some_and(|l| l.contains(text));
    let started = place(&|line| says(line, "is started in the node"));
    let up = place(&|line| line["event"]["reason"] == "ServerUp");
    let broken = place(&|line| line["event"]["reason"] == "InvalidDesiredState");
    assert!(started < up && up < broken, "{started} {up} {broken}\n{logs}");
    assert!(!logs.contains("\\u001b"), "the server's colours are left out");
    let plain = host.run(&["logs", "--no-marks", "--tail", "5"]).expect(0).stdout;
    assert_eq!(plain.lines().count(), 5, "{plain}");
    assert!(!plain.contains("operator:"), "{plain}");

    // Another operator process continues the list of events.
    let last = events(&host, &[]).last().unwrap()["id"].as_u64().unwrap();
    operator.signal("TERM");
    assert_eq!(operator.wait(SOON), Some(0));
    let text = host.run(&["status"]).expect(1).stdout;
    assert!(text.contains("● No operator runs"), "{text}");
    let _next = host.start(&["run", "--listen", "127.0.0.1:0"], "log2");
    eventually("ready", SOON, || ready(&host));
    let all = events(&host, &[]);
    assert!(reasons(&all).contains(&"InvalidDesiredState"), "{all:?}");
    assert!(all.iter().any(|event| event["id"].as_u64().unwrap() > last), "{all:?}");
}

#[test]
fn an_apply_stores_events() {
    let host = Host::new("newest");
    host.declare("  users: [{ name: ann }]\n");
    host.run(&["apply"]).expect(0);
    let all = events(&host, &[]);
    assert!(reasons(&all).contains(&"Created"), "{all:?}");
    let text = host.run(&["events", "--about", "ann"]).expect(0).stdout;
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(&format!("user ann@{HOST}: declared, not on the server")), "{text}");
}
