//! Tests with clients that hold slots, but do not read or send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::pages::{LONG, Server, server_within};
use crate::adapters::web::serve::Limits;
use crate::adapters::web::{Access, MAX_STREAMS, Token};

const GET: &str = "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LIVE: &str = "GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// A request for the largest response without a token.
const PAGE: &str = "GET /page.css HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Returns limits that are short enough for a test, and long enough for a slow host.
fn short() -> Limits {
    Limits {
        general: 12,
        of_one_address: 12,
        reserved: 4,
        head: Duration::from_millis(400),
        write: Duration::from_millis(400),
        life: Duration::from_secs(4),
        following: Duration::from_secs(8),
        reserved_life: Duration::from_millis(800),
    }
}

/// Returns limits with long times, so that only the number of slots protects the probes.
fn long() -> Limits {
    let (head, write) = (Duration::from_mins(10), Duration::from_mins(10));
    let (life, following) = (head, head);
    Limits { head, write, life, following, reserved_life: head, ..short() }
}

async fn server(limits: Limits) -> Server {
    server_within(Access::Loopback, limits).await
}

/// Connects and sends as many of `bytes` as the socket accepts in 50 ms.
async fn client(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = timeout(Duration::from_millis(50), stream.write_all(bytes)).await;
    stream
}

/// Requests `path`. Returns the beginning of the response, and the duration.
async fn ask(address: SocketAddr, path: &str) -> (String, Duration) {
    let began = Instant::now();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut stream = client(address, head.as_bytes()).await;
    let mut response = vec![0; 4096];
    let count = timeout(LONG, stream.read(&mut response)).await.expect("no response").unwrap_or(0);
    (String::from_utf8_lossy(&response[..count]).into_owned(), began.elapsed())
}

async fn probes_are_answered(address: SocketAddr, while_what: &str) {
    for path in ["/livez", "/metrics", "/readyz"] {
        let (response, took) = ask(address, path).await;
        let expected = if path == "/readyz" { "HTTP/1.1 503" } else { "HTTP/1.1 200" };
        assert!(response.starts_with(expected), "{path} while {while_what}: {response:?}");
        assert!(took < Duration::from_secs(3), "{path} while {while_what}: {took:?}");
    }
}

/// Waits until the server has closed the connections of all `clients`. A read then returns the end
/// of the stream or an error.
async fn all_are_disconnected(clients: Vec<TcpStream>, within: Duration, what: &str) {
    let began = Instant::now();
    let ends = clients.into_iter().map(|mut client| async move {
        let mut part = vec![0; 64 << 10];
        while matches!(client.read(&mut part).await, Ok(1..)) {}
    });
    let ended = timeout(LONG, futures_util::future::join_all(ends)).await;
    assert!(ended.is_ok(), "{what}: some are still connected");
    assert!(began.elapsed() < within, "{what}: {:?}", began.elapsed());
}

#[tokio::test]
async fn probes_get_a_response_while_clients_hold_every_slot() {
    let many_pages = PAGE.repeat(400);
    let kinds: [(&str, &[u8]); 9] = [
        ("nothing is sent", b""),
        ("a head never ends", b"GET /status HTTP/1.1\r\nHost: loc"),
        ("a body never ends", b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"),
        ("a posted body never ends", b"POST /status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        ("the response is not read", GET.as_bytes()),
        ("many responses are not read", many_pages.as_bytes()),
        ("pages follow", LIVE.as_bytes()),
        ("garbage is sent", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("an upgrade is awaited", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
    ];
    for (what, bytes) in kinds {
        let server = server(long()).await;
        let mut held = Vec::new();
        for _ in 0..140 {
            held.push(client(server.address, bytes).await);
        }
        probes_are_answered(server.address, what).await;
        // If the clients hold all general slots, the server refuses other paths.
        let (response, _) = ask(server.address, "/status").await;
        let full = !matches!(
            what,
            "garbage is sent"
                | "a body never ends"
                | "a posted body never ends"
                | "an upgrade is awaited"
        );
        assert!(!full || response.contains("retry-after: 5"), "{what}: {response:?}");
        drop(held);
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_is_disconnected() {
    let many_pages = PAGE.repeat(400);
    let kinds: [(&str, &[u8]); 7] = [
        ("nothing is sent", b""),
        ("a head never ends", b"GET /status HTTP/1.1\r\nHost: loc"),
        ("a body never ends", b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"),
        ("a posted body never ends", b"POST /status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        ("a connection stays open", GET.as_bytes()),
        ("many responses are not read", many_pages.as_bytes()),
        ("garbage is sent", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ];
    for (what, bytes) in kinds {
        let server = server(short()).await;
        let mut held = Vec::new();
        for _ in 0..short().general {
            held.push(client(server.address, bytes).await);
        }
        // Wait longer than both time limits. No client has read a byte before.
        sleep(Duration::from_millis(1200)).await;
        let (response, _) = ask(server.address, "/status").await;
        assert!(response.starts_with("HTTP/1.1 200"), "{what}: slots are free again: {response:?}");
        all_are_disconnected(held, Duration::from_secs(2), what).await;
    }
}

#[tokio::test]
async fn a_head_that_arrives_byte_by_byte_is_cut_off() {
    let server = server(short()).await;
    let mut slow = client(server.address, b"GET /livez HTTP/1.1\r\n").await;
    let began = Instant::now();
    let mut response = [0; 512];
    while began.elapsed() < LONG {
        let _ = slow.write_all(b"X-A: b\r\n").await;
        if timeout(Duration::from_millis(50), slow.read(&mut response)).await.is_ok() {
            break;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_response_that_is_read_byte_by_byte_is_cut_off() {
    let limits = Limits { life: Duration::from_secs(1), ..short() };
    let server = server(limits).await;
    let mut slow = client(server.address, PAGE.repeat(4000).as_bytes()).await;
    let began = Instant::now();
    let mut part = vec![0; 2048];
    // Read a few bytes at a time, so that each write stays below its time limit.
    while matches!(slow.read(&mut part).await, Ok(1..)) && began.elapsed() < LONG {
        sleep(Duration::from_millis(20)).await;
        if began.elapsed() > Duration::from_secs(4) {
            // Read the rest of the kernel's buffers at once, to reach the end.
            part.resize(1 << 20, 0);
        }
    }
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}

#[tokio::test]
async fn pages_that_read_no_events_are_limited_and_disconnected() {
    let limits = Limits { general: 60, of_one_address: 60, ..short() };
    let server = server(limits).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(client(server.address, LIVE.as_bytes()).await);
    }
    // Send more data than the kernel's buffers hold for one client.
    let text: Arc<str> = format!("\"{}\"", "x".repeat(1 << 20)).into();
    for _ in 0..12 {
        server.page_data.plan.send_replace(Arc::clone(&text));
        sleep(Duration::from_millis(200)).await;
    }
    probes_are_answered(server.address, "pages follow").await;
    // The slots of the pages are free again.
    let mut followed = 0;
    for _ in 0..MAX_STREAMS {
        let (response, _) = ask(server.address, "/api/live").await;
        followed += usize::from(response.starts_with("HTTP/1.1 200"));
    }
    assert!(followed >= MAX_STREAMS / 2, "{followed}");
    all_are_disconnected(held, Duration::from_secs(4), "pages follow").await;
}

#[tokio::test]
async fn short_connections_leave_every_slot_free() {
    let server = server(short()).await;
    for round in 0..300 {
        let stream =
            client(server.address, if round % 2 == 0 { b"" } else { GET.as_bytes() }).await;
        drop(stream);
    }
    probes_are_answered(server.address, "connections come and go").await;
    sleep(Duration::from_millis(300)).await;
    let mut fine = 0;
    for _ in 0..short().general {
        fine += usize::from(ask(server.address, "/status").await.0.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(fine, short().general);
}

#[tokio::test]
async fn one_address_cannot_take_all_slots() {
    let limits = Limits { of_one_address: 8, ..long() };
    let server = server(limits).await;
    let mut held = Vec::new();
    for _ in 0..140 {
        held.push(client(server.address, GET.as_bytes()).await);
    }
    // Another address of this host.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(server.address).await.unwrap();
    other.write_all(GET.as_bytes()).await.unwrap();
    let mut response = [0; 256];
    let count = timeout(LONG, other.read(&mut response)).await.unwrap().unwrap();
    let response = String::from_utf8_lossy(&response[..count]);
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    drop(held);
}

#[tokio::test]
async fn a_reserved_slot_still_requires_the_token() {
    let access = Access::Tokens(vec![Token::new("0123456789abcdef-token")]);
    let server = server_within(access, long()).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(client(server.address, b"").await);
    }
    for (path, expected) in [("/livez", "200"), ("/metrics", "401"), ("/status", "401")] {
        let (response, _) = ask(server.address, path).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {expected}")), "{path}: {response}");
        assert!(response.contains("nosniff"), "{response}");
    }
    drop(held);
}

#[tokio::test]
async fn half_closed_clients_of_http_1_0_and_1_1_get_a_response() {
    let server = server(short()).await;
    let kinds = [
        "GET /livez HTTP/1.0\r\n\r\n",
        "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    for head in kinds {
        let mut stream = client(server.address, head.as_bytes()).await;
        // Close the sending side before the response, as `printf … | nc -N` does.
        stream.shutdown().await.unwrap();
        let mut response = Vec::new();
        timeout(LONG, stream.read_to_end(&mut response)).await.unwrap().unwrap();
        let response = String::from_utf8_lossy(&response);
        assert!(response.contains("200 OK") && response.ends_with("ok\n"), "{head:?}: {response}");
    }
}
