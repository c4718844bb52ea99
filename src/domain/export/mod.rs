//! A live server as a desired state.
//!
//! Pure: [`Export::text`] writes a `desired-state.yaml` of what somebody else
//! [found](Found). It declares what is there and nothing else, so that the file
//! changes nothing at first. What cannot be declared is said in a comment.

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
