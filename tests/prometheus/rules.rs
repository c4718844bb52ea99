//! The published alerts: promtool accepts them, and each alert has tests and a runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use serde_json::Value;

use crate::scraper::{file, promtool};

pub const RULES: &str = "manifests/prometheus/ejabberd-operator.rules.yml";
const TESTS: &str = "manifests/prometheus/tests";
const RUNBOOKS: &str = "docs/runbooks.md";

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn rules() -> Vec<Value> {
    let rules = yaml(&file(RULES));
    let groups = rules["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn test_files() -> Vec<String> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/prometheus/tests");
    let files = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn place(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn promtool_accepts_the_alerts_and_their_tests_pass() {
    let none = Stdio::null;
    promtool(&["check", "rules", &place(RULES)], none());
    promtool(&["check", "config", &place("manifests/prometheus/prometheus.yml")], none());
    let files: Vec<String> =
        test_files().iter().map(|name| place(&format!("{TESTS}/{name}"))).collect();
    let mut args = vec!["test", "rules"];
    args.extend(files.iter().map(String::as_str));
    let output = promtool(&args, none());
    assert_eq!(output.matches("SUCCESS").count(), files.len(), "{output}");
}

#[test]
fn each_alert_has_tests_in_which_it_fires_and_stays_silent() {
    let alerts: BTreeSet<String> =
        rules().iter().map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect();
    let mut seen: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for name in test_files() {
        let tests = yaml(&file(&format!("{TESTS}/{name}")));
        for case in tests["tests"].as_array().unwrap() {
            for check in case["alert_rule_test"].as_array().unwrap() {
                let alert = check["alertname"].as_str().unwrap();
                // promtool accepts a test of an alert that does not exist and so never fires.
                assert!(alerts.contains(alert), "{name}: there is no {alert}");
                let (fires, silent) = seen.entry(alert.to_owned()).or_default();
                match check["exp_alerts"].as_array().unwrap().len() {
                    0 => *silent += 1,
                    _ => *fires += 1,
                }
            }
        }
    }
    for alert in alerts {
        let (fires, silent) = seen.get(&alert).copied().unwrap_or_default();
        assert!(
            fires >= 1 && silent >= 2,
            "{alert}: fires in {fires} tests, is silent in {silent}"
        );
    }
}

/// Returns the anchors that Markdown viewers derive from the headings.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>()
    };
    headings.map(|heading| anchor(heading).replace(' ', "-")).collect()
}

#[test]
fn each_alert_has_a_runbook() {
    let anchors = anchors(&file(RUNBOOKS));
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning"].contains(&severity), "{name}: {severity}");
        for part in ["summary", "description"] {
            let words = rule["annotations"][part].as_str().unwrap();
            assert!(words.len() > 20, "{name} has no {part}");
        }
        let runbook = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert_eq!(runbook, format!("{RUNBOOKS}#{}", name.to_lowercase()));
        assert!(anchors.contains(&name.to_lowercase()), "{RUNBOOKS} has no heading for {name}");
    }
}

/// The rules with each `for:` shortened to a second, because a test cannot wait for minutes.
pub fn impatient() -> String {
    let rules = file(RULES);
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
        _ => format!("{line}\n"),
    });
    let cut: String = lines.collect();
    assert_eq!(cut.matches("for: 1s\n").count(), self::rules().len());
    cut
}
