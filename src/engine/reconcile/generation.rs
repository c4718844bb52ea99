//! Tells an old copy of the state directory from the current one.
//!
//! A restored copy of the state directory does not know which objects the operator
//! has let go of since, and would delete objects that belong to others by now. So a small file
//! beside ejabberd's database carries a number, the generation, that grows with
//! every change of what is owned. A state directory with a smaller number is older
//! than the database, and changes nothing.
//!
//! The store notes a change of ownership in the transaction that makes it
//! ([`StateKey::OwnershipChanged`]), and the number grows at the end of the round. An
//! operator that is killed in between finds the note at its next start.

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

/// The content of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    generation: u64,
}

/// The file is read again after so long: who holds the lock of the state directory
/// is mostly the only one who writes it.
const READ_AGAIN: Duration = Duration::from_mins(1);

/// The generation that was read beside the database a moment ago.
#[derive(Default)]
pub struct Generations(Mutex<Option<Beside>>);

#[derive(Clone)]
struct Beside {
    read: Instant,
    directory: String,
    /// `None` where there is no file.
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

/// Has an older state directory accepted: what is declared and exists is owned,
/// and nothing else.
pub fn order_adoption(store: &dyn Store) -> Result<(), StoreError> {
    store.remember(StateKey::AdoptAll, Some("ordered"))
}

impl Databases {
    /// Why the state directory is older than the database, if it is.
    pub(in crate::engine) async fn outdated(
        &self,
        found: &Database,
        inventory: &Inventory,
    ) -> Result<Option<String>, ApplyError> {
        let Some(beside) = self.generation_beside(&found.directory).await? else {
            return Ok(None);
        };
        let ours = self.generation()?;
        // The note may have been written, and the operator killed before it could
        // remember that.
        let changed = self.store.recall(StateKey::OwnershipChanged)?.is_some();
        let interrupted = changed && beside == ours.unwrap_or(0) + 1;
        // A new state directory owns nothing, and so deletes nothing.
        let new = ours.is_none() && inventory.is_empty();
        if new || interrupted || ours.is_some_and(|ours| ours >= beside) {
            return Ok(None);
        }
        Ok(Some(format!(
            "the state directory is an old copy: what the operator owns has changed since \
             (generation {} here, {beside} beside the database in {})",
            ours.unwrap_or(0),
            found.directory
        )))
    }

    /// Accepts an older state directory, by order: only what is declared stays owned.
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
            "an older state directory is used, by order; what is not declared is no longer owned"
        );
        Ok(())
    }

    /// Takes the generation beside the database over, with what is owned now.
    pub(in crate::engine) async fn take_generation(
        &self,
        found: &Database,
    ) -> Result<(), StoreError> {
        if let Ok(Some(beside)) = self.generation_beside(&found.directory).await {
            self.store.remember(StateKey::Generation, Some(&beside.to_string()))?;
        }
        self.store.remember(StateKey::OwnershipChanged, Some("taken over"))
    }

    /// Writes the generation beside the database, where that is due. A failure is
    /// not one of the round: it is tried again at the end of the next one.
    pub(in crate::engine) async fn publish_generation(&self, found: &Database) {
        if let Err(error) = self.try_to_publish(&found.directory).await {
            tracing::warn!("the change of what is owned is not noted beside the database: {error}");
        }
    }

    /// The same, outside of a round, for a server that answers and has the known
    /// database.
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
        // Without it, a kill before the second `remember` would leave a state
        // directory that looks older than the database.
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

    /// The generation beside the database. A file that is not readable as ours
    /// counts as none: who can write there can remove it as well.
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
