//! Floor 3: observes, plans and applies, again and again.
//!
//! Everything that touches the world goes through the traits of [`ports`].

mod apply;
mod bulletin;
mod command;
mod conditions;
mod configuration;
mod contests;
mod controller;
mod doctor;
mod error;
mod evidence;
mod gate;
mod keeper;
mod latch;
mod lifecycle;
mod losses;
mod maintenance;
mod meter;
mod news;
mod observe;
mod orders;
mod origin;
mod ownership;
mod ports;
mod probe;
mod rechecks;
mod report;
mod retry;
mod rollout;
mod round;
mod server;
mod survey;

pub use bulletin::{Bulletin, record_round};
pub use command::{Arg, Call, Shape, Value};
pub use conditions::update as update_status;
pub use controller::{Connector, Controller, DELETIONS_AFTER};
pub use error::{Class, ControlError, RuntimeError, SecretError, SourceError, StoreError};
pub use keeper::Keeper;
pub use latch::{Latch, latch, lift_latch};
pub use meter::Meter;
pub use news::Told;
pub use orders::{Order, Orders};
pub use ownership::{adopt, forget};
pub use ports::*;
pub use rechecks::Rechecks;
pub use report::{ApplyError, RoundReport, STARTING, StepOutcome, StepResult, Vitals, step_span};
pub use round::{Confirm, Engine, Permission};
pub use server::{Created, Endpoint, Listener, NewRoom, NodePhase, Server, WholeGroup, WholeRoom};
