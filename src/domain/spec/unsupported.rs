//! What the format knows and the program does not do yet.
//!
//! Such a field is valid, and has no effect; the warning says so. The version
//! that makes one of them work deletes its line here, and nothing else.

use super::report::Report;
use super::tree::{Node, Value};

/// Where it stands, what happens instead, and what helps.
const UNSUPPORTED: &[(&[&str], &str, &str)] = &[(
    &["spec", "server", "external"],
    "only `docker` and `process` can be run so far",
    "use `docker` or `process`",
)];

/// Warns of every use, once for each field.
pub(crate) fn warn(root: &Node, report: &mut Report<'_>) {
    for (path, instead, help) in UNSUPPORTED {
        let Some((key, holder)) = path.split_last() else { continue };
        if let Some(entry) = root.at(holder).and_then(|holder| holder.entry(key))
            && entry.value.value != Value::Null
        {
            let path = path.join(".");
            let message = format!("declared but not yet supported: `{path}`: {instead}");
            report.counted_warning(entry.key_span, &message, Some(help));
        }
    }
}
