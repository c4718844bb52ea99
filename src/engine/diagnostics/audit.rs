//! Collects the evidence of the security checklist.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::Diagnostics;
use super::collect::{NOT_ASKED, Unresponsive, explained, unknown, unless, unresponsive, within};
use crate::domain::checks::audit;
use crate::domain::checks::audit::{ClientListener, Evidence, Table, Variant, Wire};
use crate::domain::model::Vhost;
use crate::domain::observed::{ProcessState, Reading};
use crate::domain::spec::DesiredState;
use crate::ejabberd::Endpoint;
use crate::engine::rollout::compare::certificates;

/// The deadline of one part of the collection. Three parts run one after the other: first the
/// state of the process, then the queries for the other values, all at the same time, and last the
/// streams to the listeners.
pub(super) const PART_DEADLINE: Duration = Duration::from_secs(10);

/// The deadline of the query for the stream features of one listener.
const WIRE_DEADLINE: Duration = Duration::from_secs(5);

impl Diagnostics {
    /// Collects the evidence of the security checklist. Changes nothing, and ends within half
    /// a minute.
    pub async fn collect_audit(&self, desired: &DesiredState) -> Evidence {
        let (server, nginx, clients) =
            tokio::join!(self.collect_server_audit(desired), self.nginx(), self.clients(desired),);
        Evidence { clients, nginx, ..server }
    }

    /// Collects the evidence about the server alone. The evidence about nginx stays unknown, and the
    /// clients of messaging stay empty: a rollout must not run the programs that print tokens.
    pub(in crate::engine) async fn collect_server_audit(&self, desired: &DesiredState) -> Evidence {
        let process =
            within(PART_DEADLINE, async { explained(self.runtime.inspect().await) }).await;
        // Send no queries to a server that cannot respond. Otherwise every query waits for its
        // deadline.
        let skip = reason_to_skip(&process);
        let skip = skip.as_deref();
        let (configuration, inside, version, distribution, variant, drift, host) = tokio::join!(
            unless(skip, PART_DEADLINE, async { explained(self.server.configuration().await) }),
            unless(skip, PART_DEADLINE, self.probe.sockets_inside()),
            unless(skip, PART_DEADLINE, async { explained(self.server.version().await) }),
            unless(skip, PART_DEADLINE, async { explained(self.server.distribution().await) }),
            self.variant(desired, skip),
            within(PART_DEADLINE, self.probe.known_drift()),
            within(PART_DEADLINE, async {
                let tables = explained(self.runtime.host_sockets().await)?;
                Ok(audit::listening(&tables, Table::Tcp))
            }),
        );
        let wire = Reading::Unknown(String::new());
        let certificates = match &desired.config {
            None => Reading::Known(Vec::new()),
            Some(config) => match self.configs.declared_config(config).await {
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
            clients: Vec::new(),
            nginx: unknown(NOT_ASKED),
            now,
        };
        evidence.wire = match evidence.client_listeners() {
            Reading::Known(listeners) => Reading::Known(self.wire(listeners, &desired.host).await),
            Reading::Unknown(why) => Reading::Unknown(why),
        };
        evidence
    }

    /// Returns the declared variant, and whether the variant is in force; `None` if no
    /// configuration is declared.
    async fn variant(&self, desired: &DesiredState, skip: Option<&str>) -> Option<Variant> {
        let name = desired.config.as_ref()?.variant.clone();
        let in_force = unless(skip, PART_DEADLINE, async {
            match self.configs.config(desired, None).await {
                Some(Reading::Known(config)) => Ok(config.declared == config.in_force),
                Some(Reading::Unknown(why)) => Err(why),
                None => Err("no configuration is declared".to_owned()),
            }
        });
        Some(Variant { name, in_force: in_force.await })
    }

    /// Collects the stream features of each listener, as a client sees the features.
    async fn wire(&self, listeners: Vec<ClientListener>, host: &Vhost) -> Vec<Wire> {
        join_all(listeners.into_iter().map(|listener| async {
            // Connect without TLS, because the checklist judges whether the listener demands TLS.
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

/// Returns the reason to send no queries to the server; `None` if the server may respond.
fn reason_to_skip(process: &Reading<ProcessState>) -> Option<String> {
    Some(match unresponsive(process)? {
        Unresponsive::Paused => "its container is paused".to_owned(),
        Unresponsive::NotRunning => "the server does not run".to_owned(),
        Unresponsive::Unknown(why) => why.to_owned(),
    })
}
