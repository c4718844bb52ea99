//! The port for the state that the operator keeps across restarts.

use jiff::Timestamp;
use serde::Serialize;

use super::runtime::ConfigFiles;
use crate::domain::inventory::{Fingerprint, Inventory, Owned};
use crate::domain::model::{Digest, Jid, ObjectKey, Revision, Secret};
use crate::domain::status::Event;
use crate::engine::error::StoreError;

/// The number of good configurations that the store keeps.
pub const GOOD_CONFIGS: usize = 5;

/// The number of events that the store keeps.
pub const KEPT_EVENTS: usize = 1000;

/// The key of a value that the store keeps as a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKey {
    /// The state of the supervisor, for example the number of starts and the backoff.
    Supervision,
    /// The record of the rollout in progress.
    Rollout,
    /// The failed configuration that the operator does not try again.
    Latch,
    /// The differences of a container whose replacement failed. The operator replaces the
    /// container again only when the differences change.
    FailedReplacement,
    /// The record of the replacement in progress, whose new container has not yet proved good.
    Replacement,
    /// The identity of the database that the operator manages.
    Database,
    /// The generation: a number that grows with every change of ownership.
    Generation,
    /// A mark that the ownership or a registration has changed since the last generation.
    OwnershipChanged,
    /// An order to accept an older state directory.
    AdoptAll,
    /// The fingerprints of the passwords that the operator wrote to files, by path.
    Published,
    /// The number of uses of each digest that approves refused steps.
    Approvals,
    /// An order to accept any database at the next reconciliation, and to fill that database from
    /// the desired state.
    Fill,
    /// The record of who created the container, and since when the container is missing.
    Origin,
}

impl StateKey {
    /// Returns the string of the key in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supervision => "supervision",
            Self::Rollout => "rollout",
            Self::Latch => "latch",
            Self::FailedReplacement => "failed-replacement",
            Self::Replacement => "replacement",
            Self::Database => "database",
            Self::Generation => "generation",
            Self::OwnershipChanged => "ownership-changed",
            Self::AdoptAll => "adopt-all",
            Self::Published => "published",
            Self::Approvals => "approvals",
            Self::Fill => "fill",
            Self::Origin => "origin",
        }
    }
}

/// A configuration that proved good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GoodConfig {
    /// The hash of the files.
    pub digest: Digest,
    /// The name of the variant.
    pub variant: String,
    /// The revision that declared the configuration.
    pub revision: Revision,
    /// The time when the configuration took effect.
    pub since: Timestamp,
}

/// The state that the operator keeps across restarts.
pub trait Store: Send + Sync {
    /// Returns the inventory: the owned objects and the registered objects.
    fn inventory(&self) -> Result<Inventory, StoreError>;

    /// Adds the objects in `owned` to the inventory and removes the objects in `forgotten`, in one
    /// transaction. Sets [`StateKey::OwnershipChanged`] if the set of owned objects changes.
    fn record(
        &self,
        owned: &[(ObjectKey, Owned)],
        forgotten: &[ObjectKey],
    ) -> Result<(), StoreError>;

    /// Records that `client` registered `objects` at the time `since`, in one transaction. An
    /// object that is registered already keeps its record. Ignores objects that
    /// [clients cannot register](Inventory::can_register). Sets [`StateKey::OwnershipChanged`] if
    /// a record is new.
    ///
    /// The caller must call this function before the operator creates the objects on the server,
    /// or `prune: all` can delete the objects after a kill in between.
    fn record_registered(
        &self,
        client: &str,
        since: Timestamp,
        objects: &[ObjectKey],
    ) -> Result<(), StoreError>;

    /// Removes the registrations of `objects`, in one transaction. Owned objects stay owned. Sets
    /// [`StateKey::OwnershipChanged`] if a record is removed.
    fn forget_registered(&self, objects: &[ObjectKey]) -> Result<(), StoreError>;

    /// Computes the fingerprint of a password: a keyed hash.
    fn fingerprint(&self, password: &Secret) -> Fingerprint;

    /// Returns the generated password of an account; `None` if the operator has generated no
    /// password for the account.
    fn generated(&self, account: &Jid) -> Result<Option<Secret>, StoreError>;

    /// Stores generated passwords of accounts. The caller must call this function before the
    /// operator sends the passwords to the server, or a kill in between loses the passwords.
    fn keep_generated(&self, passwords: &[(Jid, Secret)]) -> Result<(), StoreError>;

    /// Returns the last stored value of `key`; `None` if no value is stored.
    fn recall(&self, key: StateKey) -> Result<Option<String>, StoreError>;

    /// Stores a value under `key`; `None` removes the value.
    fn remember(&self, key: StateKey, text: Option<&str>) -> Result<(), StoreError>;

    /// Stores the files of a configuration. [`record_good`](Self::record_good) removes the files
    /// later if the configuration is neither a good configuration nor part of the recorded rollout.
    fn keep_config(&self, digest: &Digest, files: &ConfigFiles) -> Result<(), StoreError>;

    /// Returns the stored files of a configuration; `None` if the store does not have the files.
    fn kept_config(&self, digest: &Digest) -> Result<Option<ConfigFiles>, StoreError>;

    /// Records that a configuration is in force and good. The store keeps the last [`GOOD_CONFIGS`]
    /// good configurations with their files, and removes the files of other configurations, except
    /// the files of the recorded rollout.
    fn record_good(&self, good: &GoodConfig) -> Result<(), StoreError>;

    /// Returns the good configurations, the latest first.
    fn good_configs(&self) -> Result<Vec<GoodConfig>, StoreError>;

    /// Stores events. A newer version of a stored event replaces the stored event. The store keeps
    /// the last [`KEPT_EVENTS`] events.
    fn record_events(&self, events: &[Event]) -> Result<(), StoreError>;

    /// Returns the latest events, at most `most` events, newest last.
    fn events(&self, most: usize) -> Result<Vec<Event>, StoreError>;

    /// Stores the status as JSON, so that commands can show the status when no operator runs.
    fn save_status(&self, status: &str) -> Result<(), StoreError>;
}
