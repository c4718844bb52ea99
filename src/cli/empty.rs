//! The memory of an operator that has none yet: for `plan` before the first
//! `apply`.

use crate::engine::{Store, StoreError};
use crate::inventory::{Fingerprint, Inventory, Owned};
use crate::model::{Jid, ObjectKey, Secret};

/// Remembers nothing, and refuses to.
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

    /// Equal to no other: nothing was remembered that it could be compared with.
    fn fingerprint(&self, _: &Secret) -> Fingerprint {
        Fingerprint::new(String::new())
    }

    fn generated(&self, _: &Jid) -> Result<Option<Secret>, StoreError> {
        Ok(None)
    }

    fn keep_generated(&self, _: &[(Jid, Secret)]) -> Result<(), StoreError> {
        self.refuse()
    }

    fn save_status(&self, _: &str) -> Result<(), StoreError> {
        self.refuse()
    }
}
