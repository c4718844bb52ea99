//! The reconciliation engine: observes the server, plans the steps, and carries out the steps, in a
//! loop.
//!
//! The engine does all input and output through the traits of the module `ports`.

mod assembly;
mod controller;
mod diagnostics;
mod error;
mod messaging;
mod ports;
mod reconcile;
mod rollout;
mod supervisor;

pub use assembly::Engine;
pub use controller::conditions::update as update_status;
pub use controller::events::EventDeduplicator;
pub use controller::orders::{Order, Orders};
pub use controller::status_publisher::{StatusPublisher, record_round};
pub use controller::{Connector, Controller, DELETIONS_AFTER};
pub use diagnostics::Diagnostics;
pub use error::{RuntimeError, SecretError, SourceError, StoreError};
pub use messaging::{InForce, MessagingService, Views};
pub use ports::*;
pub use reconcile::database::{Databases, order_fill};
pub use reconcile::deferral::Deferral;
pub use reconcile::generation::{Generations, order_adoption};
pub use reconcile::origin::create_without_waiting;
pub use reconcile::ownership::{adopt, forget};
pub use reconcile::recheck::RecheckBudget;
pub use reconcile::report::{
    ApplyError, RoundReport, ServerStats, StepOutcome, StepResult, step_span,
};
pub use reconcile::round::{Permission, Reconciler, StalenessCheck};
pub use rollout::check::{ConfigChecker, Verdicts};
pub use rollout::latch::{Latch, latch, lift_latch};
pub use supervisor::Supervisor;
pub use supervisor::meter::Meter;
