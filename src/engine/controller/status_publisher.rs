//! The status publisher. Every change of the status uses the publisher, so that all subscribers
//! receive the change and the store keeps the events.

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::events::{EventDeduplicator, of_conditions, of_steps};
use crate::domain::status::{Recent, Status};
use crate::engine::error::StoreError;
use crate::engine::ports::{EngineEvent, EventSink, Store};
use crate::engine::reconcile::report::RoundReport;

/// The publisher of the status and the events.
pub struct StatusPublisher {
    status: watch::Sender<Status>,
    store: Arc<dyn Store>,
    events: Arc<dyn EventSink>,
    /// Serializes `publish`, because two callers at the same time would store their events in the
    /// wrong order.
    turn: Mutex<()>,
}

impl StatusPublisher {
    /// Creates a publisher, and loads the events that the previous operator process stored into the
    /// status.
    #[must_use]
    pub fn new(
        status: watch::Sender<Status>,
        store: Arc<dyn Store>,
        events: Arc<dyn EventSink>,
    ) -> Self {
        match store.events(usize::MAX) {
            Ok(events) => {
                status.send_modify(|status| status.events = Recent::from_last(events));
            }
            Err(error) => tracing::warn!("failed to {error}; the status shows no earlier events"),
        }
        Self { status, store, events, turn: Mutex::default() }
    }

    /// Returns the current status.
    pub fn read(&self) -> watch::Ref<'_, Status> {
        self.status.borrow()
    }

    /// Changes the status, stores the status, and sends the status to the subscribers. A changed
    /// condition also causes an event.
    pub fn publish(&self, change: impl FnOnce(&mut Status, Timestamp)) {
        let _turn = self.turn.lock();
        let mut unsaved = Vec::new();
        self.status.send_modify(|status| {
            let now = Timestamp::now();
            let before = status.conditions.clone();
            change(status, now);
            for draft in of_conditions(&before, &status.conditions) {
                status.record_event(draft, now);
            }
            unsaved = status.events.take_unsaved();
        });
        let status = self.status.borrow().clone();
        self.events.take(EngineEvent::StatusChanged(&status));
        let kept = match serde_json::to_string(&status) {
            Ok(json) => self.store.save_status(&json),
            Err(_) => Ok(()),
        };
        let kept = kept.and_then(|()| match unsaved.as_slice() {
            [] => Ok(()),
            events => self.store.record_events(events),
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "failed to store the status");
        }
    }
}

/// Stores the events of a reconciliation without a status publisher, such as a reconciliation of
/// `apply`.
pub fn record_round(store: &dyn Store, report: &RoundReport) -> Result<(), StoreError> {
    let mut recent = Recent::from_last(store.events(usize::MAX)?);
    for draft in of_steps(&report.outcomes, &mut EventDeduplicator::default()) {
        recent.record(draft, Some(&report.plan.revision), Timestamp::now());
    }
    match recent.take_unsaved().as_slice() {
        [] => Ok(()),
        events => store.record_events(events),
    }
}
