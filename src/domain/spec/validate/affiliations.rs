//! Checks the members of groups and the affiliations of rooms.

use std::collections::{BTreeMap, HashMap};

use super::rooms::Groups;
use super::users::Users;
use super::{Scope, not_declared, spans};
use crate::domain::model::{Jid, Localpart};
use crate::domain::spec::desired::{AffiliationKind, Member, OWN_NAMES, UserState};
use crate::domain::spec::tree::{Node, Span};
use crate::domain::spec::{document, mask};

/// The declared accounts and groups; `None` if the file does not manage the kind.
pub(super) struct Known<'k> {
    pub(super) users: Option<&'k Users>,
    pub(super) groups: Option<&'k Groups>,
}

/// Checks the members of a group, and returns their accounts.
pub(super) fn accounts(
    written: &[String],
    node: Option<&Node>,
    users: Option<&Users>,
    scope: &mut Scope<'_, '_>,
) -> Vec<Jid> {
    let mut seen = HashMap::new();
    let mut members = Vec::with_capacity(written.len());
    for (text, span) in written.iter().zip(spans(node, written.len())) {
        let Some(span) = span else { continue };
        if text.starts_with('@') {
            scope.report.error(span, "a group cannot be a member of a group").help =
                Some("list its members".to_owned());
            continue;
        }
        let Some(jid) = account(text, span, users, scope) else { continue };
        if seen.insert(jid.clone(), span).is_some() {
            scope.report.warning(span, format!("{} is listed twice", mask::quoted(text)));
        } else {
            members.push(jid);
        }
    }
    members
}

fn account(
    text: &str,
    span: Span,
    users: Option<&Users>,
    scope: &mut Scope<'_, '_>,
) -> Option<Jid> {
    let jid = match Jid::parse(text, &scope.home) {
        Ok(jid) => jid,
        Err(error) => {
            scope
                .report
                .error(span, format!("{} cannot be an account: {error}", mask::quoted(text)));
            return None;
        }
    };
    let ours = scope.hosts.as_ref().is_some_and(|hosts| hosts.contains(&jid.host));
    if jid.local.as_str().starts_with(OWN_NAMES) && scope.is_ours(&jid.host) {
        let message = format!("{} is one of the operator's own names in rooms", mask::quoted(text));
        scope.report.error(span, message).help = Some(
            "the operator enters rooms with such names to set subjects; choose another name"
                .to_owned(),
        );
        return None;
    }
    match users {
        Some(users) if ours => match users.get(&jid) {
            None if scope.some_users => {}
            None => {
                let names = users
                    .keys()
                    .filter(|user| user.host == jid.host)
                    .map(|user| user.local.as_str());
                // Compare at most 10,000 names, because the search takes long. A full report has no
                // use for the suggestion.
                let names = names.take(if scope.report.has_room() { 10_000 } else { 0 });
                let (_, help) = not_declared("", jid.local.as_str(), names);
                let message =
                    format!("there is no account {} in `users`", mask::quoted(&jid.to_string()));
                scope.report.warning(span, message).help = help;
            }
            Some(user) if user.state == UserState::Absent => {
                scope.report.warning(
                    span,
                    format!("the account {} has `state: absent`", mask::quoted(&jid.to_string())),
                );
            }
            Some(_) => {}
        },
        _ => {}
    }
    Some(jid)
}

/// Checks the affiliations of a room, and returns the valid affiliations.
pub(super) fn check(
    written: document::Affiliations,
    node: &Node,
    known: &Known<'_>,
    scope: &mut Scope<'_, '_>,
) -> BTreeMap<AffiliationKind, Vec<Member>> {
    let document::Affiliations { owner, admin, member, outcast } = written;
    let mut affiliations = BTreeMap::new();
    let mut seen: HashMap<String, (&str, Span)> = HashMap::new();
    for (key, kind, written) in [
        ("owner", AffiliationKind::Owner, owner),
        ("admin", AffiliationKind::Admin, admin),
        ("member", AffiliationKind::Member, member),
        ("outcast", AffiliationKind::Outcast, outcast),
    ] {
        let Some(written) = written else { continue };
        let mut members = Vec::with_capacity(written.len());
        for (text, span) in written.iter().zip(spans(node.get(key), written.len())) {
            let Some(span) = span else { continue };
            let Some(member) = one(text, span, known, scope) else { continue };
            let name = match &member {
                Member::Account(jid) => jid.to_string(),
                Member::Group(group) => format!("@{group}"),
            };
            match seen.get(&name) {
                None => {
                    seen.insert(name, (key, span));
                    members.push(member);
                }
                Some((other, _)) if *other == key => {
                    scope.report.warning(span, format!("{} is listed twice", mask::quoted(text)));
                }
                Some((other, first)) => {
                    let line = scope.report.line_of(*first);
                    let message = format!(
                        "{} cannot be both {other} (line {line}) and {key} of the room",
                        mask::quoted(&name)
                    );
                    scope.report.error(span, message);
                }
            }
        }
        affiliations.insert(kind, members);
    }
    affiliations
}

fn one(text: &str, span: Span, known: &Known<'_>, scope: &mut Scope<'_, '_>) -> Option<Member> {
    let Some(group) = text.strip_prefix('@') else {
        return account(text, span, known.users, scope).map(Member::Account);
    };
    let name = match Localpart::new(group) {
        Ok(name) => name,
        Err(error) => {
            scope.bad_name(span, text, &error);
            return None;
        }
    };
    if let Some(group) = known.groups.and_then(|groups| groups.get(&name)) {
        if group.members.is_none() {
            let message = format!("the group {} declares no members", mask::quoted(text));
            scope.report.warning(span, message).help =
                Some("list its `members`; a group without `members` has no effect here".into());
        }
        return Some(Member::Group(name));
    }
    if scope.some_groups {
        return None;
    }
    let names = known.groups.into_iter().flat_map(|groups| groups.keys().map(Localpart::as_str));
    let names = names.take(if scope.report.has_room() { 10_000 } else { 0 });
    let (message, help) = not_declared("the group", name.as_str(), names);
    scope.report.error(span, message).help =
        help.or_else(|| Some("declare it under `spec.groups`".into()));
    None
}
