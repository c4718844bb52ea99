//! The rights of a client: other accounts, other rooms, other cursors, bans, limits and repeats.

use std::time::Duration;

use super::{HOST, OBJECTS, Rig, SOON, Value, eventually, json, nexus};
use crate::support::host::get;
use crate::support::mcp::McpClient;

/// Two clients: `nexus` with all rights, and `small` with the default tools and one account.
pub(super) fn small() -> (&'static str, String) {
    let fields = format!(
        "actAs: [bob], tools: [xmpp_send_message, xmpp_get_messages, get_presence], \
         to: [\"carl@{HOST}\", \"hall@conference.{HOST}\"], rate: {{ perMinute: 60, burst: 20 }}"
    );
    ("small", fields)
}

fn message(from: &str, to: &str) -> Value {
    json!({ "from": from, "to": to, "body": "x" })
}

fn code(client: &mut McpClient, tool: &str, arguments: &Value) -> String {
    client.refused(tool, arguments).0
}

#[test]
fn a_client_uses_only_its_rights() {
    let (nexus_name, nexus_fields) = nexus();
    let (small_name, small_fields) = small();
    let clients = [(nexus_name, nexus_fields.as_str()), (small_name, small_fields.as_str())];
    let rooms = "    - { name: club, options: { members_only: true, allow_subscription: true }, affiliations: { owner: [boss] } }\n";
    let objects = format!("{OBJECTS}{rooms}");
    let mut rig = Rig::new("newest", &clients, &objects);
    let mut nexus = rig.http("2026-07-28", "nexus");
    let mut small = rig.http("2026-07-28", "small");

    // Another account, another recipient, a tool that the client does not have.
    let send = "xmpp_send_message";
    let hall = format!("hall@conference.{HOST}");
    let club = format!("club@conference.{HOST}");
    assert_eq!(code(&mut small, send, &message("messenger", "carl")), "forbidden");
    assert_eq!(code(&mut small, send, &message("bob", "boss")), "forbidden");
    assert_eq!(code(&mut small, send, &message("bob", &club)), "forbidden");
    let read = "xmpp_get_messages";
    assert_eq!(code(&mut small, read, &json!({ "account": "carl" })), "forbidden");
    assert_eq!(code(&mut small, read, &json!({ "room": club })), "forbidden");
    assert_eq!(code(&mut nexus, read, &json!({ "room": club })), "refused_by_room");
    assert_eq!(code(&mut nexus, send, &message("messenger", &club)), "refused_by_room");
    assert_eq!(code(&mut small, "get_presence", &json!({ "accounts": ["boss"] })), "forbidden");
    let unknown = small.step(&json!({ "op": "call", "name": "server_status" }));
    assert!(unknown["raised"].is_string() || unknown["ok"]["isError"] == true, "{unknown}");
    let tools = small.step(&json!({ "op": "tools" }));
    assert_eq!(tools["ok"].as_array().unwrap().len(), 3, "{tools}");

    // The cursor of another client, and a changed cursor.
    for n in 0..3 {
        nexus.call(send, &json!({ "from": "messenger", "to": hall, "body": format!("n{n}") }));
    }
    let page = nexus.call(read, &json!({ "room": hall, "limit": 1 }));
    let cursor = page["older"].as_str().unwrap();
    let with = |cursor: &str| json!({ "room": hall, "limit": 1, "cursor": cursor });
    nexus.call(read, &with(cursor));
    assert_eq!(code(&mut small, read, &with(cursor)), "invalid_argument");
    let changed = cursor.replacen(&cursor[4..6], "ff", 1);
    assert_eq!(code(&mut nexus, read, &with(&changed)), "invalid_argument");

    // A repeated id sends nothing; the same id with another text is refused.
    let once =
        |body: &str| json!({ "from": "messenger", "to": "carl", "body": body, "id": "id-1" });
    let first = nexus.call(send, &once("once"));
    let again = nexus.call(send, &once("once"));
    assert_eq!((first["repeated"].clone(), again["repeated"].clone()), (json!(false), json!(true)));
    assert_eq!(first["archive_id"], again["archive_id"]);
    assert_eq!(code(&mut nexus, send, &once("other")), "invalid_argument");
    // Also after a restart of the operator.
    drop(rig.operator.take());
    rig.start_operator();
    let again = nexus.call(send, &once("once"));
    assert_eq!(again["repeated"], true, "{again}");

    // An account that was banned a moment ago.
    nexus.call(send, &message("messenger", "carl"));
    rig.host.ctl(&["ban_account", "messenger", HOST, "spam"]);
    assert_eq!(code(&mut nexus, send, &message("messenger", "carl")), "forbidden");
    assert_eq!(code(&mut nexus, read, &json!({ "account": "messenger" })), "forbidden");
    rig.host.ctl(&["unban_account", "messenger", HOST]);

    // The rate: 20 at once, then one each second.
    let calls: Vec<Value> = (0..40).map(|_| json!([read, { "account": "bob" }])).collect();
    let results = small.step(&json!({ "op": "calls", "calls": calls, "concurrent": 1 }));
    let limited = results["ok"].as_array().unwrap().iter();
    let limited =
        limited.filter(|r| r["result"]["structuredContent"]["code"] == "rate_limited").count();
    assert!((10..40).contains(&limited), "{limited}");
    // Another client is served meanwhile.
    nexus.call(read, &json!({ "account": "messenger" }));

    // A client that the file no longer declares loses its rights without a restart.
    rig.declare(&clients[1..], &objects);
    eventually("the removed client is refused", SOON, || unauthorized(&rig, "nexus"));
    assert!(unauthorized(&rig, "unknown"));
    assert!(!unauthorized(&rig, "small"));
    let (_, metrics) = get(&rig.host.endpoint(), "/metrics").unwrap();
    for series in [
        "ejabberd_operator_messages_total{result=\"ok\",tool=\"xmpp_send_message\"}",
        "ejabberd_operator_messages_total{result=\"rate_limited\",tool=\"xmpp_get_messages\"}",
        "ejabberd_operator_message_duration_seconds_count",
    ] {
        assert!(metrics.contains(series), "{series} is missing");
    }
}

/// Whether the MCP server responds with 401 to the token of `client`.
fn unauthorized(rig: &Rig, client: &str) -> bool {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", rig.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} }).to_string();
    write!(
        stream,
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n\
         Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        rig.port,
        Rig::token(client),
        body.len()
    )
    .unwrap();
    let mut response = String::new();
    let _ = stream.read_to_string(&mut response);
    response.starts_with("HTTP/1.1 401")
}
