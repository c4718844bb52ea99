//! The differences between two configurations, and whether each needs a reload or a restart.
//!
//! ejabberd does not report whether a reload was enough: `reload_config` succeeds, and options that
//! ejabberd reads only at its start keep their old values. So this module compares the two expanded
//! configurations option by option, and finds the method for each option in [a table](options) from
//! ejabberd's source. Macros and included files are compared by their expansion.
//!
//! In doubt the method is a restart: a needless restart costs a few seconds, while a missing
//! restart leaves a server that differs from its file.

mod compare;
mod options;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::domain::configuration::Configuration;
use crate::domain::model::ServerVersion;

/// The file name endings of certificates and keys. On a reload, ejabberd reads the files that were
/// modified since ejabberd last read the files.
const CERTIFICATES: [&str; 4] = [".pem", ".crt", ".key", ".cer"];
/// The usual file name endings of the configuration files, also of files that `include_config_file`
/// reads.
const INCLUDED: [&str; 2] = [".yml", ".yaml"];
/// Files of the Erlang VM and of the script that starts the VM.
const OF_THE_VM: [&str; 5] =
    ["ejabberdctl.cfg", "inetrc", "vm.args", "sys.config", "erlang.cookie"];

/// How a changed configuration comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// `ejabberdctl reload_config`, which disconnects no client.
    Reload,
    /// A stop and a start of the server.
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

/// An option or file that changed. Holds the name only, because values may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The option (`listen`, `modules.mod_muc.access_admin`, `host_config.example.org.auth_method`)
    /// or the file (`server.pem`). If no option changed, or the options are unknown, the name is
    /// the name of the file, such as `ejabberd.yml`.
    pub name: String,
    /// The method that puts the change in force.
    pub method: Method,
    /// The reason why a reload is not enough; `None` if a reload is enough.
    pub why: Option<&'static str>,
    /// Whether an option changed, and not a file.
    is_option: bool,
}

impl Changed {
    /// A changed option; `why` is the reason if a reload is not enough.
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

/// A configuration to compare.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The contents of the files by their names.
    pub files: &'a BTreeMap<String, Vec<u8>>,
    /// The configuration that ejabberd expanded; `None` if the expansion is unknown.
    pub expanded: Option<&'a Configuration>,
}

/// The differences between the configuration in force and the wanted configuration. Empty if no
/// file differs. A file in which only comments, macros or the order of options changed is one
/// difference, for which a reload is enough: the reload does no harm, and the server has then read
/// the current files.
///
/// `version` is the version of the server. `None` means an unknown version: the method is then a
/// restart if any version needs a restart.
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

/// Whether `name` is the name of a file with options, so that the options are compared.
fn is_compared_by_options(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    INCLUDED.iter().any(|ending| name.ends_with(ending))
}

/// The method that puts all `changes` in force.
#[must_use]
pub fn method(changes: &[Changed]) -> Method {
    changes.iter().map(|change| change.method).max().unwrap_or(Method::Reload)
}

/// Returns the change of a file whose options are not compared. The name of the file decides the
/// method.
fn file(name: &str) -> Changed {
    let base = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    if CERTIFICATES.iter().any(|ending| base.ends_with(ending)) {
        Changed::of_file(name)
    } else if is_compared_by_options(name) {
        Changed::of_file_at_start(name, "its effect on the configuration in force is unknown")
    } else if OF_THE_VM.iter().any(|known| base.ends_with(known)) {
        Changed::of_file_at_start(name, "it is read when the Erlang VM starts")
    } else {
        Changed::of_file_at_start(name, "it is unknown when ejabberd reads this file")
    }
}
