//! The loop. Level-triggered: whatever happens only says "look again".

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

use super::Engine;
use super::error::StoreError;
use super::ports::{EventSink, Runtime, Secrets, Source, Store};
use super::reconcile::deferral::Deferral;
use super::reconcile::report::RoundReport;
use super::reconcile::retry::Retries;
use super::reconcile::round::{Permission, StalenessCheck};
use crate::domain::diff::StepInfo;
use crate::domain::model::Kind;
use crate::domain::spec;
use crate::domain::spec::DesiredState;
use crate::domain::status::{ConditionType, EventDraft, Reason, Status};
use crate::ejabberd::Control;
use events::{EventDeduplicator, of_steps};
use orders::Orders;
use status_publisher::StatusPublisher;

/// Deletions wait until a revision has stood for so long: a checkout that is
/// half done must not look like a removal.
pub const DELETIONS_AFTER: Duration = Duration::from_secs(2);

/// So many passwords and vCards are asked for again in a minute, though they
/// were seen to be as declared.
const RECHECKS: (usize, usize) = (10, 60);

/// What failed is tried again at most so often.
const BETWEEN_RETRIES: Duration = Duration::from_millis(500);

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
    pub events: Arc<dyn EventSink>,
    /// Where the status is published.
    pub publisher: Arc<StatusPublisher>,
    /// Where people leave orders.
    pub orders: Arc<dyn Orders>,
    /// Said when a round may have something to do.
    pub news: Arc<Notify>,
    /// The time between two rounds when nothing happens.
    pub resync: Duration,
}

/// Why a file of the desired state cannot be used.
struct Unusable {
    reason: Reason,
    message: String,
}

/// The revision that is worked on.
struct Current {
    desired: DesiredState,
    since: Instant,
    /// Why the file cannot be used right now. This revision stays in force, but
    /// deletes nothing.
    unusable: Option<Unusable>,
    engine: Engine,
    /// Watches over the server; ends with this.
    keeping: AbortOnDrop,
    /// When the security checklist was last gone through.
    audited: Option<Instant>,
    /// Which of its items held then.
    audit: BTreeMap<&'static str, bool>,
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Controller {
    /// Reconciles until `stop` says so.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut current: Option<Current> = None;
        let mut retries = Retries::default();
        let mut told = EventDeduplicator::default();
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
                let round = self.round(current, &mut retries, &mut told).instrument(span);
                tokio::pin!(round);
                tokio::select! {
                    result = &mut round => match result {
                        Ok(changed) => server_changed = changed,
                        Err(error) => self.forgetful(&error),
                    },
                    // Cancel-safe: the flag stays set.
                    _ = stop.wait_for(|stop| *stop) => {
                        tracing::info!("ending after this round");
                        // Dropping it later is as safe as a kill.
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
                // All of them are cancel-safe: they only say "look again".
                () = self.source.changed() => {
                    tracing::debug!("a file changed");
                    // Whatever failed may have failed because of it.
                    retries.forget();
                }
                () = self.news.notified() => tracing::debug!("the server changed"),
                () = sleep_until(wake) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if let Some(current) = current {
            current.engine.server.close().await;
        }
        tracing::info!("ended; ejabberd goes on without us");
    }

    /// One round. Answers whether the server itself was changed by it.
    async fn round(
        &self,
        current: &Current,
        retries: &mut Retries,
        told: &mut EventDeduplicator,
    ) -> Result<bool, StoreError> {
        let now = Instant::now();
        self.publish_begin(current);
        let backing_off = |step: &StepInfo| retries.backing_off(step, now);
        let confirm = StillDeclared { controller: self, current };
        let permission =
            Permission { approved: None, confirm: &confirm, backing_off: &backing_off };
        let report = current.engine.reconciler.round(&current.desired, &permission).await?;
        let news = of_steps(&report.outcomes, told);
        told.tidy(&report);
        let describe = current.engine.supervisor.description().await;
        retries.learn(&report, &current.desired.server.backoff, Instant::now());
        self.publisher.publish(|status, now| {
            let supervision = status.server.supervision.take();
            publish_end(status, current, &report, now);
            news.into_iter().for_each(|news| status.record_event(news, now));
            status.server.supervision = supervision;
            describe(status);
        });
        Ok(report
            .outcomes
            .iter()
            .any(|outcome| matches!(outcome.step.kind(), Kind::Server | Kind::Config)))
    }

    /// Says in the status that a reconciliation begins, where that is of interest: for a new
    /// revision, and while the server is not ready.
    fn publish_begin(&self, current: &Current) {
        let new = self.publisher.read().revision.as_ref() != Some(&current.desired.revision);
        if !new && self.publisher.read().is(ConditionType::Ready) {
            return;
        }
        self.publisher.publish(|status, now| {
            let message = "a round is under way";
            status.set(ConditionType::Reconciling, true, Reason::Working, message, now);
            if new {
                let message = "a new revision is being looked at";
                status.set(ConditionType::Ready, false, Reason::NewRevision, message, now);
            }
        });
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
        // Many that fail come back together, and not in a round of their own each.
        let again = retries.next(now).map(|at| at.max(now + BETWEEN_RETRIES));
        [Some(resync), settled, again]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(resync)
            .max(now + Duration::from_millis(20))
    }

    /// Notes that the memory cannot be used. Nothing is changed without it.
    fn forgetful(&self, error: &StoreError) {
        let message = format!("failed to {error}; nothing is changed without it");
        tracing::error!("{message}");
        self.publisher.publish(|status, now| {
            status.set(ConditionType::Degraded, true, Reason::StateUnavailable, &message, now);
            status.set(ConditionType::Ready, false, Reason::StateUnavailable, &message, now);
        });
    }
}

/// Writes the result of a reconciliation into the status.
fn publish_end(status: &mut Status, current: &Current, report: &RoundReport, now: Timestamp) {
    let contested = status.contested.clone();
    conditions::update(status, &current.desired, report, now);
    let new: Vec<String> = status
        .contested
        .iter()
        .filter(|(key, _)| !contested.contains_key(*key))
        .map(|(key, why)| format!("{key} is changed back again and again ({why})"))
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
            "{} accounts that had been there are gone: somebody deletes them, or an older \
             database was put back (then run `ejabberdctl clear_cache`); they are made \
             again, without what people had on them",
            report.vanished
        );
        tracing::warn!("{message}");
        status.record_event(EventDraft::warning("AccountsVanished", message), now);
    }
}

/// Lets deletions pass only for a revision that has stood for two seconds and
/// is still what the file says.
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
            Ok(validated) if validated.desired == self.current.desired => None,
            _ => Some(Deferral::FileChanged),
        }
    }
}

/// A number from 0 to 1, different at each call, for jitter only.
fn fraction() -> f64 {
    let nanos = Timestamp::now().subsec_nanosecond().unsigned_abs();
    f64::from(nanos % 1000) / 1000.0
}
