//! Collects the evidence that does not depend on the configuration: the runtime and the sockets.

use std::sync::Arc;

use jiff::Timestamp;

use super::audit::PART_DEADLINE;
use super::collect::{NOT_ASKED, explained, unknown, within};
use crate::domain::checks::audit;
use crate::domain::checks::audit::{Evidence, Inside, Table};
use crate::domain::observed::RuntimeDrift;
use crate::ejabberd::EjabberdClient;
use crate::engine::ports::Runtime;
use crate::engine::reconcile::database::Databases;

/// The path of the file with the user id of the VM. The server's VM must read this file, because
/// with user namespaces the id in the server's namespace differs from the id on the host.
const STATUS_OF_VM: &str = "/proc/self/status";

/// Collects the evidence about the runtime and the sockets for the security checklist.
pub(in crate::engine) struct AuditProbe {
    pub(in crate::engine) server: EjabberdClient,
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    pub(in crate::engine) databases: Arc<Databases>,
}

impl AuditProbe {
    /// Collects the evidence about the runtime of the server. The evidence about the configuration
    /// of the server stays unknown.
    pub(in crate::engine) async fn collect_runtime_audit(&self) -> Evidence {
        let (drift, inside, distribution) = tokio::join!(
            within(PART_DEADLINE, self.known_drift()),
            within(PART_DEADLINE, self.sockets_inside()),
            within(PART_DEADLINE, async { explained(self.server.distribution().await) }),
        );
        Evidence {
            variant: None,
            configuration: unknown(NOT_ASKED),
            inside,
            distribution,
            host: unknown(NOT_ASKED),
            drift,
            wire: unknown(NOT_ASKED),
            version: unknown(NOT_ASKED),
            certificates: unknown(NOT_ASKED),
            clients: Vec::new(),
            nginx: unknown(NOT_ASKED),
            now: Timestamp::now(),
        }
    }

    /// Returns the drift of the runtime, or an error if there is no server.
    pub(super) async fn known_drift(&self) -> Result<RuntimeDrift, String> {
        let drift = explained(self.runtime.drift(self.databases.directory().as_deref()).await)?;
        drift.ok_or_else(|| "there is no server".to_owned())
    }

    /// Returns the sockets in the network namespace of the server. The server's VM reads the
    /// kernel's tables for this function.
    pub(in crate::engine) async fn sockets_inside(&self) -> Result<Inside, String> {
        let status = table(&self.server, &[STATUS_OF_VM]).await?;
        let user = audit::user_of_status(&status)
            .ok_or_else(|| format!("`{STATUS_OF_VM}` of the server's VM contains no user id"))?;
        let tcp = table(&self.server, &["/proc/net/tcp", "/proc/net/tcp6"]).await?;
        let udp = table(&self.server, &["/proc/net/udp", "/proc/net/udp6"]).await?;
        let tcp = audit::listening(&tcp, Table::Tcp);
        Ok(Inside { user, tcp, udp: audit::listening(&udp, Table::Udp) })
    }
}

/// Returns the contents of files of the kernel, one after the other. Skips a file that does not
/// exist: without IPv6 there is no `tcp6`.
async fn table(server: &EjabberdClient, paths: &[&str]) -> Result<String, String> {
    let mut text = String::new();
    for path in paths {
        if let Some(content) = explained(server.read_file(path).await)? {
            text += &String::from_utf8_lossy(&content);
        }
    }
    if text.is_empty() { Err(format!("{} is empty", paths.join(" and "))) } else { Ok(text) }
}
