//! Assembles the engine of one server from its parts.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::diagnostics::Diagnostics;
use super::diagnostics::audit_probe::AuditProbe;
use super::ports::Ports;
use super::reconcile::database::Databases;
use super::reconcile::generation::Generations;
use super::reconcile::passwords::Passwords;
use super::reconcile::recheck::RecheckBudget;
use super::reconcile::round::Reconciler;
use super::rollout::check::{ConfigChecker, Verdicts};
use super::rollout::execute::RolloutExecutor;
use super::supervisor::Supervisor;
use super::supervisor::meter::Meter;
use crate::ejabberd::EjabberdClient;

/// The engine of one server. The parts of the engine share the ports and the supervisor.
pub struct Engine {
    /// The client for the commands of the server.
    pub server: EjabberdClient,
    /// The supervisor, which keeps the server running.
    pub(in crate::engine) supervisor: Arc<Supervisor>,
    /// The reconciler of the server.
    pub reconciler: Reconciler,
    /// The collector of evidence for `audit` and `doctor`.
    pub diagnostics: Arc<Diagnostics>,
    /// The checker of configurations, which also remembers which configurations proved good or
    /// failed.
    pub configs: Arc<ConfigChecker>,
    /// The identification of the database that the operator manages.
    pub databases: Arc<Databases>,
}

impl Engine {
    /// Creates an engine for a caller without a running supervisor: the reconciler itself waits for
    /// each start of the server.
    #[must_use]
    pub fn new(ports: Ports, supervisor: Arc<Supervisor>, recheck_budget: RecheckBudget) -> Self {
        let Ports { server, runtime, store, secrets, proxy, events } = ports;
        let databases = Arc::new(Databases {
            server: server.clone(),
            runtime: Arc::clone(&runtime),
            store: Arc::clone(&store),
            generations: Generations::default(),
        });
        let passwords =
            Arc::new(Passwords { store: Arc::clone(&store), secrets: Arc::clone(&secrets) });
        let probe = Arc::new(AuditProbe {
            server: server.clone(),
            runtime: Arc::clone(&runtime),
            databases: Arc::clone(&databases),
        });
        let configs = Arc::new(ConfigChecker {
            server: server.clone(),
            runtime: Arc::clone(&runtime),
            store: Arc::clone(&store),
            secrets: Arc::clone(&secrets),
            databases: Arc::clone(&databases),
            probe: Arc::clone(&probe),
            verdicts: Verdicts::default(),
        });
        let diagnostics = Arc::new(Diagnostics {
            server: server.clone(),
            runtime: Arc::clone(&runtime),
            configs: Arc::clone(&configs),
            probe: Arc::clone(&probe),
            secrets: Arc::clone(&secrets),
            proxy,
        });
        let rollouts = Arc::new(RolloutExecutor {
            server: server.clone(),
            runtime: Arc::clone(&runtime),
            store: Arc::clone(&store),
            events: Arc::clone(&events),
            supervisor: Arc::clone(&supervisor),
            configs: Arc::clone(&configs),
            databases: Arc::clone(&databases),
            passwords: Arc::clone(&passwords),
            probe,
            diagnostics: Arc::clone(&diagnostics),
        });
        let reconciler = Reconciler {
            server: server.clone(),
            meter: Meter::new(Arc::clone(&runtime)),
            runtime,
            store,
            secrets,
            events,
            recheck_budget,
            supervisor: Arc::clone(&supervisor),
            tidied: AtomicBool::default(),
            supervised: false,
            passwords,
            databases: Arc::clone(&databases),
            configs: Arc::clone(&configs),
            rollouts,
        };
        Self { server, supervisor, reconciler, diagnostics, configs, databases }
    }

    /// Returns this engine for a caller that runs [`Supervisor::supervise`] at the same time: the
    /// reconciler leaves starts of the server to the supervisor.
    #[must_use]
    pub fn supervised(mut self) -> Self {
        self.reconciler.supervised = true;
        self
    }
}
