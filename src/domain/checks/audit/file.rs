//! Judges the items about the content of the configuration.

use super::{Evidence, Judgement, Verdict, access, fails, known, passes, unknown};
use crate::domain::configuration::{Configuration, ListenAddress, Value};

/// The handler for the control script (`CTL_OVER_HTTP` of the image on ghcr.io). The handler allows
/// every command without a password, so the handler is safe only on a Unix socket, where the
/// permissions of the socket restrict the callers.
const CONTROL: &str = "ejabberd_ctl";

/// The HTTP handlers that fail the item `web_handlers` at every path.
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

/// The HTTP handlers that pass the item `web_handlers`: the API, which the item `api_commands`
/// judges, and handlers that serve files and certificates.
const HARMLESS: [&str; 5] =
    ["ejabberd_acme", "mod_host_meta", "mod_http_api", "mod_http_fileserver", "mod_http_upload"];

/// The usual paths of the handlers that fail the item `web_handlers`.
const PATHS: [&str; 7] = ["admin", "bosh", "captcha", "http-bind", "register", "websocket", "ws"];

/// The options of a listener that add a handler in the old format of the configuration.
const SHORTHANDS: [&str; 5] = ["captcha", "http_bind", "register", "web_admin", "xmlrpc"];

/// The log levels at which ejabberd logs no stanzas: the names and the old numbers.
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

pub(super) fn api_commands(evidence: &Evidence) -> Judgement {
    access::api_commands(known!(&evidence.configuration))
}

/// Returns the judgement: fails if `wrong` has an entry, otherwise unknown if `doubtful` has an
/// entry that is not understood, otherwise passes with the message `good`.
fn conclude(wrong: &[String], doubtful: &[String], good: String) -> Judgement {
    match (wrong, doubtful) {
        ([], []) => passes(good),
        ([], _) => unknown(doubtful.join("; ")),
        _ => fails(wrong.join("; ")),
    }
}

pub(super) fn web_handlers(evidence: &Evidence) -> Judgement {
    handlers(known!(&evidence.configuration))
}

pub(super) fn starttls_file(evidence: &Evidence) -> Judgement {
    starttls(known!(&evidence.configuration))
}

pub(super) fn rooms_members_only(evidence: &Evidence) -> Judgement {
    members_only(known!(&evidence.configuration))
}

/// Judges the HTTP handlers of every listener.
pub(super) fn handlers(config: &Configuration) -> Judgement {
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
    conclude(&wrong, &doubtful, good)
}

/// Judges whether the configuration of every listener for clients demands TLS.
pub(super) fn starttls(config: &Configuration) -> Judgement {
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
    conclude(&wrong, &doubtful, good)
}

pub(super) fn log_level(evidence: &Evidence) -> Judgement {
    logged(known!(&evidence.configuration))
}

/// Judges the options `log_modules_fully` and `loglevel`. These options apply to the whole server,
/// because `host_config` cannot set either option.
fn logged(config: &Configuration) -> Judgement {
    if let Some(modules) = config.get("log_modules_fully") {
        let modules: Vec<String> = modules.elements().iter().filter_map(Value::word).collect();
        if !modules.is_empty() {
            return fails(format!("log_modules_fully: {}", modules.join(", ")));
        }
    }
    let Some(level) = config.get("loglevel") else {
        return passes("loglevel is not set, and ejabberd's default is info");
    };
    let Some(level) = level.word() else { return unknown("`loglevel` is not understood") };
    match level.to_lowercase().as_str() {
        "debug" | "5" => fails(format!("loglevel: {level}")),
        level if LEVELS.contains(&level) => passes(format!("loglevel: {level}")),
        _ => unknown(format!("`loglevel` is `{level}`, which this check does not know")),
    }
}

/// Judges whether new rooms are members-only. Judges each host separately, because `host_config`
/// can give a host other modules.
pub(super) fn members_only(config: &Configuration) -> Judgement {
    let mut hosts = config.hosts();
    if hosts.is_empty() {
        hosts.push(String::new());
    }
    let judgements: Vec<(&String, Judgement)> =
        hosts.iter().map(|host| (host, members_only_of(config, host))).collect();
    for verdict in [Verdict::Fails, Verdict::Unknown, Verdict::Passes] {
        let found = judgements.iter().find(|(_, judgement)| judgement.verdict == verdict);
        if let Some((host, Judgement { seen, .. })) = found {
            let seen = match (verdict, judgements.len()) {
                (Verdict::Passes, _) | (_, 1) => seen.clone(),
                _ => format!("{host}: {seen}"),
            };
            return Judgement::new(verdict, seen);
        }
    }
    unknown("the configuration has no host")
}

fn members_only_of(config: &Configuration, host: &str) -> Judgement {
    let Some(modules) = config.modules(host) else { return unknown("`modules` is not understood") };
    let muc = modules.iter().find(|(name, _)| *name == "mod_muc");
    let Some((_, muc)) = muc else { return passes("mod_muc is not loaded: there are no rooms") };
    let options = match (muc.entries(), muc.get("default_room_options")) {
        (None, _) => return unknown("the options of mod_muc are not understood"),
        (_, Some(options)) if options.entries().is_none() => {
            return unknown("`default_room_options` is not understood");
        }
        (_, options) => options,
    };
    match options.and_then(|options| options.get("members_only")).map(Value::truth) {
        Some(Some(true)) => passes("members_only: true in default_room_options"),
        Some(Some(false)) => fails("members_only: false in default_room_options"),
        Some(None) => unknown("`members_only` in default_room_options is neither true nor false"),
        None => {
            fails("default_room_options does not set members_only, and ejabberd's default is false")
        }
    }
}
