//! The loop. Level-triggered: whatever happens only says "look again".

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::conditions;
use super::error::StoreError;
use super::ports::{Control, Runtime, Secrets, Source, Store, Telemetry};
use super::retry::Retries;
use super::round::{Engine, Permission};
use super::server::Server;
use crate::model::ObjectKey;
use crate::spec::{self, DesiredState, Problem, SecretSource, Severity};
use crate::status::{ConditionType, Status};

/// Deletions wait until a revision has stood for so long: a checkout that is
/// half done must not look like a removal.
pub const DELETIONS_AFTER: Duration = Duration::from_secs(2);

/// How long a round may go on after the order to end: a configuration that is
/// being rolled out should not leave the server stopped.
const LAST_ROUND: Duration = Duration::from_secs(30);

/// Opens the way to the server that a desired state describes.
pub trait Connector: Send + Sync {
    /// A runtime and a control channel for it. Does no I/O that can fail:
    /// both connect when they are first used.
    fn connect(&self, server: &spec::Server) -> (Arc<dyn Runtime>, Arc<dyn Control>);
}

/// What the loop is made of.
pub struct Controller {
    /// Where the desired state comes from.
    pub source: Arc<dyn Source>,
    /// The operator's memory.
    pub store: Arc<dyn Store>,
    /// Passwords and files.
    pub secrets: Arc<dyn Secrets>,
    /// Opens the way to the server.
    pub connector: Arc<dyn Connector>,
    /// Who is told.
    pub telemetry: Arc<dyn Telemetry>,
    /// Where the status is published.
    pub status: watch::Sender<Status>,
    /// Said whenever the server's process may have begun or ended.
    pub process: Arc<Notify>,
    /// The time between two rounds when nothing happens.
    pub resync: Duration,
}

/// The revision that is worked on.
struct Current {
    desired: DesiredState,
    since: Instant,
    engine: Engine,
    /// Passes on what happens to the server's process; ends with this.
    watch: AbortOnDrop,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Controller {
    /// Reconciles until `stop` says so.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), StoreError> {
        let mut current: Option<Current> = None;
        let mut retries = Retries::default();
        loop {
            if self.reload(&mut current).await {
                retries.forget();
            }
            if let Some(current) = &current {
                let round = self.round(current, &mut retries);
                tokio::pin!(round);
                tokio::select! {
                    result = &mut round => result?,
                    // Cancel-safe: the flag stays set.
                    _ = stop.wait_for(|stop| *stop) => {
                        tracing::info!("ending after this round");
                        // Dropping it is as safe as a kill: every effect is
                        // remembered before it is sent.
                        if let Ok(result) = tokio::time::timeout(LAST_ROUND, round).await {
                            result?;
                        }
                        break;
                    }
                }
            }
            let wake = self.next_wake(current.as_ref(), &retries);
            tokio::select! {
                // All of them are cancel-safe: they only say "look again".
                () = self.source.changed() => {
                    tracing::debug!("a file changed");
                    // Whatever failed may have failed because of it.
                    retries.forget();
                }
                () = self.process.notified() => tracing::debug!("the server's process changed"),
                () = sleep_until(wake) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if let Some(current) = current {
            current.engine.server.close().await;
        }
        tracing::info!("ended; ejabberd goes on without us");
        Ok(())
    }

    /// Reads the desired state again. Answers whether there is a new revision.
    /// A file that is not valid changes nothing but the status.
    async fn reload(&self, current: &mut Option<Current>) -> bool {
        let files = match self.source.load().await {
            Ok(files) => files,
            Err(error) => {
                self.stalled("Unreadable", &format!("failed to {error}"));
                return false;
            }
        };
        let validated = match spec::validate(&files) {
            Ok(validated) => validated,
            Err(problems) => {
                let errors: Vec<String> = problems
                    .iter()
                    .filter(|p| p.severity == Severity::Error)
                    .map(headline)
                    .collect();
                let more = if errors.len() > 1 {
                    format!(" (and {} more)", errors.len() - 1)
                } else {
                    String::new()
                };
                let first = errors.first().cloned().unwrap_or_default();
                if self.stalled(
                    "InvalidDesiredState",
                    &format!("{first}{more}; the last good revision stays in force"),
                ) {
                    for problem in &problems {
                        tracing::error!("{problem}");
                    }
                }
                return false;
            }
        };
        let desired = validated.desired;
        self.source.watch(&named_paths(&desired));
        if current.as_ref().is_some_and(|c| c.desired == desired) {
            self.unstalled();
            return false;
        }
        for warning in &validated.warnings {
            tracing::warn!("{warning}");
        }
        let name = desired.revision.short().to_owned();
        tracing::info!(revision = name, "a new revision of the desired state");
        self.status.send_modify(|status| {
            status.event("NewRevision", format!("revision {name} was read"), Timestamp::now());
        });
        self.unstalled();
        let (engine, watch) = match current.take() {
            Some(current) if current.desired.server.runtime == desired.server.runtime => {
                (current.engine, current.watch)
            }
            before => {
                if let Some(before) = before {
                    before.engine.server.close().await;
                }
                let (runtime, control) = self.connector.connect(&desired.server);
                let (process, changed) = (Arc::clone(&runtime), Arc::clone(&self.process));
                let watch = tokio::spawn(async move { process.watch(&changed).await });
                let engine = Engine {
                    server: Server::new(control),
                    runtime,
                    store: Arc::clone(&self.store),
                    secrets: Arc::clone(&self.secrets),
                    telemetry: Arc::clone(&self.telemetry),
                };
                (engine, AbortOnDrop(watch))
            }
        };
        *current = Some(Current { desired, since: Instant::now(), engine, watch });
        true
    }

    async fn round(&self, current: &Current, retries: &mut Retries) -> Result<(), StoreError> {
        let now = Instant::now();
        if !self.status.borrow().is(ConditionType::Ready) {
            self.publish(|status, now| {
                status.set(ConditionType::Reconciling, true, "Working", "a round is under way", now)
            });
        }
        let young = now.duration_since(current.since) < DELETIONS_AFTER;
        let backing_off = |key: &ObjectKey| retries.backing_off(key, now);
        let permission = Permission {
            approved: None,
            deletions_wait: young
                .then_some("the revision has not stood unchanged for two seconds yet"),
            backing_off: &backing_off,
        };
        let report = current.engine.round(&current.desired, &permission).await?;
        retries.learn(&report, Instant::now());
        self.publish(|status, now| {
            let was_up = status.server.up;
            conditions::update(status, &current.desired, &report, now);
            status.set(ConditionType::Reconciling, false, "Waiting", "the round is over", now);
            for outcome in &report.outcomes {
                note_outcome(status, outcome, now);
            }
            if was_up && !status.server.up {
                status.event("ServerDown", "the server does not answer any more", now);
            } else if !was_up && status.server.up {
                status.event("ServerUp", "the server answers", now);
            }
        });
        Ok(())
    }

    /// When to look again at the latest: the resync, with a tenth of jitter so
    /// that many operators on one engine spread; sooner if something is due.
    fn next_wake(&self, current: Option<&Current>, retries: &Retries) -> Instant {
        let now = Instant::now();
        let jitter = self.resync.mul_f64(0.1 * fraction());
        let resync = now + self.resync.saturating_sub(jitter);
        let settled = current
            .map(|current| current.since + DELETIONS_AFTER)
            .filter(|at| *at > now)
            .map(|at| at + Duration::from_millis(10));
        [Some(resync), settled, retries.next()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(resync)
            .max(now + Duration::from_millis(20))
    }

    fn publish(&self, change: impl FnOnce(&mut Status, Timestamp)) {
        self.status.send_modify(|status| change(status, Timestamp::now()));
        let status = self.status.borrow().clone();
        self.telemetry.status(&status);
        if let Ok(json) = serde_json::to_string(&status)
            && let Err(error) = self.store.save_status(&json)
        {
            tracing::warn!(%error, "failed to remember the status");
        }
    }

    /// Notes that the file cannot be used. Answers whether that is news.
    fn stalled(&self, reason: &str, message: &str) -> bool {
        let known =
            self.status.borrow().get(ConditionType::Stalled).is_some_and(|c| c.message == message);
        if !known {
            tracing::error!(reason, "{message}");
            self.publish(|status, now| {
                status.set(ConditionType::Stalled, true, reason, message, now);
                status.set(ConditionType::Ready, false, reason, message, now);
                status.event(reason, message, now);
            });
        }
        !known
    }

    fn unstalled(&self) {
        let about_file = |reason: &str| matches!(reason, "Unreadable" | "InvalidDesiredState");
        if self.status.borrow().get(ConditionType::Stalled).is_some_and(|c| about_file(&c.reason)) {
            self.publish(|status, now| {
                status.set(ConditionType::Stalled, false, "Progressing", "the file is valid", now)
            });
        }
    }
}

fn note_outcome(status: &mut Status, outcome: &super::report::StepOutcome, now: Timestamp) {
    use super::report::StepResult;
    let what = format!("{} {}", outcome.step.op, outcome.step.key());
    match &outcome.result {
        StepResult::Done => status.event("StepDone", what, now),
        StepResult::Failed(error) => {
            status.event("StepFailed", format!("{what}: failed to {error}"), now)
        }
        StepResult::Deferred(_) => {}
    }
}

/// A problem in one line: where, and what.
fn headline(problem: &Problem) -> String {
    problem.to_string().lines().next().unwrap_or_default().to_owned()
}

/// A number from 0 to 1, different at each call, for jitter only.
fn fraction() -> f64 {
    let nanos = Timestamp::now().subsec_nanosecond().unsigned_abs();
    f64::from(nanos % 1000) / 1000.0
}

/// The files that a desired state names: when one changes, look again.
fn named_paths(desired: &DesiredState) -> Vec<PathBuf> {
    let mut paths = BTreeSet::new();
    if let Some(config) = &desired.config {
        paths.extend(config.variants.get(&config.variant).cloned());
        paths.extend(config.files.values().cloned());
    }
    for user in desired.users.iter().flat_map(|users| users.values()) {
        if let Some(SecretSource::File(path)) = &user.password {
            paths.insert(path.clone());
        }
    }
    paths.into_iter().collect()
}
