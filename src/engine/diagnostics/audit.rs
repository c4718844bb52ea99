//! Collecting the evidence of the security checklist.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::collect::{NOT_ASKED, Unresponsive, explained, unknown, unless, unresponsive, within};
use crate::domain::checks::audit;
use crate::domain::checks::audit::{ClientListener, Evidence, Inside, Table, Variant, Wire};
use crate::domain::model::Vhost;
use crate::domain::observed::{ProcessState, Reading, RuntimeDrift};
use crate::domain::spec::DesiredState;
use crate::ejabberd::{EjabberdClient, Endpoint};
use crate::engine::Engine;
use crate::engine::rollout::compare::certificates;

/// The deadline of one part. The parts run one after the other: the state of the process, the
/// other values together, and the streams to the listeners.
const PART_DEADLINE: Duration = Duration::from_secs(10);

/// The deadline for the stream features of a listener.
const WIRE_DEADLINE: Duration = Duration::from_secs(5);

/// The file with the user id of the VM. With user namespaces the id in the namespace of the
/// server differs from the id on the host.
const STATUS_OF_VM: &str = "/proc/self/status";

impl Engine {
    /// Collects the evidence of the security checklist. Changes nothing, and ends within half
    /// a minute.
    pub async fn collect_audit(&self, desired: &DesiredState) -> Evidence {
        let process =
            within(PART_DEADLINE, async { explained(self.runtime.inspect().await) }).await;
        // A server that cannot respond gets no queries, which would all wait for their deadlines.
        let skip = reason_to_skip(&process);
        let skip = skip.as_deref();
        let (configuration, inside, version, distribution, variant, drift, host) = tokio::join!(
            unless(skip, PART_DEADLINE, async { explained(self.server.configuration().await) }),
            unless(skip, PART_DEADLINE, self.sockets_inside()),
            unless(skip, PART_DEADLINE, async { explained(self.server.version().await) }),
            unless(skip, PART_DEADLINE, async { explained(self.server.distribution().await) }),
            self.variant(desired, skip),
            within(PART_DEADLINE, self.known_drift()),
            within(PART_DEADLINE, async {
                let tables = explained(self.runtime.host_sockets().await)?;
                Ok(audit::listening(&tables, Table::Tcp))
            }),
        );
        let wire = Reading::Unknown(String::new());
        let certificates = match &desired.config {
            None => Reading::Known(Vec::new()),
            Some(config) => match self.declared_config(config).await {
                Ok(files) => Reading::Known(certificates(&files)),
                Err(e) => unknown(&format!("failed to {e}")),
            },
        };
        let now = Timestamp::now();
        let mut evidence = Evidence {
            variant,
            configuration,
            inside,
            distribution,
            host,
            drift,
            wire,
            version,
            certificates,
            now,
        };
        evidence.wire = match evidence.client_listeners() {
            Reading::Known(listeners) => Reading::Known(self.wire(listeners, &desired.host).await),
            Reading::Unknown(why) => Reading::Unknown(why),
        };
        evidence
    }

    /// The declared variant, and whether it is in force.
    async fn variant(&self, desired: &DesiredState, skip: Option<&str>) -> Option<Variant> {
        let name = desired.config.as_ref()?.variant.clone();
        let in_force = unless(skip, PART_DEADLINE, async {
            match self.config(desired, None).await {
                Some(Reading::Known(config)) => Ok(config.declared == config.in_force),
                Some(Reading::Unknown(why)) => Err(why),
                None => Err("no configuration is declared".to_owned()),
            }
        });
        Some(Variant { name, in_force: in_force.await })
    }

    /// Collects the evidence about the runtime of the server. The evidence about its
    /// configuration stays unknown.
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
            now: Timestamp::now(),
        }
    }

    /// The drift of the runtime of a server that exists.
    pub(super) async fn known_drift(&self) -> Result<RuntimeDrift, String> {
        let drift = explained(self.runtime.drift(self.directory().as_deref()).await)?;
        drift.ok_or_else(|| "there is no server".to_owned())
    }

    /// The sockets in the network namespace of the server, as its VM reads the kernel's tables.
    pub(in crate::engine) async fn sockets_inside(&self) -> Result<Inside, String> {
        let status = table(&self.server, &[STATUS_OF_VM]).await?;
        let user = audit::user_of_status(&status)
            .ok_or_else(|| format!("{STATUS_OF_VM} does not say which user the server is"))?;
        let tcp = table(&self.server, &["/proc/net/tcp", "/proc/net/tcp6"]).await?;
        let udp = table(&self.server, &["/proc/net/udp", "/proc/net/udp6"]).await?;
        let tcp = audit::listening(&tcp, Table::Tcp);
        Ok(Inside { user, tcp, udp: audit::listening(&udp, Table::Udp) })
    }

    /// The stream features of each listener, as a client sees them.
    async fn wire(&self, listeners: Vec<ClientListener>, host: &Vhost) -> Vec<Wire> {
        join_all(listeners.into_iter().map(|listener| async {
            // Without TLS, because the checklist judges whether the listener demands TLS.
            let to = Endpoint { proxied: listener.proxied, ..Endpoint::plain(listener.at) };
            let features = within(PART_DEADLINE, self.features(to, host)).await;
            Wire { listener, features }
        }))
        .await
    }

    async fn features(&self, to: Endpoint, host: &Vhost) -> Result<String, String> {
        explained(self.server.open_stream(to, host, WIRE_DEADLINE).await)
    }
}

/// The content of files of the kernel, one after the other. A file that does not exist is
/// skipped: without IPv6 there is no `tcp6`.
async fn table(server: &EjabberdClient, paths: &[&str]) -> Result<String, String> {
    let mut text = String::new();
    for path in paths {
        if let Some(content) = explained(server.read_file(path).await)? {
            text += &String::from_utf8_lossy(&content);
        }
    }
    if text.is_empty() { Err(format!("{} is empty", paths.join(" and "))) } else { Ok(text) }
}

/// Why the server gets no queries; `None` if it may respond.
fn reason_to_skip(process: &Reading<ProcessState>) -> Option<String> {
    Some(match unresponsive(process)? {
        Unresponsive::Paused => "its container is paused".to_owned(),
        Unresponsive::NotRunning => "the server does not run".to_owned(),
        Unresponsive::Unknown(why) => why.to_owned(),
    })
}
