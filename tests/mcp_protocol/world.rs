//! A double of the operator, the program `mcp`, and raw HTTP.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ejabberd_operator::adapters::messaging;
use ejabberd_operator::domain::messaging::{
    Failure, FailureCode, Operation, Request, Response, Tool,
};
use ejabberd_operator::engine::MessagingHandler;
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderMap;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The token of a client with the tools for messages.
pub const AGENT: &str = "agent-token-0123456789";
/// The token of another client with the tools for messages.
pub const OTHER: &str = "other-token-0123456789";
/// The token of a client with all tools.
pub const ADMIN: &str = "admin-token-0123456789";

/// The time limit of each step of a test.
pub const STEP: Duration = Duration::from_secs(20);

/// A double of the operator. Records the operations except `identify`.
#[derive(Default)]
pub struct Double {
    pub operations: Mutex<Vec<String>>,
}

#[async_trait]
impl MessagingHandler for Double {
    async fn handle(&self, request: Request) -> Response {
        let (client, tools) = match request.token.expose() {
            AGENT => ("agent", vec![Tool::SendMessage, Tool::GetMessages, Tool::GetPresence]),
            OTHER => ("other", vec![Tool::SendMessage, Tool::GetMessages]),
            ADMIN => ("admin", Tool::ALL.to_vec()),
            _ => {
                let failure = Failure::new(FailureCode::Unauthorized, "unknown token", "ask");
                return Response::Failed(failure);
            }
        };
        if matches!(request.operation, Operation::Identify) {
            return Response::Done(json!({"client": client, "tools": tools}));
        }
        self.operations.lock().push(format!("{client} {:?}", request.operation));
        match request.operation {
            Operation::SendMessage(message) if message.to == "hidden@example.org" => {
                let failure = Failure::new(FailureCode::Forbidden, "no right", "ask for it");
                Response::Failed(failure)
            }
            Operation::SendMessage(message) => {
                if let Some(millis) = message.body.strip_prefix("slow ") {
                    sleep(Duration::from_millis(millis.parse().unwrap())).await;
                }
                let result = json!({"id": "m1", "result": "delivered", "repeated": false});
                Response::Done(result)
            }
            Operation::ReadResource(_) => Response::Done("hosts: []\n".into()),
            Operation::Read(view) => Response::Done(json!({"tool": view.tool()})),
            _ => Response::Done(json!({"accounts": [], "truncated": false})),
        }
    }
}

/// A running double with its socket.
pub struct Operator {
    pub double: Arc<Double>,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl Operator {
    pub fn start(path: &Path) -> Self {
        let (double, (stop, stopped)) = (Arc::new(Double::default()), watch::channel(false));
        let listener = messaging::bind(path).unwrap();
        let handler = Arc::clone(&double) as Arc<dyn MessagingHandler>;
        let served = tokio::spawn(messaging::serve(listener, handler, stopped));
        Self { double, stop, served }
    }

    pub async fn stop(&mut self) {
        self.stop.send_replace(true);
        timeout(STEP, &mut self.served).await.unwrap().unwrap();
    }
}

/// The program `mcp` with an operator.
pub struct World {
    _directory: TempDir,
    pub socket: PathBuf,
    pub operator: Operator,
    pub mcp: Child,
    /// The address of HTTP.
    pub address: String,
    /// The log of `mcp`.
    pub log: Arc<Mutex<String>>,
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"));
    command.arg("mcp").args(arguments).kill_on_drop(true).stderr(Stdio::piped());
    for variable in ["EJABBERD_OPERATOR_MCP_LISTEN", "EJABBERD_OPERATOR_MESSAGING_SOCKET"] {
        command.env_remove(variable);
    }
    // The log must not contain a token on any level.
    command.env("EJABBERD_OPERATOR_LOG", "trace").env("EJABBERD_OPERATOR_LOG_FORMAT", "text");
    command
}

impl World {
    /// Starts an operator and `mcp` with HTTP on a free port.
    pub async fn start(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("messaging.sock");
        let operator = Operator::start(&socket);
        let arguments = ["--listen", "127.0.0.1:0", "--socket", socket.to_str().unwrap()];
        let mut mcp = command(&[&arguments, more].concat()).stdin(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(mcp.stderr.take().unwrap()).lines();
        let (log, mut address) = (Arc::new(Mutex::new(String::new())), String::new());
        while address.is_empty() {
            let line = timeout(STEP, lines.next_line()).await.unwrap().unwrap().expect("a line");
            let found = line.split_once("started address=").map(|(_, rest)| rest.to_owned());
            found.unwrap_or_default().split(' ').next().unwrap().clone_into(&mut address);
            *log.lock() += &line;
        }
        let written = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                *written.lock() += &format!("{line}\n");
            }
        });
        Self { _directory: directory, socket, operator, mcp, address, log }
    }

    /// Sends a request and reads the response.
    pub async fn send(&self, request: &Raw) -> Reply {
        timeout(STEP, exchange(&self.address, request)).await.expect("a response in time")
    }

    /// Begins a session of the revision 2025-11-25. Returns the id of the session.
    pub async fn session(&self, token: &str) -> String {
        let reply = self.send(&Raw::post(&initialize("2025-11-25")).token(token)).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.header("mcp-session-id").to_owned()
    }

    /// Ends `mcp` with SIGTERM. Returns the exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        let id = self.mcp.id().unwrap().cast_signed();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        timeout(STEP, self.mcp.wait()).await.unwrap().unwrap().code()
    }
}

/// Sends a request to `address` and reads the response.
pub async fn exchange(address: &str, request: &Raw) -> Reply {
    let stream = TcpStream::connect(address).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let mut built = hyper::Request::builder().method(request.method).uri(request.path);
    for (name, value) in &request.headers {
        built = built.header(*name, value);
    }
    let body = Full::new(Bytes::from(request.body.clone()));
    let response = sender.send_request(built.body(body).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Reply { status: parts.status.as_u16(), headers: parts.headers, text, json }
}

/// A request of HTTP.
#[derive(Clone)]
pub struct Raw {
    pub method: &'static str,
    pub path: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Raw {
    /// A request with a message.
    pub fn post(message: &Value) -> Self {
        let headers = [
            ("host", "localhost"),
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
        Self { method: "POST", path: "/mcp", headers, body: message.to_string() }
    }

    /// A request of the revision 2026-07-28.
    pub fn modern(method: &str, params: Value) -> Self {
        let (mut params, name) = (params, String::new());
        let name = params
            .get("name")
            .or(params.get("uri"))
            .map_or(name, |name| name.as_str().unwrap().to_owned());
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let request = Self::post(&call(method, params))
            .with("mcp-protocol-version", "2026-07-28")
            .with("mcp-method", method);
        if name.is_empty() { request } else { request.with("mcp-name", &name) }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn token(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub fn session(self, id: &str) -> Self {
        self.with("mcp-session-id", id).with("mcp-protocol-version", "2025-11-25")
    }
}

/// A response of HTTP.
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A request of JSON-RPC.
pub fn call(method: &str, params: impl Into<Value>) -> Value {
    let params: Value = params.into();
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

/// A call of `xmpp_send_message`.
pub fn message(to: &str, body: &str) -> Value {
    let arguments = json!({"from": "bot", "to": to, "body": body});
    json!({"name": "xmpp_send_message", "arguments": arguments})
}

pub fn initialize(revision: &str) -> Value {
    let client = json!({"name": "test", "version": "1"});
    call(
        "initialize",
        json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client}),
    )
}

/// The names of the tools in a response to `tools/list`.
pub fn names(reply: &Value) -> Vec<&str> {
    let tools = reply["result"]["tools"].as_array().unwrap_or_else(|| panic!("{reply}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}
