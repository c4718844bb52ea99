//! Hostile values in every argument of every tool: delivered to the letter, or refused with a
//! reason. No command line of any process ever shows one of them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{HOST, OBJECTS, Rig, Value, json, nexus};
use crate::support::mcp::McpClient;

/// A text in each hostile value, for the search in command lines.
const MARK: &str = "zq7x";

/// Pieces of hostile values. `@` is replaced by [`MARK`].
const PIECES: [&str; 53] = [
    "'",
    "\"",
    "`id@`",
    "$(id @)",
    "${IFS}@",
    "; id @",
    "| id @",
    "& id @",
    "&& id @",
    "|| id @",
    "> /tmp/@",
    "< /etc/passwd@",
    "\\",
    "\\n",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\0",
    "\u{1}",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "\u{2066}",
    "\u{feff}",
    "\u{fffe}",
    "\u{ffff}",
    "--help",
    "-n",
    "--@",
    "-",
    "<a/>",
    "</body>",
    "<![CDATA[",
    "]]>",
    "&amp;",
    "&#10;",
    "&lt;",
    "<message to='root'/>",
    "{tuple,[1]}",
    "[@]",
    "~p~n",
    "%s%n%x",
    "*",
    "?",
    "../../etc/passwd",
    "/resource",
    "@far.example",
    "\u{1F418}",
    "ﬁ",
    "İ",
];

/// At least 200 hostile values: each piece alone, before, after and within a name.
fn corpus() -> Vec<String> {
    let mut values = Vec::new();
    for piece in PIECES {
        let piece = piece.replace('@', MARK);
        for value in [
            format!("{piece}{MARK}"),
            format!("messenger{piece}{MARK}"),
            format!("{MARK}{piece}"),
            format!("agent-{MARK}{piece}x"),
        ] {
            values.push(value);
        }
    }
    values.push(format!("ejabberd-operator-{MARK}"));
    values.push(format!("{MARK}@{HOST}"));
    values.push(format!("{MARK}@far.example/phone"));
    values.push(format!("{MARK}{}", "x".repeat(2000)));
    values.push(format!("{MARK}{}", "y".repeat(65_536)));
    assert!(values.len() >= 200, "{}", values.len());
    values
}

/// Looks for [`MARK`] in the command lines of all processes until the value is dropped. The
/// processes of the container are in the same list.
struct Watch {
    stop: Arc<AtomicBool>,
    samples: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Watch {
    fn start() -> Self {
        let (stop, samples) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&samples));
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    let line = String::from_utf8_lossy(&line).into_owned();
                    if line.contains(MARK) {
                        seen.push(line);
                    }
                }
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            seen
        });
        Self { stop, samples, thread: Some(thread) }
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.take().unwrap().join().unwrap();
        assert_eq!(seen, [""; 0], "a command line shows a hostile value");
        assert!(self.samples.load(Ordering::Relaxed) > 100, "the watch took samples");
    }
}

/// Calls a tool with each value. Returns the structured results, or the structured failures.
fn each(
    client: &mut McpClient,
    tool: &str,
    arguments: impl Fn(&str) -> Value,
) -> Vec<(String, Result<Value, Value>)> {
    let corpus = corpus();
    let calls: Vec<Value> = corpus.iter().map(|value| json!([tool, arguments(value)])).collect();
    let results = client.step(&json!({ "op": "calls", "calls": calls, "concurrent": 4 }));
    let results = results["ok"].as_array().unwrap_or_else(|| panic!("{results}")).clone();
    corpus
        .into_iter()
        .zip(results)
        .map(|(value, result)| {
            let result = &result["result"];
            let content = result["structuredContent"].clone();
            let outcome = match result["isError"].as_bool() {
                Some(true) => Err(content),
                _ => Ok(content),
            };
            if let Err(failure) = &outcome {
                let text = |field: &str| failure[field].as_str().unwrap_or_default().len();
                assert!(
                    text("code") > 0 && text("message") > 0 && text("next_step") > 0,
                    "{tool} {value:?}: {result}"
                );
                let shown = failure.to_string();
                for term in ["badmatch", "function_clause", "{error,", "panicked", "<0."] {
                    assert!(!shown.contains(term), "{tool} {value:?}: {failure}");
                }
                assert_ne!(failure["code"], "internal", "{tool} {value:?}: {failure}");
                assert_ne!(failure["code"], "unavailable", "{tool} {value:?}: {failure}");
                assert_ne!(failure["code"], "rate_limited", "{tool} {value:?}: {failure}");
            } else {
                assert!(outcome.as_ref().is_ok_and(Value::is_object), "{tool} {value:?}: {result}");
            }
            (value, outcome)
        })
        .collect()
}

/// All messages of `carl` by their archive id. Reads as the recipient of a message would.
fn archived(client: &mut McpClient, room: Option<&str>) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut cursor = Value::Null;
    loop {
        let mut arguments = json!({ "account": "messenger", "limit": 100 });
        if let Some(room) = room {
            arguments["room"] = room.into();
        }
        if cursor.is_string() {
            arguments["cursor"] = cursor;
        }
        let page = client.call("xmpp_get_messages", &arguments);
        for message in page["messages"].as_array().unwrap() {
            if let Some(id) = message["id"].as_str() {
                found.insert(id.to_owned(), message.clone());
            }
        }
        cursor = page["older"].clone();
        if cursor.is_null() {
            return found;
        }
    }
}

/// Sends each hostile value as `field`, and compares what arrived.
fn texts_arrive_to_the_letter(client: &mut McpClient, field: &str, to: &str, room: Option<&str>) {
    let results = each(client, "xmpp_send_message", |value| {
        let mut arguments = json!({ "from": "messenger", "to": to, "body": MARK });
        arguments[field] = value.into();
        arguments
    });
    let found = archived(client, room);
    let mut delivered = 0;
    for (value, result) in results {
        let Ok(sent) = result else { continue };
        delivered += 1;
        let message = &found[sent["stanza_id"].as_str().unwrap()];
        assert_eq!(message[field], value.as_str(), "{field} to {to}");
    }
    assert!(delivered > 100, "{field}: {delivered}");
}

fn hostile(version: &str) {
    let (name, fields) = nexus();
    let rig = Rig::new(version, &[(name, &fields)], OBJECTS);
    let mut client = rig.http("2026-07-28", "nexus");
    let hall = format!("hall@conference.{HOST}");
    let watch = Watch::start();
    for field in ["body", "subject", "thread"] {
        texts_arrive_to_the_letter(&mut client, field, "carl", None);
    }
    texts_arrive_to_the_letter(&mut client, "body", &hall, Some(&hall));
    let message = |field: &str, value: &str| {
        let mut arguments = json!({ "from": "messenger", "to": "carl", "body": MARK });
        arguments[field] = value.into();
        arguments
    };
    for (value, result) in each(&mut client, "xmpp_send_message", |v| message("id", v)) {
        if let Ok(sent) = result {
            assert_eq!(sent["stanza_id"], value.as_str());
        }
    }
    // No hostile name is the name of an account.
    for (value, result) in each(&mut client, "xmpp_send_message", |v| message("from", v)) {
        assert!(result.is_err(), "from {value:?}: {result:?}");
    }
    for (value, result) in each(&mut client, "xmpp_send_message", |v| message("to", v)) {
        assert!(result.is_err(), "to {value:?}: {result:?}");
    }
    for field in ["account", "room", "cursor", "since", "until"] {
        for (value, result) in each(&mut client, "xmpp_get_messages", |v| {
            let mut arguments = json!({ "account": "messenger" });
            arguments[field] = v.into();
            arguments
        }) {
            assert!(result.is_err(), "{field} {value:?}: {result:?}");
        }
    }
    for (value, result) in
        each(&mut client, "xmpp_get_messages", |v| json!({ "account": "messenger", "with": v }))
    {
        if let Ok(page) = result {
            assert_eq!(page["messages"], json!([]), "{value:?}");
        }
    }
    for (value, result) in each(&mut client, "get_presence", |v| json!({ "accounts": [v] })) {
        if let Ok(found) = result {
            assert_eq!(found["accounts"][0]["online"], false, "{value:?}");
        }
    }
    // At most three names can be registered; the rest is refused.
    let registered = each(&mut client, "register_messaging_user", |v| json!({ "name": v }));
    let names: Vec<String> = registered
        .into_iter()
        .filter_map(|(_, r)| r.ok())
        .map(|r| r["account"].to_string())
        .collect();
    assert!(names.len() <= 3, "{names:?}");
    for (_, result) in each(
        &mut client,
        "register_messaging_user",
        |v| json!({ "name": "agent-1", "display_name": v }),
    ) {
        assert!(result.is_err() || result.is_ok_and(|r| r["account"].is_string()));
    }
    watch.end();
    assert!(rig.host.run(&["status"]).code == Some(0), "the server and the operator still run");
}

#[test]
fn hostile_values_are_delivered_or_refused_newest() {
    hostile("newest");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn hostile_values_are_delivered_or_refused_24_12_ecs() {
    hostile("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn hostile_values_are_delivered_or_refused_24_12() {
    hostile("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn hostile_values_are_delivered_or_refused_23_01() {
    hostile("23.01");
}
