//! Tests of the HTTP server over real sockets, with a real store.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::store;
use crate::adapters::web::serve::{Limits, serve_within};
use crate::adapters::web::static_files::PARTS;
use crate::adapters::web::{Access, MAX_STREAMS, PageData, PageResources, Token, TokenError};
use crate::domain::model::Kind;
use crate::domain::status::overview::{Object, ObjectState, Overview};
use crate::domain::status::{EventDraft, Status};
use crate::engine::Store;

const TOKEN: &str = "0123456789abcdef-token";
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(super) struct Server {
    pub(super) address: SocketAddr,
    status: watch::Sender<Status>,
    pub(super) page_data: Arc<PageData>,
    store: Arc<dyn Store>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

async fn server(access: Access) -> Server {
    server_within(access, Limits::default()).await
}

pub(super) async fn server_within(access: Access, limits: Limits) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (status, seen) = watch::channel(Status::new(Timestamp::now()));
    let (stop, stopped) = watch::channel(false);
    let page_data = Arc::new(PageData::default());
    let resources = PageResources {
        status: seen,
        page_data: Arc::clone(&page_data),
        store: Arc::clone(&store),
        metrics: Arc::new(|| "ejabberd_up 1\n".to_owned()),
        access,
    };
    let served = tokio::spawn(serve_within(listener, resources, stopped, limits));
    Server { address, status, page_data, store, stop, served, _directory: directory }
}

impl Server {
    /// Sends `head` without changes, and returns the whole response.
    async fn raw(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        timeout(LONG, stream.read_to_end(&mut response)).await.unwrap().unwrap();
        String::from_utf8_lossy(&response).into_owned()
    }

    async fn get(&self, path: &str, headers: &str) -> (u16, String) {
        let host = if headers.contains("Host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let response = self
            .raw(&format!("GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n"))
            .await;
        let code = response.split(' ').nth(1).unwrap_or("0").parse().unwrap();
        (code, response)
    }

    /// Opens an event stream, and reads until the stream has sent `words`.
    async fn follow(&self, words: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("GET /api/live HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).await.unwrap();
        until(&mut stream, words).await;
        stream
    }
}

async fn until(stream: &mut TcpStream, words: &str) -> String {
    let mut text = String::new();
    let mut part = [0; 8192];
    while !text.contains(words) {
        let count = timeout(LONG, stream.read(&mut part)).await.unwrap().unwrap();
        assert!(count > 0, "the stream ended before {words}: {text}");
        text += &String::from_utf8_lossy(&part[..count]);
    }
    text
}

fn tokens() -> Access {
    Access::Tokens(vec![Token::new(TOKEN)])
}

#[tokio::test]
async fn without_a_token_only_names_of_this_host_are_served() {
    let server = server(Access::Loopback).await;
    for host in
        ["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:9565", "127.8.0.1:80", "localhost."]
    {
        let (code, response) = server.get("/status", &format!("Host: {host}\r\n")).await;
        assert_eq!(code, 200, "{host}: {response}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "192.0.2.1",
        "[::2]",
        "",
        "localhost@evil",
    ] {
        for path in ["/status", "/api/objects", "/metrics", "/", "/readyz"] {
            let (code, _) = server.get(path, &format!("Host: {host}\r\n")).await;
            assert_eq!(code, 421, "{host} {path}");
        }
    }
    let (code, _) = server.get("http://evil.example/status", "Host: localhost\r\n").await;
    assert_eq!(code, 421, "the name in the target counts too");
    let (code, _) = server.get("/api/live", "Sec-Fetch-Site: cross-site\r\n").await;
    assert_eq!(code, 403, "another site's page may not take the slots of our page");
}

#[tokio::test]
async fn with_a_token_all_paths_with_data_require_the_token() {
    let server = server(tokens()).await;
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    let data = [
        "/status",
        "/metrics",
        "/api/objects",
        "/api/events",
        "/api/configs",
        "/api/live",
        "/nothing",
    ];
    for path in data {
        for wrong in [
            String::new(),
            "Authorization: Bearer \r\n".to_owned(),
            format!("Authorization: Bearer {}\r\n", &TOKEN[..TOKEN.len() - 1]),
            format!("Authorization: Basic {TOKEN}\r\n"),
            format!("Authorization: {TOKEN}\r\n"),
        ] {
            let (code, response) = server.get(path, &wrong).await;
            assert_eq!(code, 401, "{path} {wrong}");
            assert!(
                !response.contains("conditions") && response.contains("www-authenticate: Bearer")
            );
        }
    }
    for path in data.iter().filter(|path| !matches!(**path, "/api/live" | "/nothing")) {
        let (code, response) = server.get(path, &format!("Host: any.example\r\n{right}")).await;
        assert_eq!(code, 200, "{path}: {response}");
    }
    for (path, _, _) in PARTS {
        assert_eq!(server.get(path, "").await.0, 200, "{path}: the files of the page hold no data");
    }
    assert_eq!(server.get("/livez", "").await.0, 200);
    let secret = "why it is not well";
    server.status.send_modify(|status| {
        let now = Timestamp::now();
        status.set(crate::domain::status::ConditionType::Healthy, false, "Test", secret, now);
    });
    let (code, response) = server.get("/readyz", "").await;
    assert!(code == 503 && !response.contains(secret), "{response}");
    assert!(server.get("/readyz", &right).await.1.contains(secret));
}

#[tokio::test]
async fn only_reads_are_allowed_and_every_response_has_security_headers() {
    let server = server(Access::Loopback).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECTED"] {
        let response = server
            .raw(&format!("{method} /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
            .await;
        assert!(response.starts_with("HTTP/1.1 405"), "{method}: {response}");
    }
    let head =
        server.raw("HEAD /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    for path in ["/", "/page.js", "/status", "/nothing", "/api/objects?limit=x"] {
        let (_, response) = server.get(path, "").await;
        for wanted in [
            "content-security-policy: default-src 'none'",
            "nosniff",
            "no-referrer",
            "frame-ancestors 'none'",
            "cross-origin-resource-policy: same-origin",
            "cross-origin-opener-policy: same-origin",
        ] {
            assert!(response.contains(wanted), "{path}: {wanted}: {response}");
        }
        assert!(!response.to_lowercase().contains("access-control-allow"), "{path}");
    }
    assert!(server.get("/status", "").await.1.contains("cache-control: no-store"));
    let (_, page) = server.get("/page.js", "").await;
    let tag = page.split("etag: ").nth(1).unwrap().split("\r\n").next().unwrap();
    assert_eq!(server.get("/page.js", &format!("If-None-Match: {tag}\r\n")).await.0, 304);
    assert_eq!(server.get(&format!("/api/objects?q={}", "x".repeat(3000)), "").await.0, 414);
    let huge = format!("X-Long: {}\r\n", "x".repeat(64 << 10));
    assert_eq!(server.get("/status", &huge).await.0, 431);
}

#[tokio::test]
async fn changes_are_sent_at_once_and_to_a_limited_number_of_pages() {
    let server = server(Access::Loopback).await;
    let mut first = server.follow("event: objects").await;
    server.status.send_modify(|status| {
        status.record_event(
            EventDraft::warning("Hostile", "\u{202e}<b>\n\nevent: status"),
            Timestamp::now(),
        );
    });
    let received = until(&mut first, "Hostile").await;
    assert!(received.contains("event: status\ndata: {"), "{received}");
    assert!(
        received.contains("\\n\\nevent: status"),
        "a line break in a text ends no event: {received}"
    );
    let object = Object {
        kind: Kind::User,
        name: "ann@test.example".to_owned(),
        state: ObjectState::Failing,
        why: String::new(),
        about: String::new(),
        owned_since: None,
    };
    let overview = Arc::new(Overview { objects: vec![object], left_out: 0 });
    server.page_data.list(&overview);
    let received = until(&mut first, "event: objects").await;
    assert!(
        received.contains("\"failing\":1") && !received.contains("ann@"),
        "counts alone: {received}"
    );
    server.page_data.list(&overview);
    server.status.send_modify(|status| status.name = "last".to_owned());
    let received = until(&mut first, "\"name\":\"last\"").await;
    assert!(
        !received.contains("event: objects"),
        "an unchanged list is not sent again: {received}"
    );

    let mut others = Vec::new();
    for _ in 1..MAX_STREAMS {
        others.push(server.follow("event: plan").await);
    }
    let (code, response) = server.get("/api/live", "").await;
    assert!(code == 503 && response.contains("retry-after: 10"), "{response}");
    drop(others.pop());
    // A slot is free as soon as its client has disconnected.
    let mut code = 503;
    for _ in 0..200 {
        server.status.send_modify(|status| status.name.push('.'));
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let head = until(&mut stream, "\r\n").await;
        code = head.split(' ').nth(1).unwrap().parse().unwrap();
        if code == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(code, 200);

    // The stream ends when the operator ends, although the clients stay connected.
    server.stop.send_replace(true);
    timeout(LONG, server.served).await.unwrap().unwrap();
    let mut rest = Vec::new();
    timeout(LONG, first.read_to_end(&mut rest)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_disconnected() {
    let server = server(Access::Loopback).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /status HTTP/1.1\r\nHost: loc").await.unwrap();
    let mut response = Vec::new();
    // The server must close the connection long before the maximum lifetime ends.
    let began = tokio::time::Instant::now();
    slow.read_to_end(&mut response).await.unwrap();
    assert!(began.elapsed() < Limits::default().life / 2, "{:?}", began.elapsed());
    assert!(!String::from_utf8_lossy(&response).contains("conditions"));
}

#[tokio::test]
async fn older_events_come_from_the_store() {
    let server = server(Access::Loopback).await;
    let mut status = Status::new(Timestamp::now());
    let key = crate::domain::model::ObjectKey::parse(Kind::User, "ann@test.example").unwrap();
    for n in 0..30 {
        status.record_event(EventDraft::normal("Counted", format!("number {n}")), Timestamp::now());
    }
    status
        .record_event(EventDraft::warning("Failed", "a word: Größe").about(&key), Timestamp::now());
    server.store.record_events(&status.events.take_unsaved()).unwrap();
    let events = async |question: &str| {
        let (code, response) = server.get(&format!("/api/events?{question}"), "").await;
        assert_eq!(code, 200, "{response}");
        let body = response.split("\r\n\r\n").nth(1).unwrap();
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        let messages = json["events"].as_array().unwrap().iter();
        let messages: Vec<String> =
            messages.map(|event| event["message"].as_str().unwrap().to_owned()).collect();
        (json["matched"].as_u64().unwrap(), messages)
    };
    assert_eq!(events("type=Warning").await, (1, vec!["a word: Größe".to_owned()]));
    assert_eq!(events("q=gr%C3%B6SSE").await.0, 0);
    assert_eq!(events("q=gr%C3%B6%C3%9Fe+ann").await.0, 1);
    assert_eq!(events("object=user+ann%40test.example").await.0, 1);
    assert_eq!(
        events("q=number&limit=2&offset=1").await,
        (30, vec!["number 28".to_owned(), "number 27".to_owned()])
    );
}

#[test]
fn a_token_is_read_only_from_a_file_that_others_cannot_read() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let read = |text: &str, mode: u32| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Token::read(&path)
    };
    for text in [TOKEN.to_owned(), format!("{TOKEN}\n"), format!("{TOKEN}\r\n")] {
        assert!(read(&text, 0o640).unwrap() == Token::new(TOKEN));
    }
    for mode in [0o644, 0o602] {
        assert!(matches!(read(TOKEN, mode), Err(TokenError::Open(_))), "{mode:o}");
    }
    for text in [
        "",
        "short\n",
        "with a space in the middle",
        "zeilen\numbruch-in-der-mitte",
        &"x".repeat(1025),
    ] {
        let error = read(text, 0o600).err().unwrap().to_string();
        assert!(text.is_empty() || !error.contains(text), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Token::read(&path), Err(TokenError::Unreadable { .. })));
    // The open of a pipe without a writer would block the start of the operator.
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(matches!(Token::read(&path), Err(TokenError::Unreadable { .. })));
}

/// Text from a server or a file must not become HTML, CSS or JavaScript.
#[test]
fn the_page_inserts_data_only_as_text() {
    let mut looked_at = 0;
    for (path, _, content) in PARTS {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "eval(",
            "new Function",
            "createContextualFragment",
            "setHTML",
            "srcdoc",
            "javascript:",
            "http://",
            "https://",
            "@import",
            "url(",
            ".style",
            " style=",
            " onclick",
            "localStorage",
        ] {
            let known = *path == "/icon.svg" && word == "http://";
            assert!(known || !content.contains(word), "{path} has {word}");
        }
        looked_at += content.len();
    }
    assert!(looked_at > 20_000, "only {looked_at} bytes were checked");
    let page = PARTS.iter().find(|(path, _, _)| *path == "/").unwrap().2;
    assert!(!page.contains("<style") && !page.contains("<script>"), "no inline style or script");
    // The server serves every file that another file refers to.
    let served: BTreeSet<&str> = PARTS.iter().map(|(path, _, _)| *path).collect();
    for (path, _, content) in PARTS {
        for asked in content.split("from \"./").skip(1) {
            let name = asked.split('"').next().unwrap();
            let at = if *path == "/page.js" { format!("/{name}") } else { format!("/page/{name}") };
            assert!(served.contains(at.as_str()), "{path} asks for {at}");
        }
    }
}
