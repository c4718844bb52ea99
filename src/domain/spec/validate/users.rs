//! Validates `spec.users`.

use std::collections::BTreeMap;

use super::objects::{collect, field, fits};
use super::secrets::Generation;
use super::{Scope, secrets, vcard};
use crate::domain::model::{Jid, Vhost};
use crate::domain::spec::desired::{DeletionPolicy, OWN_NAMES, PasswordPolicy, User, UserState};
use crate::domain::spec::tree::{Node, Span};
use crate::domain::spec::{document, mask, suggest};

/// The declared accounts.
pub(super) type Users = BTreeMap<Jid, User>;

pub(super) fn check(list: &Node, scope: &mut Scope<'_, '_>) -> Users {
    collect("user", list, scope, name, build)
}

fn name(user: &document::User, node: &Node, scope: &mut Scope<'_, '_>) -> Option<Jid> {
    let span = field(node, "name");
    let jid = match Jid::parse(&user.name, &scope.home) {
        Ok(jid) => jid,
        Err(error) => {
            scope
                .report
                .error(span, format!("{} cannot be an account: {error}", mask::quoted(&user.name)));
            return None;
        }
    };
    if !scope.is_ours(&jid.host) {
        foreign_host(&jid.host, span, scope);
        return None;
    }
    if jid.local.as_str().starts_with(OWN_NAMES) {
        let message =
            format!("{} is one of the operator's own names in rooms", mask::quoted(&user.name));
        scope.report.error(span, message);
        return None;
    }
    Some(jid)
}

/// Reports a host that the operator does not manage.
pub(super) fn foreign_host(host: &Vhost, span: Span, scope: &mut Scope<'_, '_>) {
    let hosts: Vec<&str> = scope.hosts.iter().flatten().take(100).map(Vhost::as_str).collect();
    let help = suggest::closest(host.as_str(), hosts).map_or_else(
        || format!("add it to `spec.hosts`: `hosts: [{host}]`"),
        |host| format!("did you mean `{host}`?"),
    );
    let message =
        format!("the host {} is not in `spec.host` or `spec.hosts`", mask::quoted(host.as_str()));
    scope.report.error(span, message).help = Some(help);
}

/// Reports an account with both `password` and `passwordFrom`.
fn check_one_password(node: &Node, scope: &mut Scope<'_, '_>) {
    if let (Some(_), Some(from)) =
        (node.get("password"), node.entry("passwordFrom").filter(|e| node.get(&e.key).is_some()))
    {
        scope
            .report
            .error(from.key_span, "`password` and `passwordFrom` exclude each other")
            .help = Some("remove `password`, and keep `passwordFrom`".into());
    }
}

/// Warns of password fields of an account with `state: absent`.
fn warn_of_useless_passwords(node: &Node, scope: &mut Scope<'_, '_>) {
    for key in ["password", "passwordFrom", "passwordTo"] {
        if let Some(entry) = node.entry(key) {
            let message = format!("`{key}` has no effect on an account with `state: absent`");
            scope.report.counted_warning(entry.key_span, &message, None);
        }
    }
}

/// Checks `state` and `reason`.
fn desired_state(
    state: document::UserState,
    reason: Option<String>,
    node: &Node,
    scope: &mut Scope<'_, '_>,
) -> Option<UserState> {
    let state = match state {
        document::UserState::Banned => {
            let fits = reason
                .as_ref()
                .is_none_or(|reason| fits(reason, "reason", field(node, "reason"), scope));
            return fits.then_some(UserState::Banned { reason });
        }
        document::UserState::Present => UserState::Present,
        document::UserState::Absent => UserState::Absent,
    };
    if reason.is_some() {
        let span = node.entry("reason").map_or(node.span, |entry| entry.key_span);
        scope.report.error(span, "a `reason` is only given for `state: banned`");
    }
    Some(state)
}

fn build(user: document::User, _: &Jid, node: &Node, scope: &mut Scope<'_, '_>) -> Option<User> {
    let document::User {
        name: _,
        password,
        password_from,
        password_policy,
        password_to,
        state,
        reason,
        nickname,
        vcard,
        deletion_policy,
        paused,
    } = user;

    check_one_password(node, scope);
    let inline =
        password.and_then(|password| secrets::inline(password.0, field(node, "password"), scope));
    let from = password_from
        .zip(node.get("passwordFrom"))
        .and_then(|(from, node)| secrets::source(from, node, Generation::Allowed, scope));
    let password_to = password_to
        .zip(node.get("passwordTo"))
        .and_then(|(to, node)| secrets::sink(to, node, scope));

    if state == document::UserState::Absent {
        warn_of_useless_passwords(node, scope);
    }
    let state = desired_state(state, reason, node, scope)?;
    let vcard = vcard::check(nickname, vcard, node, scope);
    Some(User {
        password: inline.or(from),
        password_policy: match password_policy {
            document::PasswordPolicy::Enforce => PasswordPolicy::Enforce,
            document::PasswordPolicy::Initial => PasswordPolicy::Initial,
        },
        password_to,
        state,
        vcard,
        deletion_policy: deletion(deletion_policy),
        paused,
    })
}

pub(super) fn deletion(policy: document::DeletionPolicy) -> DeletionPolicy {
    match policy {
        document::DeletionPolicy::Delete => DeletionPolicy::Delete,
        document::DeletionPolicy::Retain => DeletionPolicy::Retain,
    }
}
