//! Floor 1: from the text of `desired-state.yaml` to a [`DesiredState`].
mod desired;
pub use desired::*;
