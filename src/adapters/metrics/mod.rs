//! The metrics for Prometheus.
//!
//! Names and labels never change, because dashboards and alerts use them. A label never holds the
//! name of an account or a room, or the text of an error.

mod families;
mod labels;
mod metered;
#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the metrics hold exactly what was set")]
mod tests;

use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{IntGaugeVec, Registry, TextEncoder};

pub use families::Description;
pub use metered::Metered;

use crate::domain::checks::audit::Finding;
use crate::domain::model::{Kind, Op};
use crate::domain::observed::ProcessState;
use crate::domain::status::{
    ConditionStatus, ConditionType, Reason, ServerPhase, ServerStatus, Status, SupervisionStatus,
};
use crate::engine::{ApplyError, EngineEvent, EventSink, RoundReport, StepOutcome, StepResult};
use families::Families;

/// The maximum number of hosts or services with a series in one metric.
const MAX_HOSTS: usize = 1000;

/// The metrics of the operator.
pub struct Metrics {
    registry: Registry,
    families: Families,
    /// Locked while series are replaced and while they are read. Without the lock, a scrape during
    /// a replacement would miss series.
    whole: Mutex<()>,
}

impl Metrics {
    /// Creates the metrics. Fails only if a name is invalid or used twice.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let families = Families::register(&registry)?;
        Ok(Self { registry, families, whole: Mutex::new(()) })
    }

    /// Returns the descriptions of all metrics, in the order of registration.
    #[must_use]
    pub fn descriptions(&self) -> &[Description] {
        &self.families.descriptions
    }

    /// Returns all metrics in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn encode(&self) -> String {
        let families = {
            let _whole = self.whole.lock();
            self.registry.gather()
        };
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "failed to write the metrics");
            String::new()
        })
    }

    /// Sets the usage of the server's container: CPU time since the start of the container, in
    /// seconds, and current memory, in bytes. `None` if the usage is unknown, for example because
    /// the container does not run.
    pub fn set_container_usage(&self, usage: Option<(f64, u64)>) {
        let _whole = self.whole.lock();
        let Families { container_cpu, container_memory, .. } = &self.families;
        container_cpu.reset();
        container_memory.reset();
        if let Some((cpu_seconds, memory_bytes)) = usage {
            container_cpu.with_label_values::<&str>(&[]).inc_by(cpu_seconds.max(0.0));
            container_memory.with_label_values::<&str>(&[]).set(signed(memory_bytes));
        }
    }

    fn call(&self, command: &'static str, result: &'static str, took: Duration) {
        let Families { control_calls, control_durations, .. } = &self.families;
        control_calls.with_label_values(&[command, result]).inc();
        control_durations.with_label_values(&[command]).observe(took.as_secs_f64());
    }

    fn count(&self, outcome: &StepOutcome) {
        let step = &outcome.step;
        let labels = [step.kind().as_str(), step.op.as_str(), outcome.result.as_str()];
        self.families.steps.with_label_values(&labels).inc();
    }
}

impl EventSink for Metrics {
    fn take(&self, event: EngineEvent<'_>) {
        match event {
            EngineEvent::StepsBegin(_) => {}
            EngineEvent::StepTried(outcome) => self.step(outcome),
            EngineEvent::Reconciled(report) => self.round(report),
            EngineEvent::StatusChanged(status) => self.status(status),
            EngineEvent::ServerStarted { reason } => self.restarted(reason),
            EngineEvent::Audited(findings) => self.audited(findings),
            EngineEvent::BackoffChanged(wait) => self.backoff(wait),
            EngineEvent::ToolUsed { tool, result, took } => {
                self.families.messages.with_label_values(&[tool.as_str(), result]).inc();
                self.families.message_durations.observe(took.as_secs_f64());
            }
            EngineEvent::RolloutEnded { method, result } => {
                let labels = [method.as_str(), result.as_str()];
                self.families.config_rollouts.with_label_values(&labels).inc();
            }
        }
    }
}

impl Metrics {
    fn step(&self, outcome: &StepOutcome) {
        // Count the deferred steps at the end of the round, because all of them are known only
        // then.
        if !matches!(outcome.result, StepResult::Deferred(_)) {
            self.count(outcome);
        }
    }

    fn round(&self, report: &RoundReport) {
        // The process may have ended after the measurement. The usage is then obsolete.
        let runs = matches!(report.observed.process.known(), Some(ProcessState::Running { .. }));
        let usage = report.server_stats.usage.filter(|_| runs);
        self.set_container_usage(usage.map(|usage| (usage.cpu_seconds, usage.memory_bytes)));
        for outcome in &report.outcomes {
            // Count these steps here: `step` does not count a deferred step, and counted the other
            // steps as done when the server reported success.
            if matches!(
                outcome.result,
                StepResult::Deferred(_) | StepResult::Failed(ApplyError::NotReadBack)
            ) {
                self.count(outcome);
            }
        }
        let families = &self.families;
        families.reconcile.with_label_values(&[report.result()]).inc();
        families.reconcile_duration.observe(report.took.as_secs_f64());
        let _whole = self.whole.lock();
        let failing: Vec<_> = report.failing().collect();
        for kind in Kind::ALL {
            for op in Op::ALL {
                let left = report.drift.get(&(kind, op)).copied().unwrap_or(0);
                families.drift.with_label_values(&[kind.as_str(), op.as_str()]).set(signed(left));
            }
            let failing = failing.iter().filter(|key| key.kind() == kind).count();
            families.failing.with_label_values(&[kind.as_str()]).set(signed(failing));
            let Some(counts) = report.objects.get(&kind) else { continue };
            for (state, count) in [
                ("desired", counts.desired),
                ("managed", counts.managed),
                ("unmanaged", counts.unmanaged),
            ] {
                families.objects.with_label_values(&[kind.as_str(), state]).set(signed(count));
            }
        }
    }

    fn status(&self, status: &Status) {
        let families = &self.families;
        let _whole = self.whole.lock();
        let revision = status.revision.as_ref().map(|r| [r.as_str()]);
        only(&families.desired_state, revision);
        let config = status.variant.as_deref().zip(status.config_digest.as_ref());
        only(&families.config, config.map(|(variant, digest)| [variant, digest.as_str()]));
        for condition in &status.conditions {
            let kind = condition.kind.to_string();
            for word in labels::STATUSES {
                let holds = condition.status == word;
                families
                    .condition
                    .with_label_values(&[kind.as_str(), ConditionStatus::as_str(word)])
                    .set(holds.into());
            }
        }
        moment(&families.last_attempt, status.last_attempt);
        moment(&families.last_success, status.last_success);

        families.contended.set(signed(status.contended.len()));
        let refused = status.blocked.as_ref().map_or(0, |blocked| blocked.deletions);
        families.refused_deletions.set(signed(refused));
        let missing = status.stalled_for(&Reason::DatabaseMissing);
        families.database_missing.set(missing.into());
        families.state_outdated.set(status.stalled_for(&Reason::StateOutdated).into());
        families.held_back.set(held_back(status).into());
        let valid = families.desired_state_valid.with_label_values::<&str>(&[]);
        valid.set((!unusable(status)).into());
        only(&families.server, Some([status.name.as_str()]).filter(|[name]| !name.is_empty()));
        self.life(status.server.supervision.as_ref());
        self.server(&status.server);
    }

    fn restarted(&self, reason: &str) {
        self.families.restarts.with_label_values(&[reason]).inc();
    }

    fn audited(&self, findings: &[Finding]) {
        let _whole = self.whole.lock();
        // An unknown item has no value, so remove the old series of all items.
        self.families.audit_check.reset();
        for finding in findings {
            if let Some(passed) = finding.verdict.passed() {
                self.families.audit_check.with_label_values(&[finding.check]).set(passed.into());
            }
        }
    }

    fn backoff(&self, wait: Duration) {
        self.families.restart_backoff.set(wait.as_secs_f64());
    }
    /// Sets the state of the server process.
    fn life(&self, supervision: Option<&SupervisionStatus>) {
        let Families { server_state, restart_backoff, .. } = &self.families;
        for phase in ServerPhase::ALL {
            let holds = supervision.is_some_and(|supervision| supervision.state == phase);
            server_state.with_label_values(&[phase.as_str()]).set(holds.into());
        }
        match supervision.and_then(|supervision| supervision.next_start) {
            None => restart_backoff.set(0.0),
            // The operator started during the delay, so use the remaining time.
            Some(next) if restart_backoff.get() <= 0.0 => {
                let wait = next.duration_since(jiff::Timestamp::now());
                restart_backoff.set(wait.as_secs_f64().max(0.0));
            }
            Some(_) => {}
        }
    }

    /// Sets the numbers of the server. The status keeps the last numbers of a server that does not
    /// respond; the metrics do not.
    fn server(&self, status: &ServerStatus) {
        let families = &self.families;
        let silent = ServerStatus::default();
        let server = if status.up { status } else { &silent };
        families.up.set(server.up.into());
        only(&families.info, server.version.as_deref().map(|version| [version]));
        families.uptime.set(signed(server.uptime_seconds.unwrap_or(0)));
        replace(&families.registered, &server.registered_users);
        replace(&families.connected, &server.connected_users);
        replace(&families.rooms, &server.online_rooms);
        let health = status.health.as_deref().unwrap_or("none");
        for word in labels::HEALTHS {
            families.health.with_label_values(&[word]).set((word == health).into());
        }
    }
}

/// Returns whether the desired state is invalid.
fn unusable(status: &Status) -> bool {
    status.get(ConditionType::Stalled).is_some_and(|stalled| {
        stalled.status == ConditionStatus::True && stalled.reason.is_about_the_file()
    })
}

/// Returns whether ejabberd refused the declared configuration, or the operator rolled back the
/// declared configuration.
fn held_back(status: &Status) -> bool {
    status.get(ConditionType::ConfigApplied).is_some_and(|applied| {
        applied.status == ConditionStatus::False
            && matches!(applied.reason, Reason::RolledBack | Reason::Invalid)
    })
}

/// Converts a count to the type of a gauge.
fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

/// Sets a gauge to a time, in seconds since 1970. `None` does not change the gauge.
fn moment(gauge: &prometheus::Gauge, moment: Option<jiff::Timestamp>) {
    if let Some(moment) = moment {
        gauge.set(moment.as_duration().as_secs_f64());
    }
}

/// Sets the series with `labels` to 1, and removes all other series. `None` removes all series.
fn only<const N: usize>(family: &IntGaugeVec, labels: Option<[&str; N]>) {
    family.reset();
    if let Some(labels) = labels {
        family.with_label_values(&labels).set(1);
    }
}

/// Sets one series for each name, for at most [`MAX_HOSTS`] names, and removes all other series.
fn replace<T: Copy + TryInto<i64>>(
    family: &IntGaugeVec,
    counts: &std::collections::BTreeMap<String, T>,
) {
    family.reset();
    for (name, count) in counts.iter().take(MAX_HOSTS) {
        family.with_label_values(&[name.as_str()]).set(signed(*count));
    }
}
