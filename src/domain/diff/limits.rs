//! What is declared and not in force, whatever is written to the server: an
//! option that another option or a missing module keeps from working.
//!
//! No step changes that, so there is none; it is reported instead. Source: the
//! conditions under which `mod_muc_room`, `mod_muc_log`, `mod_mam`,
//! `ejabberd_captcha` and `mod_shared_roster` act (ejabberd 23.01 to 26.07).

use std::collections::BTreeSet;

use super::ChangeSet;
use crate::domain::model::{ObjectKey, RoomJid, Vhost};
use crate::domain::observed::{HostServices, ObservedRoom, ObservedState};
use crate::domain::spec::{DesiredState, OptionValue, Room};

/// What the server does for the vhost that a room belongs to.
pub(super) fn services_of<'o>(
    desired: &DesiredState,
    observed: &'o ObservedState,
    service: &Vhost,
) -> Option<&'o HostServices> {
    let owner = observed.services.values().find(|host| host.rooms.contains(service));
    let host = desired.host_of(service).unwrap_or(&desired.host);
    owner.or_else(|| observed.services.get(host))
}

/// Why there can be no room at `service`, if so: the server has other services.
/// `None` as well where its services are not known.
pub(super) fn unknown_service(
    desired: &DesiredState,
    observed: &ObservedState,
    service: &Vhost,
) -> Option<String> {
    let host = desired.host_of(service).unwrap_or(&desired.host);
    if !observed.services.contains_key(host) {
        return None;
    }
    let all: BTreeSet<&Vhost> = observed.services.values().flat_map(|host| &host.rooms).collect();
    if all.contains(service) {
        return None;
    }
    let listed: Vec<String> = all.iter().map(|name| format!("`{name}`")).collect();
    Some(match listed.as_slice() {
        [] => format!(
            "the server has no service `{service}`, nor any other for rooms: add mod_muc to the \
             modules of its configuration"
        ),
        _ => format!(
            "the server has no service `{service}`; it has {}: correct `service` in the file, or \
             add the name to `hosts` of mod_muc in the server's configuration",
            listed.join(", ")
        ),
    })
}

/// Notes what a room declares in vain. Returns the options for which no step is
/// to be made: the server refuses it, or does not act on it.
pub(super) fn room(
    (jid, room): (&RoomJid, &Room),
    there: Option<&ObservedRoom>,
    services: Option<&HostServices>,
    set: &mut ChangeSet,
) -> BTreeSet<&'static str> {
    let mut fixed = BTreeSet::new();
    let declared = |name: &str| room.options.get(name);
    let on = |name: &str| declared(name) == Some(&OptionValue::Bool(true));
    let stored = |name: &str| there.and_then(|there| there.options.get(name));
    // What the room has once it is as declared.
    let becomes = |name: &str| match (declared(name), stored(name)) {
        (Some(OptionValue::Bool(flag)), _) => Some(*flag),
        (_, Some(printed)) => printed.parse().ok(),
        _ => None,
    };
    let mut say = |name: &str, why: &str| {
        let key = ObjectKey::Room(jid.clone());
        set.not_in_force.push((key, format!("`{name}` {why}")));
    };
    if let Some(services) = services {
        if let (Some(OptionValue::Int(wanted)), Some(most)) =
            (declared("max_users"), services.max_users)
            && *wanted > most
        {
            say(
                "max_users",
                &format!(
                    "is {wanted}, and mod_muc lets no more than {most} people into a room: raise \
                     `max_users` of mod_muc in the server's configuration, or declare {most}"
                ),
            );
            // The room stores the written number or the limit, and admits at most the limit.
            if stored("max_users").and_then(|n| n.parse::<u64>().ok()).is_some_and(|n| n >= most) {
                fixed.insert("max_users");
            }
        }
        let needs = [
            ("mam", services.archives, "mod_mam is not loaded: nothing is archived"),
            ("logging", services.logs, "mod_muc_log is not loaded: nothing is logged"),
            (
                "captcha_protected",
                services.captchas,
                "the option `captcha_cmd` is not set: everybody enters without a captcha",
            ),
        ];
        for (name, there, why) in needs {
            if on(name) && !there {
                say(name, &format!("has no effect, because {why}"));
            }
        }
        if !services.logs {
            // `change_room_option` answers `mod_muc_log_not_enabled`.
            fixed.insert("logging");
        }
    }
    let password =
        matches!(declared("password"), Some(OptionValue::Text(text)) if !text.is_empty());
    if password && becomes("password_protected") == Some(false) {
        say(
            "password",
            "has no effect: `password_protected` is false, and everybody enters without it",
        );
    }
    if declared("voice_request_min_interval").is_some()
        && becomes("allow_voice_requests") == Some(false)
    {
        say("voice_request_min_interval", "has no effect: `allow_voice_requests` is false");
    }
    let private = match (declared("allowpm"), stored("allowpm")) {
        (Some(OptionValue::Text(word)), _) | (None, Some(word)) => Some(word.as_str()),
        _ => None,
    };
    if let Some(word) = private.filter(|word| *word != "anyone")
        && declared("allow_private_messages_from_visitors").is_some()
    {
        say(
            "allow_private_messages_from_visitors",
            &format!("has no effect: `allowpm` is `{word}`, and visitors may send none"),
        );
    }
    fixed
}

/// Notes groups that people do not see.
pub(super) fn groups(desired: &DesiredState, observed: &ObservedState, set: &mut ChangeSet) {
    let Some(services) = observed.services.get(&desired.host) else { return };
    if services.rosters || set.server_changes() {
        return;
    }
    for (name, _) in desired.groups.iter().flatten().filter(|(_, group)| group.roster) {
        let key = ObjectKey::Group(desired.group_id(name));
        set.not_in_force.push((
            key,
            format!(
                "`roster` has no effect, because mod_roster is not loaded for {}: no client gets \
                 a roster",
                desired.host
            ),
        ));
    }
}
