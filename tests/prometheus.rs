//! A real Prometheus scrapes the built operator, which manages a real ejabberd. The published
//! alerts and the published dashboard query this Prometheus. `promtool` and `prometheus` are in the
//! package `prometheus`, which `scripts/test` installs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "a test fails by panicking, and metrics hold exactly what was set"
)]

#[path = "prometheus/dashboard.rs"]
mod dashboard;
#[path = "prometheus/rules.rs"]
mod rules;
#[path = "prometheus/scraper.rs"]
mod scraper;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use scraper::{Prometheus, promtool};
use support::host::{Host, eventually, get, replace};
use support::real::{CONFIG, HOST, docker};

const SOON: Duration = Duration::from_secs(90);

/// The second virtual host, which the test removes.
const OTHER: &str = "other.example";

/// All published metrics.
const PROMISED: [&str; 40] = [
    "ejabberd_connected_users",
    "ejabberd_container_cpu_seconds_total",
    "ejabberd_container_health",
    "ejabberd_container_memory_bytes",
    "ejabberd_info",
    "ejabberd_online_rooms",
    "ejabberd_operator_audit_check",
    "ejabberd_operator_build_info",
    "ejabberd_operator_condition",
    "ejabberd_operator_config_held_back",
    "ejabberd_operator_config_info",
    "ejabberd_operator_config_rollouts_total",
    "ejabberd_operator_contested_objects",
    "ejabberd_operator_control_call_duration_seconds",
    "ejabberd_operator_control_calls_total",
    "ejabberd_operator_database_missing",
    "ejabberd_operator_desired_state_info",
    "ejabberd_operator_desired_state_valid",
    "ejabberd_operator_drift",
    "ejabberd_operator_failing_objects",
    "ejabberd_operator_last_attempt_timestamp_seconds",
    "ejabberd_operator_last_success_timestamp_seconds",
    "ejabberd_operator_message_duration_seconds",
    "ejabberd_operator_messages_total",
    "ejabberd_operator_objects",
    "ejabberd_operator_reconcile_duration_seconds",
    "ejabberd_operator_reconcile_total",
    "ejabberd_operator_refused_deletions",
    "ejabberd_operator_restart_backoff_seconds",
    "ejabberd_operator_restarts_total",
    "ejabberd_operator_server_info",
    "ejabberd_operator_server_state",
    "ejabberd_operator_state_outdated",
    "ejabberd_operator_steps_total",
    "ejabberd_registered_users",
    "ejabberd_up",
    "ejabberd_uptime_seconds",
    // Metrics of Prometheus about the target.
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "up",
];

/// A host with an operator, and a Prometheus that scrapes the operator.
struct Lab {
    host: Host,
    prometheus: Prometheus,
    address: String,
    began: Instant,
}

impl Lab {
    fn declare(&self, text: &str) {
        replace(&self.host.file(), &(self.host.head() + text));
    }

    /// Waits until Prometheus answers `value` for the only series of `query`.
    fn until(&self, query: &str, value: f64) {
        let mut last = Vec::new();
        let began = Instant::now();
        while began.elapsed() < SOON {
            last = self.prometheus.now(query);
            if matches!(&last[..], [(_, found)] if *found == value) {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("{query} is {last:?}, not {value}");
    }

    fn until_firing(&self, alert: &str) -> serde_json::Value {
        let firing = || self.prometheus.alert(alert).filter(|(state, _)| state == "firing");
        eventually(alert, SOON, || firing().is_some());
        firing().unwrap().1
    }

    fn until_over(&self, alert: &str) {
        eventually(alert, SOON, || self.prometheus.alert(alert).is_none());
    }
}

const TWO_HOSTS: &str = "  hosts: [other.example]\n  users: [{ name: ann }, { name: \"bea@other.example\" }]\n  \
     groups: [{ name: team, members: [ann] }]\n  \
     rooms: [{ name: hall, affiliations: { owner: [ann] } }]\n";

#[test]
fn alerts_and_dashboard_work_with_a_real_prometheus() {
    let host = Host::new("newest");
    let config = CONFIG.replace("hosts: [test.example]", "hosts: [test.example, other.example]");
    fs::write(host.path("ejabberd.yml"), &config).unwrap();
    host.declare(TWO_HOSTS);
    let _operator = host.start(&["run", "--listen", "127.0.0.1:0", "--resync", "1s"], "run.log");
    eventually("an endpoint", SOON, || host.state().join("endpoint").exists());
    let address = host.endpoint();
    let prometheus = Prometheus::start(&address, &rules::impatient());
    let lab = Lab { host, prometheus, address, began: Instant::now() };
    lab.until("up", 1.0);
    lab.until("ejabberd_up", 1.0);
    lab.until("ejabberd_operator_condition{type=\"Ready\",status=\"True\"}", 1.0);
    for host in [HOST, OTHER] {
        lab.until(&format!("ejabberd_registered_users{{host=\"{host}\"}}"), 1.0);
    }
    all_published_metrics_arrive(&lab);
    let text = get(&lab.address, "/metrics").unwrap().1;
    let exposition = lab.host.path("exposition");
    fs::write(&exposition, &text).unwrap();
    let findings = promtool(&["check", "metrics"], fs::File::open(exposition).unwrap().into());
    assert_eq!(findings, "", "promtool has no findings");
    for name in ["ann", "bea", "hall", "team"] {
        assert!(!text.contains(&format!("{name}\"")), "{name} is a label");
    }

    repairs_and_restarts(&lab);
    configurations(&lab, &config);
    failing_and_suspended_changes(&lab);
    dashboard::every_query_has_data(&lab.prometheus, lab.began.elapsed().as_secs() + 5);
    an_invalid_file_fires_until_it_is_fixed(&lab);
    a_removed_host_has_no_series(&lab);
}

fn all_published_metrics_arrive(lab: &Lab) {
    // The usage of a container is measured between the rounds.
    lab.until("ejabberd_container_memory_bytes > bool 0", 1.0);
    lab.until("count(ejabberd_operator_audit_check) > bool 3", 1.0);
    let family = |name: String| {
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        part.filter(|name| name.ends_with("_seconds")).map_or(name.clone(), str::to_owned)
    };
    let came: BTreeSet<String> = lab.prometheus.names().into_iter().map(family).collect();
    let ours = came.iter().filter(|name| !name.starts_with("scrape_s")).cloned();
    let promised: BTreeSet<String> = PROMISED.map(str::to_owned).into();
    let mut missing = promised.difference(&came);
    assert_eq!(missing.next(), None, "a published metric is missing");
    let unknown: Vec<String> =
        ours.filter(|name| name.starts_with("ejabberd") && !promised.contains(name)).collect();
    assert_eq!(unknown, Vec::<String>::new(), "a metric is not in the list of published metrics");
}

fn repairs_and_restarts(lab: &Lab) {
    let done = "sum(ejabberd_operator_steps_total{kind=\"user\",op=\"create\",result=\"done\"})";
    lab.until(done, 2.0);
    lab.host.ctl(&["unregister", "ann", HOST]);
    lab.until(done, 3.0);
    docker(&["kill", &lab.host.container]);
    lab.until("ejabberd_operator_restarts_total{reason=\"Killed\"}", 1.0);
    lab.until("ejabberd_up", 1.0);
    lab.until("ejabberd_operator_server_state{state=\"running\"}", 1.0);
    eventually("Prometheus has seen the server down", SOON, || {
        lab.prometheus.over("ejabberd_up == 0", 60) > 0
    });
}

fn configurations(lab: &Lab, config: &str) {
    let file = lab.host.path("ejabberd.yml");
    let good = "sum(ejabberd_operator_config_rollouts_total{result=\"good\"})";
    let before = lab.prometheus.now(good)[0].1;
    replace(&file, &config.replace("max_users: 200", "max_users: 100"));
    lab.until(good, before + 1.0);
    replace(&file, "hosts: [test.example\n");
    lab.until("ejabberd_operator_config_held_back", 1.0);
    lab.until("sum(ejabberd_operator_config_rollouts_total{result=\"refused\"})", 1.0);
    let alert = lab.until_firing("EjabberdConfigHeldBack");
    assert!(alert["description"].as_str().unwrap().contains("(test is declared)"), "{alert}");
    replace(&file, config);
    lab.until(good, before + 2.0);
    lab.until("ejabberd_operator_config_held_back", 0.0);
    lab.until_over("EjabberdConfigHeldBack");
}

fn failing_and_suspended_changes(lab: &Lab) {
    let without_password = "{ name: ann }, { name: lost, passwordFrom: { file: nowhere } }";
    lab.declare(&TWO_HOSTS.replace("{ name: ann }", without_password));
    lab.until("ejabberd_operator_failing_objects{kind=\"user\"}", 1.0);
    lab.declare(TWO_HOSTS);
    lab.until("sum(ejabberd_operator_failing_objects)", 0.0);
    lab.declare(
        &(TWO_HOSTS.replace("{ name: ann }", "{ name: ann }, { name: eve }") + "  suspend: true\n"),
    );
    lab.until("sum(ejabberd_operator_drift{kind=\"user\",op=\"create\"})", 1.0);
    lab.until_firing("EjabberdDriftStays");
    lab.declare(TWO_HOSTS);
    lab.until("sum(ejabberd_operator_drift)", 0.0);
    lab.until_over("EjabberdDriftStays");
}

fn an_invalid_file_fires_until_it_is_fixed(lab: &Lab) {
    lab.until("ejabberd_operator_desired_state_valid", 1.0);
    assert!(lab.prometheus.alert("EjabberdDesiredStateInvalid").is_none());
    replace(&lab.host.file(), "spec: [broken");
    let alert = lab.until_firing("EjabberdDesiredStateInvalid");
    assert_eq!(alert["runbook_url"], "docs/runbooks.md#ejabberddesiredstateinvalid");
    lab.declare(TWO_HOSTS);
    lab.until_over("EjabberdDesiredStateInvalid");
    lab.until("ejabberd_operator_desired_state_valid", 1.0);
}

fn a_removed_host_has_no_series(lab: &Lab) {
    let of_other = format!("{{host=\"{OTHER}\"}}");
    assert_eq!(lab.prometheus.now(&of_other).len(), 2, "accounts and sessions");
    lab.declare(
        &TWO_HOSTS
            .replace("  hosts: [other.example]\n", "")
            .replace(", { name: \"bea@other.example\" }", ""),
    );
    eventually("its series are gone", SOON, || lab.prometheus.now(&of_other).is_empty());
    lab.until(&format!("ejabberd_registered_users{{host=\"{HOST}\"}}"), 1.0);
    assert!(lab.prometheus.over(&of_other, 60) > 0, "Prometheus keeps the earlier values");
}
