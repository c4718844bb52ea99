//! Items that the text of the configuration answers.

use serde_json::Value;

use super::access;
use super::config::{Config, truth};
use super::evidence::Evidence;
use super::{Answer, Verdict, fails, holds, unknown};
use crate::observed::Reading;

/// What must not be served over HTTP, whatever its path.
const HANDLERS: [&str; 13] = [
    "ejabberd_bosh",
    "ejabberd_captcha",
    "ejabberd_http_bind",
    "ejabberd_http_ws",
    "ejabberd_oauth",
    "ejabberd_web_admin",
    "ejabberd_xmlrpc",
    "mod_bosh",
    "mod_conversejs",
    "mod_http_bind",
    "mod_invites",
    "mod_mqtt",
    "mod_register_web",
];

/// What may be: the API, which `api_commands` looks at, and what serves files
/// and certificates.
const HARMLESS: [&str; 5] =
    ["ejabberd_acme", "mod_host_meta", "mod_http_api", "mod_http_fileserver", "mod_http_upload"];

/// The usual paths of what must not be served.
const PATHS: [&str; 7] = ["admin", "bosh", "captcha", "http-bind", "register", "websocket", "ws"];

/// Options of a listener that stand for a handler, in files of old.
const SHORTHANDS: [&str; 5] = ["captcha", "http_bind", "register", "web_admin", "xmlrpc"];

/// Judges the configuration. What its text seems to say counts only if
/// nothing in it says otherwise out of sight.
pub(super) fn judged(evidence: &Evidence, judge: impl Fn(&Config) -> Answer) -> Answer {
    let text = match &evidence.configuration {
        Reading::Known(text) => text,
        Reading::Unknown(why) => return unknown(why),
    };
    match Config::parse(text) {
        Ok(config) => match (judge(&config), config.hides()) {
            ((Verdict::Holds, _), Some(why)) => unknown(why),
            (answer, _) => answer,
        },
        Err(why) => unknown(why),
    }
}

pub(super) fn api_commands(evidence: &Evidence) -> Answer {
    judged(evidence, access::api_commands)
}

/// From what is wrong and what is not understood to an answer.
fn answer(wrong: &[String], doubtful: &[String], good: String) -> Answer {
    match (wrong, doubtful) {
        ([], []) => holds(good),
        ([], _) => unknown(doubtful.join("; ")),
        _ => fails(wrong.join("; ")),
    }
}

pub(super) fn web_handlers(evidence: &Evidence) -> Answer {
    judged(evidence, |config| {
        let listeners = match config.listeners() {
            Ok(listeners) => listeners,
            Err(why) => return unknown(why),
        };
        let (mut wrong, mut doubtful, mut good) = (Vec::new(), Vec::new(), Vec::new());
        for listener in listeners {
            let place = listener.place();
            if listener.module == "ejabberd_xmlrpc" {
                wrong.push(place.clone());
            }
            for name in SHORTHANDS {
                if listener.options.get(name).is_some_and(|value| truth(value) != Some(false)) {
                    wrong.push(format!("`{name}` in {place}"));
                }
            }
            let handlers = match listener.options.get("request_handlers") {
                None => continue,
                Some(Value::Object(handlers)) => handlers,
                Some(_) => {
                    doubtful.push(format!("request_handlers of {place} are not understood"));
                    continue;
                }
            };
            for (path, module) in handlers {
                let module = module.as_str().unwrap_or("?");
                let entry = format!("{path}: {module} in {place}");
                let first = path.split('/').find(|part| !part.is_empty()).unwrap_or("");
                if HANDLERS.contains(&module) || PATHS.contains(&first) {
                    wrong.push(entry);
                } else if HARMLESS.contains(&module) {
                    good.push(format!("{path}: {module}"));
                } else {
                    doubtful.push(format!("{entry} is not known to this check"));
                }
            }
        }
        let good = if good.is_empty() {
            "nothing is served over HTTP".to_owned()
        } else {
            good.join(", ")
        };
        answer(&wrong, &doubtful, good)
    })
}

pub(super) fn starttls_file(evidence: &Evidence) -> Answer {
    judged(evidence, |config| {
        let listeners = match config.listeners() {
            Ok(listeners) => listeners,
            Err(why) => return unknown(why),
        };
        let (mut wrong, mut doubtful, mut good) = (Vec::new(), Vec::new(), Vec::new());
        for listener in listeners.iter().filter(|listener| listener.is_for_clients()) {
            let place = listener.place();
            let mut demanded = false;
            for name in ["starttls_required", "tls"] {
                match listener.options.get(name).map(truth) {
                    Some(Some(true)) => {
                        good.push(format!("{name}: true for {place}"));
                        demanded = true;
                    }
                    Some(None) => {
                        doubtful.push(format!("`{name}` of {place} is neither true nor false"));
                        demanded = true;
                    }
                    Some(Some(false)) | None => {}
                }
            }
            if !demanded {
                wrong.push(format!("{place} has neither starttls_required: true nor tls: true"));
            }
        }
        let good =
            if good.is_empty() { "no listener is for clients".to_owned() } else { good.join(", ") };
        answer(&wrong, &doubtful, good)
    })
}

pub(super) fn rooms_members_only(evidence: &Evidence) -> Answer {
    judged(evidence, |config| {
        for name in ["host_config", "append_host_config"] {
            let hosts = config.get(name).and_then(Value::as_object).into_iter().flatten();
            if hosts.into_iter().any(|(_, options)| options.get("modules").is_some()) {
                return unknown(format!("`{name}` has modules of its own for a host"));
            }
        }
        let Some(muc) = config.get("modules").and_then(|modules| modules.get("mod_muc")) else {
            return match config.get("modules") {
                None | Some(Value::Object(_)) => holds("mod_muc is not loaded: there are no rooms"),
                Some(_) => unknown("`modules` is not understood"),
            };
        };
        let says = muc.get("default_room_options").map(|options| options.get("members_only"));
        match says.flatten() {
            Some(value) => match truth(value) {
                Some(true) => holds("members_only: true in default_room_options"),
                Some(false) => fails("members_only: false in default_room_options"),
                None => unknown("`members_only` in default_room_options is neither true nor false"),
            },
            None if says_otherwise(muc) => unknown("`default_room_options` is not understood"),
            None => fails(
                "default_room_options does not say members_only, and ejabberd's default is false",
            ),
        }
    })
}

/// Whether `mod_muc` has default options in a form that is not read here.
fn says_otherwise(muc: &Value) -> bool {
    let understood = |value: &Value| value.is_object() || value.is_null();
    !understood(muc) || !muc.get("default_room_options").is_none_or(understood)
}
