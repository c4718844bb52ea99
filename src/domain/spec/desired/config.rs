//! `spec.config`: the configuration.

use crate::domain::model::Jid;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// `spec.config`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The name of the variant that shall be in force.
    pub variant: String,
    /// Every variant's file.
    pub variants: BTreeMap<String, PathBuf>,
    /// Further files, by their name beside the configuration.
    pub files: BTreeMap<String, PathBuf>,
    /// Whether a reload may do.
    pub apply: ConfigApply,
    /// What must hold before it counts as good.
    pub gate: Gate,
}

/// How a changed configuration is put in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigApply {
    /// By a reload where that is enough.
    Auto,
    /// Always by a restart.
    Restart,
}

/// `spec.config.gate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// How long health must hold.
    pub settle: Duration,
    /// How long to wait for it.
    pub timeout: Duration,
    /// An account that tries to log in.
    pub canary: Option<Jid>,
}
