//! Decides whether the operator manages the database that the server has.
//!
//! The inventory describes one database. The operator neither fills nor prunes another database
//! without an order: the server may have an empty database after the loss of a volume, or the
//! state directory may be a copy from another host.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::generation::Generations;
use super::left_behind::{accounts, left_behind};
use super::observe::hosts;
use super::origin::create_without_waiting;
use super::report::ApplyError;
use super::round::Settle;
use crate::domain::configuration::Configuration;
use crate::domain::database::{Database, Match};
use crate::domain::diff::ChangeSet;
use crate::domain::inventory::Inventory;
use crate::domain::model::{ObjectKey, Vhost};
use crate::domain::observed::{ObservedState, ProcessState, Reading};
use crate::domain::spec::DesiredState;
use crate::ejabberd::EjabberdClient;
use crate::engine::error::StoreError;
use crate::engine::ports::{Runtime, StateKey, Store};

/// An account that has been in the inventory for longer than this has existed on the server. The
/// operator records an account before it creates the account, so a younger entry proves nothing.
pub(in crate::engine) const FOR_LONG: SignedDuration = SignedDuration::from_mins(10);

/// Whether the operator may change the database of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) enum Decision {
    /// The operator manages the database. The map holds the hosts whose accounts are left behind
    /// in another store, with the reason: their accounts are not created without an approval.
    Managed(BTreeMap<Vhost, String>),
    /// The operator changes no objects for now: it does not know whether this is its database.
    Unsure(String),
    /// The operator changes nothing, because its database is missing. The reason, and what to do.
    Missing(String),
    /// The operator changes nothing, because the state directory is older than the database. The
    /// reason, and what to do.
    Outdated(String),
}

impl Decision {
    /// The operator manages the database, and no account is left behind.
    const fn managed() -> Self {
        Self::Managed(BTreeMap::new())
    }

    /// Removes the steps from `set` that the operator must not carry out.
    pub(in crate::engine) fn restrict(self, set: &mut ChangeSet) {
        match self {
            Self::Managed(left_behind) => set.left_behind = left_behind,
            Self::Unsure(why) => {
                set.leave_objects();
                set.unknown.push(why);
            }
            Self::Missing(why) => {
                set.leave_objects();
                set.server.clear();
                set.objects.clear();
                set.unknown.clear();
                set.database_missing = Some(why);
            }
            Self::Outdated(why) => {
                set.leave_objects();
                set.server.clear();
                set.objects.clear();
                set.unknown.clear();
                set.state_outdated = Some(why);
            }
        }
    }
}

/// Orders the operator to fill the next database from the declaration, whichever database it is,
/// and to create a missing container at once.
pub fn order_fill(store: &dyn Store) -> Result<(), StoreError> {
    create_without_waiting(store)?;
    store.remember(StateKey::Fill, Some("ordered"))
}

/// Identifies the database that the operator manages, and compares its age with the state
/// directory.
pub struct Databases {
    pub(in crate::engine) server: EjabberdClient,
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    pub(in crate::engine) store: Arc<dyn Store>,
    /// The generation that was read beside the database.
    pub(in crate::engine) generations: Generations,
}

impl Databases {
    /// Reads the identity of the database.
    pub(in crate::engine) async fn database(&self, desired: &DesiredState) -> Reading<Database> {
        let hosts: Vec<&Vhost> = hosts(desired).collect();
        let database = match self.server.database(&hosts).await {
            Ok(database) => database,
            Err(error) => return Reading::Unknown(format!("failed to {error}")),
        };
        match self.runtime.location(&database.directory).await {
            Ok(location) => Reading::Known(Database { location, ..database }),
            Err(error) => Reading::Unknown(format!("failed to {error}")),
        }
    }

    pub(in crate::engine) fn known_database(&self) -> Result<Option<Database>, StoreError> {
        let json = self.store.recall(StateKey::Database)?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// The directory of the database; `None` if the directory is unknown.
    pub(in crate::engine) fn directory(&self) -> Option<String> {
        self.known_database().ok().flatten().map(|known| known.directory)
    }

    pub(in crate::engine) fn keep_database(&self, database: &Database) -> Result<(), StoreError> {
        if self.known_database()?.as_ref() == Some(database) {
            return Ok(());
        }
        let json = serde_json::to_string(database).unwrap_or_default();
        self.store.remember(StateKey::Database, Some(&json))
    }

    /// Decides about the observed database or, without a server, about the database that a new
    /// server would have. With [`Settle::Adopt`] the database is recorded. An order to fill
    /// another database empties `inventory`, which describes the previous database.
    pub(in crate::engine) async fn check_database(
        &self,
        desired: &DesiredState,
        state: &ObservedState,
        inventory: &mut Inventory,
        settle: Settle,
    ) -> Result<Decision, StoreError> {
        if let Reading::Known(ProcessState::Absent) = state.process {
            return self.decide_without_server(inventory).await;
        }
        let found = match &state.database {
            Reading::Known(found) => found,
            // The objects in the database could not be read either.
            Reading::Unknown(_) if state.version.known().is_none() => {
                return Ok(Decision::managed());
            }
            Reading::Unknown(why) => return Ok(Decision::Unsure(why.clone())),
        };
        let fill = self.store.recall(StateKey::Fill)?.is_some();
        let known = self.known_database()?;
        let matched = found.compare(known.as_ref(), accounts(&state.users, inventory, |_, _| true));
        if let Match::Unsure(why) = &matched {
            return Ok(Decision::Unsure(why.clone()));
        }
        if let Some(why) = why_foreign(&matched, known.as_ref(), found, state, inventory) {
            if fill {
                return self.fill(found, inventory, settle).await;
            }
            return Ok(Decision::Missing(ways_out(&why)));
        }
        let outdated = match self.outdated(found, inventory).await {
            Ok(outdated) => outdated,
            Err(ApplyError::Store(error)) => return Err(error),
            Err(error) => return Ok(Decision::Unsure(format!("failed to {error}"))),
        };
        match outdated {
            Some(_) if fill => return self.fill(found, inventory, settle).await,
            Some(why) if !self.accept_outdated(desired, found, inventory, settle).await? => {
                return Ok(Decision::Outdated(ways_out_of_old_state(&why)));
            }
            None if settle == Settle::Adopt && self.store.recall(StateKey::AdoptAll)?.is_some() => {
                self.store.remember(StateKey::AdoptAll, None)?;
            }
            Some(_) | None => {}
        }
        if let Match::TakenOver(Some(moved)) = &matched {
            tracing::warn!("the database has moved: {moved}");
        }
        let before = known.as_ref().map(|known| &known.accounts);
        let left_behind = before.map_or_else(BTreeMap::new, |before| {
            left_behind(desired, before, &found.accounts, inventory, |host| {
                Some(accounts(&state.users, inventory, |jid, _| jid.host == *host))
            })
        });
        if settle == Settle::Adopt {
            if fill {
                self.store.remember(StateKey::Fill, None)?;
            }
            if left_behind.is_empty() {
                self.keep_database(found)?;
            }
        }
        Ok(Decision::Managed(left_behind))
    }

    /// The decision without a server: about the database that a new server would have.
    async fn decide_without_server(&self, inventory: &Inventory) -> Result<Decision, StoreError> {
        match self.creation_would_lose(inventory).await {
            Ok(None) => Ok(Decision::managed()),
            Ok(Some(why)) => Ok(Decision::Missing(ways_out(&why))),
            Err(ApplyError::Store(error)) => Err(error),
            // The creation fails for the same reason, and its step reports it.
            Err(error) => Ok(Decision::Unsure(format!("failed to {error}"))),
        }
    }

    /// Carries out the order to fill another database.
    async fn fill(
        &self,
        found: &Database,
        inventory: &mut Inventory,
        settle: Settle,
    ) -> Result<Decision, StoreError> {
        self.take_over(found, inventory, settle)?;
        if settle == Settle::Adopt {
            self.take_generation(found).await?;
        }
        Ok(Decision::managed())
    }

    /// Accepts a state directory that is older than the database, if that was ordered. Returns
    /// whether it was ordered. Without [`Settle::Adopt`] only `inventory` changes, so that a plan
    /// shows the steps.
    async fn accept_outdated(
        &self,
        desired: &DesiredState,
        found: &Database,
        inventory: &mut Inventory,
        settle: Settle,
    ) -> Result<bool, StoreError> {
        if self.store.recall(StateKey::AdoptAll)?.is_none() {
            return Ok(false);
        }
        if settle == Settle::Adopt {
            self.accept_state(desired, found, inventory).await?;
        } else {
            let others: Vec<ObjectKey> =
                inventory.keys().filter(|key| !desired.declares(key)).collect();
            others.iter().for_each(|key| inventory.remove(key));
        }
        Ok(true)
    }

    /// Why a new container would not have the database. `None` if the container would have the
    /// database, if no database was ever known, or if an order to fill a database exists.
    pub(in crate::engine) async fn creation_would_lose(
        &self,
        inventory: &Inventory,
    ) -> Result<Option<String>, ApplyError> {
        let known = self.known_database()?;
        let expected = known.is_some() || self.knows_a_container()? || owns_accounts(inventory);
        let ordered = self.store.recall(StateKey::Fill)?.is_some();
        if ordered || !expected || self.is_replacing()? {
            return Ok(None);
        }
        Ok(self.runtime.would_lose(known.as_ref()).await?)
    }

    /// The hosts whose accounts `configuration` would leave behind, with a description for
    /// people.
    pub(in crate::engine) fn would_leave(
        &self,
        desired: &DesiredState,
        configuration: &Configuration,
    ) -> Result<BTreeMap<Vhost, String>, StoreError> {
        let Some(known) = self.known_database()? else { return Ok(BTreeMap::new()) };
        let store = |host: &Vhost| (host.to_string(), configuration.account_store(host.as_str()));
        let then = hosts(desired).map(store).collect();
        Ok(left_behind(desired, &known.accounts, &then, &self.store.inventory()?, |_| None))
    }

    /// Takes over another database by order. The inventory describes the previous database: an
    /// account of the same name in the new database belongs to others.
    fn take_over(
        &self,
        found: &Database,
        inventory: &mut Inventory,
        settle: Settle,
    ) -> Result<(), StoreError> {
        let owned: Vec<ObjectKey> = inventory.keys().collect();
        if settle == Settle::Adopt {
            self.store.record(&[], &owned)?;
            self.keep_database(found)?;
            self.store.remember(StateKey::Fill, None)?;
            tracing::warn!("the operator fills another database from the declaration, by order");
        }
        owned.iter().for_each(|key| inventory.remove(key));
        Ok(())
    }

    fn is_replacing(&self) -> Result<bool, StoreError> {
        Ok(self.store.recall(StateKey::Replacement)?.is_some())
    }
}

/// Why the operator does not manage this database; `None` if the operator manages it.
fn why_foreign(
    matched: &Match,
    known: Option<&Database>,
    found: &Database,
    state: &ObservedState,
    inventory: &Inventory,
) -> Option<String> {
    match matched {
        Match::Foreign(why) => Some(why.clone()),
        Match::Unsure(_) => None,
        Match::Ours | Match::TakenOver(_) => {
            let now = Timestamp::now();
            let kept_as_before = |host: &Vhost| {
                let before = known.and_then(|known| known.accounts.get(host.as_str()));
                before.is_none_or(|before| found.accounts.get(host.as_str()) == Some(before))
            };
            let old = accounts(&state.users, inventory, |jid, since| {
                kept_as_before(&jid.host) && now.duration_since(since) > FOR_LONG
            });
            (old.owned > 1 && old.there == 0 && !old.partial)
                .then(|| format!("the database has none of the {} owned accounts", old.owned))
        }
    }
}

fn ways_out(why: &str) -> String {
    format!(
        "the database that the operator manages is missing: {why}; nothing is created, filled or \
         deleted; bring the database back, or run `ejabberd-operator retry --fill` to fill this \
         database from the declaration (it does not have the data of the missing database)"
    )
}

fn ways_out_of_old_state(why: &str) -> String {
    format!(
        "{why}; nothing is created, changed or deleted; put the current state directory back, or \
         run `ejabberd-operator adopt --all` to continue with this one and own only declared \
         objects"
    )
}

fn owns_accounts(inventory: &Inventory) -> bool {
    inventory.users().next().is_some()
}
