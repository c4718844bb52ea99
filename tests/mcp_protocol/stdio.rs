//! MCP on standard input and output.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::world::{AGENT, Operator, Raw, STEP, call, command, initialize, message, names};

/// The program `mcp --stdio` with an operator.
struct Pipe {
    _directory: tempfile::TempDir,
    operator: Operator,
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Pipe {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (socket, token) = (directory.path().join("socket"), directory.path().join("token"));
        std::fs::write(&token, format!("{AGENT}\n")).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let operator = Operator::start(&socket);
        let (socket, token) = (socket.to_str().unwrap(), token.to_str().unwrap());
        let mut child = command(&["--stdio", "--socket", socket, "--token-file", token])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _directory: directory, operator, input: child.stdin.take(), child, output }
    }

    async fn write(&mut self, line: &str) {
        self.input.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn read(&mut self) -> Value {
        let line = timeout(STEP, self.output.next_line()).await.unwrap().unwrap();
        serde_json::from_str(&line.expect("a line")).unwrap()
    }

    async fn ask(&mut self, message: &Value) -> Value {
        self.write(&message.to_string()).await;
        self.read().await
    }

    /// Closes standard input. Returns the exit code and the log.
    async fn end(mut self) -> (Option<i32>, String) {
        drop(self.input.take());
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        timeout(STEP, stderr.read_to_string(&mut log)).await.unwrap().unwrap();
        (timeout(STEP, self.child.wait()).await.unwrap().unwrap().code(), log)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_serves_the_revisions_with_initialize() {
    let mut mcp = Pipe::start();
    let begun = mcp.ask(&initialize("2025-11-25")).await;
    assert_eq!(begun["result"]["protocolVersion"], "2025-11-25", "{begun}");
    mcp.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string()).await;
    let list = mcp.ask(&call("tools/list", json!({}))).await;
    assert_eq!(names(&list), ["xmpp_send_message", "xmpp_get_messages", "get_presence"]);
    let sent = mcp.ask(&call("tools/call", message("ann@example.org", "private text"))).await;
    assert_eq!(sent["result"]["structuredContent"]["result"], "delivered", "{sent}");
    // A line that is too long is dropped, and the next line is read.
    mcp.write(&"x".repeat(300 << 10)).await;
    let unknown = mcp.ask(&call("tools/call", json!({"name": "audit"}))).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    let (code, log) = mcp.end().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains(AGENT) && !log.contains("private text"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_serves_the_newest_revision() {
    let mut mcp = Pipe::start();
    let body = |method, params| serde_json::from_str(&Raw::modern(method, params).body).unwrap();
    let discovered = mcp.ask(&body("server/discover", json!({}))).await;
    assert_eq!(discovered["result"]["supportedVersions"][2], "2026-07-28", "{discovered}");
    let list = mcp.ask(&body("tools/list", json!({}))).await;
    assert_eq!(names(&list).len(), 3);
    let sent = mcp.ask(&body("tools/call", message("hidden@example.org", "hi"))).await;
    assert_eq!(sent["result"]["structuredContent"]["code"], "forbidden", "{sent}");
    assert_eq!(mcp.end().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_finish_after_the_end_of_standard_input() {
    let mut mcp = Pipe::start();
    mcp.ask(&initialize("2025-11-25")).await;
    // More requests than may be in progress at the same time, and the end of the input.
    for id in 0..50 {
        let mut request = call("tools/call", message("ann@example.org", "slow 300"));
        request["id"] = id.into();
        mcp.write(&request.to_string()).await;
    }
    drop(mcp.input.take());
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(mcp.read().await["id"].as_u64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..50).collect::<Vec<_>>());
    assert_eq!(mcp.operator.double.operations.lock().len(), 50);
    assert_eq!(mcp.end().await.0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, AGENT).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = command(&["--stdio", "--token-file", token.to_str().unwrap()]).output();
    let output = timeout(STEP, output).await.unwrap().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("failed to take the token from"), "{text}");
    assert!(!text.contains(AGENT));
}
