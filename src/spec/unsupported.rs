//! What the format knows and the program does not do yet.
//!
//! Such a field is valid, and has no effect; the warning says so. The version
//! that makes one of them work deletes its line here, and nothing else.

use super::report::Report;
use super::tree::{Node, Value};

/// Where it stands (`[]`: in each element), what it is worth if only one value
/// counts, and what happens instead.
const UNSUPPORTED: &[(&str, Option<&str>, &str)] = &[
    ("spec.server.external", None, "only `docker` and `process` can be run so far"),
    ("spec.server.accountsTable", None, "the table stays as it is"),
    ("spec.users[].state", Some("banned"), "the account is not banned"),
    ("spec.users[].nickname", None, "the vCard is left as it is"),
    ("spec.users[].vcard", None, "the vCard is left as it is"),
    ("spec.groups", None, "groups are left as they are"),
    ("spec.rooms[].subject", None, "the subject is left as it is"),
    ("spec.rooms[].affiliations", None, "affiliations are left as they are"),
    ("spec.rooms[].exclusive", Some("true"), "affiliations are left as they are"),
];

/// Warns of every use, once for each field.
pub(crate) fn warn(root: &Node, report: &mut Report<'_>) {
    for (path, value, instead) in UNSUPPORTED {
        let message = match value {
            Some(value) => format!("declared but not yet supported: `{path}: {value}`: {instead}"),
            None => format!("declared but not yet supported: `{path}`: {instead}"),
        };
        let help = path
            .starts_with("spec.server.")
            .then_some("use `docker` or `process`")
            .filter(|_| instead.contains("docker"));
        let (list, field) = path.split_once("[].").unwrap_or((path, ""));
        let Some((holder, key)) = list.rsplit_once('.') else { continue };
        let holder: Vec<&str> = holder.split('.').collect();
        let Some(holder) = root.at(&holder) else { continue };
        let mut note = |holder: &Node, key: &str| {
            if let Some(entry) = holder.entry(key)
                && is(&entry.value, *value)
            {
                report.counted_warning(entry.key_span, &message, help);
            }
        };
        if field.is_empty() {
            note(holder, key);
        } else {
            holder
                .get(key)
                .map(Node::items)
                .unwrap_or_default()
                .iter()
                .for_each(|item| note(item, field));
        }
    }
}

fn is(node: &Node, value: Option<&str>) -> bool {
    match (&node.value, value) {
        (Value::Null, _) => false,
        (_, None) => true,
        (Value::Text(text), Some(value)) => text == value,
        (Value::Bool(written), Some(value)) => written.to_string() == value,
        _ => false,
    }
}
