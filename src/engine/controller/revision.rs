//! Chooses the revision that the operator reconciles: reads the file of the desired state, and
//! reports errors of the file.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

use super::{AbortOnDrop, Controller, Current, Unusable, VERIFIED_PER_MINUTE};
use crate::domain::mask::document::masked_files;
use crate::domain::spec;
use crate::domain::spec::{DesiredState, Problem, SecretSource, Severity, SourceFile, Validated};
use crate::domain::status::{ConditionType, EventDraft, Reason};
use crate::ejabberd::EjabberdClient;
use crate::engine::ports::Ports;
use crate::engine::reconcile::recheck::RecheckBudget;
use crate::engine::supervisor::Supervisor;
use crate::engine::{Engine, InForce};

impl Controller {
    /// Reads and validates the desired state. The error contains the first problem of the file, and
    /// the number of further problems.
    pub(super) async fn read(&self) -> Result<(Validated, Vec<SourceFile>), Unusable> {
        let files = self.source.load().await;
        let files = files.map_err(|error| Unusable {
            reason: Reason::Unreadable,
            message: format!("failed to {error}"),
        })?;
        let validated = spec::validate(&files).map_err(|problems| {
            let mut errors = problems.iter().filter(|p| p.severity == Severity::Error);
            let first = errors.next().map(headline).unwrap_or_default();
            let more = match errors.count() {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            let kept = "the last good revision stays in force";
            Unusable {
                reason: Reason::InvalidDesiredState,
                message: format!("{first}{more}; {kept}"),
            }
        })?;
        Ok((validated, files))
    }

    /// Reads the desired state again. Returns whether the file contains a new revision. If the file
    /// is not valid, the current revision stays in force, and the status shows the problem.
    pub(super) async fn reload(&self, current: &mut Option<Current>) -> bool {
        let (validated, files) = match self.read().await {
            Ok(read) => read,
            Err(unusable) => {
                self.stalled(&unusable);
                if let Some(current) = current {
                    current.unusable = Some(unusable);
                }
                return false;
            }
        };
        let desired = validated.desired;
        let mut watched = named_paths(&desired);
        watched.push(self.orders.place());
        self.source.watch(&watched);
        if let Some(current) = current.as_mut().filter(|current| current.desired == desired) {
            if current.unusable.take().is_some() {
                // The wait of `DELETIONS_AFTER` begins again, because the file has changed twice.
                current.since = Instant::now();
                self.unstalled();
            }
            return false;
        }
        for warning in &validated.warnings {
            tracing::warn!("{warning}");
        }
        let name = desired.revision.short().to_owned();
        tracing::info!(revision = name, "a new revision of the desired state");
        self.publisher.publish(|status, now| {
            status.name.clone_from(&desired.name);
            status.record_event(
                EventDraft::normal("NewRevision", format!("revision {name} was read")),
                now,
            );
        });
        self.unstalled();
        let audit = current.as_mut().map(|c| std::mem::take(&mut c.audit)).unwrap_or_default();
        let (engine, keeping) = self.engine_for(&desired, current.take()).await;
        // Only a client of messaging reads the masked files.
        let masked = match &desired.messaging {
            Some(_) => masked_files(&files),
            None => serde_json::Value::Null,
        };
        let in_force = InForce::new(&desired, engine.server.clone(), masked);
        self.in_force.send_replace(Some(Arc::new(in_force)));
        *current = Some(Current {
            desired,
            since: Instant::now(),
            unusable: None,
            engine,
            keeping,
            audited: None,
            audit,
        });
        true
    }

    /// Returns the engine for `desired`: the current engine, or a new engine if `spec.server`
    /// declares another runtime.
    async fn engine_for(
        &self,
        desired: &DesiredState,
        before: Option<Current>,
    ) -> (Engine, AbortOnDrop) {
        match before {
            Some(before) if before.desired.server.runtime == desired.server.runtime => {
                before.engine.supervisor.set(desired);
                return (before.engine, before.keeping);
            }
            Some(before) => before.engine.server.close().await,
            None => {}
        }
        let (runtime, control) = self.connector.connect(&desired.server);
        let ports = Ports {
            server: EjabberdClient::new(control),
            runtime,
            store: Arc::clone(&self.store),
            secrets: Arc::clone(&self.secrets),
            proxy: Arc::clone(&self.proxy),
            events: Arc::clone(&self.events),
        };
        let supervisor = Supervisor::new(desired, &ports)
            .publishing(Arc::clone(&self.publisher), Arc::clone(&self.server_changed));
        let supervisor = Arc::new(supervisor);
        let supervises = Arc::clone(&supervisor);
        let keeping = tokio::spawn(async move { supervises.supervise().await });
        let budget = RecheckBudget::new(VERIFIED_PER_MINUTE.0, VERIFIED_PER_MINUTE.1, 0);
        let engine = Engine::new(ports, supervisor, budget).supervised();
        (engine, AbortOnDrop(keeping))
    }

    /// Publishes that the file cannot be used, and why. Does nothing if the status already shows
    /// this problem.
    fn stalled(&self, Unusable { reason, message }: &Unusable) {
        let known = |c: &crate::domain::status::Condition| c.message == *message;
        if self.publisher.read().get(ConditionType::Stalled).is_some_and(known) {
            return;
        }
        tracing::error!(reason = reason.as_str(), "{message}");
        self.publisher.publish(|status, now| {
            // If the condition was not true before, the change of the condition already causes an
            // event.
            if status.is(ConditionType::Stalled) {
                status.record_event(
                    EventDraft::warning(reason.as_str(), format!("Stalled: {message}")),
                    now,
                );
            }
            status.set(ConditionType::Stalled, true, reason.clone(), message, now);
            status.set(ConditionType::Ready, false, reason.clone(), message, now);
        });
    }

    fn unstalled(&self) {
        let stalled = self.publisher.read().get(ConditionType::Stalled).cloned();
        if stalled.is_some_and(|stalled| stalled.reason.is_about_the_file()) {
            self.publisher.publish(|status, now| {
                status.set(
                    ConditionType::Stalled,
                    false,
                    Reason::Progressing,
                    "the file is valid",
                    now,
                )
            });
        }
    }
}

/// Returns the first line of a problem: the path and the message.
fn headline(problem: &Problem) -> String {
    problem.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Returns the paths of the files that a desired state names. A change of such a file starts a
/// reconciliation.
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
