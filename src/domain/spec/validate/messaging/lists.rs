//! The limits of the lists and numbers of a messaging client.

use crate::domain::spec::mask;
use crate::domain::spec::tree::{Node, Span};
use crate::domain::spec::validate::objects::field;
use crate::domain::spec::validate::{Scope, spans};

/// The maximum number of entries of `actAs` and of `to`.
pub(super) const MAX_PATTERNS: usize = 100;

/// Checks the entries of a list, and warns of repeated entries. Returns the valid entries with their
/// positions.
pub(super) fn entries<T: PartialEq>(
    key: &str,
    written: &[String],
    node: Option<&Node>,
    limit: usize,
    scope: &mut Scope<'_, '_>,
    mut check: impl FnMut(&str, Span, &mut Scope<'_, '_>) -> Option<T>,
) -> Vec<(T, Span)> {
    let mut valid: Vec<(T, Span)> = Vec::new();
    if let Some(node) = node.filter(|node| node.items().len() > limit) {
        let message =
            format!("`{key}` has {} entries; at most {limit} are possible", node.items().len());
        scope.report.error(node.span, message).help = Some(match key {
            "rooms" => "remove rooms from the list".to_owned(),
            _ => {
                "remove entries, or replace several names by a pattern such as `agent-*`".to_owned()
            }
        });
        return valid;
    }
    for (text, span) in written.iter().zip(spans(node, written.len())) {
        let Some(span) = span else { continue };
        let Some(entry) = check(text, span, scope) else { continue };
        if valid.iter().any(|(other, _)| *other == entry) {
            scope.report.warning(span, format!("{} is listed twice", mask::quoted(text)));
        } else {
            valid.push((entry, span));
        }
    }
    valid
}

/// A number of the file with its limits.
pub(super) struct Limited<'k> {
    pub(super) key: &'k str,
    pub(super) value: u32,
    pub(super) max: u32,
}

/// Reports a number that is zero or too large.
pub(super) fn check_limits(limited: &Limited<'_>, node: Option<&Node>, scope: &mut Scope<'_, '_>) {
    let Limited { key, value, max } = limited;
    if !(1..=*max).contains(value)
        && let Some(node) = node
    {
        let message = format!("`{key}` is {value}; use a value from 1 to {max}");
        scope.report.error(field(node, key), message);
    }
}
