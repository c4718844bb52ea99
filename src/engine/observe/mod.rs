//! Reading: everything that a round compares.

mod accounts;
mod rooms;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use self::accounts::Accounts;
use super::Engine;
use super::error::ControlError;
use super::report::{STARTING, Vitals};
use crate::inventory::{Fingerprint, Inventory};
use crate::model::{ObjectKey, ServerVersion, Vhost};
use crate::observed::{ObservedState, PAUSED, ProcessState, Reading, Surroundings};
use crate::spec::{DesiredState, ServerState};

/// Calls that are under way at once. The control channel has a window of its
/// own; this only keeps it full.
pub(super) const CONCURRENCY: usize = 64;

/// What was read, and what was learned on the way.
pub(super) struct Observation {
    pub(super) state: ObservedState,
    pub(super) vitals: Vitals,
    /// What was seen to be in force and was not remembered yet.
    pub(super) seen: Seen,
}

/// Fingerprints of what was seen to be in force.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) passwords: Vec<(ObjectKey, Fingerprint)>,
    pub(super) vcards: Vec<(ObjectKey, Fingerprint)>,
}

impl Engine {
    pub(super) async fn observe(
        &self,
        desired: &DesiredState,
        inventory: &Inventory,
    ) -> Observation {
        let mut process = match self.runtime.inspect().await {
            Ok(state) => Reading::Known(state),
            Err(e) => Reading::Unknown(format!("failed to {e}")),
        };
        let (surroundings, version) =
            tokio::join!(self.surroundings(&process), self.version_of(&process));
        // A keeper that watches all the time has seen to it already.
        let shall_run = !self.supervised
            && desired.server.state == ServerState::Running
            && matches!(process, Reading::Known(ProcessState::Running { .. }));
        if shall_run
            && version.known().is_none()
            && matches!(self.server.is_halted().await, Ok(true))
        {
            // Whoever stopped it did not come to stop its process.
            process = Reading::Known(ProcessState::Stopped { exit_code: None, oom_killed: false });
        }
        if let Reading::Unknown(why) = &version {
            let config = match &process {
                Reading::Known(process) => self.config(desired, Some(process)).await,
                Reading::Unknown(why) => {
                    desired.config.as_ref().map(|_| Reading::Unknown(why.clone()))
                }
            };
            let users = hosts(desired).map(|host| (host.clone(), Reading::Unknown(why.clone())));
            let users = users.collect();
            let state = ObservedState::unanswered(process, why);
            let state = ObservedState { config, surroundings, users, ..state };
            return Observation { state, vitals: Vitals::default(), seen: Seen::default() };
        }
        // Once one call of many has found the server away, the rest are not sent:
        // each would wait for its own deadline.
        let away = &AtomicBool::new(false);
        let (config, accounts, groups, rooms, accounts_table, vitals) = tokio::join!(
            self.config(desired, None),
            self.accounts(desired, inventory, away),
            self.groups(desired, away),
            self.rooms(desired, inventory, away),
            self.accounts_table(desired),
            self.vitals(desired)
        );
        let Accounts { users, kept_elsewhere, passwords, bans, vcards, seen } = accounts;
        let state = ObservedState {
            process,
            version,
            config,
            surroundings,
            users,
            passwords,
            kept_elsewhere,
            bans,
            vcards,
            groups,
            rooms,
            accounts_table,
        };
        Observation { state, vitals, seen }
    }

    async fn accounts_table(&self, desired: &DesiredState) -> Option<Reading<String>> {
        desired.server.accounts_table?;
        Some(match self.server.accounts_table().await {
            Ok(storage) => Reading::Known(storage),
            Err(e) => Reading::Unknown(format!("failed to {e}")),
        })
    }

    async fn surroundings(&self, process: &Reading<ProcessState>) -> Reading<Option<Surroundings>> {
        match process {
            Reading::Known(ProcessState::Absent) => Reading::Known(None),
            Reading::Known(_) => match self.runtime.surroundings().await {
                Ok(found) => Reading::Known(found),
                Err(e) => Reading::Unknown(format!("failed to {e}")),
            },
            Reading::Unknown(why) => Reading::Unknown(why.clone()),
        }
    }

    async fn version_of(&self, process: &Reading<ProcessState>) -> Reading<ServerVersion> {
        let unknown = |why: &str| Reading::Unknown(why.to_owned());
        match process {
            Reading::Known(ProcessState::Running { health })
                if health.as_deref() == Some(PAUSED) =>
            {
                unknown("somebody paused it: `docker unpause`, or the signal CONT, lets it go on")
            }
            Reading::Known(ProcessState::Running { .. }) => {
                match self.keeper.silence().await.filter(|_| self.supervised) {
                    Some(why) => unknown(why),
                    None => self.answering_version().await,
                }
            }
            Reading::Known(_) => unknown("the server does not run"),
            Reading::Unknown(why) => unknown(why),
        }
    }

    /// The version of a server that has started as a whole.
    async fn answering_version(&self) -> Reading<ServerVersion> {
        let ask = async {
            let version = self.server.version().await?;
            Ok::<_, ControlError>((version, self.server.is_started().await?))
        };
        match ask.await {
            Ok((version, true)) => Reading::Known(version),
            Ok((_, false)) => Reading::Unknown(STARTING.to_owned()),
            Err(e) => Reading::Unknown(format!("failed to {e}")),
        }
    }

    /// Numbers for the metrics. One that cannot be had is left out.
    async fn vitals(&self, desired: &DesiredState) -> Vitals {
        let uptime_seconds =
            self.server.uptime_seconds().await.ok().and_then(|n| u64::try_from(n).ok());
        let mut connected = BTreeMap::new();
        for host in hosts(desired) {
            if let Some(count) =
                self.server.connected_users(host).await.ok().and_then(|n| u64::try_from(n).ok())
            {
                connected.insert(host.clone(), count);
            }
        }
        // Only who goes on looking has a use for it.
        let usage = self.supervised.then(|| self.meter.read()).flatten();
        Vitals { uptime_seconds, connected, usage }
    }
}

/// Our vhosts, each once.
fn hosts(desired: &DesiredState) -> impl Iterator<Item = &Vhost> {
    std::iter::once(&desired.host).chain(&desired.hosts)
}

/// What is said of objects that were not asked for any more.
const AWAY: &str = "the server is away";

/// Asks for each of `wanted`, many at once, as long as the server is there.
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
