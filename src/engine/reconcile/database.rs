//! Decides whether the operator manages the database that the server has.
//!
//! The inventory describes one database. The operator neither fills nor prunes another database
//! without an order. For example, the server has an empty database after the loss of a volume, or
//! an administrator has copied the state directory from another host.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::generation::Generations;
use super::left_behind::{accounts, left_behind};
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

/// The minimum age of an inventory entry that proves that the account has existed on the server.
/// The operator records an account before the operator creates the account, so a younger entry
/// proves nothing.
pub(in crate::engine) const FOR_LONG: SignedDuration = SignedDuration::from_mins(10);

/// The decision whether the operator may change the database of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) enum Decision {
    /// The operator manages the database. The map holds each host whose accounts are left behind in
    /// another account store, with the reason. Without an approval, the operator does not create
    /// accounts on these hosts.
    Managed(BTreeMap<Vhost, String>),
    /// The operator changes no objects for now, because the operator cannot tell whether this
    /// database is the managed database. Contains the cause.
    Unsure(String),
    /// The operator changes nothing, because the managed database is missing. Contains the cause
    /// and what to do.
    Missing(String),
    /// The operator changes nothing, because the state directory is older than the database.
    /// Contains the cause and what to do.
    Outdated(String),
}

impl Decision {
    /// Returns the decision for a managed database without accounts that are left behind.
    const fn managed() -> Self {
        Self::Managed(BTreeMap::new())
    }

    /// Removes the steps that the operator must not carry out from `set`, and records the reason in
    /// `set`.
    pub(in crate::engine) fn restrict(self, set: &mut ChangeSet) {
        match self {
            Self::Managed(left_behind) => set.left_behind = left_behind,
            Self::Unsure(why) => {
                set.leave_objects();
                set.unknown.push(why);
            }
            Self::Missing(why) => {
                set.withhold();
                set.database_missing = Some(why);
            }
            Self::Outdated(why) => {
                set.withhold();
                set.state_outdated = Some(why);
            }
        }
    }
}

/// Orders the operator to accept any database at the next reconciliation, to fill that database
/// from the desired state, and to create a missing container at once.
pub fn order_fill(store: &dyn Store) -> Result<(), StoreError> {
    create_without_waiting(store)?;
    store.remember(StateKey::Fill, Some("ordered"))
}

/// The identification of the database that the operator manages. Also detects a state directory
/// that is older than the database.
pub struct Databases {
    pub(in crate::engine) server: EjabberdClient,
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    pub(in crate::engine) store: Arc<dyn Store>,
    /// The cache of the generation that the operator read beside the database.
    pub(in crate::engine) generations: Generations,
}

impl Databases {
    /// Reads the identity of the database.
    pub(in crate::engine) async fn database(&self, desired: &DesiredState) -> Reading<Database> {
        let hosts: Vec<&Vhost> = desired.all_hosts().collect();
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

    /// Returns the directory of the known database; `None` if the operator knows no database, or if
    /// the store fails.
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

    /// Decides whether the operator may change the observed database. If no server exists, decides
    /// about the database that a new server would have. With [`Settle::Adopt`], records the
    /// database. An order to fill another database empties `inventory`, because `inventory`
    /// describes the previous database.
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
            // The server does not respond, so the operator could not read the objects either, and
            // plans no steps for the objects.
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

    /// Decides about the database that a new server would have, if no server exists.
    async fn decide_without_server(&self, inventory: &Inventory) -> Result<Decision, StoreError> {
        match self.creation_would_lose(inventory).await {
            Ok(None) => Ok(Decision::managed()),
            Ok(Some(why)) => Ok(Decision::Missing(ways_out(&why))),
            Err(ApplyError::Store(error)) => Err(error),
            // The creation of the server fails for the same reason, and the step of the creation
            // reports the reason.
            Err(error) => Ok(Decision::Unsure(format!("failed to {error}"))),
        }
    }

    /// Carries out the order to fill another database: takes over the database and the generation.
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

    /// Accepts a state directory that is older than the database, if an order to do so exists.
    /// Returns whether the order exists. Without [`Settle::Adopt`], changes only `inventory`, so
    /// that a plan shows the steps.
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

    /// Returns why a new container would not have the database. `None` if the container would have
    /// the database, if nothing shows that a database ever existed, if an order to fill a database
    /// exists, or if a replacement is in progress.
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

    /// Returns each host whose accounts `configuration` would leave behind, with a description for
    /// people. Empty if the operator knows no database.
    pub(in crate::engine) fn would_leave(
        &self,
        desired: &DesiredState,
        configuration: &Configuration,
    ) -> Result<BTreeMap<Vhost, String>, StoreError> {
        let Some(known) = self.known_database()? else { return Ok(BTreeMap::new()) };
        let store = |host: &Vhost| (host.to_string(), configuration.account_store(host.as_str()));
        let then = desired.all_hosts().map(store).collect();
        Ok(left_behind(desired, &known.accounts, &then, &self.store.inventory()?, |_| None))
    }

    /// Takes over another database by order, and empties the inventory. The inventory describes the
    /// previous database, and an account with the same name in the new database belongs to others.
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

/// Returns why the operator does not manage this database; `None` if the operator manages the
/// database, or if the operator cannot identify the database.
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
