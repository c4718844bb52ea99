//! Items that the configuration answers.

use super::evidence::Evidence;
use super::{Answer, Verdict, access, fails, holds, unknown};
use crate::domain::configuration::{Configuration, ListenAddress, Value};
use crate::domain::observed::Reading;

/// The control script's way in (`CTL_OVER_HTTP` of the image on ghcr.io): everything without a
/// password. Only a Unix socket has permissions that keep others out.
const CONTROL: &str = "ejabberd_ctl";

/// What must not be served over HTTP, whatever its path.
const HANDLERS: [&str; 14] = [
    "ejabberd_bosh",
    "ejabberd_captcha",
    CONTROL,
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

/// The levels of a log that has no stanzas in it, as words and as the numbers of old.
const LEVELS: [&str; 13] = [
    "none",
    "emergency",
    "alert",
    "critical",
    "error",
    "warning",
    "notice",
    "info",
    "0",
    "1",
    "2",
    "3",
    "4",
];

/// Judges the configuration.
pub(super) fn judged(evidence: &Evidence, judge: impl Fn(&Configuration) -> Answer) -> Answer {
    match &evidence.configuration {
        Reading::Known(configuration) => judge(configuration),
        Reading::Unknown(why) => unknown(why),
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
    judged(evidence, handlers)
}

pub(super) fn starttls_file(evidence: &Evidence) -> Answer {
    judged(evidence, starttls)
}

pub(super) fn rooms_members_only(evidence: &Evidence) -> Answer {
    judged(evidence, members_only)
}

pub(super) fn handlers(config: &Configuration) -> Answer {
    let listeners = match config.listeners() {
        Ok(listeners) => listeners,
        Err(why) => return unknown(why),
    };
    let (mut wrong, mut doubtful, mut good) = (Vec::new(), Vec::new(), Vec::new());
    for listener in listeners {
        if listener.module == "ejabberd_xmlrpc" {
            wrong.push(listener.to_string());
        }
        for name in SHORTHANDS {
            let value = listener.options.get(name);
            if value.is_some_and(|value| value.truth() != Some(false)) {
                wrong.push(format!("`{name}` in {listener}"));
            }
        }
        let Some(handlers) = listener.handlers() else {
            doubtful.push(format!("request_handlers of {listener} are not understood"));
            continue;
        };
        for (path, module) in handlers {
            let entry = format!("{path}: {module} in {listener}");
            let first = path.split('/').find(|part| !part.is_empty()).unwrap_or("");
            if module == CONTROL && matches!(listener.address, ListenAddress::Unix(_)) {
                good.push(entry);
            } else if HANDLERS.contains(&module) || PATHS.contains(&first) {
                wrong.push(entry);
            } else if HARMLESS.contains(&module) {
                good.push(format!("{path}: {module}"));
            } else {
                doubtful.push(format!("{entry} is not known to this check"));
            }
        }
    }
    let good =
        if good.is_empty() { "nothing is served over HTTP".to_owned() } else { good.join(", ") };
    answer(&wrong, &doubtful, good)
}

pub(super) fn starttls(config: &Configuration) -> Answer {
    let listeners = match config.listeners() {
        Ok(listeners) => listeners,
        Err(why) => return unknown(why),
    };
    let (mut wrong, mut doubtful, mut good) = (Vec::new(), Vec::new(), Vec::new());
    for listener in listeners.iter().filter(|listener| listener.is_for_clients()) {
        let mut demanded = false;
        for name in ["starttls_required", "tls"] {
            match listener.options.get(name).map(Value::truth) {
                Some(Some(true)) => {
                    good.push(format!("{name}: true for {listener}"));
                    demanded = true;
                }
                Some(None) => {
                    doubtful.push(format!("`{name}` of {listener} is neither true nor false"));
                    demanded = true;
                }
                Some(Some(false)) | None => {}
            }
        }
        if !demanded {
            wrong.push(format!("{listener} has neither starttls_required: true nor tls: true"));
        }
    }
    let good =
        if good.is_empty() { "no listener is for clients".to_owned() } else { good.join(", ") };
    answer(&wrong, &doubtful, good)
}

pub(super) fn log_level(evidence: &Evidence) -> Answer {
    judged(evidence, logged)
}

/// Both options count for the whole server: `host_config` cannot have them.
pub(super) fn logged(config: &Configuration) -> Answer {
    if let Some(modules) = config.get("log_modules_fully") {
        let modules: Vec<String> = modules.elements().iter().filter_map(Value::word).collect();
        if !modules.is_empty() {
            return fails(format!("log_modules_fully: {}", modules.join(", ")));
        }
    }
    let Some(level) = config.get("loglevel") else {
        return holds("loglevel is not set, and ejabberd's default is info");
    };
    let Some(word) = level.word() else { return unknown("`loglevel` is not understood") };
    match word.to_lowercase().as_str() {
        "debug" | "5" => fails(format!("loglevel: {word}")),
        word if LEVELS.contains(&word) => holds(format!("loglevel: {word}")),
        _ => unknown(format!("`loglevel` is `{word}`, which this check does not know")),
    }
}

/// Judges each host separately, because `host_config` can give a host other modules.
pub(super) fn members_only(config: &Configuration) -> Answer {
    let mut hosts = config.hosts();
    if hosts.is_empty() {
        hosts.push(String::new());
    }
    let answers: Vec<(&String, Answer)> =
        hosts.iter().map(|host| (host, members_only_of(config, host))).collect();
    for verdict in [Verdict::Fails, Verdict::Unknown, Verdict::Holds] {
        let said = answers.iter().find(|(_, (found, _))| *found == verdict);
        if let Some((host, (_, seen))) = said {
            let seen = match (verdict, answers.len()) {
                (Verdict::Holds, _) | (_, 1) => seen.clone(),
                _ => format!("{host}: {seen}"),
            };
            return (verdict, seen);
        }
    }
    unknown("it serves no host")
}

fn members_only_of(config: &Configuration, host: &str) -> Answer {
    let Some(modules) = config.modules(host) else { return unknown("`modules` is not understood") };
    let muc = modules.iter().find(|(name, _)| *name == "mod_muc");
    let Some((_, muc)) = muc else { return holds("mod_muc is not loaded: there are no rooms") };
    let options = match (muc.entries(), muc.get("default_room_options")) {
        (None, _) => return unknown("the options of mod_muc are not understood"),
        (_, Some(options)) if options.entries().is_none() => {
            return unknown("`default_room_options` is not understood");
        }
        (_, options) => options,
    };
    match options.and_then(|options| options.get("members_only")).map(Value::truth) {
        Some(Some(true)) => holds("members_only: true in default_room_options"),
        Some(Some(false)) => fails("members_only: false in default_room_options"),
        Some(None) => unknown("`members_only` in default_room_options is neither true nor false"),
        None => {
            fails("default_room_options does not say members_only, and ejabberd's default is false")
        }
    }
}
