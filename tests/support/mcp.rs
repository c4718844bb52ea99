//! An MCP client: the official Python library, driven step by step.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::real::python;

/// How the client reaches the server.
pub enum Transport<'a> {
    /// The client starts the server with this command line.
    Stdio(Vec<String>),
    /// The client connects to a URL with a token, and trusts the certificates in the file `ca`.
    Http { url: &'a str, token: &'a str, ca: Option<&'a str> },
}

/// A connected MCP client. Dropping the value ends the client.
pub struct McpClient {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl McpClient {
    /// Connects with the lifecycle `legacy` or with a protocol revision. The file `record` gets each
    /// message of the server.
    pub fn connect(mode: &str, transport: &Transport<'_>, record: Option<&str>) -> Self {
        let mut command = Command::new(python());
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/client.py"))
            .args(["--mode", mode])
            .args(record.map(|record| ["--record", record]).into_iter().flatten());
        match transport {
            Transport::Stdio(line) => {
                command.arg("--stdio").args(line);
            }
            Transport::Http { url, token, ca } => {
                command.args(["--url", url, "--token", token]);
                command.args(ca.map(|ca| ["--ca", ca]).into_iter().flatten());
            }
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self { child, input, output };
        assert_eq!(client.next(), json!({ "ready": true }));
        client
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the client ended: {line:?}"))
    }

    /// Runs a step of `client.py`. Returns `{"ok": …}` or `{"raised": …}`.
    pub fn step(&mut self, step: &Value) -> Value {
        writeln!(self.input, "{step}").unwrap();
        self.next()
    }

    /// Calls a tool, which must succeed. Returns the structured result.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let result = self.step(&json!({ "op": "call", "name": tool, "arguments": arguments }));
        assert_ne!(result["ok"]["isError"], true, "{tool} {arguments}: {result}");
        assert!(result["ok"]["structuredContent"].is_object(), "{tool} {arguments}: {result}");
        result["ok"]["structuredContent"].clone()
    }

    /// Calls a tool, which must fail. Returns the code and the whole failure.
    pub fn refused(&mut self, tool: &str, arguments: &Value) -> (String, Value) {
        let result = self.step(&json!({ "op": "call", "name": tool, "arguments": arguments }));
        assert_eq!(result["ok"]["isError"], true, "{tool} {arguments}: {result}");
        let failure = result["ok"]["structuredContent"].clone();
        (failure["code"].as_str().unwrap_or_default().to_owned(), failure)
    }
}

impl Drop for McpClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
