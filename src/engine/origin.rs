//! Who made the container behind the declared name, and what follows when it
//! is gone.
//!
//! A container that the operator made is made anew at once: its database is on
//! a volume that the new one gets again. One that somebody else made is theirs:
//! `docker-compose down` and `up` remove it for a while, and a container that
//! the operator creates meanwhile takes its name, perhaps with an empty database.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::error::StoreError;
use super::ports::Memo;
use crate::observed::{ObservedState, ProcessState, Reading, Surroundings};

/// How long a container that somebody else made may be gone before a new one is
/// created in its place.
const OWNER_FIRST: Duration = Duration::from_secs(300);

/// How long somebody else may take between creating a container and starting it.
const OWNER_STARTS: Duration = Duration::from_secs(10);

/// What is remembered of the container behind the declared name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Origin {
    /// Whether the operator made it.
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
                "the container was made by somebody else, who may be about to start it; the \
                 operator starts it at {shown}"
            )),
            Some(why) => Some(format!(
                "the container is gone, and the operator did not make it; a new one would have an \
                 empty database: {why}. Bring the container back as it was made \
                 (`docker-compose up -d`, `docker run …`)"
            )),
            None if now < until => Some(format!(
                "the container is gone, and the operator did not make it: whoever did may bring it \
                 back; a new one is created at {shown}, or now by `ejabberd-operator retry`"
            )),
            None => None,
        }
    }
}

impl Engine {
    /// Remembers who made the container. Returns why it is not to be created,
    /// or started for the first time, now, if so.
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
    fn a_container_of_others_is_waited_for_and_never_replaced_by_an_empty_one() {
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
        // One that somebody has made and not started yet.
        assert!(gone(false, Some("x")).waits(true, at(1009)).is_some());
        assert_eq!(gone(false, Some("x")).waits(true, at(1010)), None);
    }
}
