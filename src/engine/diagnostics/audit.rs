//! Gathering what the security checklist judges.

use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::timeout;

use super::Diagnostics;
use crate::domain::checks::audit;
use crate::domain::checks::audit::{ClientListener, Evidence, Table, Variant, Wire};
use crate::domain::model::Vhost;
use crate::domain::observed::{PAUSED, ProcessState, Reading};
use crate::domain::spec::DesiredState;
use crate::ejabberd::{ControlError, Endpoint};
use crate::engine::rollout::compare::certificates;

/// How long one part may take. There are three after each other: whether it
/// runs, everything else at once, and the wire.
pub(super) const PART_DEADLINE: Duration = Duration::from_secs(10);

/// How long a listener may take to say what it offers.
const WIRE_DEADLINE: Duration = Duration::from_secs(5);

impl Diagnostics {
    /// Gathers everything about the server that the security checklist needs.
    /// Changes nothing, and ends within half a minute.
    pub async fn evidence(&self, desired: &DesiredState) -> Evidence {
        let process = within(PART_DEADLINE, async {
            self.runtime.inspect().await.map_err(|e| format!("failed to {e}"))
        });
        let process = process.await;
        let silent = silence(&process);
        // What the server is asked itself is not even tried where it cannot answer.
        let (configuration, inside, version, distribution, variant, drift, host) = tokio::join!(
            asked(silent.as_deref(), async { said(self.server.configuration().await) }),
            asked(silent.as_deref(), self.probe.sockets_inside()),
            asked(silent.as_deref(), async { said(self.server.version().await) }),
            asked(silent.as_deref(), async { said(self.server.distribution().await) }),
            self.variant(desired, silent.as_deref()),
            within(PART_DEADLINE, self.probe.known_drift()),
            within(PART_DEADLINE, async {
                let tables = self.runtime.host_sockets().await;
                let tables = tables.map_err(|e| format!("failed to {e}"))?;
                Ok(audit::listening(&tables, Table::Tcp))
            }),
        );
        let wire = Reading::Unknown(String::new());
        let certificates = match &desired.config {
            None => Reading::Known(Vec::new()),
            Some(config) => match self.configs.declared_config(config).await {
                Ok(files) => Reading::Known(certificates(&files)),
                Err(e) => Reading::Unknown(format!("failed to {e}")),
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

    async fn variant(&self, desired: &DesiredState, silent: Option<&str>) -> Option<Variant> {
        let name = desired.config.as_ref()?.variant.clone();
        let in_force = asked(silent, async {
            match self.configs.config(desired, None).await {
                Some(Reading::Known(config)) => Ok(config.declared == config.in_force),
                Some(Reading::Unknown(why)) => Err(why),
                None => Err("no configuration is declared".to_owned()),
            }
        });
        Some(Variant { name, in_force: in_force.await })
    }

    /// Opens a stream to each listener, as a client does.
    async fn wire(&self, listeners: Vec<ClientListener>, host: &Vhost) -> Vec<Wire> {
        join_all(listeners.into_iter().map(|listener| async {
            // Without TLS: whether it is there is what the checklist asks.
            let to = Endpoint { proxied: listener.proxied, ..Endpoint::plain(listener.at) };
            let features = within(PART_DEADLINE, self.features(to, host)).await;
            Wire { listener, features }
        }))
        .await
    }

    async fn features(&self, to: Endpoint, host: &Vhost) -> Result<String, String> {
        said(self.server.open_stream(to, host, WIRE_DEADLINE).await)
    }
}

pub(super) fn said<T>(answer: Result<T, ControlError>) -> Result<T, String> {
    answer.map_err(|e| format!("failed to {e}"))
}

/// Why a server cannot be asked, if so.
fn silence(process: &Reading<ProcessState>) -> Option<String> {
    match process {
        Reading::Known(ProcessState::Running { health }) if health.as_deref() == Some(PAUSED) => {
            Some("its container is paused".to_owned())
        }
        Reading::Known(ProcessState::Running { .. }) => None,
        Reading::Known(_) => Some("the server does not run".to_owned()),
        Reading::Unknown(why) => Some(why.clone()),
    }
}

async fn asked<T>(
    silent: Option<&str>,
    ask: impl Future<Output = Result<T, String>>,
) -> Reading<T> {
    match silent {
        Some(why) => Reading::Unknown(why.to_owned()),
        None => within(PART_DEADLINE, ask).await,
    }
}

pub(super) async fn within<T>(
    deadline: Duration,
    ask: impl Future<Output = Result<T, String>>,
) -> Reading<T> {
    match timeout(deadline, ask).await {
        Ok(Ok(value)) => Reading::Known(value),
        Ok(Err(why)) => Reading::Unknown(why),
        Err(_) => Reading::Unknown(format!("no answer within {deadline:?}")),
    }
}
