//! Reading: everything that a round compares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use super::Engine;
use super::error::ControlError;
use super::report::Vitals;
use crate::inventory::{Fingerprint, Inventory};
use crate::model::{Jid, Kind, Localpart, ObjectKey, RoomJid, ServerVersion, Vhost};
use crate::observed::{ObservedRooms, ObservedState, PAUSED, ProcessState, Reading, Surroundings};
use crate::spec::{DesiredState, PasswordPolicy, SecretSource, ServerState, UserState};

/// Calls that are under way at once. The control channel has a window of its
/// own; this only keeps it full.
pub(super) const CONCURRENCY: usize = 64;

/// So many owned accounts are asked for by name when a host reads as empty.
const SECOND_LOOKS: usize = 3;

/// What was read, and what was learned on the way.
pub(super) struct Observation {
    pub(super) state: ObservedState,
    pub(super) vitals: Vitals,
    /// Passwords that were seen to be in force and were not remembered yet.
    pub(super) seen: Vec<(ObjectKey, Fingerprint)>,
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
        let hosts: BTreeSet<&Vhost> =
            std::iter::once(&desired.host).chain(&desired.hosts).collect();
        if let Reading::Unknown(why) = &version {
            let config = match &process {
                Reading::Known(process) => self.config(desired, Some(process)).await,
                Reading::Unknown(why) => {
                    desired.config.as_ref().map(|_| Reading::Unknown(why.clone()))
                }
            };
            let users = hosts
                .into_iter()
                .map(|host| (host.clone(), Reading::Unknown(why.clone())))
                .collect();
            let rooms = Reading::Unknown(why.clone());
            let passwords = BTreeMap::new();
            let state =
                ObservedState { process, version, config, surroundings, users, passwords, rooms };
            return Observation { state, vitals: Vitals::default(), seen: Vec::new() };
        }
        // Once one call of many has found the server away, the rest are not sent:
        // each would wait for its own deadline.
        let away = &AtomicBool::new(false);
        let accounts = async {
            let reads = hosts
                .iter()
                .map(|host| async move { ((*host).clone(), self.accounts(host, inventory).await) });
            let users: BTreeMap<_, _> =
                futures_util::future::join_all(reads).await.into_iter().collect();
            let (passwords, seen) = self.passwords(desired, inventory, &users, away).await;
            (users, passwords, seen)
        };
        let (config, (users, passwords, seen), rooms, vitals) = tokio::join!(
            self.config(desired, None),
            accounts,
            self.rooms(desired, inventory, away),
            self.vitals(&hosts)
        );
        let state =
            ObservedState { process, version, config, surroundings, users, passwords, rooms };
        Observation { state, vitals, seen }
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
            Ok((_, false)) => Reading::Unknown("the server is starting".to_owned()),
            Err(e) => Reading::Unknown(format!("failed to {e}")),
        }
    }

    async fn accounts(&self, host: &Vhost, inventory: &Inventory) -> Reading<BTreeSet<Localpart>> {
        let names = match self.server.registered_users(host).await {
            Ok(names) => names,
            Err(e) => return Reading::Unknown(format!("failed to {e}")),
        };
        if !names.is_empty() {
            return Reading::Known(names);
        }
        match self.emptiness_is_real(host, inventory).await {
            Ok(true) => Reading::Known(names),
            Ok(false) => Reading::Unknown(
                "the list of accounts came back empty, but the server says otherwise when asked in another way".to_owned(),
            ),
            Err(e) => Reading::Unknown(format!("an empty list of accounts could not be confirmed: failed to {e}")),
        }
    }

    /// Whether a host that reads as empty is so: an empty list can also be a
    /// failed query. Asks in two other ways.
    async fn emptiness_is_real(
        &self,
        host: &Vhost,
        inventory: &Inventory,
    ) -> Result<bool, ControlError> {
        let owned = inventory.of_kind(Kind::User).filter_map(|(name, _)| name.parse::<Jid>().ok());
        let owned: Vec<Jid> = owned.filter(|jid| jid.host == *host).take(SECOND_LOOKS).collect();
        if owned.is_empty() {
            return Ok(true);
        }
        for jid in &owned {
            if self.server.account_exists(jid).await? {
                return Ok(false);
            }
        }
        Ok(self.server.count_users(host).await? <= 0)
    }

    /// Compares the passwords that are declared with those in force. One that
    /// was seen in force before is only compared by its fingerprint: asking
    /// costs the server half a millisecond of hashing each.
    async fn passwords(
        &self,
        desired: &DesiredState,
        inventory: &Inventory,
        users: &BTreeMap<Vhost, Reading<BTreeSet<Localpart>>>,
        away: &AtomicBool,
    ) -> (BTreeMap<Jid, Reading<bool>>, Vec<(ObjectKey, Fingerprint)>) {
        let there = |jid: &Jid| {
            users
                .get(&jid.host)
                .and_then(Reading::known)
                .is_some_and(|names| names.contains(&jid.local))
        };
        let declared = desired.users.iter().flatten().filter_map(|(jid, user)| {
            let source = user.password.as_ref()?;
            let enforced = user.password_policy == PasswordPolicy::Enforce
                && user.state == UserState::Present
                && !user.paused
                && !matches!(source, SecretSource::Generate)
                && !desired.policy.ignores(&jid.to_string());
            (enforced && there(jid)).then_some((jid, source))
        });
        let declared: Vec<_> = declared.collect();
        let again = self.rechecks.next(declared.len());
        let checks = declared.into_iter().enumerate().map(|(n, (jid, source))| async move {
            let key = ObjectKey::new(Kind::User, jid);
            let remembered = inventory.get(&key).and_then(|owned| owned.password.as_ref());
            let remembered = remembered.filter(|_| !again.contains(n));
            let (reading, seen) = self.password(jid, source, remembered, away).await;
            (jid.clone(), reading, seen.map(|fingerprint| (key, fingerprint)))
        });
        let checks: Vec<_> = checks.collect();
        let results: Vec<_> = stream::iter(checks).buffer_unordered(CONCURRENCY).collect().await;
        let mut readings = BTreeMap::new();
        let mut learned = Vec::new();
        for (jid, reading, seen) in results {
            readings.insert(jid, reading);
            learned.extend(seen);
        }
        (readings, learned)
    }

    async fn password(
        &self,
        jid: &Jid,
        source: &SecretSource,
        remembered: Option<&Fingerprint>,
        away: &AtomicBool,
    ) -> (Reading<bool>, Option<Fingerprint>) {
        let password = match self.secrets.read(source).await {
            Ok(password) => password,
            Err(e) => return (Reading::Unknown(format!("failed to {e}")), None),
        };
        let fingerprint = self.store.fingerprint(&password);
        if remembered == Some(&fingerprint) {
            return (Reading::Known(true), None);
        }
        if away.load(Ordering::Relaxed) {
            return (Reading::Unknown(AWAY.to_owned()), None);
        }
        match self.server.password_is(jid, &password).await {
            Ok(true) => (Reading::Known(true), Some(fingerprint)),
            Ok(false) => (Reading::Known(false), None),
            Err(e) => (unknown(&e, away), None),
        }
    }

    async fn rooms(
        &self,
        desired: &DesiredState,
        inventory: &Inventory,
        away: &AtomicBool,
    ) -> Reading<ObservedRooms> {
        let online = match self.server.online_rooms().await {
            Ok(rooms) => rooms,
            Err(e) => return Reading::Unknown(format!("failed to {e}")),
        };
        // Hibernated rooms are missing among those online, so each declared
        // and each owned one is asked for by name.
        let owned =
            inventory.of_kind(Kind::Room).filter_map(|(name, _)| name.parse::<RoomJid>().ok());
        let wanted: BTreeSet<RoomJid> =
            desired.rooms.iter().flat_map(BTreeMap::keys).cloned().chain(owned).collect();
        let looks = wanted.into_iter().map(|room| async move {
            let reading = if away.load(Ordering::Relaxed) {
                Reading::Unknown(AWAY.to_owned())
            } else {
                match self.server.room_options(&room).await {
                    Ok(options) => Reading::Known(options),
                    Err(e) => unknown(&e, away),
                }
            };
            (room, reading)
        });
        let looks: Vec<_> = looks.collect();
        let details = stream::iter(looks).buffer_unordered(CONCURRENCY).collect().await;
        Reading::Known(ObservedRooms { online, details })
    }

    /// Numbers for the metrics. One that cannot be had is left out.
    async fn vitals(&self, hosts: &BTreeSet<&Vhost>) -> Vitals {
        let uptime_seconds =
            self.server.uptime_seconds().await.ok().and_then(|n| u64::try_from(n).ok());
        let mut connected = BTreeMap::new();
        for host in hosts {
            if let Some(count) =
                self.server.connected_users(host).await.ok().and_then(|n| u64::try_from(n).ok())
            {
                connected.insert((*host).clone(), count);
            }
        }
        let usage = self.runtime.usage().await.ok().flatten();
        Vitals { uptime_seconds, connected, usage }
    }
}

/// What is said of objects that were not asked for any more.
const AWAY: &str = "the server is away";

fn unknown<T>(error: &ControlError, away: &AtomicBool) -> Reading<T> {
    if error.is_outage() {
        away.store(true, Ordering::Relaxed);
    }
    Reading::Unknown(format!("failed to {error}"))
}
