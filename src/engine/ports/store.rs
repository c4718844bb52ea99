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

/// The keys of the values that the store keeps as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKey {
    /// The state of the supervisor: starts and backoff.
    Supervision,
    /// The rollout in progress.
    Rollout,
    /// The failed configuration that the operator does not try again.
    Latch,
    /// The differences of a container whose replacement failed. The operator replaces the
    /// container again only when the differences change.
    FailedReplacement,
    /// The replacement in progress: the new container has not proved good yet.
    Replacement,
    /// The identity of the database that the operator manages.
    Database,
    /// The generation: a number that grows with every change of ownership.
    Generation,
    /// Set if the ownership has changed since the last generation.
    OwnershipChanged,
    /// An order to accept an older state directory.
    AdoptAll,
    /// The fingerprints of the passwords that the operator wrote to files, by path.
    Published,
    /// How often each digest was used to approve refused steps.
    Approvals,
    /// An order to fill the next database from the declaration, whichever database it is.
    Fill,
    /// Who created the container, and since when it is missing.
    Origin,
}

impl StateKey {
    /// The text of the key in the store.
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
    /// When the configuration took effect.
    pub since: Timestamp,
}

/// The state that the operator keeps across restarts.
pub trait Store: Send + Sync {
    /// Returns the inventory.
    fn inventory(&self) -> Result<Inventory, StoreError>;

    /// Adds and removes owned objects in one transaction. Sets [`StateKey::OwnershipChanged`]
    /// if the set of owned objects changes.
    fn record(
        &self,
        owned: &[(ObjectKey, Owned)],
        forgotten: &[ObjectKey],
    ) -> Result<(), StoreError>;

    /// Computes the keyed hash of a password.
    fn fingerprint(&self, password: &Secret) -> Fingerprint;

    /// Returns the generated password of an account; `None` if none was generated.
    fn generated(&self, account: &Jid) -> Result<Option<Secret>, StoreError>;

    /// Stores generated passwords of accounts, before the server gets them.
    fn keep_generated(&self, passwords: &[(Jid, Secret)]) -> Result<(), StoreError>;

    /// Returns the last value of `key`.
    fn recall(&self, key: StateKey) -> Result<Option<String>, StoreError>;

    /// Stores a value under `key`; `None` removes the value.
    fn remember(&self, key: StateKey, text: Option<&str>) -> Result<(), StoreError>;

    /// Stores the files of a configuration, until the configuration is neither a good one nor
    /// needed by a rollout.
    fn keep_config(&self, digest: &Digest, files: &ConfigFiles) -> Result<(), StoreError>;

    /// Returns the stored files of a configuration.
    fn kept_config(&self, digest: &Digest) -> Result<Option<ConfigFiles>, StoreError>;

    /// Records that a configuration is in force and good. The store keeps the last
    /// [`GOOD_CONFIGS`] with their files, and removes the files of other configurations.
    fn record_good(&self, good: &GoodConfig) -> Result<(), StoreError>;

    /// Returns the good configurations, the latest first.
    fn good_configs(&self) -> Result<Vec<GoodConfig>, StoreError>;

    /// Stores events; a newer version of a stored event replaces it. The store keeps the last
    /// [`KEPT_EVENTS`].
    fn record_events(&self, events: &[Event]) -> Result<(), StoreError>;

    /// Returns the latest `most` events, newest last.
    fn events(&self, most: usize) -> Result<Vec<Event>, StoreError>;

    /// Stores the status, so that commands can show it when no operator runs.
    fn save_status(&self, status: &str) -> Result<(), StoreError>;
}
