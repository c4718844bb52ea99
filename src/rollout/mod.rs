//! Floor 2: changes of the configuration, as a state machine, and what of a
//! change needs a restart.

mod difference;
mod machine;

pub use difference::*;
pub use machine::*;
