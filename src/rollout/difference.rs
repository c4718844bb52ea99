//! What differs between two configurations, and what it takes to bring the new
//! one into force.
//!
//! ejabberd does not say whether a reload was enough: `reload_config` answers
//! with success, and options that are read at the start only simply stay what
//! they were. So the two files are compared option by option, and each option
//! is looked up in [a table](options) that was made from ejabberd's source.
//!
//! Whoever is in doubt restarts: a restart too many costs a few seconds, a
//! reload too few leaves a server that is not what its file says.

mod compare;
mod macros;
mod options;
mod reading;
#[cfg(test)]
mod tests;

pub use reading::{Value, read};

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The main file, whose options are compared one by one.
const MAIN_FILE: &str = "ejabberd.yml";
/// Certificates and keys. ejabberd reads those again on every reload whose time
/// of modification is newer than what it has; the others it takes for unchanged.
const CERTIFICATES: [&str; 4] = [".pem", ".crt", ".key", ".cer"];
/// Files of the Erlang VM and of the script that starts it.
const OF_THE_VM: [&str; 5] =
    ["ejabberdctl.cfg", "inetrc", "vm.args", "sys.config", "erlang.cookie"];

/// How a changed configuration comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// `ejabberdctl reload_config`; nobody is disconnected.
    Reload,
    /// The server is stopped and started.
    Restart,
}

impl Method {
    /// `reload` or `restart`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
        }
    }
}

/// One option or file that changed. Holds names only, never values: those may
/// be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The option (`listen`, `modules.mod_muc.access_admin`,
    /// `host_config.example.org.auth_method`) or the file (`server.pem`). Where
    /// no single option can be named, the file as a whole: `ejabberd.yml`.
    pub name: String,
    /// What it takes to bring this change into force.
    pub method: Method,
    /// Why a reload is not enough.
    pub why: Option<&'static str>,
}

impl Changed {
    fn reload(name: impl Into<String>) -> Self {
        Self { name: name.into(), method: Method::Reload, why: None }
    }

    fn restart(name: impl Into<String>, why: &'static str) -> Self {
        Self { name: name.into(), method: Method::Restart, why: Some(why) }
    }
}

/// The differences between what is in force and what shall be: the contents of
/// the files by their names. Nothing if no file differs. A main file in which
/// only comments, quotes or the order of options changed is one difference, for
/// which a reload is enough: it does no harm, and the server then has read the
/// file that is there.
#[must_use]
pub fn difference(
    before: &BTreeMap<String, Vec<u8>>,
    after: &BTreeMap<String, Vec<u8>>,
) -> Vec<Changed> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        match (before.get(name), after.get(name)) {
            (before, after) if before == after => {}
            (Some(before), Some(after)) if name == MAIN_FILE => {
                changes.extend(compare::main_file(before, after));
            }
            _ => changes.push(file(name)),
        }
    }
    changes
}

/// What it takes to bring all of `changes` into force.
#[must_use]
pub fn method(changes: &[Changed]) -> Method {
    changes.iter().map(|change| change.method).max().unwrap_or(Method::Reload)
}

/// A file that is new, gone, or not looked into.
fn file(name: &str) -> Changed {
    let base = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    if CERTIFICATES.iter().any(|ending| base.ends_with(ending)) {
        Changed::reload(name)
    } else if name == MAIN_FILE {
        Changed::restart(name, "there is no earlier and later file to compare")
    } else if OF_THE_VM.iter().any(|known| base.ends_with(known)) {
        Changed::restart(name, "it is read when the Erlang VM starts")
    } else {
        Changed::restart(name, "it is not known when ejabberd reads this file")
    }
}
