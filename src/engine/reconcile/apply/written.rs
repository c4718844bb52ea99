//! Records the password files that the operator has written. The operator does not replace any
//! other existing file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::inventory::Fingerprint;
use crate::domain::model::Secret;
use crate::engine::StoreError;
use crate::engine::ports::{IsOurs, StateKey, Store};

/// The record of written password files. For each file, the record has the fingerprints of the
/// passwords that the file may hold: the last password and, during a write, the new password.
pub(super) struct Written {
    store: Arc<dyn Store>,
    files: BTreeMap<PathBuf, Vec<Fingerprint>>,
}

impl Written {
    pub(super) fn of(store: &Arc<dyn Store>) -> Result<Self, StoreError> {
        let json = store.recall(StateKey::Published)?;
        let files = json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        Ok(Self { store: Arc::clone(store), files })
    }

    /// Records that the operator will write a password, so that the operator recognizes the file
    /// after a kill during the write. Returns a function that checks whether a password is an
    /// earlier password of the operator in this file.
    pub(super) fn begin(&mut self, file: &Path, password: &Secret) -> Result<IsOurs, StoreError> {
        let before = self.files.get(file).cloned().unwrap_or_default();
        let mark = self.store.fingerprint(password);
        if !before.contains(&mark) {
            self.set(file, before.iter().cloned().chain([mark]).collect())?;
        }
        let store = Arc::clone(&self.store);
        Ok(Box::new(move |there| before.contains(&store.fingerprint(there))))
    }

    /// Records that the operator has written the password, and forgets the earlier passwords of the
    /// file.
    pub(super) fn done(&mut self, file: &Path, password: &Secret) -> Result<(), StoreError> {
        let marks = vec![self.store.fingerprint(password)];
        if self.files.get(file) == Some(&marks) {
            return Ok(());
        }
        self.set(file, marks)
    }

    fn set(&mut self, file: &Path, marks: Vec<Fingerprint>) -> Result<(), StoreError> {
        self.files.insert(file.to_owned(), marks);
        let json = serde_json::to_string(&self.files).unwrap_or_default();
        self.store.remember(StateKey::Published, Some(&json))
    }
}
