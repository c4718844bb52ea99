//! Collects the evidence for `audit` and `doctor`, and (with the client alone) the objects for
//! `export`.

pub(super) mod audit;
pub(super) mod audit_probe;
mod collect;
pub(super) mod doctor;
pub(super) mod export;

use std::sync::Arc;

use self::audit_probe::AuditProbe;
use crate::ejabberd::EjabberdClient;
use crate::engine::ports::Runtime;
use crate::engine::rollout::check::ConfigChecker;

/// Collects the evidence for `audit` and `doctor`. Changes nothing.
pub struct Diagnostics {
    pub(in crate::engine) server: EjabberdClient,
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    pub(in crate::engine) configs: Arc<ConfigChecker>,
    pub(in crate::engine) probe: Arc<AuditProbe>,
}
