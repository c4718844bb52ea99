//! Records the password files that the operator has written. The operator replaces no other files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::inventory::Fingerprint;
use crate::domain::model::Secret;
use crate::engine::StoreError;
use crate::engine::ports::{IsOurs, StateKey, Store};

/// The fingerprints of the passwords that each file may hold: the last password and, during a
/// write, the new password.
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

    /// Records that a password is about to be written, so that an operator that is killed during
    /// the write recognizes its file. Returns the check whether a file holds an earlier password
    /// of the operator.
    pub(super) fn begin(&mut self, file: &Path, password: &Secret) -> Result<IsOurs, StoreError> {
        let before = self.files.get(file).cloned().unwrap_or_default();
        let mark = self.store.fingerprint(password);
        if !before.contains(&mark) {
            self.set(file, before.iter().cloned().chain([mark]).collect())?;
        }
        let store = Arc::clone(&self.store);
        Ok(Box::new(move |there| before.contains(&store.fingerprint(there))))
    }

    /// Records that the password has been written.
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
