//! Describes a running server as a desired state.
//!
//! This module does no input or output: [`Export::text`] writes a `desired-state.yaml` for the
//! [observed objects](Found). The file declares exactly these objects, so the file changes nothing on
//! the server. Comments describe what cannot be declared.

mod found;
mod objects;
mod room;
mod write;
mod yaml;

#[cfg(test)]
mod tests;

pub use found::{Account, Container, Export, Found, FoundGroup, FoundRoom, Part};
pub use room::describe as describe_room;
pub use yaml::quoted;
