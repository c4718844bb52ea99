//! Tests with real servers that programs send and read messages through the MCP server and the
//! operator, with the official MCP client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "mcp/flood.rs"]
mod flood;
#[path = "mcp/injection.rs"]
mod injection;
#[path = "mcp/rights.rs"]
mod rights;
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::client::Client;
use support::host::eventually;
use support::mcp::McpClient;
use support::messaging::{OBJECTS, Rig, nexus};
use support::real::HOST;

/// The time limit for a running operator and a running server on a busy machine.
const SOON: Duration = Duration::from_secs(90);

fn tools_are_described(client: &mut McpClient) {
    let tools = client.step(&json!({ "op": "tools" }))["ok"].as_array().unwrap().clone();
    assert_eq!(tools.len(), 8, "{tools:?}");
    for tool in &tools {
        assert!(tool["description"].as_str().unwrap().len() > 20, "{tool}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
        assert!(tool["annotations"]["readOnlyHint"].is_boolean(), "{tool}");
    }
}

fn send(client: &mut McpClient, to: &str, body: &str) -> Value {
    client.call("xmpp_send_message", &json!({ "from": "messenger", "to": to, "body": body }))
}

fn login(rig: &Rig, name: &str, password: &str) -> Client {
    Client::with(&rig.host, &format!("{name}@{HOST}"), password, &["--unencrypted"])
}

/// Runs the whole tour with one client.
fn tour(rig: &Rig, client: &mut McpClient, name: &str) {
    tools_are_described(client);
    let hall = format!("hall@conference.{HOST}");
    let bob = Client::with(
        &rig.host,
        &format!("bob@{HOST}"),
        "secret-bob",
        &["--unencrypted", "--room", &hall],
    );
    bob.until("bob joins", |events| events.iter().any(|e| e["event"] == "occupant"));
    let says = |text: &str| {
        let text = text.to_owned();
        move |events: &[Value]| events.iter().any(|e| e["event"] == "message" && e["text"] == text)
    };
    let text = format!("to bob, {name}");
    let sent = send(client, "bob", &text);
    assert_eq!(sent["result"], "delivered", "{sent}");
    bob.until("bob gets the message", says(&text));
    let text = format!("to the room, {name}");
    let sent = send(client, &hall, &text);
    assert_eq!(sent["result"], "delivered", "{sent}");
    assert!(sent["archive_id"].is_string(), "{sent}");
    bob.until("bob sees the message", says(&text));
    let found = client.call("xmpp_get_messages", &json!({ "room": hall, "limit": 1 }));
    assert_eq!(found["messages"][0]["body"], text.as_str(), "{found}");
    assert_eq!(found["messages"][0]["nickname"], "messenger", "{found}");
    assert_eq!(found["source"], "archive", "{found}");

    let online = client.call("get_presence", &json!({ "accounts": ["bob", "carl"] }));
    assert_eq!(online["accounts"][0]["online"], true, "{online}");
    assert_eq!(online["accounts"][1]["online"], false, "{online}");
    drop(bob);
    let is_online = |client: &mut McpClient| {
        client.call("get_presence", &json!({}))["accounts"].as_array().unwrap().len()
    };
    eventually("bob is offline", SOON, || is_online(client) == 0);

    let text = format!("to carl, {name}");
    let sent = send(client, "carl", &text);
    assert_eq!(sent["result"], "stored_offline", "{sent}");
    let carl = login(rig, "carl", "secret-carl");
    carl.until("carl gets the message", says(&text));

    for tool in ["server_status", "plan", "audit", "events"] {
        client.call(tool, &json!({}));
    }
    let resources = client.step(&json!({ "op": "resources" }))["ok"].clone();
    assert_eq!(resources.as_array().unwrap().len(), 2, "{resources}");
    let state = client.step(&json!({ "op": "read", "uri": "ejabberd-operator://desired-state" }));
    assert!(!state.to_string().contains("secret-bob"), "{state}");
    assert!(state.to_string().contains("messenger"), "{state}");
}

/// Pages 500 messages back and forth.
fn pages(client: &mut McpClient) {
    let calls: Vec<Value> = (0..500)
        .map(|n| {
            json!(["xmpp_send_message", { "from": "messenger", "to": "boss", "body": format!("n{n}"), "id": format!("page-{n}") }])
        })
        .collect();
    client.step(&json!({ "op": "calls", "calls": calls, "concurrent": 1 }));
    let mut bodies = Vec::new();
    let mut cursor = Value::Null;
    let read = |client: &mut McpClient, cursor: &Value| {
        let mut arguments = json!({ "account": "messenger", "with": "boss", "limit": 100 });
        if cursor.is_string() {
            arguments["cursor"] = cursor.clone();
        }
        client.call("xmpp_get_messages", &arguments)
    };
    let texts = |page: &Value| -> Vec<String> {
        let messages = page["messages"].as_array().unwrap().iter();
        messages.map(|m| m["body"].as_str().unwrap().to_owned()).collect()
    };
    let mut last = Value::Null;
    for _ in 0..5 {
        last = read(client, &cursor);
        bodies.splice(0..0, texts(&last));
        cursor = last["older"].clone();
    }
    let expected: Vec<String> = (0..500).map(|n| format!("n{n}")).collect();
    assert_eq!(bodies, expected);
    assert!(last["older"].is_null(), "{}", last["older"]);
    let forth = read(client, &last["newer"]);
    assert_eq!(texts(&forth), expected[100..200]);
}

fn registers(rig: &Rig, client: &mut McpClient) {
    let arguments = json!({ "name": "agent-1", "display_name": "Agent <One>" });
    let first = client.call("register_messaging_user", &arguments);
    assert_eq!(first["created"], true, "{first}");
    let password = first["password"].as_str().unwrap();
    let agent = login(rig, "agent-1", password);
    drop(agent);
    assert_eq!(first["rooms"], json!([format!("personal-agent-1@conference.{HOST}")]));
    let again = client.call("register_messaging_user", &arguments);
    assert_eq!(again["created"], false, "{again}");
    assert!(again["password"].is_null(), "{again}");
    // A missing recipient is an error, or is registered by the rule.
    let to = |name: &str, ensure: bool| json!({ "from": "messenger", "to": name, "body": "x", "ensure_recipient": ensure });
    let (code, _) = client.refused("xmpp_send_message", &to("agent-2", false));
    assert_eq!(code, "not_found");
    let sent = client.call("xmpp_send_message", &to("agent-2", true));
    assert_eq!(sent["result"], "stored_offline", "{sent}");
    let (code, _) = client.refused("xmpp_send_message", &to("dora", true));
    assert_eq!(code, "forbidden");
    client.call("register_messaging_user", &json!({ "name": "agent-3" }));
    let (code, failure) = client.refused("register_messaging_user", &json!({ "name": "agent-4" }));
    assert_eq!(code, "limit_reached", "{failure}");
    for name in ["bob", "messenger", "agent-1@far.example", "agent-*", "agent-\u{0}", "agent- x"] {
        client.refused("register_messaging_user", &json!({ "name": name }));
    }
    // The accounts are registered, not owned, and the plan leaves them alone.
    let users = rig.host.users();
    for name in ["agent-1", "agent-2", "agent-3"] {
        assert!(users.contains(&name.to_owned()), "{users:?}");
    }
    let plan = rig.host.run(&["plan", "--output", "json"]).json();
    assert_eq!(plan["steps"], json!([]), "{plan}");
}

fn real(version: &str) {
    let (name, fields) = nexus();
    let rig = Rig::new(version, &[(name, &fields)], OBJECTS);
    tour(&rig, &mut rig.stdio("legacy", "nexus"), "stdio, legacy");
    tour(&rig, &mut rig.stdio("2026-07-28", "nexus"), "stdio, 2026");
    tour(&rig, &mut rig.http("legacy", "nexus"), "http, legacy");
    let nginx = rig.nginx();
    tour(&rig, &mut rig.https(&nginx, "legacy", "nexus"), "nginx, legacy");
    tour(&rig, &mut rig.https(&nginx, "2026-07-28", "nexus"), "nginx, 2026");
    let mut client = rig.http("2026-07-28", "nexus");
    tour(&rig, &mut client, "http, 2026");
    pages(&mut client);
    registers(&rig, &mut client);
}

#[test]
fn programs_exchange_messages_newest() {
    real("newest");
}

#[test]
fn programs_exchange_messages_24_12_ecs() {
    real("24.12-ecs");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn programs_exchange_messages_24_12() {
    real("24.12");
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn programs_exchange_messages_23_01() {
    real("23.01");
}
