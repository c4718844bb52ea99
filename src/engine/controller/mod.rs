//! The reconciliation loop. The loop is level-triggered: every event only means "observe again".

mod beside;
pub(super) mod conditions;
pub(super) mod events;
pub(super) mod orders;
mod revision;
pub(super) mod status_publisher;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tracing::Instrument;

use super::error::StoreError;
use super::ports::{EventSink, ReverseProxy, Runtime, Secrets, Source, Store};
use super::reconcile::deferral::Deferral;
use super::reconcile::report::RoundReport;
use super::reconcile::retry::Retries;
use super::reconcile::round::{Permission, StalenessCheck};
use super::{Engine, InForce};
use crate::domain::diff::{Phase, StepInfo};
use crate::domain::spec;
use crate::domain::spec::DesiredState;
use crate::domain::status::{ConditionType, EventDraft, Reason, Status};
use crate::ejabberd::Control;
use events::{EventDeduplicator, of_steps};
use orders::Orders;
use status_publisher::StatusPublisher;

/// The minimum age of a revision before the operator carries out the deletions of the revision.
/// During a checkout, an entry may be missing from the file for a moment, and the operator must not
/// delete the object.
pub const DELETIONS_AFTER: Duration = Duration::from_secs(2);

/// The maximum number of known passwords, and of known vCards, that the operator compares again per
/// minute. A known value was equal to the declared value at an earlier comparison.
const VERIFIED_PER_MINUTE: (usize, usize) = (10, 60);

/// The minimum time before the next reconciliation that retries failed steps.
const BETWEEN_RETRIES: Duration = Duration::from_millis(500);

/// The maximum time that a reconciliation may take after the signal to end. An operator that ends
/// at once during a rollout could leave the server stopped.
const LAST_ROUND: Duration = Duration::from_secs(30);

/// A factory of the runtime and the control channel of the server that a desired state describes.
pub trait Connector: Send + Sync {
    /// Creates the runtime and the control channel. Does no I/O that can fail: the runtime and the
    /// control channel each connect at the first use.
    fn connect(&self, server: &spec::Server) -> (Arc<dyn Runtime>, Arc<dyn Control>);
}

/// The reconciliation loop with its ports.
pub struct Controller {
    /// The source of the desired state.
    pub source: Arc<dyn Source>,
    /// The stored state of the operator.
    pub store: Arc<dyn Store>,
    /// The passwords and files that the desired state names.
    pub secrets: Arc<dyn Secrets>,
    /// The configuration of the reverse proxy on this host.
    pub proxy: Arc<dyn ReverseProxy>,
    /// The factory of the runtime and the control channel.
    pub connector: Arc<dyn Connector>,
    /// The receiver of the engine's events, for example the metrics.
    pub events: Arc<dyn EventSink>,
    /// The publisher of the status.
    pub publisher: Arc<StatusPublisher>,
    /// The store of the administrator's orders.
    pub orders: Arc<dyn Orders>,
    /// Notified when the server changed, so that a reconciliation may have work.
    pub server_changed: Arc<Notify>,
    /// The part of the revision in force that messaging needs; `None` before the first valid
    /// revision.
    pub in_force: watch::Sender<Option<Arc<InForce>>>,
    /// The maximum wait between two reconciliations.
    pub resync: Duration,
}

/// The reason why the operator cannot use the file of the desired state, for the status.
struct Unusable {
    reason: Reason,
    message: String,
}

/// The revision in force.
struct Current {
    desired: DesiredState,
    since: Instant,
    /// Why the file cannot be used now; `None` if the file is valid. While the file cannot be used,
    /// this revision stays in force, but the operator deletes nothing.
    unusable: Option<Unusable>,
    engine: Engine,
    /// The task that supervises the server. Dropping this value ends the task.
    keeping: AbortOnDrop,
    /// The time of the last run of the security checklist; `None` if the checklist must run after
    /// this round.
    audited: Option<Instant>,
    /// The last known result of each item of the checklist: `true` if the item passes.
    audit: BTreeMap<&'static str, bool>,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Controller {
    /// Reconciles until `stop` becomes true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut current: Option<Current> = None;
        let mut retries = Retries::default();
        let mut deduplicator = EventDeduplicator::default();
        let mut number: u64 = 0;
        loop {
            if self.reload(&mut current).await {
                retries.forget();
            }
            if self.follow_orders(current.as_ref()).await {
                retries.forget();
            }
            let mut server_changed = false;
            if let Some(current) = &current {
                number += 1;
                let revision = current.desired.revision.short();
                let span = tracing::info_span!("round", number, revision);
                let round = self.round(current, &mut retries, &mut deduplicator).instrument(span);
                tokio::pin!(round);
                tokio::select! {
                    result = &mut round => match result {
                        Ok(changed) => server_changed = changed,
                        Err(error) => self.publish_unusable_state(&error),
                    },
                    // Cancel-safe: the flag stays set.
                    _ = stop.wait_for(|stop| *stop) => {
                        tracing::info!("ending after this round");
                        // If the timeout drops the future, the effect is the same as a kill, and
                        // the next start continues the work.
                        let _ = tokio::time::timeout(LAST_ROUND, round).await;
                        break;
                    }
                }
            }
            if let Some(current) = &mut current {
                if server_changed {
                    current.audited = None;
                }
                self.audit(current).await;
            }
            let wake = self.next_wake(current.as_ref(), &retries);
            tokio::select! {
                // All of these futures are cancel-safe, because the end of a future only means
                // "observe again".
                () = self.source.changed() => {
                    tracing::debug!("a file changed");
                    // A changed file can remove the cause of any failure, so end all waits.
                    retries.forget();
                }
                () = self.server_changed.notified() => tracing::debug!("the server changed"),
                () = sleep_until(wake) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if let Some(current) = current {
            current.engine.server.close().await;
        }
        tracing::info!("ended; ejabberd keeps running");
    }

    /// Runs one reconciliation, and publishes the result. Returns whether the outcomes include a
    /// step of the server or of the configuration.
    async fn round(
        &self,
        current: &Current,
        retries: &mut Retries,
        deduplicator: &mut EventDeduplicator,
    ) -> Result<bool, StoreError> {
        let now = Instant::now();
        self.publish_begin(current);
        let backing_off = |step: &StepInfo| retries.backing_off(step, now);
        let confirm = StillDeclared { controller: self, current };
        let permission =
            Permission { approved: None, confirm: &confirm, backing_off: &backing_off };
        let report = current.engine.reconciler.round(&current.desired, &permission).await?;
        let drafts = of_steps(&report.outcomes, deduplicator);
        deduplicator.tidy(&report);
        let describe = current.engine.supervisor.description().await;
        retries.learn(&report, &current.desired.server.backoff, Instant::now());
        self.publisher.publish(|status, now| {
            let supervision = status.server.supervision.take();
            publish_end(status, current, &report, now);
            drafts.into_iter().for_each(|draft| status.record_event(draft, now));
            status.server.supervision = supervision;
            describe(status);
        });
        Ok(report.outcomes.iter().any(|outcome| outcome.step.phase == Phase::Server))
    }

    /// Publishes the begin of a reconciliation. Publishes nothing if the revision is not new and
    /// the server is ready.
    fn publish_begin(&self, current: &Current) {
        let new = self.publisher.read().revision.as_ref() != Some(&current.desired.revision);
        if !new && self.publisher.read().is(ConditionType::Ready) {
            return;
        }
        self.publisher.publish(|status, now| {
            let message = "a round is under way";
            status.set(ConditionType::Reconciling, true, Reason::Working, message, now);
            if new {
                let message = "the operator compares a new revision with the server";
                status.set(ConditionType::Ready, false, Reason::NewRevision, message, now);
            }
        });
    }

    /// Returns the latest time of the next reconciliation: after `resync`, or earlier if a deletion
    /// or a retry is due. Jitter shortens `resync` by up to a tenth, so that many operators on one
    /// host do not reconcile at the same time.
    fn next_wake(&self, current: Option<&Current>, retries: &Retries) -> Instant {
        let now = Instant::now();
        let jitter = self.resync.mul_f64(0.1 * fraction());
        let resync = now + self.resync.saturating_sub(jitter);
        let settled = current
            .map(|current| current.since + DELETIONS_AFTER)
            .filter(|at| *at > now)
            .map(|at| at + Duration::from_millis(10));
        // Failed steps that are due at about the same time share one reconciliation.
        let again = retries.next(now).map(|at| at.max(now + BETWEEN_RETRIES));
        [Some(resync), settled, again]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(resync)
            .max(now + Duration::from_millis(20))
    }

    /// Publishes that the stored state cannot be used. Without the stored state, the operator
    /// changes nothing.
    fn publish_unusable_state(&self, error: &StoreError) {
        let message = format!("failed to {error}; the operator changes nothing without its state");
        tracing::error!("{message}");
        self.publisher.publish(|status, now| {
            status.set(ConditionType::Degraded, true, Reason::StateUnavailable, &message, now);
            status.set(ConditionType::Ready, false, Reason::StateUnavailable, &message, now);
        });
    }
}

/// Writes the result of a reconciliation into the status.
fn publish_end(status: &mut Status, current: &Current, report: &RoundReport, now: Timestamp) {
    let before = status.contended.clone();
    conditions::update(status, &current.desired, report, now);
    let new: Vec<String> = status
        .contended
        .iter()
        .filter(|(key, _)| !before.contains_key(*key))
        .map(|(key, why)| format!("{key} is changed back repeatedly ({why})"))
        .collect();
    for message in new {
        tracing::warn!("{message}");
        status.record_event(EventDraft::warning("Contested", message), now);
    }
    if let Some(Unusable { reason, message }) = &current.unusable {
        status.set(ConditionType::Stalled, true, reason.clone(), message, now);
        status.set(ConditionType::Ready, false, reason.clone(), message, now);
    }
    status.set(ConditionType::Reconciling, false, Reason::Waiting, "the round is over", now);
    if report.vanished > 0 {
        let message = format!(
            "{} owned accounts disappeared: another program deletes accounts, or an older \
             database was restored (then run `ejabberdctl clear_cache`); the operator creates \
             the accounts again, without their messages and contacts",
            report.vanished
        );
        tracing::warn!("{message}");
        status.record_event(EventDraft::warning("AccountsVanished", message), now);
    }
}

/// The check before deletions and interruptions of clients: the revision must be at least
/// [`DELETIONS_AFTER`] old, and the file must still contain the revision.
struct StillDeclared<'a> {
    controller: &'a Controller,
    current: &'a Current,
}

#[async_trait]
impl StalenessCheck for StillDeclared<'_> {
    async fn blocked_reason(&self) -> Option<Deferral> {
        if self.current.unusable.is_some() {
            return Some(Deferral::FileUnusable);
        }
        if self.current.since.elapsed() < DELETIONS_AFTER {
            return Some(Deferral::RevisionTooYoung);
        }
        match self.controller.read().await {
            Ok((validated, _)) if validated.desired == self.current.desired => None,
            _ => Some(Deferral::FileChanged),
        }
    }
}

/// Returns a number from 0 to 1 from the clock, for jitter only.
fn fraction() -> f64 {
    let nanos = Timestamp::now().subsec_nanosecond().unsigned_abs();
    f64::from(nanos % 1000) / 1000.0
}
