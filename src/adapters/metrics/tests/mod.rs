mod causes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::*;
use crate::domain::checks::audit::{Finding, Topic, Verdict};
use crate::domain::diff::{Phase, StepInfo};
use crate::domain::model::{Digest, ObjectKey, Revision, ServerVersion};
use crate::domain::observed::{ObservedState, Reading, Usage};
use crate::domain::plan::{Plan, Summary};
use crate::domain::rollout::{Method, RolloutResult};
use crate::domain::status::Counts;
use crate::ejabberd::{Call, Control, ControlError, Shape, Value};
use crate::engine::{Deferral, EngineEvent, EventSink, ServerStats, StepResult};

/// Parses an exposition strictly: `HELP` and `TYPE` precede the samples of each family, and no
/// series occurs twice.
fn parse(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'));
    let mut series = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind) = (String::new(), String::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(words.len() > 20 && families.insert(name.to_owned()), "{line}");
            let declared = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
            let (typed, word) = declared.split_once(' ').unwrap();
            assert_eq!(typed, name);
            assert_eq!(word == "counter", name.ends_with("_total"), "{line}");
            (family, kind) = (name.to_owned(), word.to_owned());
            continue;
        }
        let (id, value) = line.rsplit_once(' ').unwrap();
        let name = id.split('{').next().unwrap();
        let suffix = name.strip_prefix(family.as_str()).unwrap();
        let allowed: &[&str] =
            if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(allowed.contains(&suffix), "{line}");
        if let Some(labels) = id.strip_prefix(name).filter(|rest| !rest.is_empty()) {
            let labels = labels.strip_prefix('{').unwrap().strip_suffix("\"}").unwrap();
            for label in labels.split("\",") {
                let (key, value) = label.split_once("=\"").unwrap();
                assert!(key.bytes().all(|b| b.is_ascii_lowercase()), "{line}");
                assert!(!value.contains(['"', '\n']), "{line}");
            }
        }
        assert!(series.insert(id.to_owned(), value.parse().unwrap()).is_none(), "{line}");
    }
    series
}

fn step(kind: Kind, name: &str) -> StepInfo {
    StepInfo {
        phase: Phase::Objects,
        key: ObjectKey::parse(kind, name).unwrap(),
        op: Op::Create,
        fields: vec![],
        reason: String::new(),
    }
}

fn report(drift: BTreeMap<(Kind, Op), usize>) -> RoundReport {
    RoundReport {
        started: Timestamp::UNIX_EPOCH,
        took: Duration::from_millis(7),
        plan: Plan {
            revision: Revision::new("r"),
            digest: Digest::new("d"),
            blocked: None,
            done: vec![],
            server: vec![],
            objects: vec![],
            summary: Summary::default(),
            approved: None,
            database_missing: None,
            state_outdated: None,
            unknown: vec![],
            notes: vec![],
            not_in_force: Vec::new(),
        },
        outcomes: vec![],
        observed: ObservedState::unanswered(Reading::Unknown(String::new()), ""),
        server_stats: ServerStats::default(),
        drift,
        objects: [(Kind::User, Counts { desired: 3, managed: 2, unmanaged: 1 })].into(),
        config: None,
        held: None,
        vanished: 0,
        overview: Arc::default(),
    }
}

fn status() -> Status {
    let mut status = Status::new(Timestamp::UNIX_EPOCH);
    status.revision = Some(Revision::new("abc"));
    status.variant = Some("hardened".into());
    status.config_digest = Some(Digest::new("def"));
    status.last_attempt = Some(Timestamp::from_millisecond(1_700_000_000_500).unwrap());
    status.set(ConditionType::Ready, true, "Converged", "", Timestamp::UNIX_EPOCH);
    status.server.up = true;
    status.server.version = Some("26.07".into());
    status.server.health = Some("healthy".into());
    status.server.uptime_seconds = Some(12);
    status.server.registered_users =
        [("a.example".to_owned(), 5), ("b.example".to_owned(), 0)].into();
    status.server.connected_users = [("a.example".to_owned(), 2)].into();
    status.server.online_rooms = [("conference.a.example".to_owned(), 1)].into();
    status
}

#[test]
fn series_with_known_labels_exist_from_the_start() {
    let series = parse(&Metrics::new().unwrap().encode());
    for (id, value) in [
        (concat!("ejabberd_operator_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
        ("ejabberd_operator_reconcile_total{result=\"converged\"}", 0.0),
        ("ejabberd_operator_reconcile_duration_seconds_bucket{le=\"0.005\"}", 0.0),
        ("ejabberd_operator_reconcile_duration_seconds_bucket{le=\"600\"}", 0.0),
        ("ejabberd_operator_reconcile_duration_seconds_bucket{le=\"+Inf\"}", 0.0),
        ("ejabberd_operator_reconcile_duration_seconds_sum", 0.0),
        ("ejabberd_operator_reconcile_duration_seconds_count", 0.0),
        ("ejabberd_operator_steps_total{kind=\"room\",op=\"create\",result=\"failed\"}", 0.0),
        ("ejabberd_operator_drift{kind=\"affiliation\",op=\"delete\"}", 0.0),
        ("ejabberd_operator_objects{kind=\"user\",state=\"managed\"}", 0.0),
        ("ejabberd_operator_last_attempt_timestamp_seconds", 0.0),
        ("ejabberd_operator_last_success_timestamp_seconds", 0.0),
        ("ejabberd_operator_condition{status=\"Unknown\",type=\"Ready\"}", 1.0),
        ("ejabberd_operator_restarts_total{reason=\"Config\"}", 0.0),
        ("ejabberd_operator_restart_backoff_seconds", 0.0),
        ("ejabberd_up", 0.0),
        ("ejabberd_uptime_seconds", 0.0),
        ("ejabberd_container_health{status=\"healthy\"}", 0.0),
        ("ejabberd_operator_config_rollouts_total{method=\"reload\",result=\"rolled_back\"}", 0.0),
        ("ejabberd_operator_restarts_total{reason=\"Replaced\"}", 0.0),
        ("ejabberd_operator_server_state{state=\"backing-off\"}", 0.0),
        ("ejabberd_operator_failing_objects{kind=\"user\"}", 0.0),
        ("ejabberd_operator_refused_deletions", 0.0),
        ("ejabberd_operator_database_missing", 0.0),
        ("ejabberd_operator_state_outdated", 0.0),
        ("ejabberd_operator_config_held_back", 0.0),
    ] {
        assert_eq!(series.get(id), Some(&value), "{id}");
    }
    let unread = series.keys().any(|id| id.starts_with("ejabberd_operator_desired_state_valid"));
    assert!(!unread, "before the first read it is unknown whether the file is valid");
}

#[test]
fn a_status_is_shown_and_replaced() {
    let metrics = Metrics::new().unwrap();
    metrics.status(&status());
    let series = parse(&metrics.encode());
    for (id, value) in [
        ("ejabberd_operator_desired_state_info{revision=\"abc\"}", 1.0),
        ("ejabberd_operator_config_info{digest=\"def\",variant=\"hardened\"}", 1.0),
        ("ejabberd_operator_condition{status=\"True\",type=\"Ready\"}", 1.0),
        ("ejabberd_operator_condition{status=\"Unknown\",type=\"Ready\"}", 0.0),
        ("ejabberd_operator_last_attempt_timestamp_seconds", 1_700_000_000.5),
        ("ejabberd_up", 1.0),
        ("ejabberd_info{version=\"26.07\"}", 1.0),
        ("ejabberd_uptime_seconds", 12.0),
        ("ejabberd_registered_users{host=\"a.example\"}", 5.0),
        ("ejabberd_registered_users{host=\"b.example\"}", 0.0),
        ("ejabberd_connected_users{host=\"a.example\"}", 2.0),
        ("ejabberd_online_rooms{service=\"conference.a.example\"}", 1.0),
        ("ejabberd_container_health{status=\"healthy\"}", 1.0),
        ("ejabberd_container_health{status=\"none\"}", 0.0),
    ] {
        assert_eq!(series.get(id), Some(&value), "{id}");
    }
    let mut later = status();
    later.revision = Some(Revision::new("next"));
    later.server = crate::domain::status::ServerStatus::default();
    metrics.status(&later);
    let series = parse(&metrics.encode());
    assert!(series.contains_key("ejabberd_operator_desired_state_info{revision=\"next\"}"));
    let gone = ["abc", "a.example", "26.07"];
    assert!(!series.keys().any(|id| gone.iter().any(|word| id.contains(word))), "{series:?}");
    assert_eq!(series.get("ejabberd_up"), Some(&0.0));
}

#[test]
fn rounds_and_steps_are_counted_without_account_names() {
    let metrics = Metrics::new().unwrap();
    let before = parse(&metrics.encode()).len();
    for n in 0..500 {
        let kind = Kind::ALL[n % Kind::ALL.len()];
        let result = if n % 2 == 0 {
            StepResult::Done
        } else {
            StepResult::Deferred(Deferral::ConfigRefused("secret why".to_owned()))
        };
        let name = match kind {
            Kind::Affiliation => format!("hall@conference.a.example/ann{n}@a.example"),
            _ => format!("ann{n}@a.example"),
        };
        metrics.step(&StepOutcome { step: step(kind, &name), result });
    }
    let drift = BTreeMap::from([((Kind::User, Op::Create), 4)]);
    metrics.round(&report(drift));
    let text = metrics.encode();
    let series = parse(&text);
    assert_eq!(series.len(), before, "a series for each kind, not for each object");
    assert!(!text.contains("ann") && !text.contains("secret why"));
    assert_eq!(series["ejabberd_operator_drift{kind=\"user\",op=\"create\"}"], 4.0);
    assert_eq!(series["ejabberd_operator_objects{kind=\"user\",state=\"unmanaged\"}"], 1.0);
    assert_eq!(series["ejabberd_operator_reconcile_total{result=\"drift\"}"], 1.0);
    assert_eq!(series["ejabberd_operator_reconcile_duration_seconds_bucket{le=\"0.01\"}"], 1.0);
    metrics.round(&report(BTreeMap::new()));
    let series = parse(&metrics.encode());
    assert_eq!(series["ejabberd_operator_drift{kind=\"user\",op=\"create\"}"], 0.0);
    assert_eq!(series["ejabberd_operator_reconcile_total{result=\"converged\"}"], 1.0);
}

#[test]
fn series_with_other_labels_appear_with_their_first_value() {
    let metrics = Metrics::new().unwrap();
    metrics.restarted("Config");
    metrics
        .take(EngineEvent::RolloutEnded { method: Method::Restart, result: RolloutResult::Good });
    let finding = |check, verdict| Finding {
        check,
        topic: Topic { title: "", why: "" },
        verdict,
        seen: String::new(),
        evidence: Vec::new(),
        cure: None,
    };
    metrics.audited(&[finding("loopback", Verdict::Fails), finding("other", Verdict::Unknown)]);
    assert!(!metrics.encode().contains("check=\"other\""));
    metrics.backoff(Duration::from_secs(10));
    metrics.set_container_usage(Some((1.5, 4096)));
    let series = parse(&metrics.encode());
    for (id, value) in [
        ("ejabberd_operator_restarts_total{reason=\"Config\"}", 1.0),
        ("ejabberd_operator_config_rollouts_total{method=\"restart\",result=\"good\"}", 1.0),
        ("ejabberd_operator_audit_check{check=\"loopback\"}", 0.0),
        ("ejabberd_operator_restart_backoff_seconds", 10.0),
        ("ejabberd_container_cpu_seconds_total", 1.5),
        ("ejabberd_container_memory_bytes", 4096.0),
    ] {
        assert_eq!(series.get(id), Some(&value), "{id}");
    }
    metrics.set_container_usage(None);
    assert!(!metrics.encode().contains("ejabberd_container_memory_bytes"));
}

struct Refusing;

#[async_trait]
impl Control for Refusing {
    async fn call(&self, call: Call, _: Duration) -> Result<Value, ControlError> {
        let message = "ann@a.example".to_owned();
        match call.name() {
            "status" => Ok(Value::Atom("ok".into())),
            command => Err(ControlError::Refused { command, message }),
        }
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        Err(ControlError::Unreachable("ann@a.example".into()))
    }

    async fn close(&self) {}
}

#[tokio::test]
async fn calls_are_counted_by_command_and_result() {
    let metrics = Arc::new(Metrics::new().unwrap());
    let control = Metered::new(Arc::new(Refusing), Arc::clone(&metrics));
    for name in ["status", "register", "register"] {
        let _ = control.call(Call::command(name, Shape::Text, vec![]), Duration::ZERO).await;
    }
    control.version().await.unwrap_err();
    let text = metrics.encode();
    let series = parse(&text);
    let count = |command: &str, result: &str| {
        let labels = format!("command=\"{command}\",result=\"{result}\"");
        series[&format!("ejabberd_operator_control_calls_total{{{labels}}}")]
    };
    assert_eq!(count("status", "ok"), 1.0);
    assert_eq!(count("register", "refused"), 2.0);
    assert_eq!(count("version", "unreachable"), 1.0);
    let timed = |id: &str| series[&format!("ejabberd_operator_control_call_duration_seconds{id}")];
    assert_eq!(timed("_count{command=\"register\"}"), 2.0);
    assert_eq!(timed("_bucket{command=\"version\",le=\"15\"}"), 1.0);
    assert!(timed("_sum{command=\"register\"}") >= 0.0);
    assert!(!text.contains("ann@"));
}
