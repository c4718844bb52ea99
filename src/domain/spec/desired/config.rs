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
    /// Further files, by their names beside the configuration.
    pub files: BTreeMap<String, PathBuf>,
    /// How a changed configuration is activated.
    pub apply: ConfigApply,
    /// The health gate.
    pub gate: Gate,
}

/// How a changed configuration is activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigApply {
    /// With a reload if a reload is enough, else with a restart.
    Auto,
    /// Always with a restart.
    Restart,
}

/// `spec.config.gate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// How long the server must stay healthy.
    pub settle: Duration,
    /// The maximum wait until the server is healthy.
    pub timeout: Duration,
    /// The account that must be able to log in.
    pub canary: Option<Jid>,
}
