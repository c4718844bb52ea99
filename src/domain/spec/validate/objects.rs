//! The common checks of `users`, `groups` and `rooms`: lists of objects with unique names.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use serde::de::DeserializeOwned;

use super::Scope;
use crate::domain::spec::decode::decode;
use crate::domain::spec::mask;
use crate::domain::spec::tree::{Node, Span, Value};

/// The maximum number of objects of one kind.
const MAX_OBJECTS: usize = 200_000;

/// Decodes each element of a list separately, and reports repeated names. `name` returns the name
/// of an element, and `build` returns the value of an element. Both functions may report errors and
/// return `None`.
pub(super) fn collect<D, K, V>(
    kind: &str,
    list: &Node,
    scope: &mut Scope<'_, '_>,
    mut name: impl FnMut(&D, &Node, &mut Scope<'_, '_>) -> Option<K>,
    mut build: impl FnMut(D, &K, &Node, &mut Scope<'_, '_>) -> Option<V>,
) -> BTreeMap<K, V>
where
    D: DeserializeOwned,
    K: Clone + Eq + Ord + Hash + ToString,
{
    let mut objects = BTreeMap::new();
    if !matches!(list.value, Value::List(_)) {
        scope.report.error(list.span, format!("expected a list of {kind}s")).help =
            Some(format!("begin each {kind} with `- name: …`"));
        return objects;
    }
    let items = list.items();
    if items.len() > MAX_OBJECTS {
        scope.report.error(
            list.span,
            format!("{} {kind}s; at most {MAX_OBJECTS} are possible", items.len()),
        );
        return objects;
    }
    let mut first: HashMap<K, (Span, Option<&str>)> = HashMap::with_capacity(items.len());
    for node in items {
        let Some(written) = decode::<D>(node, &[], scope.report) else { continue };
        let Some(key) = name(&written, node, scope) else { continue };
        let span = field(node, "name");
        if let Some((other, other_text)) = first.get(&key) {
            let name = mask::quoted(&key.to_string());
            let message = if *other == span {
                format!("an alias declares the {kind} {name} a second time")
            } else {
                let other = scope.report.reference(*other);
                format!("the {kind} {name} is declared twice; the first is in {other}")
            };
            let help = if written_name(node) == *other_text {
                "remove one of the entries, or give it another name"
            } else {
                "ejabberd takes names that differ only in case or form for the same"
            };
            scope.report.error(span, message).help = Some(help.to_owned());
            continue;
        }
        first.insert(key.clone(), (span, written_name(node)));
        if let Some(value) = build(written, &key, node, scope) {
            objects.insert(key, value);
        }
    }
    objects
}

/// The maximum length of a text of an object, in bytes. The limit is needed because the server
/// keeps these texts in memory.
const MAX_TEXT_BYTES: usize = 8 << 10;

/// Whether a text is valid as a title, a description, a nickname or another text for people.
#[must_use]
pub fn can_be_shown(text: &str) -> bool {
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    text.len() <= MAX_TEXT_BYTES && !text.contains(bad)
}

/// Reports a text that clients cannot receive. XML does not allow control characters: a client that
/// receives a control character ends its stream.
pub(super) fn fits(text: &str, name: &str, span: Span, scope: &mut Scope<'_, '_>) -> bool {
    if can_be_shown(text) {
        return true;
    }
    let problem = if text.len() > MAX_TEXT_BYTES {
        format!("{} has over {MAX_TEXT_BYTES} bytes", mask::quoted(name))
    } else {
        format!("{} holds a control character", mask::quoted(name))
    };
    scope.report.error(span, problem);
    false
}

/// The position of the value of a field, or of the object if the field is absent.
pub(super) fn field(node: &Node, key: &str) -> Span {
    node.get(key).map_or(node.span, |value| value.span)
}

fn written_name(node: &Node) -> Option<&str> {
    node.get("name").and_then(Node::text)
}
