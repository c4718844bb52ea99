//! Who created the container behind the declared name, and what the operator
//! does when that container is gone.
//!
//! The operator creates its own container again at once: the database is on a
//! volume that the new container mounts. A container that the operator did not
//! create belongs to its owner. `docker-compose down` and `up` remove such a
//! container for a while; if the operator created a container meanwhile, that
//! would take the name, perhaps with an empty database.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::error::StoreError;
use super::ports::Memo;
use crate::observed::{ObservedState, ProcessState, Reading, Surroundings};

/// How long the operator waits for the owner of a removed container before the
/// operator creates a new container under that name.
const OWNER_FIRST: Duration = Duration::from_secs(300);

/// How long an owner may take between creating a container and starting it.
const OWNER_STARTS: Duration = Duration::from_secs(10);

/// What is remembered of the container behind the declared name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    /// Whether the operator created it.
    ours: bool,
    /// Why a new container would lose its database, if so.
    irreplaceable: Option<String>,
    /// Since when there is nothing that runs or has run, if so.
    missing_since: Option<Timestamp>,
}

impl Origin {
    /// Why a container is not to be created or started for the first time now.
    fn waits(&self, created: bool, now: Timestamp) -> Option<String> {
        let since = self.missing_since.filter(|_| !self.ours)?;
        let limit = if created { OWNER_STARTS } else { OWNER_FIRST };
        let until = since + limit;
        let shown = until.round(jiff::Unit::Second).unwrap_or(until);
        match &self.irreplaceable {
            _ if created && now >= until => None,
            _ if created => Some(format!(
                "the container was never started, and the operator did not create it; its owner \
                 may be about to start it; the operator starts it at {shown}"
            )),
            Some(why) => Some(format!(
                "the container is gone, and the operator did not create it; a new one would have \
                 an empty database: {why}; start the container again as it was created \
                 (`docker-compose up -d`, `docker run …`)"
            )),
            None if now < until => Some(format!(
                "the container is gone, and the operator did not create it; the operator waits \
                 until {shown} for its owner to start it again, and then creates a new one; \
                 `ejabberd-operator retry` creates it now"
            )),
            None => None,
        }
    }
}

impl Engine {
    /// Remembers who created the container. Returns why the operator must not
    /// create it, or start it for the first time, now; `None` if it may.
    pub(super) fn creation_waits(
        &self,
        state: &ObservedState,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let known = self.origin()?;
        let created = match &state.process {
            Reading::Known(ProcessState::Absent) => false,
            Reading::Known(ProcessState::Created) => true,
            Reading::Known(_) => {
                if let Reading::Known(Some(found)) = &state.surroundings {
                    self.keep_origin(known.as_ref(), &Origin::of(found, None))?;
                }
                return Ok(None);
            }
            Reading::Unknown(_) => return Ok(None),
        };
        let found = match (&state.surroundings, known.clone()) {
            (Reading::Known(Some(found)), known) => {
                Origin::of(found, known.and_then(|known| known.missing_since))
            }
            (_, Some(known)) => known,
            // Nothing was ever there.
            (_, None) => return Ok(None),
        };
        let found = Origin { missing_since: found.missing_since.or(Some(now)), ..found };
        self.keep_origin(known.as_ref(), &found)?;
        Ok(found.waits(created, now))
    }

    /// Ends the wait: an administrator wants the container created now.
    pub(super) fn create_without_waiting(&self) -> Result<(), StoreError> {
        match self.origin()? {
            Some(known) if known.missing_since.is_some() => {
                let past = Some(Timestamp::UNIX_EPOCH);
                self.keep_origin(Some(&known), &Origin { missing_since: past, ..known.clone() })
            }
            _ => Ok(()),
        }
    }

    fn origin(&self) -> Result<Option<Origin>, StoreError> {
        let json = self.store.memo(Memo::Origin)?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    fn keep_origin(&self, known: Option<&Origin>, found: &Origin) -> Result<(), StoreError> {
        if known == Some(found) {
            return Ok(());
        }
        let json = serde_json::to_string(found).unwrap_or_default();
        self.store.remember(Memo::Origin, Some(&json))
    }
}

impl Origin {
    fn of(found: &Surroundings, missing_since: Option<Timestamp>) -> Self {
        Self { ours: found.ours, irreplaceable: found.irreplaceable.clone(), missing_since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_container_of_others_is_never_replaced_by_an_empty_one() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let gone = |ours, irreplaceable: Option<&str>| Origin {
            ours,
            irreplaceable: irreplaceable.map(str::to_owned),
            missing_since: Some(at(1000)),
        };
        assert_eq!(gone(true, None).waits(false, at(1000)), None);
        let waits = gone(false, None).waits(false, at(1299)).unwrap();
        assert!(waits.contains("retry"), "{waits}");
        assert_eq!(gone(false, None).waits(false, at(1300)), None);
        let never = gone(false, Some("it is on no volume")).waits(false, at(1_000_000)).unwrap();
        assert!(never.contains("empty database: it is on no volume"), "{never}");
        // Its owner has created it and not started it yet.
        assert!(gone(false, Some("x")).waits(true, at(1009)).is_some());
        assert_eq!(gone(false, Some("x")).waits(true, at(1010)), None);
    }
}
