//! All metrics: names, labels and help texts.

use std::cell::RefCell;

use prometheus::core::Collector;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result,
};

/// Buckets for the durations of reconciliations, in seconds. The last bucket is for a server that
/// repairs its tables.
const DURATIONS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// Buckets for the durations of calls, in seconds. A list of 100,000 accounts needs seconds, and
/// most calls have a time limit of 15 seconds.
const CALLS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

pub(super) struct Families {
    pub(super) descriptions: Vec<Description>,
    pub(super) desired_state: IntGaugeVec,
    pub(super) reconcile: IntCounterVec,
    pub(super) reconcile_duration: Histogram,
    pub(super) steps: IntCounterVec,
    pub(super) drift: IntGaugeVec,
    pub(super) objects: IntGaugeVec,
    pub(super) contended: IntGauge,
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
    pub(super) messages: IntCounterVec,
    pub(super) message_durations: Histogram,
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
    /// Registers all metrics. Series whose labels are known exist from the start, so that a query
    /// finds them before the first event.
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
                "Rounds by result: converged, drift (differences remain), failed (steps failed), \
                 refused (the guard refused deletions)",
                &["result"],
            )?,
            reconcile_duration: to.durations(
                "ejabberd_operator_reconcile_duration_seconds",
                "Duration of reconciliations, from reading the server to verifying the changes",
            )?,
            steps: to.counters(
                "ejabberd_operator_steps_total",
                "Steps by kind of object, operation and result: done (the server reported success), \
                 failed (including changes that were missing on read-back), deferred (a step that \
                 stays deferred counts once in each round)",
                &["kind", "op", "result"],
            )?,
            drift: to.gauges(
                "ejabberd_operator_drift",
                "Differences between desired state and server after the last round; 0 is good",
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
                "Start of the last round, in Unix time; 0 before the first round",
            )?,
            last_success: to.gauge(
                "ejabberd_operator_last_success_timestamp_seconds",
                "End of the last round without a failure, in Unix time; 0 before the first such round",
            )?,
            condition: to.gauges(
                "ejabberd_operator_condition",
                "Conditions; 1 for the current status (True, False, Unknown), 0 for the others",
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
                "Rollouts of configurations by method (reload, restart) and result: good, refused \
                 (ejabberd's check rejected the file), not_now (the rollout could not start), \
                 rolled_back, stuck (neither the new nor the previous configuration is healthy)",
                &["method", "result"],
            )?,
            messages: to.counters(
                "ejabberd_operator_messages_total",
                "Uses of messaging tools by tool and result: `ok`, or the code of the failure",
                &["tool", "result"],
            )?,
            message_durations: to.register(Histogram::with_opts(
                HistogramOpts::new(
                    "ejabberd_operator_message_duration_seconds",
                    "Duration of uses of messaging tools, from request to response, including \
                     failed uses",
                )
                .buckets(CALLS.to_vec()),
            )?)?,
            restarts: to.counters(
                "ejabberd_operator_restarts_total",
                "Starts of the server by the operator, by reason: Created, Stopped (the server was not \
                 running), Config (a new configuration), Replaced, BroughtBack (the operator \
                 restored the previous container). After an unexpected end, the reason is the cause: \
                 Killed, Crashed, OutOfMemory, Unresponsive, …",
                &["reason"],
            )?,
            restart_backoff: to.gauge(
                "ejabberd_operator_restart_backoff_seconds",
                "Full delay that the supervisor chose before the next start of the server, not the \
                 remaining time; 0 if no start is delayed",
            )?,
            control_calls: to.counters(
                "ejabberd_operator_control_calls_total",
                "Calls to the server by command and result: ok, or the category of the error",
                &["command", "result"],
            )?,
            audit_check: to.gauges(
                "ejabberd_operator_audit_check",
                "Items of the security checklist; 1 if the item holds, 0 if not",
                &["check"],
            )?,
            contended: to.register(IntGauge::new(
                "ejabberd_operator_contested_objects",
                "Objects whose changes another program repeatedly reverts; at most 50 are counted",
            )?)?,
            failing: to.gauges(
                "ejabberd_operator_failing_objects",
                "Objects whose last change failed and that wait for the next try, by kind",
                &["kind"],
            )?,
            desired_state_valid: to.gauges(
                "ejabberd_operator_desired_state_valid",
                "Whether the desired state is valid; 1 if valid, 0 if unreadable or invalid (the last \
                 good revision stays in force); missing before the first read",
                &[],
            )?,
            refused_deletions: to.register(IntGauge::new(
                "ejabberd_operator_refused_deletions",
                "Deletions that the guard refused and that wait for approval",
            )?)?,
            database_missing: to.register(IntGauge::new(
                "ejabberd_operator_database_missing",
                "1 if the server's database is not the known database, or if a new server would start \
                 without a database (the operator then changes nothing), else 0",
            )?)?,
            state_outdated: to.register(IntGauge::new(
                "ejabberd_operator_state_outdated",
                "Whether the state directory is an old copy; 1 if old (the operator changes nothing), \
                 0 if not",
            )?)?,
            held_back: to.register(IntGauge::new(
                "ejabberd_operator_config_held_back",
                "1 if ejabberd refused the declared configuration or the operator rolled it back, and \
                 another configuration is in force; else 0",
            )?)?,
            server: to.gauges(
                "ejabberd_operator_server_info",
                "The name of the server (metadata.name), as a label; always 1",
                &["name"],
            )?,
            server_state: to.gauges(
                "ejabberd_operator_server_state",
                "State of the server process; 1 for the current state, 0 for the others; all 0 if the \
                 operator does not supervise the process",
                &["state"],
            )?,
            control_durations: to.register(HistogramVec::new(
                HistogramOpts::new(
                    "ejabberd_operator_control_call_duration_seconds",
                    "Duration of calls to the server by command, from request to response, including \
                     failed calls",
                )
                .buckets(CALLS.to_vec()),
                &["command"],
            )?)?,
            up: to.register(IntGauge::new(
                "ejabberd_up",
                "1 if the server responded to the last observation, else 0",
            )?)?,
            info: to.gauges(
                "ejabberd_info",
                "The server's version, as a label; always 1, missing while the server does not respond",
                &["version"],
            )?,
            uptime: to.register(IntGauge::new(
                "ejabberd_uptime_seconds",
                "Time since the start of the server; 0 while the server does not respond",
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
                "Running rooms by service; hibernated rooms are counted only if policy.prune is all",
                &["service"],
            )?,
            health: to.gauges(
                "ejabberd_container_health",
                "The container's health as the container engine reports it; 1 for the current status, 0 \
                 for the others; no series without a health check",
                &["status"],
            )?,
            container_cpu: to.register(CounterVec::new(
                Opts::new(
                    "ejabberd_container_cpu_seconds_total",
                    "CPU time that the server's container has used since the start of the container",
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

/// The description of a metric, for `docs/metrics.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The name, which includes the unit.
    pub name: String,
    /// Counter, gauge or histogram.
    pub kind: MetricType,
    /// The names of the labels.
    pub labels: Vec<String>,
    /// The text of `# HELP`.
    pub help: String,
}

/// Registers metrics and stores their descriptions. The registry does not return a metric that has
/// no series yet, so its description cannot be read from the registry.
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
