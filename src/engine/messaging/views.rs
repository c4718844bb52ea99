//! The tools and the resources that read the operator.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::failures::internal;
use super::in_force::InForce;
use crate::domain::messaging::{Failure, Resource, View};
use crate::domain::status::Event;
use crate::engine::ports::{EngineEvent, EventSink};

/// The maximum number of steps of a plan that a client can read. A longer plan has no list of
/// steps.
const MAX_STEPS: usize = 1000;

/// The maximum number of events that a client can read.
const MAX_EVENTS: usize = 100;

/// The last published status, plan and checklist.
#[derive(Default)]
pub struct Views {
    latest: Mutex<Latest>,
}

#[derive(Default)]
struct Latest {
    status: Option<crate::domain::status::Status>,
    plan: Option<Arc<Value>>,
    audit: Option<Arc<Value>>,
}

impl Views {
    /// Reads a view.
    pub(super) fn read(&self, view: View) -> Result<Value, Failure> {
        let value = match view {
            View::Status => self.status(),
            View::Plan => self.latest.lock().plan.as_deref().cloned(),
            View::Audit => self.latest.lock().audit.as_deref().cloned(),
            View::Events => self.latest.lock().status.as_ref().map(|status| {
                let events: Vec<&Event> = status.events.iter().rev().take(MAX_EVENTS).collect();
                json!({ "events": events })
            }),
        };
        value.ok_or_else(not_yet)
    }

    /// Reads a resource.
    pub(super) fn resource(
        &self,
        resource: Resource,
        in_force: &InForce,
    ) -> Result<Value, Failure> {
        match resource {
            Resource::DesiredState => Ok(in_force.masked.clone()),
            Resource::Status => self.status().ok_or_else(not_yet),
        }
    }

    fn status(&self) -> Option<Value> {
        let status = self.latest.lock().status.clone()?;
        serde_json::to_value(status).ok()
    }
}

impl EventSink for Views {
    fn take(&self, event: EngineEvent<'_>) {
        match event {
            EngineEvent::StatusChanged(status) => {
                self.latest.lock().status = Some(status.clone());
            }
            EngineEvent::Reconciled(report) => {
                let plan = if report.plan.server.len() + report.plan.objects.len() > MAX_STEPS {
                    json!({
                        "revision": report.plan.revision,
                        "digest": report.plan.digest,
                        "summary": report.plan.summary,
                    })
                } else {
                    serde_json::to_value(&report.plan).unwrap_or_default()
                };
                self.latest.lock().plan = Some(Arc::new(plan));
            }
            EngineEvent::Audited(findings) => {
                let findings = serde_json::to_value(findings).unwrap_or_default();
                self.latest.lock().audit = Some(Arc::new(json!({ "items": findings })));
            }
            _ => {}
        }
    }
}

fn not_yet() -> Failure {
    Failure { message: "the operator has not finished its first round".to_owned(), ..internal() }
}
