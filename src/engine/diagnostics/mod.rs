//! Collects the evidence for `audit` and `doctor`, and (with the client alone) the objects for
//! `export`.

pub(super) mod audit;
pub(super) mod audit_probe;
mod chain;
mod collect;
pub(super) mod doctor;
pub(super) mod export;

use std::sync::Arc;

use self::audit_probe::AuditProbe;
use crate::ejabberd::EjabberdClient;
use crate::engine::ports::{ReverseProxy, Runtime, Secrets};
use crate::engine::rollout::check::ConfigChecker;

/// Collects the evidence for `audit` and `doctor`. Changes nothing.
pub struct Diagnostics {
    pub(in crate::engine) server: EjabberdClient,
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    pub(in crate::engine) configs: Arc<ConfigChecker>,
    pub(in crate::engine) probe: Arc<AuditProbe>,
    pub(in crate::engine) secrets: Arc<dyn Secrets>,
    pub(in crate::engine) proxy: Arc<dyn ReverseProxy>,
}
