//! ejabberd-operator
pub mod control;
pub mod diff;
pub mod engine;
pub mod erlang;
pub mod inventory;
pub mod model;
pub mod observed;
pub mod plan;
pub mod runtime;
pub mod spec;
pub mod status;
pub mod web;
