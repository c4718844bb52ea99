//! What differs between two configurations, and what it takes to bring the new
//! one into force.
//!
//! ejabberd does not say whether a reload was enough: `reload_config` answers
//! with success, and options that are read at the start only simply stay what
//! they were. So what ejabberd made of the two configurations is compared
//! option by option, and each option is looked up in [a table](options) that
//! was made from ejabberd's source. Macros and included files are compared by
//! what they come to.
//!
//! In doubt the answer is a restart: a restart too many costs a few seconds, a
//! reload too few leaves a server that is not what its file says.

mod compare;
mod options;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::configuration::Configuration;
use crate::domain::model::ServerVersion;

/// Certificates and keys. ejabberd reads those again on every reload whose time
/// of modification is newer than what it has; the others it takes for unchanged.
const CERTIFICATES: [&str; 4] = [".pem", ".crt", ".key", ".cer"];
/// What `include_config_file` reads, as a rule.
const INCLUDED: [&str; 2] = [".yml", ".yaml"];
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
    /// no option changed, or none can be named, the file: `ejabberd.yml`.
    pub name: String,
    /// What it takes to bring this change into force.
    pub method: Method,
    /// Why a reload is not enough.
    pub why: Option<&'static str>,
    /// Whether it is an option, and not a file.
    is_option: bool,
}

impl Changed {
    /// A changed option; `why` says why a reload is not enough, if so.
    fn of_option(name: impl Into<String>, why: Option<&'static str>) -> Self {
        let method = if why.is_some() { Method::Restart } else { Method::Reload };
        Self { name: name.into(), method, why, is_option: true }
    }

    /// A changed file for which a reload is enough.
    fn of_file(name: impl Into<String>) -> Self {
        Self { is_option: false, ..Self::of_option(name, None) }
    }

    /// A changed file that only a restart puts in force.
    fn of_file_at_start(name: impl Into<String>, why: &'static str) -> Self {
        Self { is_option: false, ..Self::of_option(name, Some(why)) }
    }
}

/// One of two configurations to compare.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The contents of the files by their names.
    pub files: &'a BTreeMap<String, Vec<u8>>,
    /// What ejabberd made of them; `None` where it could not be asked.
    pub expanded: Option<&'a Configuration>,
}

/// The differences between the configuration in force and the wanted configuration. Nothing if no
/// file differs. Files in which only comments, macros or the order of options
/// changed are one difference, for which a reload is enough: it does no harm,
/// and the server then has read the files that are there.
///
/// `version` is that of the server; without it, the slowest way counts.
#[must_use]
pub fn difference(
    before: Snapshot<'_>,
    after: Snapshot<'_>,
    version: Option<ServerVersion>,
) -> Vec<Changed> {
    let names: BTreeSet<&String> = before.files.keys().chain(after.files.keys()).collect();
    let mut names: Vec<&String> = names.into_iter().collect();
    names.retain(|name| before.files.get(*name) != after.files.get(*name));
    let (expanded, mut changes) = match (before.expanded, after.expanded) {
        _ if names.is_empty() => return Vec::new(),
        (Some(before), Some(after)) => (true, compare::options_of(before, after, version)),
        _ => (false, Vec::new()),
    };
    for name in names {
        if !expanded || !is_compared_by_options(name) {
            changes.push(file(name));
        } else if changes.iter().all(|change| !change.is_option) {
            changes.push(Changed::of_file(name));
        }
    }
    changes
}

/// Whether a file says what the options of the configuration are.
fn is_compared_by_options(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    INCLUDED.iter().any(|ending| name.ends_with(ending))
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
        Changed::of_file(name)
    } else if is_compared_by_options(name) {
        Changed::of_file_at_start(
            name,
            "what it changes in the configuration in force is not known",
        )
    } else if OF_THE_VM.iter().any(|known| base.ends_with(known)) {
        Changed::of_file_at_start(name, "it is read when the Erlang VM starts")
    } else {
        Changed::of_file_at_start(name, "it is not known when ejabberd reads this file")
    }
}
