//! An empty store, for commands that do not use the state directory, and for `plan` before the
//! first `apply`.

use jiff::Timestamp;

use crate::domain::inventory::{Fingerprint, Inventory, Owned};
use crate::domain::model::{Digest, Jid, ObjectKey, Secret};
use crate::domain::status::Event;
use crate::engine::{ConfigFiles, GoodConfig, StateKey, Store, StoreError};

/// A store that is empty and refuses every write.
pub(super) struct EmptyStore;

impl EmptyStore {
    fn refuse(&self) -> Result<(), StoreError> {
        let Self = self;
        Err(StoreError::Io { operation: "write", cause: "this command only reads".to_owned() })
    }
}

impl Store for EmptyStore {
    fn inventory(&self) -> Result<Inventory, StoreError> {
        Ok(Inventory::default())
    }

    fn record(&self, _: &[(ObjectKey, Owned)], _: &[ObjectKey]) -> Result<(), StoreError> {
        self.refuse()
    }

    fn record_registered(&self, _: &str, _: Timestamp, _: &[ObjectKey]) -> Result<(), StoreError> {
        self.refuse()
    }

    fn forget_registered(&self, _: &[ObjectKey]) -> Result<(), StoreError> {
        self.refuse()
    }

    /// Returns an empty fingerprint. No fingerprint is compared with this value, because the store
    /// is empty.
    fn fingerprint(&self, _: &Secret) -> Fingerprint {
        Fingerprint::new(String::new())
    }

    fn generated(&self, _: &Jid) -> Result<Option<Secret>, StoreError> {
        Ok(None)
    }

    fn keep_generated(&self, _: &[(Jid, Secret)]) -> Result<(), StoreError> {
        self.refuse()
    }

    fn recall(&self, _: StateKey) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn remember(&self, _: StateKey, _: Option<&str>) -> Result<(), StoreError> {
        self.refuse()
    }

    fn keep_config(&self, _: &Digest, _: &ConfigFiles) -> Result<(), StoreError> {
        self.refuse()
    }

    fn kept_config(&self, _: &Digest) -> Result<Option<ConfigFiles>, StoreError> {
        Ok(None)
    }

    fn record_good(&self, _: &GoodConfig) -> Result<(), StoreError> {
        self.refuse()
    }

    fn good_configs(&self) -> Result<Vec<GoodConfig>, StoreError> {
        Ok(Vec::new())
    }

    fn record_events(&self, _: &[Event]) -> Result<(), StoreError> {
        self.refuse()
    }

    fn events(&self, _: usize) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }

    fn save_status(&self, _: &str) -> Result<(), StoreError> {
        self.refuse()
    }
}
