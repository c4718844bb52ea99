//! Finds declared options that have no effect, because another option or a missing module prevents
//! the effect.
//!
//! No step can put such an option in force, so the plan only reports the option. Source: the
//! conditions under which `mod_muc_room`, `mod_muc_log`, `mod_mam`, `ejabberd_captcha` and
//! `mod_shared_roster` act (ejabberd 23.01 to 26.07).

use std::collections::{BTreeMap, BTreeSet};

use super::ChangeSet;
use super::rooms::DeclaredRoom;
use crate::domain::model::{ObjectKey, Vhost};
use crate::domain::observed::{HostServices, ObservedRoom, ObservedState};
use crate::domain::spec::{DesiredState, OptionValue};

/// Returns the services of the vhost that a room belongs to; `None` if the services are unknown.
pub(super) fn services_of<'o>(
    desired: &DesiredState,
    observed: &'o ObservedState,
    service: &Vhost,
) -> Option<&'o HostServices> {
    let owner = observed.services.values().find(|host| host.rooms.contains(service));
    let host = desired.host_of(service).unwrap_or(&desired.host);
    owner.or_else(|| observed.services.get(host))
}

/// Returns the reason why no room can exist at `service`: the server does not have the service.
/// `None` if the server has the service, or if the services of the server are unknown.
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
            "the server has no service `{service}`, and no other service for rooms: add mod_muc \
             to the modules of its configuration"
        ),
        _ => format!(
            "the server has no service `{service}`; it has {}: correct `service` in the file, or \
             add the name to `hosts` of mod_muc in the server's configuration",
            listed.join(", ")
        ),
    })
}

/// Records the options of a room that have no effect. Returns the options that must get no step,
/// because the server refuses these options or does not act on a change.
pub(super) fn room(
    declared: &DeclaredRoom<'_>,
    found: Option<&ObservedRoom>,
    services: Option<&HostServices>,
    set: &mut ChangeSet,
) -> BTreeSet<&'static str> {
    let options = Options { declared: &declared.room.options, found };
    let mut fixed = BTreeSet::new();
    let mut vain = Vec::new();
    if let Some(services) = services {
        vain.extend(options.too_many_users(services, &mut fixed));
        vain.extend(options.missing_modules(services));
        if !services.logs {
            // Without `mod_muc_log`, ejabberd refuses the option: `change_room_option` returns
            // `mod_muc_log_not_enabled`.
            fixed.insert("logging");
        }
    }
    vain.extend(options.overruled());
    let key = || ObjectKey::Room(declared.jid.clone());
    set.not_in_force
        .extend(vain.into_iter().map(|Vain { option, why }| (key(), format!("`{option}` {why}"))));
    fixed
}

/// An option that has no effect, and the reason.
struct Vain {
    option: &'static str,
    why: String,
}

impl Vain {
    fn new(option: &'static str, why: impl Into<String>) -> Self {
        Self { option, why: why.into() }
    }
}

/// The declared options of a room, and the options on the server.
struct Options<'a> {
    declared: &'a BTreeMap<String, OptionValue>,
    found: Option<&'a ObservedRoom>,
}

impl Options<'_> {
    fn declared(&self, name: &str) -> Option<&OptionValue> {
        self.declared.get(name)
    }

    fn stored(&self, name: &str) -> Option<&String> {
        self.found.and_then(|found| found.options.get(name))
    }

    /// Returns the value that the option has after all steps; `None` if the value is unknown or not
    /// a boolean.
    fn becomes(&self, name: &str) -> Option<bool> {
        match (self.declared(name), self.stored(name)) {
            (Some(OptionValue::Bool(flag)), _) => Some(*flag),
            (_, Some(printed)) => printed.parse().ok(),
            _ => None,
        }
    }

    /// Returns the option `max_users` if the room declares more users than `mod_muc` admits,
    /// otherwise `None`. Adds `max_users` to `fixed` if no step can raise the stored value.
    fn too_many_users(
        &self,
        services: &HostServices,
        fixed: &mut BTreeSet<&'static str>,
    ) -> Option<Vain> {
        let Some(OptionValue::Int(wanted)) = self.declared("max_users") else { return None };
        let most = services.max_users.filter(|most| wanted > most)?;
        // ejabberd stores the declared number or the limit of `mod_muc`, and the room admits at
        // most the limit. A further step would change nothing.
        let stored = self.stored("max_users").and_then(|n| n.parse::<u64>().ok());
        if stored.is_some_and(|n| n >= most) {
            fixed.insert("max_users");
        }
        Some(Vain::new(
            "max_users",
            format!(
                "is {wanted}, and mod_muc admits no more than {most} users to a room: raise \
                 `max_users` of mod_muc in the server's configuration, or declare {most}"
            ),
        ))
    }

    /// Returns the options that need a module or a setting that the server does not have.
    fn missing_modules(&self, services: &HostServices) -> impl Iterator<Item = Vain> {
        let needs = [
            ("mam", services.archives, "mod_mam is not loaded: nothing is archived"),
            ("logging", services.logs, "mod_muc_log is not loaded: nothing is logged"),
            (
                "captcha_protected",
                services.captchas,
                "the option `captcha_cmd` is not set: everybody enters without a captcha",
            ),
        ];
        needs.into_iter().filter_map(|(name, there, why)| {
            let on = self.declared(name) == Some(&OptionValue::Bool(true));
            (on && !there).then(|| Vain::new(name, format!("has no effect, because {why}")))
        })
    }

    /// Returns the options that another option of the same room overrules.
    fn overruled(&self) -> Vec<Vain> {
        let mut vain = Vec::new();
        let password =
            matches!(self.declared("password"), Some(OptionValue::Text(text)) if !text.is_empty());
        if password && self.becomes("password_protected") == Some(false) {
            vain.push(Vain::new(
                "password",
                "has no effect: `password_protected` is false, and everybody enters without it",
            ));
        }
        if self.declared("voice_request_min_interval").is_some()
            && self.becomes("allow_voice_requests") == Some(false)
        {
            vain.push(Vain::new(
                "voice_request_min_interval",
                "has no effect: `allow_voice_requests` is false",
            ));
        }
        let private = match (self.declared("allowpm"), self.stored("allowpm")) {
            (Some(OptionValue::Text(word)), _) | (None, Some(word)) => Some(word.as_str()),
            _ => None,
        };
        if let Some(word) = private.filter(|word| *word != "anyone")
            && self.declared("allow_private_messages_from_visitors").is_some()
        {
            vain.push(Vain::new(
                "allow_private_messages_from_visitors",
                format!("has no effect: `allowpm` is `{word}`, and visitors may send none"),
            ));
        }
        vain
    }
}

/// Records groups that no client shows, because `mod_roster` is not loaded.
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
