//! The work of the loop between two reconciliations: the orders of the administrator and the
//! security checklist.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::events::of_audit;
use super::orders::Order;
use super::{Controller, Current};
use crate::domain::checks::audit;
use crate::domain::checks::audit::{Finding, Verdict};
use crate::domain::status::{AuditStatus, EventDraft};
use crate::engine::ports::EngineEvent;
use crate::engine::reconcile::database::order_fill;
use crate::engine::reconcile::generation::order_adoption;
use crate::engine::reconcile::origin::create_without_waiting;
use crate::engine::reconcile::ownership::{adopt, forget};
use crate::engine::reconcile::report::ApplyError;
use crate::engine::rollout::latch::lift_latch;

/// The minimum time between two runs of the security checklist, because each run opens a stream to
/// the server.
const AUDIT_EVERY: Duration = Duration::from_mins(5);

impl Controller {
    /// Runs the security checklist and publishes the results. Does nothing if the server is not up,
    /// or if the last run is more recent than [`AUDIT_EVERY`].
    pub(super) async fn audit(&self, current: &mut Current) {
        let recent = current.audited.is_some_and(|at| at.elapsed() < AUDIT_EVERY);
        if recent || !self.publisher.read().server.up {
            return;
        }
        current.audited = Some(Instant::now());
        let evidence = current.engine.diagnostics.collect_audit(&current.desired).await;
        let findings = audit::check(&evidence);
        self.events.take(EngineEvent::Audited(&findings));
        let drafts = of_audit(&current.audit, &findings);
        let verdicts = findings.iter().filter_map(|f| Some((f.check, f.verdict.passed()?)));
        current.audit.extend(verdicts);
        self.publisher.publish(|status, now| {
            status.audit = Some(counted(&findings, now));
            drafts.into_iter().for_each(|draft| status.record_event(draft, now));
        });
    }

    /// Carries out the orders of the administrator. Returns whether the administrator gave an
    /// order.
    pub(super) async fn follow_orders(&self, current: Option<&Current>) -> bool {
        let Some(current) = current else { return false };
        let orders = match self.orders.take() {
            Ok(orders) => orders,
            Err(error) => {
                tracing::warn!("failed to {error}");
                return false;
            }
        };
        for order in &orders {
            let done = match order {
                Order::Retry => {
                    current.engine.supervisor.try_now().await;
                    if let Err(error) = create_without_waiting(&*self.store) {
                        tracing::warn!("failed to {error}");
                    }
                    lift_latch(&*self.store)
                        .map(|_| "the operator retries every failed step".to_owned())
                        .map_err(ApplyError::from)
                }
                Order::Fill => order_fill(&*self.store)
                    .map(|()| {
                        "the operator accepts the current database of the server and fills the database".to_owned()
                    })
                    .map_err(ApplyError::from),
                Order::AdoptAll => order_adoption(&*self.store)
                    .map(|()| "the operator accepts the older state directory".to_owned())
                    .map_err(ApplyError::from),
                Order::Forget(keys) => forget(&*self.store, keys).map_err(ApplyError::from),
                Order::Adopt(key) => {
                    adopt(&*self.store, key, &current.desired).map_err(ApplyError::from)
                }
                Order::Rollback(digest) => {
                    current.engine.configs.roll_back_to(&current.desired, digest).await
                }
            };
            let message = done.unwrap_or_else(|error| format!("failed to {error}"));
            tracing::info!("order of the administrator: {message}");
            self.publisher.publish(|status, now| {
                status.record_event(EventDraft::normal("Order", message), now)
            });
        }
        !orders.is_empty()
    }
}

/// Returns the status of the checklist: the number of items, and the names of the failing and
/// unknown items.
fn counted(findings: &[Finding], time: Timestamp) -> AuditStatus {
    let with = |verdict: Verdict| {
        let found = findings.iter().filter(|finding| finding.verdict == verdict);
        found.map(|finding| finding.check.to_owned()).collect()
    };
    AuditStatus {
        time,
        items: findings.len(),
        failing: with(Verdict::Fails),
        unknown: with(Verdict::Unknown),
    }
}
