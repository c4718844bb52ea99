//! Both generations of the protocol over HTTP.

use serde_json::{Value, json};

use crate::world::{ADMIN, AGENT, OTHER, Operator, Raw, World, call, initialize, message, names};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_begins_lists_its_tools_calls_a_tool_and_ends() {
    let world = World::start(&[]).await;
    for revision in ["2025-06-18", "2025-11-25"] {
        let reply = world.send(&Raw::post(&initialize(revision)).token(AGENT)).await;
        assert_eq!(reply.json["result"]["protocolVersion"], revision, "{}", reply.text);
        assert_eq!(reply.json["result"]["serverInfo"]["name"], "ejabberd-operator");
        assert_eq!(reply.header("cache-control"), "no-store");
        let session = reply.header("mcp-session-id").to_owned();
        assert_eq!(session.len(), 32);
        let send = |message: &Value| {
            let raw = Raw::post(message).token(AGENT).session(&session);
            raw.with("mcp-protocol-version", revision)
        };
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(world.send(&send(&initialized)).await.status, 202);
        let ping = world.send(&send(&call("ping", json!({})))).await;
        assert_eq!(ping.json["result"], json!({}), "{}", ping.text);
        let list = world.send(&send(&call("tools/list", json!({})))).await;
        assert_eq!(names(&list.json), ["xmpp_send_message", "xmpp_get_messages", "get_presence"]);
        let reply = world.send(&send(&call("tools/call", message("ann@example.org", "hi")))).await;
        let result = &reply.json["result"];
        assert_eq!(result["isError"], false, "{}", reply.text);
        assert_eq!(result["structuredContent"]["result"], "delivered");
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap())
            .expect("the text is the same JSON");
        assert_eq!(text, result["structuredContent"]);
        assert_eq!(result.get("resultType"), None, "a field of the next revision");
        let end = Raw { method: "DELETE", ..Raw::post(&json!({})).token(AGENT).session(&session) };
        assert_eq!(world.send(&end).await.status, 200);
        assert_eq!(world.send(&send(&call("tools/list", json!({})))).await.status, 404);
    }
    assert_eq!(world.operator.double.operations.lock().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_the_newest_revision_needs_no_session() {
    let world = World::start(&[]).await;
    let reply = world.send(&Raw::modern("server/discover", json!({})).token(AGENT)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let versions = json!(["2025-06-18", "2025-11-25", "2026-07-28"]);
    assert_eq!(reply.json["result"]["supportedVersions"], versions);
    assert_eq!(reply.header("mcp-session-id"), "");
    // The revision removed sessions: an id is ignored.
    let list = Raw::modern("tools/list", json!({})).token(OTHER).with("mcp-session-id", "stale");
    let reply = world.send(&list).await;
    assert_eq!(names(&reply.json), ["xmpp_send_message", "xmpp_get_messages"]);
    assert_eq!(reply.json["result"]["cacheScope"], "private", "the list depends on the client");
    let call = Raw::modern("tools/call", message("ann@example.org", "hi")).token(AGENT);
    let reply = world.send(&call).await;
    assert_eq!(reply.json["result"]["structuredContent"]["id"], "m1", "{}", reply.text);
    assert_eq!(reply.header("x-accel-buffering"), "no");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_differ_from_the_body_are_refused() {
    let world = World::start(&[]).await;
    let call = || Raw::modern("tools/call", message("ann@example.org", "hi")).token(AGENT);
    for wrong in [
        call().with("mcp-protocol-version", "2025-11-25"),
        call().with("mcp-method", "tools/list"),
        call().with("mcp-name", "get_presence"),
    ] {
        let reply = world.send(&wrong).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert_eq!(reply.json["error"]["code"], -32020, "{}", reply.text);
    }
    let mut unknown = call().with("mcp-protocol-version", "2099-01-01");
    unknown.body = unknown.body.replace("2026-07-28", "2099-01-01");
    let reply = world.send(&unknown).await;
    assert_eq!((reply.status, &reply.json["error"]["code"]), (400, &json!(-32022)));
    assert_eq!(world.operator.double.operations.lock().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_a_result_and_an_unknown_tool_is_an_error() {
    let world = World::start(&[]).await;
    let session = world.session(AGENT).await;
    let send = |method: &str, params: Value| {
        Raw::post(&call(method, params)).token(AGENT).session(&session)
    };
    let denied = send("tools/call", message("hidden@example.org", "hi"));
    let reply = world.send(&denied).await;
    let expected = json!({"code": "forbidden", "message": "no right", "next_step": "ask for it"});
    assert_eq!(reply.json["result"]["structuredContent"], expected, "{}", reply.text);
    assert_eq!(reply.json["result"]["isError"], true);
    for (arguments, named) in [
        (json!({"from": "bot", "to": "ann", "body": 1}), "expected a string"),
        (json!({"from": "bot", "to": "ann", "body": "x", "cc": "b"}), "unknown field `cc`"),
    ] {
        let params = json!({"name": "xmpp_send_message", "arguments": arguments});
        let result = world.send(&send("tools/call", params)).await.json["result"].take();
        assert_eq!(result["isError"], true);
        assert_eq!(result["structuredContent"]["code"], "invalid_argument");
        let message = result["structuredContent"]["message"].as_str().unwrap();
        assert!(message.contains(named), "{message}");
    }
    for (method, params, code) in [
        ("tools/call", json!({"name": "no_such_tool"}), -32602),
        ("tools/call", json!({"name": "audit"}), -32602),
        ("tools/call", json!({"name": "get_presence", "arguments": [1]}), -32602),
        ("no/such", json!({}), -32601),
        ("prompts/list", json!({}), -32601),
        ("resources/read", json!({"uri": "ejabberd-operator://status"}), -32002),
    ] {
        let reply = world.send(&send(method, params)).await;
        assert_eq!(reply.json["error"]["code"], code, "{method}: {}", reply.text);
    }
    let resources = world.send(&send("resources/list", json!({}))).await;
    assert_eq!(resources.json["result"]["resources"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_the_status_tool_reads_the_resources() {
    let world = World::start(&[]).await;
    let list = world.send(&Raw::modern("tools/list", json!({})).token(ADMIN)).await;
    assert_eq!(names(&list.json).len(), 8);
    let status = Raw::modern("tools/call", json!({"name": "server_status"})).token(ADMIN);
    let result = world.send(&status).await.json["result"].take();
    assert_eq!(result["structuredContent"], json!({"tool": "server_status"}));
    let resources = world.send(&Raw::modern("resources/list", json!({})).token(ADMIN)).await;
    let resources = resources.json["result"]["resources"].as_array().unwrap().clone();
    assert_eq!(resources.len(), 2);
    for resource in resources {
        let read = Raw::modern("resources/read", json!({"uri": resource["uri"]})).token(ADMIN);
        let reply = world.send(&read).await;
        assert_eq!(reply.json["result"]["contents"][0]["text"], "hosts: []\n", "{}", reply.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_operator_does_not_end_a_session() {
    let mut world = World::start(&[]).await;
    let session = world.session(AGENT).await;
    let list = Raw::post(&call("tools/list", json!({}))).token(AGENT).session(&session);
    assert_eq!(world.send(&list).await.status, 200);
    world.operator.stop().await;
    let reply = world.send(&list).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "5"), "{}", reply.text);
    assert!(reply.text.contains("the operator does not respond at"), "{}", reply.text);
    world.operator = Operator::start(&world.socket);
    assert_eq!(world.send(&list).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_message_is_refused() {
    let world = World::start(&[]).await;
    let with = |body: &str| Raw { body: body.to_owned(), ..Raw::post(&json!({})).token(AGENT) };
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("[]", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
    ] {
        let reply = world.send(&with(body)).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text);
        assert_eq!(reply.json["error"]["code"], code, "{body}: {}", reply.text);
    }
    let list = call("tools/list", json!({}));
    assert_eq!(world.send(&Raw::post(&list).token(AGENT)).await.status, 400, "no session");
    let html = Raw::post(&list).token(AGENT).session(&world.session(AGENT).await);
    assert_eq!(world.send(&html.clone().with("content-type", "text/html")).await.status, 415);
    assert_eq!(world.send(&html.with("accept", "text/html")).await.status, 406);
}
