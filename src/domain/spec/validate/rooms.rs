//! Validates `spec.groups` and `spec.rooms`.

use std::collections::BTreeMap;

use super::affiliations::{Known, accounts};
use super::objects::{collect, field, fits};
use super::users::{Users, deletion};
use super::{Scope, affiliations, room_options};
use crate::domain::model::{Localpart, RoomJid, Vhost};
use crate::domain::spec::desired::{Group, OptionValue, Room};
use crate::domain::spec::tree::{Node, Span};
use crate::domain::spec::{document, mask};

/// The declared groups.
pub(super) type Groups = BTreeMap<Localpart, Group>;

pub(super) fn check_groups(
    list: &Node,
    users: Option<&Users>,
    scope: &mut Scope<'_, '_>,
) -> Groups {
    let name =
        |group: &document::Group, node: &Node, scope: &mut Scope<'_, '_>| match Localpart::new(
            &group.name,
        ) {
            // ejabberd reads a backslash followed by `n` as the end of a name.
            Ok(name) if name.as_str().contains('\\') => {
                let message =
                    format!("{} cannot be a group: `\\` is not allowed", mask::quoted(&group.name));
                scope.report.error(field(node, "name"), message);
                None
            }
            Ok(name) => Some(name),
            Err(error) => {
                let help = group
                    .name
                    .starts_with('@')
                    .then(|| "write the `@` only before a group in `affiliations`".into());
                let draft_message =
                    format!("{} cannot be a group: {error}", mask::quoted(&group.name));
                scope.report.error(field(node, "name"), draft_message).help = help;
                None
            }
        };
    collect("group", list, scope, name, |group: document::Group, _, node, scope| {
        let document::Group { name: _, display_name, description, members, roster } = group;
        for (key, text) in [("displayName", &display_name), ("description", &description)] {
            if let Some(text) = text {
                fits(text, key, field(node, key), scope);
            }
        }
        let members = members.map(|members| accounts(&members, node.get("members"), users, scope));
        let stranger = members.iter().flatten().find(|member| !scope.is_ours(&member.host));
        if let Some(stranger) = stranger.filter(|_| roster) {
            let message = format!(
                "{} is on another server, and ejabberd has no accounts of other servers in shared roster groups",
                mask::quoted(&stranger.to_string())
            );
            scope.report.error(field(node, "members"), message).help =
                Some("with `roster: false` the affiliations of a room can use the group".into());
        }
        Some(Group { display_name, description, members, roster })
    })
}

pub(super) fn check(
    list: &Node,
    known: &Known<'_>,
    scope: &mut Scope<'_, '_>,
) -> BTreeMap<RoomJid, Room> {
    collect("room", list, scope, name, |room, _, node, scope| Some(build(room, node, known, scope)))
}

fn name(room: &document::Room, node: &Node, scope: &mut Scope<'_, '_>) -> Option<RoomJid> {
    let local = Localpart::new(&room.name).map_err(|error| {
        let message = format!("{} cannot be a room: {error}", mask::quoted(&room.name));
        let draft = scope.report.error(field(node, "name"), message);
        if let Some((local, service)) = room.name.split_once('@') {
            draft.help = Some(format!(
                "write the service separately: `name: {}` and `service: {}`",
                local.escape_debug(),
                service.escape_debug()
            ));
        }
    });
    let service = service(room.service.as_deref(), field(node, "service"), scope);
    Some(RoomJid { room: local.ok()?, service: service? })
}

/// Checks a MUC service. The default is `conference.` with the default vhost.
pub(super) fn service(
    written: Option<&str>,
    span: Span,
    scope: &mut Scope<'_, '_>,
) -> Option<Vhost> {
    let text = written.map_or_else(|| format!("conference.{}", scope.home), str::to_owned);
    let service = match Vhost::new(&text) {
        Ok(service) => service,
        Err(error) => {
            let message = format!("{} cannot be a service: {error}", mask::quoted(&text));
            scope.report.error(span, message).help =
                Some("write the host of a MUC service, such as `conference.example.org`".into());
            return None;
        }
    };
    if scope.hosts.as_ref().is_some_and(|hosts| hosts.contains(&service)) {
        let message =
            format!("{} is a vhost, not a service for rooms", mask::quoted(service.as_str()));
        scope.report.error(span, message).help =
            Some(format!("rooms are on a separate host, such as `conference.{service}`"));
        return None;
    }
    Some(service)
}

fn build(room: document::Room, node: &Node, known: &Known<'_>, scope: &mut Scope<'_, '_>) -> Room {
    let document::Room {
        name: _,
        service: _,
        title,
        description,
        subject,
        options: written,
        affiliations: affiliated,
        exclusive,
        state,
        deletion_policy,
        paused,
    } = room;

    let option_nodes = node.get("options");
    let mut options = room_options::check(written, option_nodes, scope);
    for (key, text) in [("title", title), ("description", description)] {
        let Some(text) = text else { continue };
        fits(&text, key, field(node, key), scope);
        if let Some(entry) = option_nodes.and_then(|options| options.entry(key)) {
            let message =
                format!("`{key}` is given twice: as a field of the room and as an option");
            scope.report.error(entry.key_span, message);
        }
        options.insert(key.to_owned(), OptionValue::Text(text));
    }
    // A room that is not persistent ends half a minute after its last occupant leaves, so make a
    // declared room persistent.
    options.entry("persistent".to_owned()).or_insert(OptionValue::Bool(true));

    if let Some(subject) = &subject {
        fits(subject, "subject", field(node, "subject"), scope);
        if options.get("persistent") == Some(&OptionValue::Bool(false)) {
            let message = "only a persistent room keeps a subject";
            scope.report.error(field(node, "subject"), message);
        }
    }
    if exclusive && node.get("affiliations").is_none() {
        let span = node.entry("exclusive").map_or(node.span, |entry| entry.key_span);
        scope.report.warning(span, "`exclusive` has no effect without `affiliations`");
    }
    let affiliations = affiliated
        .zip(node.get("affiliations"))
        .map(|(written, node)| affiliations::check(written, node, known, scope));
    Room {
        options,
        subject,
        affiliations,
        exclusive,
        present: state == document::RoomState::Present,
        deletion_policy: deletion(deletion_policy),
        paused,
    }
}
