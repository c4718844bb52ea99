//! Carries out the decisions of [`crate::domain::rollout`].

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::check::ConfigChecker;
use super::compare::config_digest;
use super::latch::{UnderWay, lift_latch};
use crate::domain::observed::{LatchReason, ObservedState, ProcessState, Reading};
use crate::domain::rollout::{Effect, Event, Failure, Method, Outcome, Phase, Rollout, Side};
use crate::domain::spec::{DesiredState, ServerState};
use crate::ejabberd::{ControlError, EjabberdClient, NodePhase};
use crate::engine::diagnostics::Diagnostics;
use crate::engine::diagnostics::audit_probe::AuditProbe;
use crate::engine::error::StoreError;
use crate::engine::ports::{
    ConfigFiles, EngineEvent, EventSink, GoodConfig, MAIN_CONFIG, Runtime, Store,
};
use crate::engine::reconcile::database::Databases;
use crate::engine::reconcile::passwords::Passwords;
use crate::engine::reconcile::report::ApplyError;
use crate::engine::supervisor::{Supervisor, SupervisorGuard};

/// The maximum number of further reloads after the first reload. `reload_config` closes a listener
/// with changed options, and opens the listener again at once. While clients are connected, this
/// can fail with "address already in use" (seen on 24.12 and 26.07). A further reload opens the
/// port.
const RELOADS_AGAIN: u32 = 3;

/// The time for the listeners to open, before the operator reads the log.
const LISTENERS_OPEN: Duration = Duration::from_millis(300);

/// The time in which ejabberd may stop in its node after a reload that it refused.
const STOPS_WITHIN: Duration = Duration::from_secs(3);

/// The same after a reload whose error can come from a server that is stopping. On a loaded host
/// the stop took longer than three seconds (seen on 26.07).
const STOPS_SLOWLY_WITHIN: Duration = Duration::from_secs(15);

/// The maximum number of lines of the log to search for listeners that failed to open.
const LISTENER_LINES: usize = 100;

/// The configuration to roll out.
pub(in crate::engine) struct Target {
    pub(in crate::engine) files: ConfigFiles,
    pub(in crate::engine) method: Method,
    /// The last good configuration, if this configuration replaces the declared configuration;
    /// `None` for the declared configuration.
    pub(in crate::engine) last_good: Option<GoodConfig>,
}

/// Rolls out configurations and new containers, each with a health gate and a rollback.
pub(in crate::engine) struct RolloutExecutor {
    pub(in crate::engine) server: EjabberdClient,
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    pub(in crate::engine) store: Arc<dyn Store>,
    pub(in crate::engine) events: Arc<dyn EventSink>,
    pub(in crate::engine) supervisor: Arc<Supervisor>,
    pub(in crate::engine) configs: Arc<ConfigChecker>,
    pub(in crate::engine) databases: Arc<Databases>,
    pub(in crate::engine) passwords: Arc<Passwords>,
    pub(in crate::engine) probe: Arc<AuditProbe>,
    pub(in crate::engine) diagnostics: Arc<Diagnostics>,
}

impl RolloutExecutor {
    /// Puts a configuration in force. If the configuration fails the health gate, the function puts
    /// the previous configuration in force again and returns an error.
    pub(in crate::engine) async fn roll_out(
        &self,
        desired: &DesiredState,
        target: Target,
        guard: &mut SupervisorGuard<'_>,
    ) -> Result<(), ApplyError> {
        let Target { files, method, last_good } = target;
        let declared = desired.config.as_ref().map(|config| config.variant.clone());
        let (variant, revision) = match &last_good {
            Some(good) => (good.variant.clone(), good.revision.clone()),
            None => (declared.unwrap_or_default(), desired.revision.clone()),
        };
        if let Some(why) = self.canary_is_off(desired).await {
            return Err(ApplyError::ConfigUnchecked(why));
        }
        let names: Vec<String> = files.keys().cloned().collect();
        let before = self.runtime.read_config(&names).await?;
        let under_way = UnderWay {
            rollout: Rollout::new(method),
            target: config_digest(&files),
            before: config_digest(&before),
            variant,
            revision,
            last_good: last_good.is_some(),
            since: Timestamp::now(),
        };
        self.drive(desired, under_way, files, before, guard).await
    }

    /// Resumes a rollout during which an earlier operator process was killed. Returns `None` if
    /// there is no such rollout, or if the server is declared stopped.
    pub(in crate::engine) async fn resume_rollout(
        &self,
        desired: &DesiredState,
    ) -> Result<Option<Result<(), ApplyError>>, StoreError> {
        // The health gate must not start a server that is declared stopped.
        if desired.server.state == ServerState::Stopped {
            return Ok(None);
        }
        let Some(mut under_way) = self.configs.under_way()? else { return Ok(None) };
        let files = self.store.kept_config(&under_way.target)?;
        let before = self.store.kept_config(&under_way.before)?;
        let (Some(files), Some(before)) = (files, before) else {
            self.configs.keep_under_way(None)?;
            return Ok(None);
        };
        tracing::warn!(
            variant = under_way.variant,
            "a rollout was interrupted; the operator continues it"
        );
        let mut guard = self.supervisor.hold().await;
        // A host reboot stops the server too, so a stopped server does not prove that the
        // configuration is bad. Start the server and judge again.
        if let Phase::Gating { side, .. } = under_way.rollout.phase
            && matches!(self.runtime.inspect().await, Ok(ProcessState::Stopped { .. }))
        {
            under_way.rollout.phase = Phase::Putting { side, method: Method::Restart };
        }
        Ok(Some(self.drive(desired, under_way, files, before, &mut guard).await))
    }

    async fn drive(
        &self,
        desired: &DesiredState,
        mut under_way: UnderWay,
        files: ConfigFiles,
        before: ConfigFiles,
        guard: &mut SupervisorGuard<'_>,
    ) -> Result<(), ApplyError> {
        // For a rollback, write each new file as an empty file: the operator cannot delete a file
        // from a stopped server.
        let mut old: ConfigFiles = files.keys().map(|name| (name.clone(), Vec::new())).collect();
        old.extend(before.clone());
        let of = |side| match side {
            Side::New => &files,
            Side::Old => &old,
        };
        let mut effect = under_way.rollout.effect();
        let outcome = loop {
            tracing::debug!(?effect, "the next effect of the rollout");
            let done = match effect {
                Effect::Check => {
                    let declared = (!under_way.last_good).then_some(desired);
                    self.configs.check(declared, &files).await
                }
                Effect::TryToWrite => self
                    .runtime
                    .try_to_write_config(&files)
                    .await
                    .map_err(|error| Failure { message: error.to_string(), blame: false }),
                Effect::Keep => self.keep_both(&under_way, &files, &before),
                Effect::Put(Side::Old, _) if !before.contains_key(MAIN_CONFIG) => Err(Failure {
                    message: "there is no previous configuration to put in force again".to_owned(),
                    blame: false,
                }),
                Effect::Put(side, method) => {
                    guard.rolls_out(&under_way.variant);
                    if side == Side::Old {
                        tracing::warn!(
                            cause = under_way.rollout.failure.as_ref().map(|f| f.message.as_str()),
                            "the new configuration failed; the operator rolls back"
                        );
                    }
                    under_way.since = Timestamp::now();
                    let put = self.put(of(side), method, guard).await;
                    put.map(|since| under_way.since = since)
                }
                Effect::Gate(side) => self.gate(desired, side, under_way.since).await,
                Effect::End(outcome) => break outcome,
            };
            let event = done.map_or_else(Event::Failed, |()| Event::Went);
            effect = under_way.rollout.step(event);
            let ended = matches!(effect, Effect::End(_));
            if under_way.rollout.has_begun() && !ended
                // Without this record, a kill would leave a server with files that no gate has
                // checked.
                && let Err(error) = self.configs.keep_under_way(Some(&under_way))
                && matches!(effect, Effect::Put(Side::New, _))
            {
                return Err(error.into());
            }
        };
        self.conclude(&under_way, &outcome, guard).await
    }

    async fn conclude(
        &self,
        under_way: &UnderWay,
        outcome: &Outcome,
        guard: &mut SupervisorGuard<'_>,
    ) -> Result<(), ApplyError> {
        self.events.take(EngineEvent::RolloutEnded {
            method: under_way.rollout.method,
            result: outcome.result(),
        });
        if matches!(outcome, Outcome::Good | Outcome::RolledBack(_)) {
            guard.well().await;
        }
        let error = match outcome {
            Outcome::Good => None,
            Outcome::Refused(why) => Some(ApplyError::ConfigRefused(why.message.clone())),
            Outcome::NotNow(why) => Some(ApplyError::ConfigUnchecked(why.message.clone())),
            Outcome::NotWritten(why) => Some(ApplyError::ConfigNotWritten(why.message.clone())),
            Outcome::RolledBack(why) if why.blame => {
                Some(ApplyError::RolledBack(why.message.clone()))
            }
            Outcome::RolledBack(why) => Some(ApplyError::TakenBack(why.message.clone())),
            Outcome::Stuck { first, then } => {
                Some(ApplyError::Stuck { first: first.message.clone(), then: then.message.clone() })
            }
        };
        // Store the latch before the deletion of the rollout's record, so that a kill cannot lose
        // the latch.
        if let Some(error) = &error
            && outcome.latches()
        {
            let reason = match outcome {
                Outcome::Refused(_) => LatchReason::Invalid,
                _ => LatchReason::RolledBack,
            };
            self.configs.latch(&under_way.target, &under_way.variant, reason, &error.to_string());
        }
        // The declared configuration is in force, so earlier failures no longer matter.
        if *outcome == Outcome::Good
            && !under_way.last_good
            && let Err(error) = lift_latch(&*self.store)
        {
            tracing::warn!(%error, "failed to delete the latch");
        }
        let remembered = match outcome {
            Outcome::Good => {
                let UnderWay { target, variant, revision, .. } = under_way;
                self.store.record_good(&GoodConfig {
                    digest: target.clone(),
                    variant: variant.clone(),
                    revision: revision.clone(),
                    since: Timestamp::now(),
                })
            }
            _ => Ok(()),
        };
        let remembered = remembered.and_then(|()| self.configs.keep_under_way(None));
        if let Err(error) = remembered {
            tracing::warn!(%error, "failed to store the end of a rollout");
        }
        error.map_or(Ok(()), Err)
    }

    fn keep_both(
        &self,
        under_way: &UnderWay,
        files: &ConfigFiles,
        before: &ConfigFiles,
    ) -> Result<(), Failure> {
        let kept = self
            .store
            .keep_config(&under_way.target, files)
            .and_then(|()| self.store.keep_config(&under_way.before, before));
        kept.map_err(|error| Failure { message: format!("failed to {error}"), blame: false })
    }

    /// Puts `files` in force. Returns the time since which the log is about these files. For a
    /// restart, the operator writes the files while the server is stopped. Otherwise a kill could
    /// leave a running server with new files that the server has not loaded, and the operator would
    /// find no difference.
    async fn put(
        &self,
        files: &ConfigFiles,
        method: Method,
        guard: &mut SupervisorGuard<'_>,
    ) -> Result<Timestamp, Failure> {
        let mut since = Timestamp::now();
        let put = async {
            match method {
                Method::Reload => {
                    self.runtime.write_config(files).await?;
                    self.server.reload_config().await?;
                    for _ in 0..RELOADS_AGAIN {
                        sleep(LISTENERS_OPEN).await;
                        if !self.lost_a_listener(since).await {
                            break;
                        }
                        since = Timestamp::now();
                        self.server.reload_config().await?;
                    }
                }
                Method::Restart => {
                    if matches!(self.runtime.inspect().await?, ProcessState::Running { .. }) {
                        guard.stop().await?;
                    }
                    self.runtime.write_config(files).await?;
                    // The log before this time is about the old files.
                    since = Timestamp::now();
                    guard.start("Config").await?;
                }
            }
            Ok::<_, ApplyError>(())
        };
        let Err(error) = put.await else { return Ok(since) };
        if method == Method::Reload
            && self.stops_within(stop_expected(&error)).await
            && let Some(failure) = self.cause_of_stop(since).await
        {
            return Err(failure);
        }
        Err(Failure {
            // ejabberd accepted the configuration offline and then failed to reload it, so the
            // configuration is the cause.
            blame: matches!(&error, ApplyError::Control(e) if !e.is_outage()),
            message: format!("failed to {error}"),
        })
    }

    /// Waits up to `limit` until ejabberd has stopped in its Erlang node. A listener that fails
    /// repeatedly stops ejabberd during the reload, and the error of the reload does not name that
    /// cause.
    async fn stops_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            // While ejabberd stops, its node still reports that ejabberd runs.
            if let Ok(NodePhase::Stopped) = self.server.phase().await {
                return true;
            }
            sleep(LISTENERS_OPEN).await;
        }
        false
    }

    /// Whether the server failed since `since` to open a port, because the port was in use.
    async fn lost_a_listener(&self, since: Timestamp) -> bool {
        let log = self.runtime.log(since, LISTENER_LINES).await.unwrap_or_default();
        log.iter().any(|line| {
            let line = line.to_lowercase();
            line.contains("failed to open socket") && line.contains("address already in use")
        })
    }

    /// Stores the declared configuration as a good configuration, if the configuration is in force
    /// on a server that responds.
    pub(in crate::engine) async fn remember_good(
        &self,
        desired: &DesiredState,
        state: &ObservedState,
    ) {
        let (Some(config), Some(Reading::Known(reading)), Reading::Known(_)) =
            (&desired.config, &state.config, &state.version)
        else {
            return;
        };
        // During a rollout, no gate has checked the files on the server yet.
        if !matches!(self.configs.under_way(), Ok(None)) {
            return;
        }
        let digest = &reading.declared;
        let known = self.store.good_configs();
        let known = known.is_ok_and(|good| good.first().is_some_and(|good| good.digest == *digest));
        if known || reading.latched.is_some() || reading.in_force != *digest {
            return;
        }
        let files = match self.configs.declared_config(config).await {
            Ok(files) if config_digest(&files) == *digest => files,
            // The files changed after the observation. The next reconciliation reads the files.
            _ => return,
        };
        let good = GoodConfig {
            digest: digest.clone(),
            variant: config.variant.clone(),
            revision: desired.revision.clone(),
            since: Timestamp::now(),
        };
        let kept = self.store.keep_config(digest, &files);
        if let Err(error) = kept.and_then(|()| self.store.record_good(&good)) {
            tracing::warn!(%error, "failed to store a good configuration");
        }
    }

    /// Announces an interruption to the connected users, if any, and waits for the declared time.
    pub(in crate::engine) async fn announce(&self, desired: &DesiredState) {
        let Some(announce) = &desired.server.announce else { return };
        let hosts = desired.all_hosts();
        let mut recipients = 0;
        for host in hosts {
            match self.server.tell_connected(host, &announce.text).await {
                Ok(number) => recipients += number,
                Err(error) => tracing::warn!(%error, "failed to announce an interruption"),
            }
        }
        if recipients > 0 {
            tracing::info!(recipients, delay = ?announce.delay, "announced an interruption");
            sleep(announce.delay).await;
        }
    }
}

/// The time in which ejabberd may stop after a reload that failed with `error`. A server that stops
/// has lost its table of commands, and then its node.
fn stop_expected(error: &ApplyError) -> Duration {
    match error {
        ApplyError::Control(e)
            if e.is_outage() || matches!(e, ControlError::UnknownCommand { .. }) =>
        {
            STOPS_SLOWLY_WITHIN
        }
        _ => STOPS_WITHIN,
    }
}
