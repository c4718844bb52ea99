//! Detects an old copy of the state directory.
//!
//! A restored copy of the state directory does not know which objects the operator has released
//! since the copy was made. With such a copy, the operator would delete objects that now belong to
//! others. So a small file beside ejabberd's database holds a number, the generation. The
//! generation grows with every change of ownership. A state directory with a smaller generation is
//! older than the database, and the operator then changes nothing.
//!
//! The store records a change of ownership in the same transaction
//! ([`StateKey::OwnershipChanged`]), and the generation grows at the end of the reconciliation. If
//! the operator is killed in between, the operator finds the record at the next start.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::database::Databases;
use super::report::ApplyError;
use crate::domain::database::Database;
use crate::domain::inventory::Inventory;
use crate::domain::spec::DesiredState;
use crate::engine::error::StoreError;
use crate::engine::ports::{StateKey, Store};

/// The content of the file beside the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    generation: u64,
}

/// The maximum age of a cached generation. Usually only the operator that holds the lock of the
/// state directory writes the file, so the operator need not read the file in each reconciliation.
const READ_AGAIN: Duration = Duration::from_mins(1);

/// The cache of the generation that the operator read beside the database.
#[derive(Default)]
pub struct Generations(Mutex<Option<Beside>>);

#[derive(Clone)]
struct Beside {
    read: Instant,
    directory: String,
    /// The generation; `None` if the file does not exist.
    generation: Option<u64>,
}

impl Generations {
    fn known(&self, directory: &str) -> Option<Beside> {
        let known = self.0.lock().clone();
        known.filter(|known| known.directory == directory && known.read.elapsed() < READ_AGAIN)
    }

    fn keep(&self, directory: &str, generation: Option<u64>) {
        let beside = Beside { read: Instant::now(), directory: directory.to_owned(), generation };
        *self.0.lock() = Some(beside);
    }
}

/// Orders the operator to accept an older state directory. The operator then owns only objects that
/// are declared and exist.
pub fn order_adoption(store: &dyn Store) -> Result<(), StoreError> {
    store.remember(StateKey::AdoptAll, Some("ordered"))
}

impl Databases {
    /// Returns a message if the state directory is older than the database; `None` if the directory
    /// is not older.
    pub(in crate::engine) async fn outdated(
        &self,
        found: &Database,
        inventory: &Inventory,
    ) -> Result<Option<String>, ApplyError> {
        let Some(beside) = self.generation_beside(&found.directory).await? else {
            return Ok(None);
        };
        let ours = self.generation()?;
        // The operator may have been killed after the write of the note and before the record of
        // the new generation.
        let changed = self.store.recall(StateKey::OwnershipChanged)?.is_some();
        let interrupted = changed && beside == ours.unwrap_or(0) + 1;
        // With a new state directory, the operator owns nothing, and so deletes nothing.
        let new = ours.is_none() && inventory.is_empty();
        if new || interrupted || ours.is_some_and(|ours| ours >= beside) {
            return Ok(None);
        }
        Ok(Some(format!(
            "the state directory is an old copy: the ownership of objects has changed since \
             (generation {} here, {beside} beside the database in {})",
            ours.unwrap_or(0),
            found.directory
        )))
    }

    /// Accepts an older state directory by order: only declared objects stay owned.
    pub(in crate::engine) async fn accept_state(
        &self,
        desired: &DesiredState,
        found: &Database,
        inventory: &mut Inventory,
    ) -> Result<(), StoreError> {
        let others = inventory.keys().filter(|key| !desired.declares(key));
        let others: Vec<_> = others.collect();
        self.store.record(&[], &others)?;
        others.iter().for_each(|key| inventory.remove(key));
        self.take_generation(found).await?;
        self.store.remember(StateKey::AdoptAll, None)?;
        tracing::warn!(
            let_go = others.len(),
            "the operator uses an older state directory by order; undeclared objects are no longer \
             owned"
        );
        Ok(())
    }

    /// Takes over the generation beside the database for the current ownership, and marks the
    /// ownership as changed, so that the generation grows at the end of the reconciliation.
    pub(in crate::engine) async fn take_generation(
        &self,
        found: &Database,
    ) -> Result<(), StoreError> {
        if let Ok(Some(beside)) = self.generation_beside(&found.directory).await {
            self.store.remember(StateKey::Generation, Some(&beside.to_string()))?;
        }
        self.store.remember(StateKey::OwnershipChanged, Some("taken over"))
    }

    /// Writes the generation beside the database if the ownership has changed. A failed write does
    /// not fail the reconciliation, because the next reconciliation tries again.
    pub(in crate::engine) async fn publish_generation(&self, found: &Database) {
        if let Err(error) = self.try_to_publish(&found.directory).await {
            tracing::warn!("failed to note the change of ownership beside the database: {error}");
        }
    }

    /// Writes the generation outside of a reconciliation. Fails if the server does not respond or
    /// has another database. Does nothing if the operator knows no database.
    pub async fn publish_now(&self, desired: &DesiredState) -> Result<(), String> {
        let known = self.known_database().map_err(|error| format!("failed to {error}"))?;
        let Some(known) = known else { return Ok(()) };
        match self.database(desired).await {
            crate::domain::observed::Reading::Known(found) if found.cookie == known.cookie => {
                self.try_to_publish(&found.directory).await.map_err(|e| format!("failed to {e}"))
            }
            crate::domain::observed::Reading::Known(_) => {
                Err("the server has another database".to_owned())
            }
            crate::domain::observed::Reading::Unknown(why) => Err(why),
        }
    }

    async fn try_to_publish(&self, directory: &str) -> Result<(), ApplyError> {
        let beside = self.generation_beside(directory).await?;
        let ours = self.generation()?;
        let changed = self.store.recall(StateKey::OwnershipChanged)?.is_some();
        let last = ours.max(beside).unwrap_or(0);
        let next = match beside {
            Some(beside) if !changed && ours == Some(beside) => return Ok(()),
            Some(_) if !changed => last,
            _ => last.saturating_add(1),
        };
        // Without this record, a kill before the second `remember` would leave a state directory
        // that appears older than the database.
        if !changed {
            self.store.remember(StateKey::OwnershipChanged, Some("first"))?;
        }
        let note = serde_json::to_vec(&Note { generation: next }).unwrap_or_default();
        self.runtime.write_note(directory, &note).await?;
        self.store.remember(StateKey::Generation, Some(&next.to_string()))?;
        self.store.remember(StateKey::OwnershipChanged, None)?;
        self.generations.keep(directory, Some(next));
        Ok(())
    }

    fn generation(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.store.recall(StateKey::Generation)?.and_then(|text| text.parse().ok()))
    }

    /// Returns the generation beside the database; `None` if the file is missing or damaged. A
    /// damaged file counts as a missing file, because a program that can damage the file can also
    /// remove the file.
    async fn generation_beside(&self, directory: &str) -> Result<Option<u64>, ApplyError> {
        if let Some(known) = self.generations.known(directory) {
            return Ok(known.generation);
        }
        let text = self.runtime.read_note(directory).await?;
        let generation = text.and_then(|text| {
            let note: Option<Note> = serde_json::from_slice(&text).ok();
            if note.is_none() {
                tracing::warn!(directory, "the operator's note beside the database is damaged");
            }
            note.map(|note| note.generation)
        });
        self.generations.keep(directory, generation);
        Ok(generation)
    }
}
