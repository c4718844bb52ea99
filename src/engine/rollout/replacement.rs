//! Replaces the container with a container that has the declared settings.
//!
//! The operator renames the old container and keeps the old container until the new container
//! passes the health gate and has the same database with the owned accounts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::execute::RolloutExecutor;
use crate::domain::database::Match;
use crate::domain::diff::StepInfo;
use crate::domain::observed::{ProcessState, Reading};
use crate::domain::spec::{DesiredState, ServerState};
use crate::engine::ports::StateKey;
use crate::engine::reconcile::left_behind::accounts;
use crate::engine::reconcile::report::{ApplyError, StepResult};
use crate::engine::reconcile::round::StalenessCheck;
use crate::engine::supervisor::SupervisorGuard;

/// The stored record of a replacement under way, for an operator that starts after a kill.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Replacement {
    /// The id of the old container. The operator removes or renames back only the container with
    /// this id.
    old: String,
    /// The reason of the step, which lists the differences that need the replacement.
    reason: String,
}

impl RolloutExecutor {
    pub(in crate::engine) async fn replace_server(
        &self,
        desired: &DesiredState,
        step: &StepInfo,
        confirm: &dyn StalenessCheck,
    ) -> Result<StepResult, ApplyError> {
        if self.store.recall(StateKey::FailedReplacement)?.as_ref() == Some(&step.reason) {
            return Err(ApplyError::NotReplaced(
                "the last replacement failed; change the declaration, or run \
                 `ejabberd-operator retry`"
                    .to_owned(),
            ));
        }
        self.runtime.prepare_replacement().await?;
        self.announce(desired).await;
        // Check again, because the file may have changed during the delay of the announcement.
        if let Some(why) = confirm.blocked_reason().await {
            return Ok(StepResult::Deferred(why));
        }
        let mut guard = self.supervisor.hold().await;
        let gone = || ApplyError::NotReplaced("the container does not exist".to_owned());
        let old = self.runtime.instance().await?.ok_or_else(gone)?;
        let backup = self.server.back_up().await?;
        tracing::info!(backup, "the database was backed up");
        guard.stop().await?;
        let replacement = Replacement { old, reason: step.reason.clone() };
        let json = serde_json::to_string(&replacement).unwrap_or_default();
        self.store.remember(StateKey::Replacement, Some(&json))?;
        let replaced = async {
            self.runtime.replace(&replacement.old).await?;
            guard.start("Replaced").await
        };
        let replaced = replaced.await;
        self.prove_replacement(desired, &replacement, replaced, &mut guard).await?;
        Ok(StepResult::Done)
    }

    /// Resumes a replacement during which an earlier operator process was killed, and checks the
    /// result. The old container still exists at this point.
    pub(in crate::engine) async fn resume_replacement(
        &self,
        desired: &DesiredState,
    ) -> Result<(), ApplyError> {
        let Some(replacement) = self.replacement()? else { return Ok(()) };
        if desired.server.state == ServerState::Stopped {
            return Ok(());
        }
        tracing::warn!("a replacement was interrupted; the operator continues it");
        let mut guard = self.supervisor.hold().await;
        let interrupted =
            || ApplyError::NotStarted("the operator ended before the start".to_owned());
        let started = if self.runtime.instance().await?.as_ref() == Some(&replacement.old) {
            // The operator was killed before the old container was renamed, so there is no new
            // container.
            Err(interrupted())
        } else {
            match self.runtime.inspect().await? {
                ProcessState::Running { .. } => Ok(()),
                ProcessState::Absent => Err(interrupted()),
                ProcessState::Created | ProcessState::Stopped { .. } => {
                    guard.start("Replaced").await
                }
            }
        };
        self.prove_replacement(desired, &replacement, started, &mut guard).await
    }

    fn replacement(&self) -> Result<Option<Replacement>, ApplyError> {
        let stored = self.store.recall(StateKey::Replacement)?;
        let replacement = stored.as_ref().and_then(|json| serde_json::from_str(json).ok());
        if stored.is_some() && replacement.is_none() {
            // Version 0.1 of the operator did not store the id of the old container.
            tracing::warn!("the operator cannot resume a replacement of an older version");
            self.store.remember(StateKey::Replacement, None)?;
        }
        Ok(replacement)
    }

    async fn prove_replacement(
        &self,
        desired: &DesiredState,
        replacement: &Replacement,
        started: Result<(), ApplyError>,
        guard: &mut SupervisorGuard<'_>,
    ) -> Result<(), ApplyError> {
        let proved = match started {
            Ok(()) => {
                let gate = self.gate(desired, crate::domain::rollout::Side::New, Timestamp::now());
                match gate.await {
                    Ok(()) => self.has_the_database(desired).await,
                    Err(failure) => Err(ApplyError::NotStarted(failure.message)),
                }
            }
            Err(error) => Err(error),
        };
        match proved {
            Ok(()) => {
                guard.well().await;
                self.runtime.commit_replacement(&replacement.old).await?;
                self.store.remember(StateKey::FailedReplacement, None)?;
                Ok(self.store.remember(StateKey::Replacement, None)?)
            }
            Err(error) => {
                tracing::warn!(%error, "the new container failed; the operator starts the old one again");
                self.store.remember(StateKey::FailedReplacement, Some(&replacement.reason))?;
                self.runtime.rollback_replacement(&replacement.old).await?;
                self.store.remember(StateKey::Replacement, None)?;
                guard.start("BroughtBack").await?;
                Err(ApplyError::NotReplaced(error.to_string()))
            }
        }
    }

    /// Checks that the new server has the database of the old server, with the owned accounts.
    async fn has_the_database(&self, desired: &DesiredState) -> Result<(), ApplyError> {
        let other = |why: String| ApplyError::NotStarted(format!("it has another database: {why}"));
        let inventory = self.store.inventory()?;
        let found = match self.databases.database(desired).await {
            Reading::Known(found) => found,
            Reading::Unknown(why) => return Err(other(why)),
        };
        let mut users = BTreeMap::new();
        for host in desired.all_hosts() {
            let names = match self.server.registered_users(host).await {
                Ok(names) => Reading::Known(names),
                Err(error) => Reading::Unknown(format!("failed to {error}")),
            };
            users.insert(host.clone(), names);
        }
        let accounts = accounts(&users, &inventory, |_, _| true);
        match found.compare(self.databases.known_database()?.as_ref(), accounts) {
            Match::Ours | Match::TakenOver(_) if accounts.enough() => Ok(()),
            Match::Ours | Match::TakenOver(_) => Err(other(format!(
                "only {} of {} owned accounts are in it",
                accounts.there, accounts.owned
            ))),
            Match::Unsure(why) | Match::Foreign(why) => Err(other(why)),
        }
    }
}
