//! `api_permissions`: who may call which commands.
//!
//! As ejabberd reads it (`ejabberd_access_permissions`): a rule allows a call
//! when its `from`, its `who` and its `what` all fit. In `from`, one of the
//! modules must fit and one of the tags; without modules, any does. In `what`,
//! what is named and not excluded; without anything but exclusions, nothing,
//! and `"!*"` excludes all.

use super::{Answer, fails, holds, unknown};
use crate::domain::configuration::{Configuration, Value};

/// Commands that tell numbers, names and states, and nothing that is private.
/// What is not here is taken to change something: a command that is missing
/// costs a needless look, one too many a hole.
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

/// Tags all of whose commands are harmless, in every version from 23.01 to 26.07.
const HARMLESS_TAGS: [&str; 1] = ["[tag:statistics]"];

/// The most commands of one rule that are named.
const SHOWN: usize = 6;

pub(super) fn api_commands(config: &Configuration) -> Answer {
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
            Some(commands) => open.push(sentence(name, rule, &commands)),
            None => doubtful.push(format!("the `what` of \"{name}\" is not understood")),
        }
    }
    if !open.is_empty() {
        return fails(open.join("; "));
    }
    if !doubtful.is_empty() {
        return unknown(doubtful.join("; "));
    }
    holds(format!("{} rules, and none gives anybody more than numbers and names", rules.len()))
}

fn sentence(name: &str, rule: &Value, commands: &[String]) -> String {
    let who = match rule.get("who").and_then(Value::text) {
        Some("all") => "everybody".to_owned(),
        Some(acl) => format!("the acl `{acl}`"),
        None => "those of its `who`".to_owned(),
    };
    let modules = rule.get("from").map(modules).unwrap_or_default();
    let way = if modules.is_empty() {
        "by any way, not only the console".to_owned()
    } else {
        format!("through {}", modules.join(", "))
    };
    let shown: Vec<&str> = commands.iter().take(SHOWN).map(String::as_str).collect();
    let more = match commands.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    format!("\"{name}\" lets {who} call {}{more}, {way}", shown.join(", "))
}

fn modules(from: &Value) -> Vec<&str> {
    from.elements().iter().filter_map(Value::text).filter(|m| !m.starts_with("[tag:")).collect()
}

/// Whether a rule is for `ejabberdctl` and the operator's session alone: who
/// may use those is in the container already.
fn console_only(from: Option<&Value>) -> bool {
    let modules = from.map(modules).unwrap_or_default();
    !modules.is_empty() && modules.iter().all(|module| *module == "ejabberd_ctl")
}

/// Whether a `who` fits nobody. Every other is somebody: also an address, or
/// an account, which is not the console.
fn is_nobody(who: &Value) -> bool {
    match who {
        Value::Null => true,
        Value::Text(acl) => acl == "none",
        Value::List(items) => items.iter().all(is_nobody),
        _ => false,
    }
}

/// What a `what` allows that is not harmless, or nothing if it is not understood.
fn dangerous(what: Option<&Value>) -> Option<Vec<String>> {
    let Some(what) = what else { return Some(Vec::new()) };
    let words: Option<Vec<&str>> = what.elements().iter().map(Value::text).collect();
    let (excluded, named): (Vec<&str>, Vec<&str>) =
        words?.into_iter().partition(|word| word.starts_with('!'));
    let is_excluded = |word: &str| excluded.iter().any(|e| e.strip_prefix('!') == Some(word));
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
    let harmless = |word: &str| HARMLESS.contains(&word) || HARMLESS_TAGS.contains(&word);
    let left = named.into_iter().filter(|word| !harmless(word) && !is_excluded(word));
    Some(left.map(str::to_owned).collect())
}
