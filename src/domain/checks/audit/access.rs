//! Judges the item about `api_permissions`: which callers may call which commands.
//!
//! ejabberd (`ejabberd_access_permissions`) allows a call if the `from`, the `who` and the `what`
//! of a rule all match. In `from`, a module and a tag must match; a `from` without modules matches
//! every module. A `what` matches the commands that the `what` names and does not exclude. A `what`
//! with exclusions only matches no command, and `"!*"` excludes all commands.

use super::{Judgement, fails, passes, unknown};
use crate::domain::configuration::{Configuration, Value};

/// The commands that return numbers, names and states, and no private data. The item treats every
/// other command as dangerous: a harmless command that is missing in this list causes a false
/// alarm, but a dangerous command in this list is a security hole.
const HARMLESS: [&str; 45] = [
    "check_account",
    "connected_users",
    "connected_users_info",
    "connected_users_number",
    "connected_users_vhost",
    "count_banned",
    "echo",
    "get_last",
    "get_loglevel",
    "get_master",
    "get_mam_count",
    "get_offline_count",
    "get_presence",
    "get_room_affiliation",
    "get_room_affiliations",
    "get_room_occupants",
    "get_room_occupants_number",
    "get_roster_count",
    "get_user_rooms",
    "help",
    "incoming_s2s_number",
    "list_banned",
    "list_certificates",
    "list_cluster",
    "mnesia_info",
    "mnesia_list_tables",
    "modules_installed",
    "muc_online_rooms",
    "muc_online_rooms_by_regex",
    "muc_online_rooms_count",
    "num_resources",
    "outgoing_s2s_number",
    "registered_users",
    "registered_vhosts",
    "rooms_empty_list",
    "rooms_unused_list",
    "srg_get_members",
    "srg_list",
    "stats",
    "stats_host",
    "status",
    "status_num",
    "status_num_host",
    "user_resources",
    "user_sessions_info",
];

/// The tags that contain harmless commands only, in every version from 23.01 to 26.07.
const HARMLESS_TAGS: [&str; 1] = ["[tag:statistics]"];

/// The maximum number of commands of one rule that the finding names.
const SHOWN: usize = 6;

pub(super) fn api_commands(config: &Configuration) -> Judgement {
    let Some(rules) = config.get("api_permissions") else {
        return fails(
            "there are no api_permissions, and ejabberd's default gives the acl `admin` everything",
        );
    };
    let Some(rules) = rules.entries() else {
        return unknown("`api_permissions` is not understood");
    };
    let (mut open, mut doubtful) = (Vec::new(), Vec::new());
    for (name, rule) in rules {
        if console_only(rule.get("from")) || rule.get("who").is_none_or(is_nobody) {
            continue;
        }
        match dangerous(rule.get("what")) {
            Some(commands) if commands.is_empty() => {}
            Some(commands) => open.push(open_rule(name, rule, &commands)),
            None => doubtful.push(format!("the `what` of \"{name}\" is not understood")),
        }
    }
    if !open.is_empty() {
        return fails(open.join("; "));
    }
    if !doubtful.is_empty() {
        return unknown(doubtful.join("; "));
    }
    passes(format!(
        "{} rules, and outside the console none allows more than reading numbers and names",
        rules.len()
    ))
}

/// Returns the message about a rule that allows dangerous commands to callers that do not use the
/// console.
fn open_rule(name: &str, rule: &Value, commands: &[String]) -> String {
    let who = match rule.get("who").and_then(Value::text) {
        Some("all") => "everybody".to_owned(),
        Some(acl) => format!("the acl `{acl}`"),
        None => "the callers in its `who`".to_owned(),
    };
    let modules = rule.get("from").map(modules).unwrap_or_default();
    let channel = if modules.is_empty() {
        "through every channel, not only the console".to_owned()
    } else {
        format!("through {}", modules.join(", "))
    };
    let shown: Vec<&str> = commands.iter().take(SHOWN).map(String::as_str).collect();
    let more = match commands.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("\"{name}\" lets {who} call {}{more}, {channel}", shown.join(", "))
}

/// Returns the modules in a `from`, without the tags in that `from`.
fn modules(from: &Value) -> Vec<&str> {
    from.elements().iter().filter_map(Value::text).filter(|m| !m.starts_with("[tag:")).collect()
}

/// Whether a rule applies only to `ejabberdctl` and the operator's session. The rule gives their
/// users no new rights, because these users can already run programs in the container.
fn console_only(from: Option<&Value>) -> bool {
    let modules = from.map(modules).unwrap_or_default();
    !modules.is_empty() && modules.iter().all(|module| *module == "ejabberd_ctl")
}

/// Whether a `who` matches no caller. A `who` with an address or an account can match a caller that
/// does not use the console.
fn is_nobody(who: &Value) -> bool {
    match who {
        Value::Null => true,
        Value::Text(acl) => acl == "none",
        Value::List(items) => items.iter().all(is_nobody),
        _ => false,
    }
}

/// Returns the commands in a `what` that are not harmless; `None` if an entry of the `what` is not
/// a string.
fn dangerous(what: Option<&Value>) -> Option<Vec<String>> {
    let Some(what) = what else { return Some(Vec::new()) };
    let entries: Option<Vec<&str>> = what.elements().iter().map(Value::text).collect();
    let (excluded, named): (Vec<&str>, Vec<&str>) =
        entries?.into_iter().partition(|entry| entry.starts_with('!'));
    let is_excluded = |name: &str| excluded.iter().any(|e| e.strip_prefix('!') == Some(name));
    if is_excluded("*") {
        return Some(Vec::new());
    }
    if named.contains(&"*") {
        let but = match excluded.len() {
            0 => String::new(),
            _ => format!(" but {}", excluded.join(", ").replace('!', "")),
        };
        return Some(vec![format!("everything{but}")]);
    }
    let harmless = |name: &str| HARMLESS.contains(&name) || HARMLESS_TAGS.contains(&name);
    let dangerous = named.into_iter().filter(|name| !harmless(name) && !is_excluded(name));
    Some(dangerous.map(str::to_owned).collect())
}
