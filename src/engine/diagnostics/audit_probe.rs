//! What can be seen of a server whatever its configuration: where it runs, and its sockets.

use std::sync::Arc;

use jiff::Timestamp;

use super::audit::{PART_DEADLINE, said, within};
use crate::domain::checks::audit;
use crate::domain::checks::audit::{Evidence, Inside, Table};
use crate::domain::observed::{Reading, RuntimeDrift};
use crate::ejabberd::EjabberdClient;
use crate::engine::ports::Runtime;
use crate::engine::reconcile::database::Databases;

/// What the VM is asked for its own user. A server with namespaces of its own
/// is another user inside than on the host.
const STATUS_OF_VM: &str = "/proc/self/status";

/// Collects that part of the evidence for the security checklist.
pub(in crate::engine) struct AuditProbe {
    pub(in crate::engine) server: EjabberdClient,
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    pub(in crate::engine) databases: Arc<Databases>,
}

impl AuditProbe {
    /// Gathers what can be seen of where the server runs, whatever its
    /// configuration. What cannot be seen is unknown.
    pub(in crate::engine) async fn evidence_around(&self) -> Evidence {
        let (drift, inside, distribution) = tokio::join!(
            within(PART_DEADLINE, self.known_drift()),
            within(PART_DEADLINE, self.sockets_inside()),
            within(PART_DEADLINE, async { said(self.server.distribution().await) }),
        );
        let unasked = || "it was not asked".to_owned();
        Evidence {
            variant: None,
            configuration: Reading::Unknown(unasked()),
            inside,
            distribution,
            host: Reading::Unknown(unasked()),
            drift,
            wire: Reading::Unknown(unasked()),
            version: Reading::Unknown(unasked()),
            certificates: Reading::Unknown(unasked()),
            now: Timestamp::now(),
        }
    }

    pub(super) async fn known_drift(&self) -> Result<RuntimeDrift, String> {
        match self.runtime.drift(self.databases.directory().as_deref()).await {
            Ok(Some(drift)) => Ok(drift),
            Ok(None) => Err("there is no server".to_owned()),
            Err(e) => Err(format!("failed to {e}")),
        }
    }

    /// Asks the server's own VM, and so sees what it sees, as the user that it is.
    pub(in crate::engine) async fn sockets_inside(&self) -> Result<Inside, String> {
        let status = table(&self.server, &[STATUS_OF_VM]).await?;
        let user = audit::user_of_status(&status)
            .ok_or_else(|| format!("{STATUS_OF_VM} does not say which user the server is"))?;
        let tcp = table(&self.server, &["/proc/net/tcp", "/proc/net/tcp6"]).await?;
        let udp = table(&self.server, &["/proc/net/udp", "/proc/net/udp6"]).await?;
        let tcp = audit::listening(&tcp, Table::Tcp);
        Ok(Inside { user, tcp, udp: audit::listening(&udp, Table::Udp) })
    }
}

/// Files of the kernel, one after the other. One that is not there is empty:
/// without IPv6 there is no `tcp6`.
async fn table(server: &EjabberdClient, paths: &[&str]) -> Result<String, String> {
    let mut text = String::new();
    for path in paths {
        if let Some(content) = said(server.read_file(path).await)? {
            text += &String::from_utf8_lossy(&content);
        }
    }
    if text.is_empty() { Err(format!("{} is empty", paths.join(" and "))) } else { Ok(text) }
}
