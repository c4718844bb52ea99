//! Tests the JSON form of a finding. Scripts read this form, so the form must not change.

use super::*;

fn finding(e: &Evidence, name: &str) -> Finding {
    diagnose(e, &Symptom::ALL).into_iter().find(|finding| finding.check == name).unwrap()
}

#[test]
fn the_json_form_has_the_published_fields() {
    let mut e = good();
    delivery(&mut e).hosts = Reading::Known(vec!["b.test".into()]);
    let json = serde_json::to_string(&finding(&e, "hosts")).unwrap();
    assert_eq!(
        json,
        r#"{"symptom":"delivery","check":"hosts","verdict":"problem","seen":"the server does not serve a.test","evidence":["the server serves b.test"],"do":"add the host to `hosts` in the configuration (the file of spec.config.variants), or correct spec.host"}"#
    );
}

#[test]
fn the_json_form_has_no_cure_without_a_problem() {
    let json = serde_json::to_string(&finding(&good(), "hosts")).unwrap();
    assert_eq!(
        json,
        r#"{"symptom":"delivery","check":"hosts","verdict":"fine","seen":"the server serves a.test","evidence":[],"do":null}"#
    );
}

#[test]
fn the_json_form_names_every_other_verdict() {
    let mut e = good();
    delivery(&mut e).hosts = no();
    let verdict = |name: &str| serde_json::to_value(finding(&e, name)).unwrap()["verdict"].clone();
    assert_eq!(
        (verdict("hosts"), verdict("published_ports")),
        ("unknown".into(), "does-not-apply".into())
    );
}
