//! Carries out the steps of the server: creates, starts, stops and replaces the server, and puts a
//! configuration in force.

use std::time::Duration;

use jiff::Timestamp;

use super::deferral::Deferral;
use super::report::{ApplyError, StepOutcome, StepResult};
use super::round::StalenessCheck;
use crate::domain::diff::{ConfigChange, ConfigSource, ServerAction, ServerStep, StepInfo};
use crate::domain::observed::{LatchReason, ProcessState, Reading};
use crate::domain::rollout::{Method, Outcome};
use crate::domain::spec::DesiredState;
use crate::ejabberd::NodePhase;
use crate::engine::ports::EngineEvent;
use crate::engine::reconcile::round::Reconciler;
use crate::engine::rollout::compare::config_digest;
use crate::engine::rollout::execute::Target;

/// The maximum wait for a starting server, before a change of the configuration.
const STARTS_WITHIN: Duration = Duration::from_mins(1);

/// The creation of a server.
struct Creation<'a> {
    step: StepInfo,
    /// The step that puts the declared configuration in force; `None` if the plan has no such step.
    config: Option<ConfigStep>,
    /// Why ejabberd refuses the declared configuration; `None` if no refusal is known.
    refused: Option<&'a str>,
}

/// A step that puts a configuration in force.
struct ConfigStep {
    info: StepInfo,
    change: ConfigChange,
}

impl Reconciler {
    /// Carries out the steps of the kinds `server` and `config`, which come first in a plan.
    /// `refused` is the reason why ejabberd refuses the declared configuration. In this case the
    /// operator creates no server, because a new server would start with the configuration of the
    /// image.
    pub(in crate::engine) async fn settle_server(
        &self,
        desired: &DesiredState,
        steps: Vec<ServerStep>,
        refused: Option<&str>,
        confirm: &dyn StalenessCheck,
    ) -> Vec<StepOutcome> {
        let (mut config, server) = split_config(steps);
        let mut outcomes = Vec::new();
        let mut note = |step: StepInfo, result: Result<StepResult, ApplyError>| {
            let result = result.unwrap_or_else(StepResult::Failed);
            let outcome = StepOutcome { step, result };
            self.events.take(EngineEvent::StepTried(&outcome));
            outcomes.push(outcome);
        };
        for (step, action) in server {
            match action {
                ServerAction::Create { .. } => {
                    let config = config.take();
                    let creation = Creation { step, config, refused };
                    self.create_server(desired, creation, &mut note).await;
                }
                // The rollout starts the server and checks the health of the server.
                ServerAction::Start { .. } if config.is_some() => {
                    let Some(config) = config.take() else { continue };
                    let result = self.start_with(desired, &config.change).await;
                    note(step, Ok(started_by(&result)));
                    note(config.info, result.map(|()| StepResult::Done));
                }
                ServerAction::Start { .. } => {
                    let result = self.start_server(desired).await;
                    note(step, result);
                }
                ServerAction::Stop { .. } => {
                    let result = self.supervisor.hold().await.stop().await;
                    note(step, result.map(|()| StepResult::Done));
                }
                ServerAction::Replace { .. } => {
                    let result = self.rollouts.replace_server(desired, &step, confirm).await;
                    note(step, result);
                }
                ServerAction::DisableRestartPolicy { .. } => {
                    let result = self.runtime.disable_restart_policy().await;
                    note(step, result.map(|()| StepResult::Done).map_err(ApplyError::from));
                }
                // `split_config` has removed the step of this kind. The operator carries out that
                // step last, or together with the creation or the start.
                ServerAction::ApplyConfig(_) => {}
            }
        }
        if let Some(ConfigStep { info, change }) = config {
            let result = self.change_config(desired, &change, confirm).await;
            note(info, result);
        }
        outcomes
    }

    /// Creates the server and starts it with the declared configuration. If ejabberd refuses the
    /// configuration offline, the operator creates no server. If the configuration fails when the
    /// server runs, the server keeps the configuration of the image.
    async fn create_server(
        &self,
        desired: &DesiredState,
        creation: Creation<'_>,
        note: &mut impl FnMut(StepInfo, Result<StepResult, ApplyError>),
    ) {
        let Creation { step, config, refused } = creation;
        if let Some(why) = refused {
            return note(step, Ok(StepResult::Deferred(Deferral::ConfigRefused(why.to_owned()))));
        }
        let target = match &config {
            Some(config) => self.accepted(desired, &config.change).await.map(Some),
            None => Ok(None),
        };
        let target = match target {
            Ok(target) => target,
            Err(error) => {
                note(step, Ok(StepResult::Deferred(Deferral::ConfigNotAccepted)));
                if let Some(config) = config {
                    note(config.info, Err(error));
                }
                return;
            }
        };
        let mut guard = self.supervisor.hold().await;
        if let Err(error) = self.create_container().await {
            note(step, Err(error));
            if let Some(config) = config {
                note(config.info, Ok(StepResult::Deferred(Deferral::ServerNotCreated)));
            }
            return;
        }
        match (target, config) {
            (Some(target), Some(config)) => {
                let result = self
                    .rollouts
                    .roll_out(desired, Target { method: Method::Restart, ..target }, &mut guard)
                    .await;
                let runs = self.runtime.inspect().await;
                note(
                    step,
                    Ok(match runs {
                        Ok(ProcessState::Running { .. }) => StepResult::Done,
                        _ => StepResult::Deferred(Deferral::ServerNotStarted),
                    }),
                );
                note(config.info, result.map(|()| StepResult::Done));
            }
            _ => {
                let began = Timestamp::now();
                let started = match guard.start("Created").await {
                    Ok(()) if self.supervised => Ok(()),
                    Ok(()) => self.await_start(desired, began).await,
                    Err(error) => Err(error),
                };
                note(step, started.map(|()| StepResult::Done));
            }
        }
    }

    /// Creates the container if none exists.
    async fn create_container(&self) -> Result<(), ApplyError> {
        if self.runtime.inspect().await? == ProcessState::Absent {
            // The volume may have changed since the plan, so check the database again.
            if let Some(why) = self.databases.creation_would_lose(&self.store.inventory()?).await? {
                return Err(ApplyError::DatabaseMissing(why));
            }
            self.runtime.create().await?;
        }
        Ok(())
    }

    /// Starts a stopped server. A running supervisor has usually started the server already, and
    /// the backoff of the supervisor applies to this start too.
    async fn start_server(&self, desired: &DesiredState) -> Result<StepResult, ApplyError> {
        if self.supervised {
            self.supervisor.attend().await;
            let runs = matches!(self.runtime.inspect().await?, ProcessState::Running { .. });
            return Ok(match self.supervisor.waits().await {
                Some(why) => StepResult::Deferred(Deferral::SupervisorWaits(why)),
                None if runs => StepResult::Done,
                None => StepResult::Deferred(Deferral::ServerGone),
            });
        }
        let mut guard = self.supervisor.hold().await;
        // Stop the node first: the node may still run although ejabberd in the node is stopped.
        if matches!(self.runtime.inspect().await?, ProcessState::Running { .. }) {
            guard.stop().await?;
        }
        let began = Timestamp::now();
        guard.start("Stopped").await?;
        self.await_start(desired, began).await?;
        guard.well().await;
        Ok(StepResult::Done)
    }

    /// Starts a stopped server with a changed configuration.
    async fn start_with(
        &self,
        desired: &DesiredState,
        change: &ConfigChange,
    ) -> Result<(), ApplyError> {
        let target = self.target(desired, change).await?;
        // Another program may have started the server since the observation.
        let method = self.method_now(Method::Restart).await?;
        let mut guard = self.supervisor.hold().await;
        self.rollouts.roll_out(desired, Target { method, ..target }, &mut guard).await
    }

    /// Changes the configuration of a server that runs.
    async fn change_config(
        &self,
        desired: &DesiredState,
        change: &ConfigChange,
        confirm: &dyn StalenessCheck,
    ) -> Result<StepResult, ApplyError> {
        let restart = change.method == Method::Restart;
        let target = if restart {
            self.accepted(desired, change).await?
        } else {
            self.target(desired, change).await?
        };
        let target = Target { method: self.method_now(target.method).await?, ..target };
        // Clients get the announcement only when the interruption is certain.
        if restart && desired.server.announce.is_some() {
            self.rollouts.announce(desired).await;
            // The file may have changed during the announced delay.
            if let Some(why) = confirm.blocked_reason().await {
                return Ok(StepResult::Deferred(why));
            }
        }
        let mut guard = self.supervisor.hold().await;
        self.rollouts.roll_out(desired, target, &mut guard).await.map(|()| StepResult::Done)
    }

    /// Returns the method by which a configuration can take effect now. Waits for a starting
    /// server, for two reasons. A starting server cannot reload: the database aborts the
    /// transactions of `reload_config` (seen on 24.12). A stop in the middle of a start can leave a
    /// database with which the next start fails (seen on 24.12 and 26.07). If the starting server
    /// does no work during the wait, returns [`Method::Restart`]. Fails if the server is still
    /// starting and working after the wait.
    async fn method_now(&self, method: Method) -> Result<Method, ApplyError> {
        let measure =
            async || self.runtime.usage().await.ok().flatten().and_then(|usage| usage.work);
        let before = measure().await;
        self.await_awake(STARTS_WITHIN).await;
        match self.server.phase().await {
            Ok(NodePhase::Running | NodePhase::Stopped) => Ok(method),
            Ok(NodePhase::Starting | NodePhase::Stopping) => match (before, measure().await) {
                (Some(before), Some(now)) if !now.since(&before, STARTS_WITHIN) => {
                    Ok(Method::Restart)
                }
                _ => Err(ApplyError::ConfigUnchecked(
                    "the server is still starting; the operator tries again later".to_owned(),
                )),
            },
            Err(error) => match self.runtime.inspect().await? {
                ProcessState::Running { .. } => Err(error.into()),
                // The server has stopped meanwhile, perhaps because of the configuration, so a
                // restart is possible.
                _ => Ok(Method::Restart),
            },
        }
    }

    /// Returns the configuration of a step, after ejabberd has accepted the configuration offline.
    /// Latches a refused configuration, so that the operator does not try the configuration again.
    async fn accepted(
        &self,
        desired: &DesiredState,
        change: &ConfigChange,
    ) -> Result<Target, ApplyError> {
        let target = self.target(desired, change).await?;
        let declared = target.last_good.is_none().then_some(desired);
        let Err(failure) = self.configs.check(declared, &target.files).await else {
            return Ok(target);
        };
        // The check is part of the rollout, so a failed check ends the rollout.
        let ends = if failure.blame { Outcome::Refused } else { Outcome::NotNow };
        self.events.take(EngineEvent::RolloutEnded {
            method: target.method,
            result: ends(failure.clone()).result(),
        });
        let error = if failure.blame {
            ApplyError::ConfigRefused(failure.message)
        } else {
            ApplyError::ConfigUnchecked(failure.message)
        };
        if failure.blame {
            let variant = desired.config.as_ref().map_or("", |config| &config.variant);
            self.configs.latch(
                &config_digest(&target.files),
                variant,
                LatchReason::Invalid,
                &error.to_string(),
            );
        }
        Err(error)
    }

    /// Returns the configuration that a step puts in force: the last good configuration or the
    /// declared configuration.
    async fn target(
        &self,
        desired: &DesiredState,
        change: &ConfigChange,
    ) -> Result<Target, ApplyError> {
        let method = change.method;
        if change.source == ConfigSource::LastGood
            && let Some((good, files)) = self.configs.last_good()?
        {
            return Ok(Target { files, method, last_good: Some(good) });
        }
        let Some(config) = &desired.config else {
            return Err(ApplyError::ConfigUnchecked("no configuration is declared".to_owned()));
        };
        Ok(Target { files: self.configs.declared_config(config).await?, method, last_good: None })
    }

    /// Returns why the operator must not create a new server: ejabberd refuses the declared
    /// configuration, and no good configuration is stored. `None` if the operator may create the
    /// server.
    pub(in crate::engine) fn refused_config(
        state: &crate::domain::observed::ObservedState,
    ) -> Option<&str> {
        match &state.config {
            Some(Reading::Known(reading)) if reading.last_good.is_none() => {
                let latched = reading.latched.as_ref()?;
                (latched.reason == LatchReason::Invalid).then_some(latched.message.as_str())
            }
            _ => None,
        }
    }
}

/// Separates the step that puts a configuration in force; a plan has at most one such step.
fn split_config(steps: Vec<ServerStep>) -> (Option<ConfigStep>, Vec<(StepInfo, ServerAction)>) {
    let (mut config, mut server) = (None, Vec::new());
    for step in steps {
        match step.into_parts() {
            (info, ServerAction::ApplyConfig(change)) => config = Some(ConfigStep { info, change }),
            other => server.push(other),
        }
    }
    (config, server)
}

/// Returns the result of a start that is part of a rollout. The server also runs after a rollback,
/// so a rollback counts as a start.
fn started_by(rollout: &Result<(), ApplyError>) -> StepResult {
    match rollout {
        Ok(()) | Err(ApplyError::RolledBack(_) | ApplyError::TakenBack(_)) => StepResult::Done,
        Err(_) => StepResult::Deferred(Deferral::ConfigUnderWay),
    }
}
