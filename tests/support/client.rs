//! A client of an XMPP library that logs in and stays.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::host::Host;
use super::real::{docker, python};

/// The time limit of a login on a busy machine.
const SOON: Duration = Duration::from_secs(90);

/// A client that stays connected, and logs in again when its connection is lost. Dropping the value
/// ends the client.
pub struct Client {
    child: Child,
    log: PathBuf,
}

impl Client {
    /// Logs in as `jid`, from the network of the running container.
    pub fn new(host: &Host, jid: &str, password: &str) -> Self {
        Self::with(host, jid, password, &[])
    }

    /// Logs in as `jid` with further arguments of `stay.py`, such as `--room`.
    pub fn with(host: &Host, jid: &str, password: &str, more: &[&str]) -> Self {
        let typed = host.path(&format!("typed-{jid}"));
        fs::write(&typed, password).unwrap();
        let log = host.path(&format!("client-{jid}.log"));
        let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &host.container]);
        let child = Command::new("nsenter")
            .args(["-t", &pid, "-n", &python()])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/xmpp/stay.py"))
            .args(["--jid", jid, "--password-file"])
            .arg(typed)
            .args(more)
            .stdout(fs::File::create(&log).unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let client = Self { child, log };
        client.until("in", |events| events.iter().any(|e| e["event"] == "in"));
        client
    }

    /// Returns all events of the client so far.
    pub fn events(&self) -> Vec<Value> {
        let log = fs::read_to_string(&self.log).unwrap();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) {
        let began = Instant::now();
        while !holds(&self.events()) {
            assert!(began.elapsed() < SOON, "{what}: {:?}", self.events());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Fails the test if the client has ever lost its connection.
    pub fn has_stayed(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the client has ended");
        let lost = self.events().into_iter().find(|event| event["event"] == "out");
        assert_eq!(lost, None, "the client was interrupted");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
