//! Compares two configurations option by option.
//!
//! The order of options, of modules and of a module's options does not matter. The order inside an
//! option matters: ejabberd tries rules in their order.

use std::collections::{BTreeMap, BTreeSet};

use super::{Changed, options};
use crate::domain::configuration::{Configuration, Value};
use crate::domain::model::ServerVersion;

const FORM: &str = "it is not written as a mapping, and cannot be compared";
const OTHER_MODULES: &str =
    "the host gets or loses its own list of modules, which cannot be compared";

/// The option that defines keywords. The reader of the configuration replaces keywords in other
/// options, so this module compares only the options that use keywords.
const KEYWORDS: &str = "define_keyword";

/// The changes between two configurations.
pub(super) fn options_of(
    before: &Configuration,
    after: &Configuration,
    version: Option<ServerVersion>,
) -> Vec<Changed> {
    let (old, new) = (before.hosts(), after.hosts());
    let (old, new): (BTreeSet<String>, BTreeSet<String>) =
        (old.into_iter().collect(), new.into_iter().collect());
    let moving = old.symmetric_difference(&new).cloned().collect();
    let mut comparison = Comparison { moving, version, changes: Vec::new() };
    comparison.options(&Scope::File, before.options(), after.options());
    comparison.changes
}

/// The values of a key in the old and the new configuration; `None` for a configuration without the
/// key.
type Pair<'a> = (Option<&'a Value>, Option<&'a Value>);

/// The scope of compared options.
enum Scope {
    /// The whole file.
    File,
    /// A host. The string is the beginning of the option names, such as `host_config.example.org`.
    /// The host inherits a missing option from the file.
    Host(String),
    /// A host that is new or removed, so that a reload starts or stops the whole host.
    MovingHost(String),
}

struct Comparison {
    /// The hosts that only one of the configurations contains, in lower case.
    moving: BTreeSet<String>,
    version: Option<ServerVersion>,
    changes: Vec<Changed>,
}

impl Comparison {
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
            // A host without the option inherits the option from the file, so the two values do not
            // show the change.
            let inherits =
                matches!(scope, Scope::Host(_)) && (pair.0.is_none() || pair.1.is_none());
            match option {
                KEYWORDS if at_the_top => {}
                "host_config" | "append_host_config" if at_the_top => self.hosts(&name, pair),
                "modules" if inherits => self.push(name, Some(OTHER_MODULES)),
                "modules" => self.modules(&name, pair),
                _ if differs(pair) => {
                    let values = (!inherits).then_some(pair);
                    self.push(name, options::restart(option, values, self.version));
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
            if differs(pair) {
                let why = options::restart_for_module(module, option);
                self.push(format!("{name}.{option}"), why);
            }
        }
    }

    fn without_form(&mut self, name: &str, pair: Pair<'_>) {
        if differs(pair) {
            self.push(name.to_owned(), Some(FORM));
        }
    }

    fn push(&mut self, name: String, why: Option<&'static str>) {
        self.changes.push(Changed::of_option(name, why));
    }
}

/// Whether an option differs. A missing option differs from an empty option. For mappings, use
/// [`pairs`]: a missing mapping equals an empty mapping there.
fn differs((before, after): Pair<'_>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => !before.means_the_same_as(after),
        (before, after) => before != after,
    }
}

/// The entries of two mappings, by key. `None` if one of the values is not a mapping.
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
