//! Every metric: its name, its labels, and what it is good for.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result,
};

/// From a round that finds nothing to do to one that waits for a server which
/// repairs its tables, in seconds.
const DURATIONS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// How long calls take: a list of 100,000 accounts needs seconds, and fifteen
/// is the deadline of most.
const CALLS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

pub(super) struct Families {
    pub(super) descriptions: Vec<Description>,
    pub(super) desired_state: IntGaugeVec,
    pub(super) reconcile: IntCounterVec,
    pub(super) reconcile_duration: Histogram,
    pub(super) steps: IntCounterVec,
    pub(super) drift: IntGaugeVec,
    pub(super) objects: IntGaugeVec,
    pub(super) contested: IntGauge,
    pub(super) failing: IntGaugeVec,
    pub(super) desired_state_valid: IntGaugeVec,
    pub(super) refused_deletions: IntGauge,
    pub(super) database_missing: IntGauge,
    pub(super) state_outdated: IntGauge,
    pub(super) held_back: IntGauge,
    pub(super) last_attempt: Gauge,
    pub(super) last_success: Gauge,
    pub(super) condition: IntGaugeVec,
    pub(super) config: IntGaugeVec,
    pub(super) config_rollouts: IntCounterVec,
    pub(super) restarts: IntCounterVec,
    pub(super) restart_backoff: Gauge,
    pub(super) control_calls: IntCounterVec,
    pub(super) control_durations: HistogramVec,
    pub(super) server: IntGaugeVec,
    pub(super) server_state: IntGaugeVec,
    pub(super) audit_check: IntGaugeVec,
    pub(super) up: IntGauge,
    pub(super) info: IntGaugeVec,
    pub(super) uptime: IntGauge,
    pub(super) registered: IntGaugeVec,
    pub(super) connected: IntGaugeVec,
    pub(super) rooms: IntGaugeVec,
    pub(super) health: IntGaugeVec,
    pub(super) container_cpu: CounterVec,
    pub(super) container_memory: IntGaugeVec,
}

impl Families {
    /// Makes them all. Series whose labels are known are there from the start.
    pub(super) fn register(registry: &Registry) -> Result<Self> {
        let to = Registrar { registry, descriptions: RefCell::default() };
        to.gauges(
            "ejabberd_operator_build_info",
            "The operator's version, as a label; always 1",
            &["version"],
        )?
        .with_label_values(&[env!("CARGO_PKG_VERSION")])
        .set(1);
        let mut families = Self::make(&to)?;
        families.descriptions = to.descriptions.into_inner();
        families.prepare();
        Ok(families)
    }

    #[allow(
        clippy::too_many_lines,
        reason = "the list of all metrics; parts of it would be no clearer"
    )]
    fn make(to: &Registrar<'_>) -> Result<Self> {
        Ok(Self {
            descriptions: Vec::new(),
            desired_state: to.gauges(
                "ejabberd_operator_desired_state_info",
                "The revision of the desired state that is in force, as a label; always 1",
                &["revision"],
            )?,
            reconcile: to.counters(
                "ejabberd_operator_reconcile_total",
                "Rounds by result: converged, drift (differences are left), failed (steps failed), \
                 refused (the guard refused deletions)",
                &["result"],
            )?,
            reconcile_duration: to.durations(
                "ejabberd_operator_reconcile_duration_seconds",
                "How long rounds took, from reading the server to reading back what was done",
            )?,
            steps: to.counters(
                "ejabberd_operator_steps_total",
                "Steps by kind of object, operation and result: done (the server answered so), \
                 failed (also where reading back showed it undone), deferred (put off, counted in \
                 each round)",
                &["kind", "op", "result"],
            )?,
            drift: to.gauges(
                "ejabberd_operator_drift",
                "Differences that the last round left between desired state and server; 0 is good",
                &["kind", "op"],
            )?,
            objects: to.gauges(
                "ejabberd_operator_objects",
                "Objects by kind: desired (declared), managed (owned by the operator), unmanaged \
                 (on the server, neither declared nor owned)",
                &["kind", "state"],
            )?,
            last_attempt: to.gauge(
                "ejabberd_operator_last_attempt_timestamp_seconds",
                "When the last round began, in Unix time; 0 before the first",
            )?,
            last_success: to.gauge(
                "ejabberd_operator_last_success_timestamp_seconds",
                "When the last round without a failure ended, in Unix time; 0 before the first",
            )?,
            condition: to.gauges(
                "ejabberd_operator_condition",
                "The conditions; 1 for the status (True, False, Unknown) that each has, 0 for others",
                &["type", "status"],
            )?,
            config: to.gauges(
                "ejabberd_operator_config_info",
                "The declared variant and the digest of the configuration on the server, as labels; \
                 always 1",
                &["variant", "digest"],
            )?,
            config_rollouts: to.counters(
                "ejabberd_operator_config_rollouts_total",
                "Configurations put in force, by method (reload, restart) and result: good, refused \
                 (by ejabberd, offline), not_now (it could not be tried), rolled_back, stuck (neither \
                 it nor the one before is well)",
                &["method", "result"],
            )?,
            restarts: to.counters(
                "ejabberd_operator_restarts_total",
                "Starts of the server by the operator, and why: Created, Stopped (it was found not \
                 running), Config (a configuration was put in force), Replaced, BroughtBack, or \
                 why it ended: Killed, Crashed, OutOfMemory, Unresponsive, …",
                &["reason"],
            )?,
            restart_backoff: to.gauge(
                "ejabberd_operator_restart_backoff_seconds",
                "How long the next start of the server has to wait, as it was decided; 0 when it has \
                 not to",
            )?,
            control_calls: to.counters(
                "ejabberd_operator_control_calls_total",
                "Calls to the server by command and result: ok, or the category of the error",
                &["command", "result"],
            )?,
            audit_check: to.gauges(
                "ejabberd_operator_audit_check",
                "Items of the security checklist; 1 holds, 0 does not",
                &["check"],
            )?,
            contested: to.register(IntGauge::new(
                "ejabberd_operator_contested_objects",
                "Objects that something else keeps changing back (at most fifty are counted)",
            )?)?,
            failing: to.gauges(
                "ejabberd_operator_failing_objects",
                "Objects that could not be made as declared and wait for their next try, by kind",
                &["kind"],
            )?,
            desired_state_valid: to.gauges(
                "ejabberd_operator_desired_state_valid",
                "Whether the file can be used; 1 it can, 0 it is unreadable or invalid and the last \
                 good revision stays in force; missing until it was read",
                &[],
            )?,
            refused_deletions: to.register(IntGauge::new(
                "ejabberd_operator_refused_deletions",
                "Deletions that the guard refused and that wait for an approval",
            )?)?,
            database_missing: to.register(IntGauge::new(
                "ejabberd_operator_database_missing",
                "Whether the server, or a new server, has a database that the operator does not know; \
                 1 it has and nothing is changed, 0 it has not",
            )?)?,
            state_outdated: to.register(IntGauge::new(
                "ejabberd_operator_state_outdated",
                "Whether the state directory is an old copy, so that nothing is changed; 1 it is, \
                 0 it is not",
            )?)?,
            held_back: to.register(IntGauge::new(
                "ejabberd_operator_config_held_back",
                "Whether the declared configuration was refused or taken back, and another one is in \
                 force; 1 it was, 0 it was not",
            )?)?,
            server: to.gauges(
                "ejabberd_operator_server_info",
                "The name of the server (metadata.name), as a label; always 1",
                &["name"],
            )?,
            server_state: to.gauges(
                "ejabberd_operator_server_state",
                "Where the server is in its life; 1 for the state that it is in, 0 for others; all 0 \
                 while it is only looked at",
                &["state"],
            )?,
            control_durations: to.register(HistogramVec::new(
                HistogramOpts::new(
                    "ejabberd_operator_control_call_duration_seconds",
                    "How long calls to the server took by command, failed ones included, from asking \
                     to the answer",
                )
                .buckets(CALLS.to_vec()),
                &["command"],
            )?)?,
            up: to.register(IntGauge::new(
                "ejabberd_up",
                "Whether the server answered when it was last looked at; 1 it did, 0 it did not",
            )?)?,
            info: to.gauges(
                "ejabberd_info",
                "The server's version, as a label; always 1, missing while it does not answer",
                &["version"],
            )?,
            uptime: to.register(IntGauge::new(
                "ejabberd_uptime_seconds",
                "For how long the server has been up; 0 while it does not answer",
            )?)?,
            registered: to.gauges(
                "ejabberd_registered_users",
                "Accounts on the server by virtual host",
                &["host"],
            )?,
            connected: to.gauges(
                "ejabberd_connected_users",
                "Sessions on the server by virtual host",
                &["host"],
            )?,
            rooms: to.gauges(
                "ejabberd_online_rooms",
                "Running rooms by service; hibernated ones are counted only where policy.prune is \
                 all",
                &["service"],
            )?,
            health: to.gauges(
                "ejabberd_container_health",
                "The container's health as its engine has it; 1 for the status that it has, 0 for \
                 others; none where there is no health check",
                &["status"],
            )?,
            container_cpu: to.register(CounterVec::new(
                Opts::new(
                    "ejabberd_container_cpu_seconds_total",
                    "CPU time that the server's container used since its start",
                ),
                &[],
            )?)?,
            container_memory: to.gauges(
                "ejabberd_container_memory_bytes",
                "Memory that the server's container uses",
                &[],
            )?,
        })
    }
}

/// What a metric is, for its reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The name, with the unit in it.
    pub name: String,
    /// Counter, gauge or histogram.
    pub kind: MetricType,
    /// The names of the labels.
    pub labels: Vec<String>,
    /// The text of `# HELP`.
    pub help: String,
}

/// Registers metrics and keeps their descriptions: the registry alone does not show a metric
/// that has no series yet.
struct Registrar<'a> {
    registry: &'a Registry,
    descriptions: RefCell<Vec<Description>>,
}

impl Registrar<'_> {
    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C> {
        self.registry.register(Box::new(metric.clone()))?;
        let kinds = metric.collect();
        let kinds = kinds.iter().map(MetricFamily::get_field_type);
        let descriptions = metric.desc().into_iter().zip(kinds).map(|(desc, kind)| Description {
            name: desc.fq_name.clone(),
            kind,
            labels: desc.variable_labels.clone(),
            help: desc.help.clone(),
        });
        self.descriptions.borrow_mut().extend(descriptions);
        Ok(metric)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<Gauge> {
        self.register(Gauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    fn durations(&self, name: &str, help: &str) -> Result<Histogram> {
        self.register(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(DURATIONS.to_vec()),
        )?)
    }
}
