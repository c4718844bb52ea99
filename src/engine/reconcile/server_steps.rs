//! Carrying out the steps that concern the server as a whole: making,
//! starting, stopping, replacing it, and putting a configuration in force.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::deferral::Deferral;
use super::report::{ApplyError, StepOutcome, StepResult};
use super::round::StalenessCheck;
use crate::domain::diff::Action;
use crate::domain::observed::{LatchReason, PAUSED, ProcessState, Reading, Work};
use crate::domain::plan::Step;
use crate::domain::rollout::{Method, Outcome};
use crate::domain::spec::DesiredState;
use crate::domain::supervision::{Cause, Ending};
use crate::ejabberd::NodePhase;
use crate::engine::Engine;
use crate::engine::ports::{EngineEvent, Runtime};
use crate::engine::rollout::compare::config_digest;
use crate::engine::rollout::execute::Target;

/// How often a starting server is asked whether it has started. A session
/// costs the host half a second of a core, so not more often.
const START_POLL: Duration = Duration::from_millis(250);

/// How long a server that starts is waited for before its configuration changes.
const STARTS_WITHIN: Duration = Duration::from_mins(1);

/// How many lines of a start are read. ejabberd logs about fifty lines before a
/// start fails, and an Erlang term takes up to a hundred.
pub(in crate::engine) const START_LINES: usize = 500;

/// A runtime notes a start a little after the first line may have been logged.
const NOTED_LATE: Duration = Duration::from_millis(200);

/// When the runtime noted that the server was last started, or a little before.
pub(in crate::engine) async fn last_start(runtime: &dyn Runtime) -> Option<Timestamp> {
    let started = runtime.diagnostics().await.ok()?.started?;
    Some(started.checked_sub(NOTED_LATE).unwrap_or(started))
}

/// The log of the last start, without the lines of earlier starts. `began` is
/// when the caller knows of that start; the runtime knows it earlier where the
/// engine or an owner starts the server as well.
pub(in crate::engine) async fn log_of_start(
    runtime: &dyn Runtime,
    began: Timestamp,
) -> Vec<String> {
    let since = match last_start(runtime).await {
        Some(noted) if began <= noted + NOTED_LATE => noted.max(began),
        Some(noted) => noted,
        None => began,
    };
    runtime.log(since, START_LINES).await.unwrap_or_default()
}

/// A server that is to be created.
struct Creation<'a> {
    step: Step,
    /// The step that puts the declared configuration in force, if there is one.
    config: Option<Step>,
    /// Why ejabberd refuses that configuration, if it does.
    refused: Option<&'a str>,
}

impl Engine {
    /// Carries out the steps of the kinds `server` and `config`, which come
    /// first in a plan. `refused` says why a new server must not come up with
    /// whatever its image has, if so.
    pub(in crate::engine) async fn settle_server(
        &self,
        desired: &DesiredState,
        steps: Vec<Step>,
        refused: Option<&str>,
        confirm: &dyn StalenessCheck,
    ) -> Vec<StepOutcome> {
        let (config, server): (Vec<Step>, Vec<Step>) =
            steps.into_iter().partition(|step| matches!(step.action, Action::ApplyConfig { .. }));
        let mut config = config.into_iter().next();
        let mut outcomes = Vec::new();
        let mut note = |step: Step, result: Result<StepResult, ApplyError>| {
            let result = result.unwrap_or_else(StepResult::Failed);
            let outcome = StepOutcome { step, result };
            self.events.take(EngineEvent::StepTried(&outcome));
            outcomes.push(outcome);
        };
        for step in server {
            match &step.action {
                Action::CreateServer => {
                    let config = config.take();
                    let creation = Creation { step, config, refused };
                    self.create_server(desired, creation, &mut note).await;
                }
                // Whatever it was started with is judged by the rollout.
                Action::StartServer if config.is_some() => {
                    let Some(config) = config.take() else { continue };
                    let result = self.start_with(desired, &config).await;
                    let started = matches!(
                        result,
                        Ok(()) | Err(ApplyError::RolledBack(_) | ApplyError::TakenBack(_))
                    );
                    if started {
                        note(step, Ok(StepResult::Done));
                    } else {
                        note(step, Ok(StepResult::Deferred(Deferral::ConfigUnderWay)));
                    }
                    note(config, result.map(|()| StepResult::Done));
                }
                Action::StartServer => {
                    let result = self.start_server(desired).await;
                    note(step, result);
                }
                Action::StopServer => {
                    let result = self.supervisor.hold().await.stop().await;
                    note(step, result.map(|()| StepResult::Done));
                }
                Action::ReplaceServer => {
                    let result = self.replace_server(desired, &step, confirm).await;
                    note(step, result);
                }
                Action::OwnRestarts => {
                    let result = self.runtime.disable_restart_policy().await;
                    note(step, result.map(|()| StepResult::Done).map_err(ApplyError::from));
                }
                _ => {}
            }
        }
        if let Some(step) = config {
            let result = self.change_config(desired, &step, confirm).await;
            note(step, result);
        }
        outcomes
    }

    /// Makes the server and starts it with the declared configuration. One
    /// that ejabberd refuses is not even begun with; one that fails only once
    /// it runs leaves the server with what its image brought.
    async fn create_server(
        &self,
        desired: &DesiredState,
        creation: Creation<'_>,
        note: &mut impl FnMut(Step, Result<StepResult, ApplyError>),
    ) {
        let Creation { step, config, refused } = creation;
        if let Some(why) = refused {
            return note(step, Ok(StepResult::Deferred(Deferral::ConfigRefused(why.to_owned()))));
        }
        let target = match &config {
            Some(config) => self.accepted(desired, config).await.map(Some),
            None => Ok(None),
        };
        let target = match target {
            Ok(target) => target,
            Err(error) => {
                note(step, Ok(StepResult::Deferred(Deferral::ConfigNotAccepted)));
                if let Some(config) = config {
                    note(config, Err(error));
                }
                return;
            }
        };
        let mut guard = self.supervisor.hold().await;
        if let Err(error) = self.make().await {
            note(step, Err(error));
            if let Some(config) = config {
                note(config, Ok(StepResult::Deferred(Deferral::ServerNotCreated)));
            }
            return;
        }
        match (target, config) {
            (Some(target), Some(config)) => {
                let result = self
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
                note(config, result.map(|()| StepResult::Done));
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

    /// Makes the container where there is none.
    async fn make(&self) -> Result<(), ApplyError> {
        if self.runtime.inspect().await? == ProcessState::Absent {
            // Look again: the volume may have changed since the plan was made.
            if let Some(why) = self.creation_would_lose(&self.store.inventory()?).await? {
                return Err(ApplyError::DatabaseMissing(why));
            }
            self.runtime.create().await?;
        }
        Ok(())
    }

    /// Starts a server that has ended. Where a supervisor watches over it, that
    /// has come first mostly, and its backoff is kept.
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
        // Its process may be there, and ejabberd in it have been stopped.
        if matches!(self.runtime.inspect().await?, ProcessState::Running { .. }) {
            guard.stop().await?;
        }
        let began = Timestamp::now();
        guard.start("Stopped").await?;
        self.await_start(desired, began).await?;
        guard.well().await;
        Ok(StepResult::Done)
    }

    /// Starts a server that has ended, with a configuration that is not the
    /// one that it ended with.
    async fn start_with(&self, desired: &DesiredState, config: &Step) -> Result<(), ApplyError> {
        let target = self.target(desired, config).await?;
        // Others may have started it since.
        let method = self.method_now(Method::Restart).await?;
        let mut guard = self.supervisor.hold().await;
        self.roll_out(desired, Target { method, ..target }, &mut guard).await
    }

    /// Changes the configuration of a server that runs.
    async fn change_config(
        &self,
        desired: &DesiredState,
        step: &Step,
        confirm: &dyn StalenessCheck,
    ) -> Result<StepResult, ApplyError> {
        let restart = matches!(step.action, Action::ApplyConfig { restart: true, .. });
        let target = if restart {
            self.accepted(desired, step).await?
        } else {
            self.target(desired, step).await?
        };
        let target = Target { method: self.method_now(target.method).await?, ..target };
        // People are told once it is sure that the interruption comes.
        if restart && desired.server.announce.is_some() {
            self.announce(desired).await;
            // The file may have changed during the delay that was announced.
            if let Some(why) = confirm.blocked_reason().await {
                return Ok(StepResult::Deferred(why));
            }
        }
        let mut guard = self.supervisor.hold().await;
        self.roll_out(desired, target, &mut guard).await.map(|()| StepResult::Done)
    }

    /// How a configuration can be put in force now. The operator waits for a
    /// server that starts: it cannot reload (its database aborts the transactions
    /// of `reload_config`, seen on 24.12), and a stop in the middle of its start
    /// can leave a database whose next start fails (seen on 24.12 and 26.07). A
    /// start that does no work meanwhile is given up: the server is restarted.
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
                    "the server is still starting; tried again later".to_owned(),
                )),
            },
            Err(error) => match self.runtime.inspect().await? {
                ProcessState::Running { .. } => Err(error.into()),
                // It has ended meanwhile, perhaps because of its configuration.
                _ => Ok(Method::Restart),
            },
        }
    }

    /// What a step puts in force, once ejabberd has accepted it offline. What
    /// it refuses is latched.
    async fn accepted(&self, desired: &DesiredState, step: &Step) -> Result<Target, ApplyError> {
        let target = self.target(desired, step).await?;
        let declared = target.standing.is_none().then_some(desired);
        let Err(failure) = self.check(declared, &target.files).await else { return Ok(target) };
        // A rollout that is not even begun with counts like one that ended here.
        let ends = if failure.blame { Outcome::Refused } else { Outcome::NotNow };
        self.events.take(EngineEvent::RolloutEnded {
            method: target.method.as_str(),
            result: ends(failure.clone()).as_str(),
        });
        let error = if failure.blame {
            ApplyError::ConfigRefused(failure.message)
        } else {
            ApplyError::ConfigUnchecked(failure.message)
        };
        if failure.blame {
            let variant = desired.config.as_ref().map_or("", |config| &config.variant);
            self.latch(
                &config_digest(&target.files),
                variant,
                LatchReason::Invalid,
                &error.to_string(),
            );
        }
        Err(error)
    }

    /// What a step puts in force.
    async fn target(&self, desired: &DesiredState, step: &Step) -> Result<Target, ApplyError> {
        let Action::ApplyConfig { restart, standing, .. } = &step.action else {
            return Err(ApplyError::ConfigUnchecked("no configuration is meant".to_owned()));
        };
        let method = if *restart { Method::Restart } else { Method::Reload };
        if *standing && let Some((good, files)) = self.standing()? {
            return Ok(Target { files, method, standing: Some(good) });
        }
        let Some(config) = &desired.config else {
            return Err(ApplyError::ConfigUnchecked("none is declared".to_owned()));
        };
        Ok(Target { files: self.declared_config(config).await?, method, standing: None })
    }

    /// Waits until ejabberd answers, as long as its process lives, and works
    /// or has not passed the deadline for starts. The start began at `began`.
    async fn await_start(
        &self,
        desired: &DesiredState,
        began: Timestamp,
    ) -> Result<(), ApplyError> {
        let limit = desired.server.probe.start_deadline;
        let mut deadline = Instant::now() + limit;
        let mut work: Option<Work> = None;
        loop {
            match self.runtime.inspect().await? {
                ProcessState::Running { .. } | ProcessState::Created => {}
                ProcessState::Stopped { exit_code, oom_killed } => {
                    let log = log_of_start(&*self.runtime, began).await;
                    let ending = Ending { exit_code, oom_killed, log, ..Ending::default() };
                    return Err(ApplyError::NotStarted(Cause::of(&ending, false).to_string()));
                }
                ProcessState::Absent => {
                    return Err(ApplyError::NotStarted("it is gone".to_owned()));
                }
            }
            if matches!(self.server.is_started().await, Ok(true)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let now = self.runtime.usage().await?.and_then(|usage| usage.work);
                let works = match (work, now) {
                    (_, None) => false,
                    (None, Some(_)) => true,
                    (Some(before), Some(now)) => now.since(&before, limit),
                };
                if !works {
                    return Err(ApplyError::NotStarted(format!(
                        "it did not answer within {limit:?}"
                    )));
                }
                work = now;
                deadline += limit;
            }
            sleep(START_POLL).await;
        }
    }

    /// Waits a little for a server that is just starting, so that a command
    /// given right after a start does not find it half awake.
    pub async fn await_awake(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let starting = match self.runtime.inspect().await {
                Ok(ProcessState::Running { health }) => health.as_deref() != Some(PAUSED),
                _ => false,
            };
            if !starting || matches!(self.server.is_started().await, Ok(true)) {
                return;
            }
            sleep(START_POLL).await;
        }
    }

    /// Why a server that has never run is not made, if so: its configuration
    /// is known to be refused, and there is no good one.
    pub(in crate::engine) fn refused_config(
        state: &crate::domain::observed::ObservedState,
    ) -> Option<&str> {
        match &state.config {
            Some(Reading::Known(reading)) if reading.standing.is_none() => {
                let latched = reading.latched.as_ref()?;
                (latched.reason == LatchReason::Invalid).then_some(latched.message.as_str())
            }
            _ => None,
        }
    }
}
