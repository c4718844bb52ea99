//! The dashboard: runs the queries of Grafana against Prometheus.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::scraper::{INSTANCE, JOB, Prometheus, file};
use crate::support::real::HOST;

pub const DASHBOARD: &str = "manifests/grafana/ejabberd-operator.json";

/// A query that Grafana sends to Prometheus.
pub struct Query {
    pub place: String,
    pub expr: String,
    pub instant: bool,
}

pub fn dashboard() -> Value {
    serde_json::from_str(&file(DASHBOARD)).unwrap()
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text `{name}` in {value}"))
}

/// All queries of panels, variables and annotations.
pub fn queries(dashboard: &Value) -> Vec<Query> {
    let mut all = Vec::new();
    for panel in list(dashboard, "/panels") {
        for target in list(panel, "/targets") {
            let place = format!("panel {}", text(panel, "title"));
            let instant = target["instant"].as_bool().unwrap();
            all.push(Query { place, expr: text(target, "expr").to_owned(), instant });
        }
    }
    for variable in list(dashboard, "/templating/list").filter(|v| v["type"] == "query") {
        let query = variable["query"]["query"].as_str().unwrap();
        let inside = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')'));
        let (metric, label) = inside.and_then(|q| q.rsplit_once(", ")).expect("label_values(…, …)");
        // `group by` also returns a group for series without the label, so the query excludes an
        // empty label.
        let expr = format!("group by ({label}) ({metric}) and {metric}{{{label}!=\"\"}}");
        let expr = expr.replace("}{", ", ").replace(" and ", " and on () ");
        let place = format!("variable {}", text(variable, "name"));
        all.push(Query { place, expr, instant: true });
    }
    for annotation in list(dashboard, "/annotations/list") {
        let place = format!("annotation {}", text(annotation, "name"));
        all.push(Query { place, expr: text(annotation, "expr").to_owned(), instant: false });
    }
    for query in &mut all {
        for (variable, value) in [
            ("$job", JOB),
            ("$instance", INSTANCE),
            ("$host", HOST),
            ("$__rate_interval", "10s"),
            ("offset 1m", "offset 10s"),
        ] {
            query.expr = query.expr.replace(variable, value);
        }
        assert!(!query.expr.contains('$'), "{}: {}", query.place, query.expr);
    }
    all
}

/// Checks that every query has data in the last `seconds`. A query that can be empty without an
/// error needs `or vector(0)`.
pub fn every_query_has_data(prometheus: &Prometheus, seconds: u64) {
    let queries = queries(&dashboard());
    assert!(queries.len() > 40, "only {} queries: does the test still read them?", queries.len());
    assert_eq!(
        prometheus.over("ejabberd_operator_nothing", seconds),
        0,
        "an unknown metric has no data"
    );
    let mut empty = Vec::new();
    for Query { place, expr, instant } in queries {
        // An instant query is checked over the whole time, because the server may be down now.
        let found = prometheus.over(&expr, seconds);
        let now = if instant { prometheus.now(&expr).len() } else { 1 };
        if found == 0 || now == 0 {
            empty.push(format!("{place}: {expr}"));
        }
    }
    assert!(empty.is_empty(), "no data:\n{}", empty.join("\n"));
}

/// Checks the properties of panels other than the queries.
#[test]
fn panels_explain_themselves_and_do_not_overlap() {
    let dashboard = dashboard();
    let (mut taken, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let mut rows = Vec::new();
    for panel in list(&dashboard, "/panels") {
        let title = text(panel, "title");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: the id is used twice");
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title} is too wide");
        for cell in (at("x")..at("x") + at("w"))
            .flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
        {
            assert!(taken.insert(cell), "{title} lies over another panel");
        }
        if panel["type"] == "row" {
            rows.push(title);
            continue;
        }
        assert!(text(panel, "description").len() > 40, "{title} does not say what it means");
        let defaults = &panel["fieldConfig"]["defaults"];
        assert!(defaults["unit"].is_string() && defaults["thresholds"].is_object(), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in list(panel, "/targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    let story =
        ["Is it up?", "Does it match what is declared?", "What changed?", "What does it cost?"];
    assert_eq!(rows, story);
    let names: Vec<_> = list(&dashboard, "/templating/list").map(|v| text(v, "name")).collect();
    assert_eq!(names, ["datasource", "job", "instance", "host"]);
    let marks: Vec<_> = list(&dashboard, "/annotations/list").map(|a| text(a, "name")).collect();
    assert_eq!(marks, ["Revisions", "Rollouts", "Starts"]);
}

/// Validates the dashboard against the fields that Grafana documents (source in
/// `tests/grafana/schema.json`), and checks that the schema finds a mistake.
#[test]
fn the_dashboard_follows_grafanas_documented_model() {
    const CHECK: &str = "\
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
errors = list(jsonschema.Draft202012Validator(schema).iter_errors(json.load(open(sys.argv[2]))))
print('\\n'.join(f'{e.json_path}: {e.message[:300]}' for e in errors))
";
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grafana/schema.json");
    let errors = |dashboard: &Value| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), dashboard.to_string()).unwrap();
        let path = file.path().to_str().unwrap();
        let ran = std::process::Command::new(crate::support::real::python())
            .args(["-c", CHECK, schema, path])
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{err}; scripts/test installs what it needs");
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    };
    let right = dashboard();
    assert_eq!(errors(&right), "");
    for (place, wrong) in [
        ("/panels/1/gridPos/w", Value::from(25)),
        ("/panels/1/type", Value::from("statt")),
        ("/panels/1/targets/0/exprr", Value::from("up")),
        ("/panels/1/fieldConfig/defaults/thresholds/mode", Value::from("relative")),
        ("/schemaVersion", Value::from("36")),
        ("/templating/list/1/type", Value::from("label")),
        ("/annotations/list/0/iconColor", Value::Null),
        ("/pannels", Value::from(1)),
    ] {
        let mut broken = right.clone();
        let (above, name) = place.rsplit_once('/').unwrap();
        broken.pointer_mut(above).unwrap()[name] = wrong;
        assert_ne!(errors(&broken), "", "the schema does not check {place}");
    }
}
