//! Floor 3: observes, plans and applies, again and again.
//!
//! Everything that touches the world goes through the traits of [`ports`].

mod command;
mod error;
mod ports;
mod report;
mod server;

pub use command::{Arg, Call, Shape, Value};
pub use error::{Class, ControlError, RuntimeError};
pub use ports::*;
pub use report::{ApplyError, RoundReport, StepOutcome, StepResult, Vitals};
pub use server::{Created, Server};
