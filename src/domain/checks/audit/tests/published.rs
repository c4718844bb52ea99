//! Tests the JSON form of a finding. Scripts and the web page read this form, so the form must not
//! change.

use super::*;

#[test]
fn the_json_form_has_the_published_fields() {
    let mut evidence = good();
    evidence.version = Reading::Known(ServerVersion { year: 22, month: 10 });
    let json = serde_json::to_string(&finding(&evidence, "version_floor")).unwrap();
    assert_eq!(
        json,
        r#"{"check":"version_floor","title":"this program supports the version of ejabberd","verdict":"fails","seen":"ejabberd 22.10, older than 23.01","why":"This checklist and the two variants are not tested with an older ejabberd, which may ignore their options.","mend":"Upgrade the image."}"#
    );
}

#[test]
fn mend_is_present_for_an_item_that_holds() {
    let json = serde_json::to_value(finding(&good(), "version_floor")).unwrap();
    assert_eq!((&json["verdict"], &json["mend"]), (&"holds".into(), &"Upgrade the image.".into()));
}

#[test]
fn the_json_form_names_an_unknown_verdict() {
    let evidence = Evidence { version: no(), ..good() };
    let json = serde_json::to_value(finding(&evidence, "version_floor")).unwrap();
    assert_eq!((&json["verdict"], &json["seen"]), (&"unknown".into(), &"it hid".into()));
}
