//! A server with an operator, the MCP server and clients, for the tests of messaging.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::findings::free_port;
use super::host::{Daemon, Host, eventually};
use super::mcp::{McpClient, Transport};
use super::nginx::Nginx;
use super::real::{CONFIG, HOST, python};
use super::watched::FAST;

/// All tools, as a list of the desired state.
pub const ALL_TOOLS: &str = "[xmpp_send_message, xmpp_get_messages, get_presence, \
     register_messaging_user, server_status, plan, audit, events]";

/// The client `nexus`, which may do everything that the tests need.
pub fn nexus() -> (&'static str, String) {
    let fields = format!(
        "actAs: [messenger, \"agent-*\"], tools: {ALL_TOOLS}, to: [\"*@{HOST}\", \"*@conference.{HOST}\"], \
         rate: {{ perMinute: 60000, burst: 10000 }}, \
         registration: {{ names: \"agent-*\", rooms: [\"personal-{{name}}\"], max: 3 }}"
    );
    ("nexus", fields)
}

/// The objects that the tests of messaging need.
pub const OBJECTS: &str = "  users:
    - { name: messenger, password: secret-messenger }
    - { name: bob, password: secret-bob }
    - { name: carl, password: secret-carl }
    - { name: boss, password: secret-boss }
  rooms:
    - { name: hall, options: { mam: true, allow_subscription: true }, affiliations: { owner: [boss] } }
";

/// The time limit for a running operator and a running server on a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// A server with an operator, its messaging socket, and an MCP server over HTTP.
pub struct Rig {
    pub host: Host,
    pub operator: Option<Daemon>,
    pub http: Option<Child>,
    pub port: u16,
}

impl Rig {
    /// Starts everything with the given clients and objects.
    pub fn new(version: &str, clients: &[(&str, &str)], objects: &str) -> Self {
        let config = format!("{CONFIG}  mod_mam: {{ default: always }}\n");
        Self::with_config(version, &config, clients, objects)
    }

    /// As [`new`](Self::new), with a configuration.
    pub fn with_config(
        version: &str,
        config: &str,
        clients: &[(&str, &str)],
        objects: &str,
    ) -> Self {
        let mut host = Host::new(version);
        FAST.clone_into(&mut host.server);
        fs::write(host.path("ejabberd.yml"), config).unwrap();
        let rig = Self { host, operator: None, http: None, port: free_port() };
        rig.declare(clients, objects);
        rig.start()
    }

    /// Writes the desired state. Each client has a name and the rest of its fields.
    pub fn declare(&self, clients: &[(&str, &str)], objects: &str) {
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

    pub fn token(client: &str) -> String {
        format!("token-of-{client}-0123456789abcdef0123456789abcdef")
    }

    fn token_file(&self, client: &str) -> PathBuf {
        self.host.path(&format!("token-{client}"))
    }

    fn socket(&self) -> String {
        self.host.path("messaging.sock").to_str().unwrap().to_owned()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }

    fn start(mut self) -> Self {
        self.start_operator();
        self.start_http();
        self
    }

    pub fn start_operator(&mut self) {
        let socket = self.socket();
        let args = ["run", "--listen", "127.0.0.1:0", "--messaging-socket", &socket];
        self.operator = Some(self.host.start(&args, "operator.log"));
        let began = Instant::now();
        loop {
            let status = self.host.run(&["status"]);
            if status.code == Some(0) && fs::metadata(&socket).is_ok() {
                return;
            }
            let log = self.operator.as_ref().unwrap().log();
            assert!(began.elapsed() < SOON, "the operator is not ready\n{}\n{log}", status.stdout);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn start_http(&mut self) {
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
    pub fn http(&self, mode: &str, client: &str) -> McpClient {
        let (url, token) = (self.url(), Self::token(client));
        let record = self.host.path(&format!("messages-{mode}.jsonl"));
        let transport = Transport::Http { url: &url, token: &token, ca: None };
        McpClient::connect(mode, &transport, record.to_str())
    }

    /// An MCP client over HTTP, TLS and nginx with the token of `client`.
    pub fn https(&self, nginx: &Nginx, mode: &str, client: &str) -> McpClient {
        let (url, token, ca) = (nginx.url(), Self::token(client), nginx.certificate());
        let transport = Transport::Http { url: &url, token: &token, ca: ca.to_str() };
        McpClient::connect(mode, &transport, None)
    }

    /// Starts nginx in front of the MCP server.
    pub fn nginx(&self) -> Nginx {
        Nginx::start(&format!("127.0.0.1:{}", self.port))
    }

    /// A command that sends `count` messages of the client `nexus` with `load.py`.
    pub fn load(&self, url: &str, to: &str, count: usize) -> Command {
        let mut command = Command::new(python());
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/load.py"))
            .args(["--url", url, "--to", to, "--token", &Self::token("nexus")])
            .args(["--count", &count.to_string()]);
        command
    }

    /// An MCP client that starts its own MCP server.
    pub fn stdio(&self, mode: &str, client: &str) -> McpClient {
        let (socket, token) = (self.socket(), self.token_file(client));
        let program = env!("CARGO_BIN_EXE_ejabberd-operator");
        let token = token.to_str().unwrap();
        let line = [program, "mcp", "--socket", &socket, "--stdio", "--token-file", token];
        McpClient::connect(mode, &Transport::Stdio(line.map(str::to_owned).into()), None)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A running operator would create the container again that the host removes.
        drop(self.operator.take());
        if let Some(http) = &mut self.http {
            let _ = http.kill();
            let _ = http.wait();
        }
    }
}
