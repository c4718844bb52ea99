//! The operator's memory.

use jiff::Timestamp;
use serde::Serialize;

use super::runtime::ConfigFiles;
use crate::domain::inventory::{Fingerprint, Inventory, Owned};
use crate::domain::model::{Digest, Jid, ObjectKey, Revision, Secret};
use crate::domain::status::Event;
use crate::engine::error::StoreError;

/// How many good configurations are kept.
pub const GOOD_CONFIGS: usize = 5;

/// How many events are kept.
pub const KEPT_EVENTS: usize = 1000;

/// What is remembered as one text each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKey {
    /// How the server fares: starts, backoff.
    Supervision,
    /// The rollout that is under way.
    Rollout,
    /// The configuration that is not to be tried again.
    Latch,
    /// The differences of a container whose replacement failed: it is not
    /// tried again until they are others.
    FailedReplacement,
    /// That a replacement has not proved itself yet.
    Replacement,
    /// Which database all of this is about.
    Database,
    /// The number that grows with every change of what is owned.
    Generation,
    /// That what is owned has changed, and the number not yet grown.
    OwnershipChanged,
    /// That an older state directory is to be accepted: an order.
    AdoptAll,
    /// What the operator wrote to files for others: fingerprints by path.
    Published,
    /// How often each digest was used to let refused steps through.
    Approvals,
    /// That the next database is to be filled, whichever it is: an order.
    Fill,
    /// Who made the container, and since when it is gone.
    Origin,
}

impl StateKey {
    /// Its key in the memory.
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
    /// The hash of its files.
    pub digest: Digest,
    /// The variant that it was declared as.
    pub variant: String,
    /// The revision that declared it.
    pub revision: Revision,
    /// Since when it is, or was, in force.
    pub since: Timestamp,
}

/// The operator's memory.
pub trait Store: Send + Sync {
    /// The inventory as it is remembered.
    fn inventory(&self) -> Result<Inventory, StoreError>;

    /// Remembers, in one transaction, what is now owned and what no longer is, and
    /// [`StateKey::OwnershipChanged`] where other objects are owned than before.
    fn record(
        &self,
        owned: &[(ObjectKey, Owned)],
        forgotten: &[ObjectKey],
    ) -> Result<(), StoreError>;

    /// The keyed hash under which a password is remembered.
    fn fingerprint(&self, password: &Secret) -> Fingerprint;

    /// The password that was generated for an account, if one was.
    fn generated(&self, account: &Jid) -> Result<Option<Secret>, StoreError>;

    /// Keeps the passwords generated for accounts, before they are set.
    fn keep_generated(&self, passwords: &[(Jid, Secret)]) -> Result<(), StoreError>;

    /// The last value of `key`.
    fn recall(&self, key: StateKey) -> Result<Option<String>, StoreError>;

    /// Remembers a text under `key`, or forgets it.
    fn remember(&self, key: StateKey, text: Option<&str>) -> Result<(), StoreError>;

    /// Keeps the files of a configuration until it is neither among the good
    /// ones nor needed by a rollout.
    fn keep_config(&self, digest: &Digest, files: &ConfigFiles) -> Result<(), StoreError>;

    /// The files that were kept.
    fn kept_config(&self, digest: &Digest) -> Result<Option<ConfigFiles>, StoreError>;

    /// Notes that a configuration is in force and good. Only the last
    /// [`GOOD_CONFIGS`] are kept, with their files; other files are dropped.
    fn record_good(&self, good: &GoodConfig) -> Result<(), StoreError>;

    /// The good configurations, the latest first.
    fn good_configs(&self) -> Result<Vec<GoodConfig>, StoreError>;

    /// Keeps events; a newer version of a kept event replaces it. Only the last
    /// [`KEPT_EVENTS`] are kept.
    fn record_events(&self, events: &[Event]) -> Result<(), StoreError>;

    /// The latest `most` events, newest last.
    fn events(&self, most: usize) -> Result<Vec<Event>, StoreError>;

    /// Remembers the status, for who asks when no operator answers.
    fn save_status(&self, status: &str) -> Result<(), StoreError>;
}
