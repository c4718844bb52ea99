//! Hostile clients over HTTP: wrong origins, hosts and tokens, stolen sessions, large bodies, and
//! clients that stop in the middle of a request.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::world::{AGENT, OTHER, Raw, STEP, World, call, message};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_origin_or_host_is_refused_before_the_token() {
    let world = World::start(&[
        "--allowed-origin",
        "https://app.example.org",
        "--allowed-host",
        "mcp.example.org",
    ])
    .await;
    let list = || Raw::modern("tools/list", json!({}));
    for (request, status) in [
        (list().with("origin", "https://evil.example.org"), 403),
        (list().with("origin", "https://evil.example.org").token(AGENT), 403),
        (list().with("host", "evil.example.org").token(AGENT), 403),
        (list().with("origin", "https://app.example.org"), 401),
        (list().with("origin", "https://app.example.org").token(AGENT), 200),
        (list().with("host", "mcp.example.org").token(AGENT), 200),
    ] {
        let reply = world.send(&request).await;
        assert_eq!(reply.status, status, "{:?}: {}", request.headers, reply.text);
    }
    let none = World::start(&[]).await;
    let reply = none.send(&list().with("origin", "http://localhost").token(AGENT)).await;
    assert_eq!(reply.status, 403, "no origin is permitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_unknown_token_gets_a_constant_response() {
    let world = World::start(&[]).await;
    let list = || Raw::modern("tools/list", json!({}));
    let mut texts = Vec::new();
    for request in [
        list(),
        list().token("unknown-token"),
        list().with("authorization", AGENT),
        list().with("authorization", &format!("Basic {AGENT}")),
        list().token(""),
        list().token(&"x".repeat(5_000)),
        list().token("two words"),
    ] {
        let reply = world.send(&request).await;
        assert_eq!(reply.status, 401, "{}", reply.text);
        assert!(reply.header("www-authenticate").starts_with("Bearer "));
        assert_eq!(reply.header("connection"), "close");
        texts.push(reply.text);
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
    let mut twice = list().token(AGENT);
    twice.headers.push(("authorization", format!("Bearer {OTHER}")));
    assert_eq!(world.send(&twice).await.status, 401);
    for path in ["/", "/mcp/", "/mcp/x", "/metrics", "//mcp"] {
        assert_eq!(world.send(&Raw { path, ..list().token(AGENT) }).await.status, 404, "{path}");
    }
    let get = world.send(&Raw { method: "GET", ..list().token(AGENT) }).await;
    assert_eq!((get.status, get.header("allow")), (405, "POST, DELETE"));
    let log = world.log.lock().clone();
    assert!(![AGENT, OTHER, "unknown-token"].iter().any(|token| log.contains(token)), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_session_does_not_exist_for_another_client() {
    let world = World::start(&[]).await;
    let session = world.session(AGENT).await;
    let list = |token| Raw::post(&call("tools/list", json!({}))).token(token).session(&session);
    assert_eq!(world.send(&list(OTHER)).await.status, 404);
    let end = |token| Raw { method: "DELETE", ..list(token) };
    assert_eq!(world.send(&end(OTHER)).await.status, 404);
    assert_eq!(world.send(&list(AGENT)).await.status, 200);
    let unknown = list(AGENT).session(&"0".repeat(32));
    assert_eq!(world.send(&unknown).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_refused() {
    let world = World::start(&[]).await;
    let call = |length| {
        Raw::modern("tools/call", message("ann@example.org", &"x".repeat(length))).token(AGENT)
    };
    assert_eq!(world.send(&call(200 << 10)).await.status, 200);
    assert_eq!(world.send(&call(300 << 10)).await.status, 413);
    // Without a declared length, the body is counted.
    let mut stream = TcpStream::connect(&world.address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {AGENT}\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    for _ in 0..9 {
        // The server may close the connection before it has read all chunks.
        let _ = stream.write_all(chunk.as_bytes()).await;
    }
    let mut response = [0; 12];
    timeout(STEP, stream.read_exact(&mut response)).await.unwrap().unwrap();
    assert_eq!(&response, b"HTTP/1.1 413");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stop_in_a_request_do_not_block_the_others() {
    let world = World::start(&[]).await;
    let mut held = Vec::new();
    let body = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {OTHER}\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
    );
    for half in ["POST /mcp HT", "", &body].into_iter().cycle().take(300) {
        let mut stream = TcpStream::connect(&world.address).await.unwrap();
        let _ = stream.write_all(half.as_bytes()).await;
        held.push(stream);
    }
    let began = Instant::now();
    let list = Raw::modern("tools/list", json!({})).token(AGENT);
    assert_eq!(world.send(&list).await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The other client has the maximum number of requests in progress.
    let reply = world.send(&Raw::modern("tools/list", json!({})).token(OTHER)).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, "5"));
    // Each of its connections ends after the time limit of the body.
    sleep(Duration::from_secs(11)).await;
    let reply = world.send(&Raw::modern("tools/list", json!({})).token(OTHER)).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_lets_the_requests_finish() {
    let mut world = World::start(&[]).await;
    let idle = TcpStream::connect(&world.address).await.unwrap();
    let slow = Raw::modern("tools/call", message("ann@example.org", "slow 1500")).token(AGENT);
    let (reply, code) = {
        let (address, operations) = (world.address.clone(), world.operator.double.clone());
        let request = tokio::spawn(async move { crate::world::exchange(&address, &slow).await });
        while operations.operations.lock().is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
        let code = world.terminate().await;
        (timeout(STEP, request).await.unwrap().unwrap(), code)
    };
    assert_eq!(code, Some(0));
    assert_eq!(reply.json["result"]["structuredContent"]["id"], "m1", "{}", reply.text);
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_end_with_64() {
    for arguments in [
        &[][..],
        &["--stdio"],
        &["--listen", "localhost:1"],
        &["--stdio", "--token-file", "x", "--listen", "127.0.0.1:0"],
        &["--listen", "127.0.0.1:0", "--allowed-origin", "*"],
        &["--listen", "127.0.0.1:0", "--allowed-host", "a b"],
    ] {
        let output = crate::world::command(arguments).output();
        let output = timeout(STEP, output).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
    }
}
