//! Remembers who created the container, and decides when the operator creates a missing
//! container.
//!
//! If a container that the operator created is missing, the operator creates a new container at
//! once, because the database is on a volume that the new container mounts. Any other container
//! belongs to an owner outside the operator. `docker-compose down` and `up` remove such a container
//! for a while. If the operator created a container meanwhile, the operator's container would use
//! the name that the owner needs, perhaps with an empty database.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::database::Databases;
use crate::domain::observed::{ObservedState, ProcessState, Reading, RuntimeDrift};
use crate::engine::error::StoreError;
use crate::engine::ports::{StateKey, Store};

/// The time that the operator waits for the owner of a removed container before the operator
/// creates a new container with the same name.
const OWNER_FIRST: Duration = Duration::from_mins(5);

/// The time that the operator waits for the owner of a created container to start the container,
/// before the operator starts the container.
const OWNER_STARTS: Duration = Duration::from_secs(10);

/// The record of the container with the declared name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    /// Whether the operator created the container.
    ours: bool,
    /// The time at which the operator first saw that the container is missing, or that the
    /// container exists but has never started; `None` if the container has started.
    missing_since: Option<Timestamp>,
}

impl Origin {
    /// Returns why the operator must not create the container now, or must not start a `created`
    /// container now; `None` if the operator need not wait.
    fn waits(&self, created: bool, now: Timestamp) -> Option<String> {
        let since = self.missing_since.filter(|_| !self.ours)?;
        let limit = if created { OWNER_STARTS } else { OWNER_FIRST };
        let until = since + limit;
        let shown = until.round(jiff::Unit::Second).unwrap_or(until);
        match created {
            _ if now >= until => None,
            true => Some(format!(
                "the container was never started, and the operator did not create it; its owner \
                 may be about to start it; the operator starts it at {shown}"
            )),
            false => Some(format!(
                "the container is gone, and the operator did not create it; the operator waits \
                 until {shown} for its owner to start it again, and then creates a new one; \
                 `ejabberd-operator retry` creates it now"
            )),
        }
    }
}

impl Databases {
    /// Remembers who created the container. Returns why the operator must not create the container
    /// now, or must not start the container for the first time now; `None` if the operator need not
    /// wait.
    pub(in crate::engine) fn creation_waits(
        &self,
        state: &ObservedState,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let known = self.origin()?;
        let created = match &state.process {
            Reading::Known(ProcessState::Absent) => false,
            Reading::Known(ProcessState::Created) => true,
            Reading::Known(_) => {
                if let Reading::Known(Some(found)) = &state.drift {
                    self.keep_origin(known.as_ref(), &Origin::of(found, None))?;
                }
                return Ok(None);
            }
            Reading::Unknown(_) => return Ok(None),
        };
        let found = match (&state.drift, known.clone()) {
            (Reading::Known(Some(found)), known) => {
                Origin::of(found, known.and_then(|known| known.missing_since))
            }
            (_, Some(known)) => known,
            // The operator has never seen a container, so there is no owner to wait for.
            (_, None) => return Ok(None),
        };
        let found = Origin { missing_since: found.missing_since.or(Some(now)), ..found };
        self.keep_origin(known.as_ref(), &found)?;
        Ok(found.waits(created, now))
    }

    /// Whether the operator has seen a container before. Such a container may have had a database.
    pub(in crate::engine) fn knows_a_container(&self) -> Result<bool, StoreError> {
        Ok(self.origin()?.is_some())
    }

    fn origin(&self) -> Result<Option<Origin>, StoreError> {
        origin(&*self.store)
    }

    fn keep_origin(&self, known: Option<&Origin>, found: &Origin) -> Result<(), StoreError> {
        if known == Some(found) {
            return Ok(());
        }
        keep(&*self.store, found)
    }
}

/// Ends the wait for the owner of the container, because an administrator wants the operator to
/// create the container now.
pub fn create_without_waiting(store: &dyn Store) -> Result<(), StoreError> {
    match origin(store)? {
        Some(known) if known.missing_since.is_some() => {
            keep(store, &Origin { missing_since: Some(Timestamp::UNIX_EPOCH), ..known })
        }
        _ => Ok(()),
    }
}

fn origin(store: &dyn Store) -> Result<Option<Origin>, StoreError> {
    let json = store.recall(StateKey::Origin)?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
}

fn keep(store: &dyn Store, found: &Origin) -> Result<(), StoreError> {
    let json = serde_json::to_string(found).unwrap_or_default();
    store.remember(StateKey::Origin, Some(&json))
}

impl Origin {
    fn of(found: &RuntimeDrift, missing_since: Option<Timestamp>) -> Self {
        Self { ours: found.ours, missing_since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_waits_for_the_owner_of_a_removed_container() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let gone = |ours| Origin { ours, missing_since: Some(at(1000)) };
        assert_eq!(gone(true).waits(false, at(1000)), None);
        let waits = gone(false).waits(false, at(1299)).unwrap();
        assert!(waits.contains("retry"), "{waits}");
        assert_eq!(gone(false).waits(false, at(1300)), None);
        // The owner has created the container but not started the container yet.
        assert!(gone(false).waits(true, at(1009)).is_some());
        assert_eq!(gone(false).waits(true, at(1010)), None);
    }
}
