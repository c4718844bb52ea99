//! Macros and keywords: names that stand for values in the rest of the file,
//! as a whole (`listen: PORTS`) or inside of a text (`"@DOMAIN@.org"`).
//!
//! They are not carried out: an option counts as changed where it mentions one
//! whose value changed. That cannot unfold without end, and misses nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::reading::Value;

/// The options that define them. (What the environment defines, with
/// `EJABBERD_MACRO_…`, is no part of the files.)
pub(super) const DEFINITIONS: [&str; 2] = ["define_macro", "define_keyword"];
/// With more changed names than this nobody looks for where they are used.
const MAX_CHANGED: usize = 100;
/// Words that a parser takes for something else than a text, so that they would
/// not be found.
const NOT_TEXTS: [&str; 9] = ["TRUE", "FALSE", "NULL", "YES", "NO", "ON", "OFF", "Y", "N"];

/// The names whose values changed, also because they mention one that did.
/// `None` if that is not to be said for sure.
pub(super) fn changed<'a>(before: &'a Value, after: &'a Value) -> Option<BTreeSet<&'a str>> {
    let mut changed = BTreeSet::new();
    let mut definitions = Vec::new();
    for option in DEFINITIONS {
        let (before, after) = (defined(before, option)?, defined(after, option)?);
        for (name, value) in &after {
            if before.get(name) != Some(value) {
                changed.insert(*name);
            }
        }
        changed.extend(before.keys().filter(|name| !after.contains_key(*name)));
        definitions.extend(after);
    }
    // Again and again, each time with those that came last, until none are left.
    let mut last = changed.clone();
    loop {
        let sure = |name: &&str| {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && !NOT_TEXTS.iter().any(|word| word.eq_ignore_ascii_case(name))
        };
        if changed.len() > MAX_CHANGED || !last.iter().all(sure) {
            return None;
        }
        if last.is_empty() {
            return Some(changed);
        }
        last = definitions
            .iter()
            .filter(|(name, value)| !changed.contains(name) && value.mentions(&last))
            .map(|(name, _)| *name)
            .collect();
        changed.extend(&last);
    }
}

/// What an option defines: a mapping, or a list of them.
fn defined<'a>(file: &'a Value, option: &str) -> Option<BTreeMap<&'a str, &'a Value>> {
    let mut all = BTreeMap::new();
    for part in file.get(option).map(Value::elements).unwrap_or_default() {
        all.extend(part.entries()?.iter().map(|(name, value)| (name.as_str(), value)));
    }
    Some(all)
}
