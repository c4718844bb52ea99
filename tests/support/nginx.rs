//! A running nginx with the shipped site.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::findings::free_port;
use super::host::eventually;

/// The name of the site. Every client resolves it, and the MCP server permits it.
pub const NAME: &str = "localhost";

/// An nginx in front of an MCP server, with a self-signed certificate. Dropping the value ends
/// nginx.
pub struct Nginx {
    directory: tempfile::TempDir,
    child: Child,
    port: u16,
}

impl Nginx {
    /// Starts nginx in front of the MCP server at `upstream`.
    pub fn start(upstream: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        // The workers of nginx run as another account.
        let open = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(path, open).unwrap();
        let (certificate, key) = (path.join("certificate.pem"), path.join("key.pem"));
        run(Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
            .args(["-subj", &format!("/CN={NAME}"), "-addext"])
            .arg(format!("subjectAltName=DNS:{NAME}"))
            .arg("-out")
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key));
        let (http, port) = (free_port(), free_port());
        run(Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/nginx-site"))
            .arg("--output")
            .arg(path)
            .args(["--name", NAME, "--http", &format!("127.0.0.1:{http}")])
            .args(["--https", &format!("127.0.0.1:{port}"), "--upstream", upstream]));
        // A user's PATH may lack the directory of nginx.
        let search = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        let child = Command::new("nginx")
            .env("PATH", search)
            .arg("-c")
            .arg(path.join("nginx.conf"))
            .args(["-g", "daemon off;"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("nginx listens", Duration::from_secs(30), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { directory, child, port }
    }

    /// The URL of the MCP server.
    pub fn url(&self) -> String {
        format!("https://{NAME}:{}/mcp", self.port)
    }

    /// The certificate that a client must trust.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificate.pem")
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that nginx also ends its workers.
        let id = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
