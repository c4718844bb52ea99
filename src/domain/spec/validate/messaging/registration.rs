//! Validates `registration` of a messaging client.

use super::Declared;
use super::lists::{Limited, check_limits, entries};
use super::patterns::{matches_everything, own_name, pattern};
use crate::domain::messaging::JidPattern;
use crate::domain::model::Localpart;
use crate::domain::spec::desired::{OWN_NAMES, Registration, RoomTemplate};
use crate::domain::spec::tree::{Node, Span};
use crate::domain::spec::validate::objects::field;
use crate::domain::spec::validate::{Scope, rooms};
use crate::domain::spec::{document, mask};

/// The maximum number of personal rooms of an account.
const MAX_ROOMS: usize = 10;

pub(super) fn check(
    registration: document::Registration,
    node: &Node,
    declared: &Declared<'_>,
    scope: &mut Scope<'_, '_>,
) -> Option<Registration> {
    let document::Registration { names, rooms, max } = registration;
    check_limits(&Limited { key: "max", value: max, max: 100_000 }, Some(node), scope);
    let rooms = entries("rooms", &rooms, node.get("rooms"), MAX_ROOMS, scope, room_template);
    let names = registered_names(&names, field(node, "names"), declared, scope)?;
    Some(Registration { names, rooms: rooms.into_iter().map(|(room, _)| room).collect(), max })
}

/// Checks the pattern of the names that a client may register.
fn registered_names(
    text: &str,
    span: Span,
    declared: &Declared<'_>,
    scope: &mut Scope<'_, '_>,
) -> Option<JidPattern> {
    if let Some((local, _)) = text.split_once('@') {
        let message = format!(
            "{} has a host, and a client creates accounts on the default host only",
            mask::quoted(text)
        );
        scope.report.error(span, message).help =
            Some(format!("write only the part before the `@`: {}", mask::quoted(local)));
        return None;
    }
    let pattern = pattern(text, span, scope)?;
    if matches_everything(pattern.local()) {
        let message =
            format!("{} lets the client create accounts with any name", mask::quoted(text));
        scope.report.error(span, message).help =
            Some("begin the pattern with a prefix that only these accounts have: `agent-*`".into());
        return None;
    }
    if pattern.can_begin_with(OWN_NAMES) {
        own_name(text, &pattern, span, scope);
        return None;
    }
    let accounts = declared.users.into_iter().flat_map(|users| users.keys());
    if let Some(account) = accounts.into_iter().find(|account| pattern.matches(account)) {
        let message = format!(
            "{} matches {}, and the file already decides about this account",
            mask::quoted(text),
            mask::quoted(&account.to_string())
        );
        scope.report.error(span, message).help =
            Some("write a pattern that matches no account of `users`".into());
        return None;
    }
    Some(pattern)
}

fn room_template(text: &str, span: Span, scope: &mut Scope<'_, '_>) -> Option<RoomTemplate> {
    let (local, service) = match text.split_once('@') {
        Some((local, service)) => (local, Some(service)),
        None => (text, None),
    };
    if !local.contains(RoomTemplate::NAME) {
        let message = format!(
            "{} has no `{}` in the name, so all accounts would have the same room",
            mask::quoted(text),
            RoomTemplate::NAME
        );
        scope.report.error(span, message).help = Some(format!(
            "write `{0}` for the name of the account: `personal-{0}`",
            RoomTemplate::NAME
        ));
        return None;
    }
    let service = rooms::service(service, span, scope)?;
    let template = RoomTemplate { local: local.to_owned(), service };
    let example = Localpart::new("a").ok()?;
    if let Err(error) = template.room(&example) {
        let message = format!("{} cannot be a room: {error}", mask::quoted(text));
        scope.report.error(span, message).help =
            Some(format!("write a name such as `personal-{}`", RoomTemplate::NAME));
        return None;
    }
    Some(template)
}
