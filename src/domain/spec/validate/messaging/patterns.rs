//! Checks the patterns of accounts and rooms of a messaging client.

use super::Declared;
use super::lists::{MAX_PATTERNS, entries};
use crate::domain::messaging::JidPattern;
use crate::domain::model::{Jid, Vhost};
use crate::domain::spec::desired::{OWN_NAMES, UserState};
use crate::domain::spec::mask;
use crate::domain::spec::tree::{Node, Span};
use crate::domain::spec::validate::Scope;
use crate::domain::spec::validate::users::{Users, foreign_host};

/// Checks a pattern of an account or a room.
pub(super) fn pattern(text: &str, span: Span, scope: &mut Scope<'_, '_>) -> Option<JidPattern> {
    match JidPattern::new(text, &scope.home) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let message = format!("{} matches no name: {error}", mask::quoted(text));
            scope.report.error(span, message).help =
                Some("write a name, or a pattern such as `agent-*`".into());
            None
        }
    }
}

/// Whether a part of a pattern matches every name.
pub(super) fn matches_everything(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|c| c == '*')
}

/// Checks `actAs`.
pub(super) fn act_as(
    written: &[String],
    node: Option<&Node>,
    declared: &Declared<'_>,
    scope: &mut Scope<'_, '_>,
) -> Vec<JidPattern> {
    let check =
        |text: &str, span, scope: &mut Scope<'_, '_>| identity(text, span, declared.users, scope);
    let valid = entries("actAs", written, node, MAX_PATTERNS, scope, check);
    let exact = |account: &Jid| {
        valid.iter().any(|(pattern, _)| pattern.is_exact() && pattern.matches(account))
    };
    for (pattern, span) in valid.iter().filter(|(pattern, _)| !pattern.is_exact()) {
        let owner =
            declared.owners.iter().find(|(owner, _)| pattern.matches(owner) && !exact(owner));
        if let Some((owner, room)) = owner {
            let message = format!(
                "the pattern {} matches {}, an owner of the room {}: a client acts as an owner only if `actAs` has the exact name",
                mask::quoted(pattern.as_str()),
                mask::quoted(&owner.to_string()),
                mask::quoted(&room.to_string()),
            );
            scope.report.error(*span, message).help = Some(format!(
                "add {} to `actAs`, or write a pattern that does not match the account",
                mask::quoted(&owner.to_string())
            ));
        }
    }
    valid.into_iter().map(|(pattern, _)| pattern).collect()
}

/// Checks an entry of `actAs`.
fn identity(
    text: &str,
    span: Span,
    users: Option<&Users>,
    scope: &mut Scope<'_, '_>,
) -> Option<JidPattern> {
    let pattern = pattern(text, span, scope)?;
    if pattern.host().contains('*') {
        let message = format!(
            "the host of {} has a `*`, and a client acts as accounts of declared hosts only",
            mask::quoted(text)
        );
        scope.report.error(span, message).help = Some(format!(
            "write the host in full: {}",
            mask::quoted(&format!("{}@{}", pattern.local(), scope.home))
        ));
        return None;
    }
    let host = Vhost::new(pattern.host()).ok()?;
    if !scope.is_ours(&host) {
        foreign_host(&host, span, scope);
        return None;
    }
    if matches_everything(pattern.local()) {
        let message = format!(
            "with {} the client would act as every account of the host",
            mask::quoted(text)
        );
        scope.report.error(span, message).help =
            Some("list the names, or write a pattern for them such as `agent-*`".into());
        return None;
    }
    if pattern.can_begin_with(OWN_NAMES) {
        own_name(text, &pattern, span, scope);
        return None;
    }
    if pattern.is_exact() {
        let account = Jid::parse(pattern.as_str(), &scope.home).ok()?;
        let state = users.and_then(|users| users.get(&account)).map(|user| &user.state);
        let state = match state {
            Some(UserState::Absent) => Some("absent"),
            Some(UserState::Banned { .. }) => Some("banned"),
            Some(UserState::Present) | None => None,
        };
        if let Some(state) = state {
            let message = format!(
                "the account {} has `state: {state}`, so the client cannot act as the account",
                mask::quoted(&account.to_string())
            );
            scope.report.warning(span, message).help =
                Some("remove the name from `actAs`, or change the state of the account".into());
        }
    }
    Some(pattern)
}

/// Reports a pattern that matches the operator's own names.
pub(super) fn own_name(text: &str, pattern: &JidPattern, span: Span, scope: &mut Scope<'_, '_>) {
    let text = mask::quoted(text);
    let (message, help) = if pattern.is_exact() {
        let message = format!("{text} is one of the operator's own names in rooms");
        (message, "the operator enters rooms with such names to set subjects; choose another name")
    } else {
        let message = format!(
            "{text} matches the operator's own names in rooms, which begin with `{OWN_NAMES}`"
        );
        (message, "begin the pattern with other text, such as `agent-*`, or list the names")
    };
    scope.report.error(span, message).help = Some(help.to_owned());
}
