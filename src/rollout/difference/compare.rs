//! Two main files, compared option by option.
//!
//! The order of options, of modules and of a module's options means nothing;
//! inside of an option it does, as with rules that are tried in their order.

use std::collections::{BTreeMap, BTreeSet};

use super::options;
use super::reading::{self, Value};
use super::{Changed, MAIN_FILE, macros};

const UNREADABLE: &str =
    "the file as it was or as it shall be cannot be compared: no YAML, or a key that stands twice";
const INCLUDE: &str = "include_config_file";
const INCLUDED: &str = "what included files say is not compared";
const MACROS: &str = "what the changed macros stand for cannot be followed";
const FORM: &str = "it is not written as a mapping, and cannot be compared";
const OTHER_MODULES: &str =
    "the host gets modules of its own, or no longer has them, which cannot be compared";

/// What changed between two main files that differ.
pub(super) fn main_file(before: &[u8], after: &[u8]) -> Vec<Changed> {
    let (Some(before), Some(after)) = (reading::read(before), reading::read(after)) else {
        return vec![Changed::restart(MAIN_FILE, UNREADABLE)];
    };
    if before.get(INCLUDE).is_some() || after.get(INCLUDE).is_some() {
        return vec![Changed::restart(INCLUDE, INCLUDED)];
    }
    let Some(macros) = macros::changed(&before, &after) else {
        return vec![Changed::restart(MAIN_FILE, MACROS)];
    };
    let moving = moving_hosts(&before, &after);
    let mut comparison = Comparison { macros, moving, changes: Vec::new() };
    comparison.options(&Scope::File, &before, &after);
    if comparison.changes.is_empty() {
        // Comments, quotes or order alone: a reload does no harm.
        comparison.changes.push(Changed::reload(MAIN_FILE));
    }
    comparison.changes
}

/// The same key in both files; missing, where a file does not have it.
type Pair<'a> = (Option<&'a Value>, Option<&'a Value>);

/// For whom options are compared.
enum Scope {
    File,
    /// A host, by the name of its options; what it has no value of its own for,
    /// it has from the file.
    Host(String),
    /// A host that is new or goes: nothing of it runs, or goes on running.
    MovingHost(String),
}

struct Comparison<'a> {
    /// The macros whose values changed.
    macros: BTreeSet<&'a str>,
    /// The hosts that only one of the files serves.
    moving: BTreeSet<String>,
    changes: Vec<Changed>,
}

impl Comparison<'_> {
    fn options(&mut self, scope: &Scope, before: &Value, after: &Value) {
        let (within, at_the_top) = match scope {
            Scope::File => ("", true),
            Scope::Host(name) | Scope::MovingHost(name) => (name.as_str(), false),
        };
        let Some(pairs) = pairs((Some(before), Some(after))) else {
            return self.push(within.to_owned(), Some(FORM));
        };
        for (option, pair) in pairs {
            let name = if at_the_top { option.to_owned() } else { format!("{within}.{option}") };
            // A host has the value of the file as long as it has none of its own.
            let inherits =
                matches!(scope, Scope::Host(_)) && (pair.0.is_none() || pair.1.is_none());
            match option {
                // What matters is where they are used.
                _ if at_the_top && macros::DEFINITIONS.contains(&option) => {}
                "host_config" | "append_host_config" if at_the_top => self.hosts(&name, pair),
                "modules" if inherits => self.push(name, Some(OTHER_MODULES)),
                "modules" => self.modules(&name, pair),
                _ if self.differs(pair) => {
                    let sure = !inherits && !self.uses_a_changed_macro(pair);
                    self.push(name, options::restart(option, sure.then_some(pair)));
                }
                _ => {}
            }
        }
    }

    fn hosts(&mut self, name: &str, pair: Pair<'_>) {
        let Some(hosts) = pairs(pair) else { return self.without_form(name, pair) };
        for (host, (before, after)) in hosts {
            let within = format!("{name}.{host}");
            let scope = if self.moving.contains(&host.to_lowercase()) {
                Scope::MovingHost(within)
            } else {
                Scope::Host(within)
            };
            let nothing = &Value::Null;
            self.options(&scope, before.unwrap_or(nothing), after.unwrap_or(nothing));
        }
    }

    fn modules(&mut self, name: &str, pair: Pair<'_>) {
        let Some(modules) = pairs(pair) else { return self.without_form(name, pair) };
        for (module, pair) in modules {
            let name = format!("{name}.{module}");
            match pair {
                (None, _) => self.push(name, None),
                (_, None) => self.push(name, options::restart_without_module(module)),
                _ => self.module(&name, module, pair),
            }
        }
    }

    fn module(&mut self, name: &str, module: &str, pair: Pair<'_>) {
        let Some(module_options) = pairs(pair) else { return self.without_form(name, pair) };
        for (option, pair) in module_options {
            if self.differs(pair) {
                let why = options::restart_for_module(module, option);
                self.push(format!("{name}.{option}"), why);
            }
        }
    }

    fn without_form(&mut self, name: &str, pair: Pair<'_>) {
        if self.differs(pair) {
            self.push(name.to_owned(), Some(FORM));
        }
    }

    fn push(&mut self, name: String, why: Option<&'static str>) {
        self.changes.push(match why {
            Some(why) => Changed::restart(name, why),
            None => Changed::reload(name),
        });
    }

    fn differs(&self, pair: Pair<'_>) -> bool {
        pair.0 != pair.1 || self.uses_a_changed_macro(pair)
    }

    fn uses_a_changed_macro(&self, (before, after): Pair<'_>) -> bool {
        let uses = |value: Option<&Value>| value.is_some_and(|v| v.mentions(&self.macros));
        uses(before) || uses(after)
    }
}

/// The hosts that are in one of the files only, in small letters. None where
/// that is not plain to see.
fn moving_hosts(before: &Value, after: &Value) -> BTreeSet<String> {
    let hosts = |file: &Value| -> Option<BTreeSet<String>> {
        file.get("hosts")?.elements().iter().map(|host| Some(host.text()?.to_lowercase())).collect()
    };
    match (hosts(before), hosts(after)) {
        (Some(before), Some(after)) => before.symmetric_difference(&after).cloned().collect(),
        _ => BTreeSet::new(),
    }
}

/// The entries of two mappings, side by side. `None` if one is not written as a
/// mapping.
fn pairs<'a>((before, after): Pair<'a>) -> Option<BTreeMap<&'a str, Pair<'a>>> {
    let entries = |value: Option<&'a Value>| value.map_or(Some([].as_slice()), Value::entries);
    let mut pairs: BTreeMap<&str, Pair<'a>> = BTreeMap::new();
    for (key, value) in entries(before)? {
        pairs.entry(key).or_default().0 = Some(value);
    }
    for (key, value) in entries(after)? {
        pairs.entry(key).or_default().1 = Some(value);
    }
    Some(pairs)
}
