//! ejabberd-operator
pub mod model;
pub mod spec;
