//! The server's settings, and other programs that would start the server.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::{ProcessRuntime, processes};
use crate::domain::observed::{RuntimeDrift, RuntimeKind};
use crate::engine::RuntimeError;

/// The systemd unit of Debian's package and of ejabberd's own installers.
const UNIT: &str = "ejabberd.service";

/// A directory that exists only if systemd is the init system (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";

/// The time limit for a response of systemd.
const DEADLINE: Duration = Duration::from_secs(5);

impl ProcessRuntime {
    pub(super) async fn read_drift(&self) -> Result<Option<RuntimeDrift>, RuntimeError> {
        let setup = match self.setup() {
            Err(RuntimeError::Missing(_)) => return Ok(None),
            setup => setup?,
        };
        let vm = processes::find(&setup).vm;
        if vm.is_none() && !setup.exists() {
            return Ok(None);
        }
        // The systemd unit starts only the server of the package, which has no separate directory.
        // For a server with a separate directory, do not query systemd.
        let restarted_by = if setup.directory.is_none() { system_service().await } else { None };
        let uid = vm.map(|vm| vm.uid);
        Ok(Some(RuntimeDrift {
            runtime: RuntimeKind::Process,
            ours: setup.directory.is_some() && setup.exists(),
            restarted_by,
            host_network: true,
            privileged: uid == Some(0),
            // The operator never replaces a process. A process publishes no ports, because the
            // process listens on the host.
            differences: Vec::new(),
            replacement_impact: Vec::new(),
            unattached: None,
            removed_by: None,
            published: Vec::new(),
            ports: Vec::new(),
            engine_socket: None,
        }))
    }
}

/// The systemd unit of the ejabberd package, if the unit is active or enabled. Systemd and the
/// operator must not both start the server.
pub(super) async fn system_service() -> Option<String> {
    if !Path::new(SYSTEMD).exists() {
        return None;
    }
    if systemd_reports("is-active", &["active", "activating", "reloading"]).await {
        return Some(format!("systemd's `{UNIT}`, which is active"));
    }
    let enabled = systemd_reports("is-enabled", &["enabled", "enabled-runtime"]).await;
    enabled.then(|| format!("systemd's `{UNIT}`, which is enabled"))
}

/// Returns whether `systemctl` responds to `question` about the unit with one of `words`. `false`
/// on an error or a timeout.
async fn systemd_reports(question: &str, words: &[&str]) -> bool {
    let mut ask = Command::new("systemctl");
    ask.args([question, UNIT]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match timeout(DEADLINE, ask.output()).await {
        Ok(Ok(response)) => words.contains(&String::from_utf8_lossy(&response.stdout).trim()),
        _ => false,
    }
}
