//! Merges several files into one tree.

use std::collections::HashMap;

use super::mask;
use super::report::Report;
use super::tree::{Node, Value};

/// The lists whose entries can be in several files. Every other list must be in one file.
const SPREAD: [&str; 5] =
    ["spec.users", "spec.groups", "spec.rooms", "spec.hosts", "spec.policy.ignore"];
/// The fields that every file may repeat with the same value.
const REPEATED: [&str; 3] = ["apiVersion", "kind", "metadata.name"];

/// Adds the content of `other` to `base`. Reports each value that both trees contain and that
/// cannot be merged.
pub(crate) fn merge(base: &mut Node, other: Node, report: &mut Report<'_>) {
    merge_at(base, other, "", report);
}

fn merge_at(base: &mut Node, other: Node, path: &str, report: &mut Report<'_>) {
    let other_span = other.span;
    match (&mut base.value, other.value) {
        (_, Value::Null) => {}
        (Value::Null, value) => {
            base.value = value;
            base.span = other_span;
            base.id = other.id;
        }
        (Value::Map(entries), Value::Map(others)) => {
            let places: HashMap<String, usize> = entries
                .iter()
                .enumerate()
                .map(|(place, entry)| (entry.key.clone(), place))
                .collect();
            for entry in others {
                match places.get(&entry.key).and_then(|place| entries.get_mut(*place)) {
                    None => entries.push(entry),
                    Some(same) => {
                        let path = if path.is_empty() {
                            entry.key
                        } else {
                            format!("{path}.{}", entry.key)
                        };
                        merge_at(&mut same.value, entry.value, &path, report);
                    }
                }
            }
        }
        (Value::List(items), Value::List(others)) if SPREAD.contains(&path) => items.extend(others),
        (value, other) if REPEATED.contains(&path) && *value == other => {}
        _ => {
            let first = report.reference(base.span);
            let name = if path.is_empty() { "the document".to_owned() } else { mask::quoted(path) };
            let message = if REPEATED.contains(&path) {
                format!("{name} differs from the one in {first}")
            } else {
                format!("{name} is given twice; the first is in {first}")
            };
            report.error(other_span, message);
        }
    }
}
