//! `spec.config`: the configuration of ejabberd.

use crate::domain::model::Jid;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// `spec.config`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The name of the active variant.
    pub variant: String,
    /// The file of each variant.
    pub variants: BTreeMap<String, PathBuf>,
    /// The paths of further files, by the names of the files on the server. The operator places
    /// these files in the directory of the configuration.
    pub files: BTreeMap<String, PathBuf>,
    /// How the operator activates a changed configuration.
    pub apply: ConfigApply,
    /// The health gate: the checks that the server must pass with a new configuration.
    pub gate: Gate,
}

/// How the operator activates a changed configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigApply {
    /// The operator reloads the configuration if a reload is enough, else the operator restarts the
    /// server.
    Auto,
    /// The operator always restarts the server.
    Restart,
}

/// `spec.config.gate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The time for which the server must stay healthy.
    pub settle: Duration,
    /// The maximum time until the server is healthy.
    pub timeout: Duration,
    /// The account that must be able to log in; `None` if the gate tests no login.
    pub canary: Option<Jid>,
}
