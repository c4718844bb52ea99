//! Tests with real servers that programs send and read messages through the MCP server and the
//! operator, with the official MCP client.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "mcp/injection.rs"]
mod injection;
#[path = "mcp/rights.rs"]
mod rights;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::client::Client;
use support::findings::free_port;
use support::host::{Daemon, Host, eventually};
use support::mcp::{McpClient, Transport};
use support::real::{CONFIG, HOST};

/// The time limit for a running operator and a running server on a busy machine.
const SOON: Duration = Duration::from_secs(90);

const ALL_TOOLS: &str = "[xmpp_send_message, xmpp_get_messages, get_presence, \
     register_messaging_user, server_status, plan, audit, events]";

/// A server with an operator, its messaging socket, and an MCP server over HTTP.
struct Rig {
    host: Host,
    operator: Option<Daemon>,
    http: Option<Child>,
    port: u16,
}

impl Rig {
    /// Starts everything with the given clients and objects.
    fn new(version: &str, clients: &[(&str, &str)], objects: &str) -> Self {
        let host = Host::new(version);
        fs::write(host.path("ejabberd.yml"), format!("{CONFIG}  mod_mam: {{ default: always }}\n"))
            .unwrap();
        let rig = Self { host, operator: None, http: None, port: free_port() };
        rig.declare(clients, objects);
        rig.start()
    }

    /// Writes the desired state. Each client has a name and the rest of its fields.
    fn declare(&self, clients: &[(&str, &str)], objects: &str) {
        let mut text = String::from("  messaging:\n    clients:\n");
        for (name, fields) in clients {
            let path = self.token_file(name);
            fs::write(&path, Self::token(name)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            writeln!(
                text,
                "      - {{ name: {name}, tokenFrom: {{ file: {} }}, {fields} }}",
                path.display()
            )
            .unwrap();
        }
        self.host.declare(&(text + objects));
    }

    fn token(client: &str) -> String {
        format!("token-of-{client}-0123456789abcdef0123456789abcdef")
    }

    fn token_file(&self, client: &str) -> PathBuf {
        self.host.path(&format!("token-{client}"))
    }

    fn socket(&self) -> String {
        self.host.path("messaging.sock").to_str().unwrap().to_owned()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    fn start(mut self) -> Self {
        self.start_operator();
        self.start_http();
        self
    }

    fn start_operator(&mut self) {
        let socket = self.socket();
        let args = ["run", "--listen", "127.0.0.1:0", "--messaging-socket", &socket];
        self.operator = Some(self.host.start(&args, "operator.log"));
        eventually("the operator is ready", SOON, || {
            self.host.run(&["status"]).code == Some(0) && fs::metadata(&socket).is_ok()
        });
    }

    fn start_http(&mut self) {
        let child = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"))
            .args(["mcp", "--socket", &self.socket(), "--listen"])
            .arg(format!("127.0.0.1:{}", self.port))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.host.path("mcp.log")).unwrap())
            .spawn()
            .unwrap();
        self.http = Some(child);
        eventually("the MCP server listens", SOON, || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// An MCP client over HTTP with the token of `client`.
    fn http(&self, mode: &str, client: &str) -> McpClient {
        let (url, token) = (self.url(), Self::token(client));
        let record = self.host.path(&format!("messages-{mode}.jsonl"));
        let transport = Transport::Http { url: &url, token: &token, ca: None };
        McpClient::connect(mode, &transport, record.to_str())
    }

    /// An MCP client that starts its own MCP server.
    fn stdio(&self, mode: &str, client: &str) -> McpClient {
        let (socket, token) = (self.socket(), self.token_file(client));
        let program = env!("CARGO_BIN_EXE_ejabberd-operator");
        let token = token.to_str().unwrap();
        let line = [program, "mcp", "--socket", &socket, "--stdio", "--token-file", token];
        McpClient::connect(mode, &Transport::Stdio(line.map(str::to_owned).into()), None)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(http) = &mut self.http {
            let _ = http.kill();
            let _ = http.wait();
        }
    }
}

/// The client `nexus`, which may do everything that the tests need.
fn nexus() -> (&'static str, String) {
    let fields = format!(
        "actAs: [messenger, \"agent-*\"], tools: {ALL_TOOLS}, to: [\"*@{HOST}\", \"*@conference.{HOST}\"], \
         rate: {{ perMinute: 60000, burst: 10000 }}, \
         registration: {{ names: \"agent-*\", rooms: [\"personal-{{name}}\"], max: 3 }}"
    );
    ("nexus", fields)
}

const OBJECTS: &str = "  users:
    - { name: messenger, password: secret-messenger }
    - { name: bob, password: secret-bob }
    - { name: carl, password: secret-carl }
    - { name: boss, password: secret-boss }
  rooms:
    - { name: hall, options: { mam: true, allow_subscription: true }, affiliations: { owner: [boss] } }
";

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
