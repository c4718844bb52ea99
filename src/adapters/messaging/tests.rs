//! Tests of the messaging socket with small limits, and of the client.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::socket::{Limits, serve_within};
use super::{OperatorClient, bind};
use crate::domain::messaging::{
    FailureCode, Operation, RegisterUser, Request, Response, SendMessage, View,
};
use crate::domain::model::Secret;
use crate::engine::MessagingHandler;

/// A handler that counts its calls. The token decides what the handler does.
#[derive(Default)]
struct Handler {
    calls: AtomicUsize,
}

#[async_trait]
impl MessagingHandler for Handler {
    async fn handle(&self, request: Request) -> Response {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match request.token.expose() {
            "slow" => sleep(Duration::from_mins(1)).await,
            "long" => return Response::Done("x".repeat(2 << 20).into()),
            _ => {}
        }
        Response::Done(json!({"ok": true}))
    }
}

struct Server {
    _directory: tempfile::TempDir,
    path: PathBuf,
    handler: Arc<Handler>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

const LIMITS: Limits = Limits {
    connections: 4,
    idle: Duration::from_millis(400),
    arrival: Duration::from_millis(200),
    handler: Duration::from_millis(300),
    write: Duration::from_millis(200),
};

fn start() -> Server {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("messaging.sock");
    let (handler, (stop, stopped)) = (Arc::new(Handler::default()), watch::channel(false));
    let served = serve_at(&path, &handler, stopped);
    Server { _directory: directory, path, handler, stop, served }
}

fn serve_at(
    path: &std::path::Path,
    handler: &Arc<Handler>,
    stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let handler = Arc::clone(handler) as Arc<dyn MessagingHandler>;
    tokio::spawn(serve_within(bind(path).unwrap(), handler, stop, LIMITS))
}

fn frame(json: &str) -> Vec<u8> {
    let length = u32::try_from(json.len()).unwrap().to_be_bytes();
    [&length[..], json.as_bytes()].concat()
}

fn request(token: &str) -> Vec<u8> {
    frame(&json!({"token": token, "operation": {"name": "identify"}}).to_string())
}

async fn read(stream: &mut UnixStream) -> Value {
    let length = stream.read_u32().await.unwrap();
    let mut json = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut json).await.unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Sends bytes and waits until the server closes the connection. Returns the time of the wait.
async fn closed_after(path: &std::path::Path, bytes: &[u8]) -> Duration {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let began = std::time::Instant::now();
    // The server may close the connection before it has read all bytes.
    let _ = stream.write_all(bytes).await;
    let mut rest = Vec::new();
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"");
    began.elapsed()
}

#[tokio::test]
async fn requests_of_a_connection_are_served_one_after_the_other() {
    let server = start();
    let mut stream = UnixStream::connect(&server.path).await.unwrap();
    for _ in 0..3 {
        // Two frames at once, and the second frame in two parts.
        let (one, two) = (request("a"), request("b"));
        let (head, rest) = two.split_at(7);
        stream.write_all(&[&one[..], head].concat()).await.unwrap();
        assert_eq!(read(&mut stream).await, json!({"done": {"ok": true}}));
        stream.write_all(rest).await.unwrap();
        assert_eq!(read(&mut stream).await, json!({"done": {"ok": true}}));
        sleep(LIMITS.arrival + Duration::from_millis(100)).await;
    }
    assert_eq!(server.handler.calls.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn a_bad_frame_closes_the_connection_and_is_not_executed() {
    let server = start();
    let long = (u32::try_from(super::frames::MAX_FRAME_BYTES).unwrap() + 1).to_be_bytes();
    let unknown = r#"{"token":"t","operation":{"name":"identify"},"more":1}"#;
    for bytes in [frame("{"), frame("[]"), frame(unknown), frame("\u{0}"), long.to_vec()] {
        assert!(closed_after(&server.path, &bytes).await < LIMITS.arrival);
    }
    let late = closed_after(&server.path, &request("a")[..9]).await;
    assert!(late >= LIMITS.arrival && late < LIMITS.idle, "{late:?}");
    let idle = closed_after(&server.path, b"").await;
    assert!(idle >= LIMITS.idle, "{idle:?}");
    assert_eq!(server.handler.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_number_of_connections_is_limited() {
    let server = start();
    let mut held = Vec::new();
    for _ in 0..LIMITS.connections {
        held.push(UnixStream::connect(&server.path).await.unwrap());
    }
    assert!(closed_after(&server.path, &request("a")).await < LIMITS.arrival);
    held.pop();
    sleep(Duration::from_millis(50)).await;
    let mut stream = UnixStream::connect(&server.path).await.unwrap();
    stream.write_all(&request("a")).await.unwrap();
    assert_eq!(read(&mut stream).await, json!({"done": {"ok": true}}));
}

#[tokio::test]
async fn a_slow_handler_and_a_long_result_become_failures() {
    let server = start();
    let client = OperatorClient::new(server.path.clone());
    for (token, code) in [("slow", FailureCode::Unavailable), ("long", FailureCode::Internal)] {
        let response = client.call(&Secret::new(token.into()), Operation::Identify).await;
        let Response::Failed(failure) = response else { panic!("{token}: {response:?}") };
        assert_eq!(failure.code, code, "{failure}");
    }
    assert_eq!(server.handler.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_client_connects_again_after_a_restart() {
    let server = start();
    let (client, token) = (OperatorClient::new(server.path.clone()), Secret::new("a".into()));
    let send = || {
        client.call(
            &token,
            Operation::RegisterUser(RegisterUser { name: "ann".into(), display_name: None }),
        )
    };
    assert!(matches!(send().await, Response::Done(_)));
    server.stop.send_replace(true);
    server.served.await.unwrap();
    assert!(!server.path.exists(), "the file of the socket is removed");
    let Response::Failed(failure) = send().await else { panic!("no operator runs") };
    assert_eq!(failure.code, FailureCode::Unavailable);
    let expected = format!("the operator does not respond at `{}`", server.path.display());
    assert_eq!(failure.message, expected);
    let (_stop, stopped) = watch::channel(false);
    let _served = serve_at(&server.path, &server.handler, stopped);
    assert!(matches!(send().await, Response::Done(_)));
    assert_eq!(server.handler.calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn only_an_operation_that_changes_nothing_is_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("messaging.sock");
    let listener = bind(&path).unwrap();
    let received = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&received);
    // An operator that ends after each request, before the response.
    let _operator = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u32().await.unwrap();
            let mut json = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut json).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (client, token) = (OperatorClient::new(path), Secret::new("a".into()));
    let text = || "x".to_owned();
    let message = SendMessage {
        from: text(),
        to: text(),
        body: text(),
        subject: None,
        thread: None,
        id: None,
        ensure_recipient: false,
    };
    for (operation, expected) in
        [(Operation::SendMessage(message), 1), (Operation::Read(View::Plan), 2)]
    {
        received.store(0, Ordering::SeqCst);
        let Response::Failed(failure) = client.call(&token, operation).await else { panic!() };
        assert!(failure.message.ends_with("so the result is unknown"), "{failure}");
        assert_eq!(received.load(Ordering::SeqCst), expected);
    }
}
