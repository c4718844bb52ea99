//! Observes the parts of the server that a reconciliation compares with the desired state.

mod accounts;
mod rooms;
mod services;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use tokio::time::sleep;

use self::accounts::Accounts;
use self::services::Reachability;
use super::report::ServerStats;
use crate::domain::inventory::{Fingerprint, Inventory};
use crate::domain::model::{ObjectKey, ServerVersion, Vhost};
use crate::domain::observed::{ObservedState, PAUSED, ProcessState, Reading, RuntimeDrift};
use crate::domain::spec::{DesiredState, ServerState};
use crate::domain::supervision::HALTED_FOR;
use crate::ejabberd::{ControlError, NodePhase};
use crate::engine::reconcile::round::Reconciler;

/// The maximum number of concurrent calls. The control channel has a smaller limit, so this number
/// only keeps the channel busy.
pub(in crate::engine) const CONCURRENCY: usize = 64;

/// The result of an observation: the observed state, and facts that the operator records.
pub(in crate::engine) struct Observation {
    pub(in crate::engine) state: ObservedState,
    pub(in crate::engine) server_stats: ServerStats,
    /// The fingerprints of declared values that are in force, for the inventory.
    pub(in crate::engine) seen: Seen,
}

/// The visibility of the server to the operator.
pub(in crate::engine) enum Sight {
    /// The server responds. Contains the version.
    Answers(ServerVersion),
    /// ejabberd is starting.
    Starting,
    /// The server does not serve clients, or does not yet serve clients. Contains the reason.
    Silent(String),
    /// The server runs and may serve clients, but the operator cannot see the server. Contains the
    /// reason.
    Unseen(String),
}

/// The reason why the operator cannot observe a starting server.
const STARTING: &str = "the server is starting";

/// The reason why the operator cannot observe a node that runs without ejabberd.
pub(in crate::engine) const HALTED: &str = "ejabberd has been stopped in its node";

/// The fingerprints of declared values that are in force.
#[derive(Default)]
pub(in crate::engine) struct Seen {
    pub(in crate::engine) passwords: Vec<(ObjectKey, Fingerprint)>,
    pub(in crate::engine) vcards: Vec<(ObjectKey, Fingerprint)>,
}

impl Reconciler {
    pub(in crate::engine) async fn observe(
        &self,
        desired: &DesiredState,
        inventory: &Inventory,
    ) -> Observation {
        let mut process = match self.runtime.inspect().await {
            Ok(state) => Reading::Known(state),
            Err(e) => Reading::Unknown(format!("failed to {e}")),
        };
        let (drift, sight) = tokio::join!(self.drift(&process), self.sight_of(&process));
        let unseen = matches!(sight, Sight::Unseen(_));
        let starting = matches!(sight, Sight::Starting);
        let version = match sight {
            Sight::Answers(version) => Reading::Known(version),
            Sight::Starting => Reading::Unknown(STARTING.to_owned()),
            Sight::Silent(why) | Sight::Unseen(why) => Reading::Unknown(why),
        };
        // Without a running supervisor, this reconciliation must restart a halted node.
        let must_run = !self.supervised
            && desired.server.state == ServerState::Running
            && matches!(process, Reading::Known(ProcessState::Running { .. }));
        if must_run && version.known().is_none() && self.is_halted().await {
            // An earlier operator was killed between the stop of ejabberd and the stop of the
            // process. Report a stopped process, so that the plan has a start.
            process = Reading::Known(ProcessState::Stopped { exit_code: None, oom_killed: false });
        }
        if let Reading::Unknown(why) = &version {
            let state = self.observe_silent(desired, process, drift, why).await;
            return Observation {
                state: ObservedState { unseen, starting, ..state },
                server_stats: ServerStats::default(),
                seen: Seen::default(),
            };
        }
        // Once the server does not respond, each further call would wait until the deadline.
        let away = &AtomicBool::new(false);
        let (config, accounts, groups, rooms, accounts_table, server_stats, database, services) = tokio::join!(
            self.configs.config(desired, None),
            self.accounts(desired, inventory, away),
            self.groups(desired, away),
            self.rooms(desired, inventory, away),
            self.accounts_table(desired),
            self.server_stats(desired),
            self.databases.database(desired),
            self.services(desired),
        );
        let read = config.as_ref();
        let listeners = self.listeners_behind(desired, &drift, read, Reachability::Responds).await;
        let Accounts { users, kept_elsewhere, passwords, bans, vcards, seen } = accounts;
        let state = ObservedState {
            process,
            version,
            unseen,
            starting,
            config,
            drift,
            users,
            passwords,
            kept_elsewhere,
            bans,
            vcards,
            groups,
            rooms,
            accounts_table,
            database,
            listeners,
            services,
        };
        Observation { state, server_stats, seen }
    }

    /// Observes a server that does not respond.
    async fn observe_silent(
        &self,
        desired: &DesiredState,
        process: Reading<ProcessState>,
        drift: Reading<Option<RuntimeDrift>>,
        why: &str,
    ) -> ObservedState {
        let config = match &process {
            Reading::Known(process) => self.configs.config(desired, Some(process)).await,
            Reading::Unknown(why) => desired.config.as_ref().map(|_| Reading::Unknown(why.clone())),
        };
        let unknown = |host: &Vhost| (host.clone(), Reading::Unknown(why.to_owned()));
        let users = desired.all_hosts().map(unknown).collect();
        let listeners =
            self.listeners_behind(desired, &drift, config.as_ref(), Reachability::Silent).await;
        let state = ObservedState::unanswered(process, why);
        ObservedState { config, drift, users, listeners, ..state }
    }

    /// Whether ejabberd is stopped in the node for at least [`HALTED_FOR`]. After a shorter time,
    /// an administrator may be restarting ejabberd in the node.
    async fn is_halted(&self) -> bool {
        let stopped = || async { matches!(self.server.phase().await, Ok(NodePhase::Stopped)) };
        if !stopped().await {
            return false;
        }
        sleep(HALTED_FOR).await;
        stopped().await
    }

    async fn accounts_table(&self, desired: &DesiredState) -> Option<Reading<String>> {
        desired.server.accounts_table?;
        Some(match self.server.accounts_table().await {
            Ok(storage) => Reading::Known(storage),
            Err(e) => Reading::Unknown(format!("failed to {e}")),
        })
    }

    async fn drift(&self, process: &Reading<ProcessState>) -> Reading<Option<RuntimeDrift>> {
        match process {
            Reading::Known(ProcessState::Absent) => Reading::Known(None),
            Reading::Known(_) => {
                match self.runtime.drift(self.databases.directory().as_deref()).await {
                    Ok(found) => Reading::Known(found),
                    Err(e) => Reading::Unknown(format!("failed to {e}")),
                }
            }
            Reading::Unknown(why) => Reading::Unknown(why.clone()),
        }
    }

    async fn sight_of(&self, process: &Reading<ProcessState>) -> Sight {
        match process {
            Reading::Known(ProcessState::Running { health })
                if health.as_deref() == Some(PAUSED) =>
            {
                let why = "the server is paused; `docker unpause`, or the signal CONT, resumes it";
                Sight::Silent(why.to_owned())
            }
            // A running supervisor probes the server, so use the result of the supervisor.
            Reading::Known(ProcessState::Running { .. })
                if self.supervised && !self.supervisor.is_hands_off() =>
            {
                match self.supervisor.silence().await {
                    Some(silence) => silence,
                    None => self.answering_version().await,
                }
            }
            Reading::Known(ProcessState::Running { .. }) => match self.answering_version().await {
                sight @ (Sight::Silent(_) | Sight::Starting) => {
                    self.supervisor.cannot_see().await.map_or(sight, Sight::Unseen)
                }
                sight => sight,
            },
            Reading::Known(_) => Sight::Silent("the server does not run".to_owned()),
            Reading::Unknown(why) => Sight::Silent(why.clone()),
        }
    }

    /// Returns the version of a server that has started completely, or else why the server does not
    /// serve clients.
    async fn answering_version(&self) -> Sight {
        let ask = async {
            let phase = self.server.phase().await?;
            Ok::<_, ControlError>((self.server.version().await?, phase))
        };
        let silent = |why: &str| Sight::Silent(why.to_owned());
        match ask.await {
            Ok((version, NodePhase::Running)) => Sight::Answers(version),
            Ok((_, NodePhase::Starting)) => Sight::Starting,
            Ok((_, NodePhase::Stopping)) => silent("the server is stopping"),
            Ok((_, NodePhase::Stopped)) => silent(HALTED),
            Err(e) => Sight::Silent(format!("failed to {e}")),
        }
    }

    /// Reads the numbers for the metrics. Omits a number that the operator fails to read.
    async fn server_stats(&self, desired: &DesiredState) -> ServerStats {
        let uptime_seconds =
            self.server.uptime_seconds().await.ok().and_then(|n| u64::try_from(n).ok());
        let mut connected = BTreeMap::new();
        for host in desired.all_hosts() {
            if let Some(count) =
                self.server.connected_users(host).await.ok().and_then(|n| u64::try_from(n).ok())
            {
                connected.insert(host.clone(), count);
            }
        }
        // The meter needs repeated readings, which only a running operator makes.
        let usage = self.supervised.then(|| self.meter.read()).flatten();
        ServerStats { uptime_seconds, connected, usage }
    }
}

/// The reason why the operator did not read an object after the begin of an outage.
const AWAY: &str = "the server does not respond";

/// Reads each object of `wanted` with `ask`, concurrently. After the begin of an outage, the result
/// of each further object is unknown.
async fn each<K, T, F>(
    wanted: impl IntoIterator<Item = K>,
    away: &AtomicBool,
    ask: impl Fn(K) -> F,
) -> BTreeMap<K, Reading<T>>
where
    K: Clone + Ord,
    F: Future<Output = Result<T, ControlError>>,
{
    let asks = wanted.into_iter().map(|key| {
        let asking = ask(key.clone());
        async move {
            if away.load(Ordering::Relaxed) {
                return (key, Reading::Unknown(AWAY.to_owned()));
            }
            let reading = match asking.await {
                Ok(found) => Reading::Known(found),
                Err(error) => unknown(&error, away),
            };
            (key, reading)
        }
    });
    let asks: Vec<_> = asks.collect();
    stream::iter(asks).buffer_unordered(CONCURRENCY).collect().await
}

fn unknown<T>(error: &ControlError, away: &AtomicBool) -> Reading<T> {
    if error.is_outage() {
        away.store(true, Ordering::Relaxed);
    }
    Reading::Unknown(format!("failed to {error}"))
}
