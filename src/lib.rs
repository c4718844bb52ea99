//! Keeps a live ejabberd in agreement with a `desired-state.yaml`.
//!
//! `README.md` explains how to use the program. `docs/architecture.md` lists the places of the
//! code and explains how to add a field, a runtime or an alert.
//!
//! # How data flows
//!
//! ```text
//! desired-state.yaml ─ source ─► spec::validate ─► DesiredState ─┐
//!                                                                ├─► diff ─► plan ─► guard ─►
//! steps
//! live ejabberd ─ runtime, control ─► ObservedState ─────────────┤                             │
//! state directory ─ store ─► Inventory ──────────────────────────┘                             │
//!        ▲                                                                                     │
//!        └───── outcomes, read back ◄── runtime, control ◄──────────────────────────── apply ◄─┘
//! ```
//!
//! # The folders
//!
//! A folder uses itself and the folders below it in this table. Adapters do not use each
//! other, except for [`adapters::host`]. `tests/layers.rs` reads every path in the code
//! and fails otherwise.
//!
//! | folder | content |
//! |---|---|
//! | [`cli`] | the commands, and which adapters serve which server |
//! | [`adapters`] | implementations of the ports, and `host`, which opens files outside the state directory |
//! | [`engine`] | the ports to the outside; reconciliation, rollout, supervisor and diagnostics; the loop |
//! | [`ejabberd`] | ejabberd's commands, typed, with the differences between versions; the port that carries them; the Erlang programs that run beside the server |
//! | [`domain`] | the rules, as pure functions: no I/O, clock, randomness or async |
//!
//! # Where to begin
//!
//! `engine::reconcile` is the center: observe, diff, plan, guard, apply, read back. It changes
//! the server first and the objects second. [`domain::diff::diff`] decides what differs, and
//! [`domain::plan::plan`] decides what the operator may do about the differences.
//!
//! A server that ended does not wait for the next reconciliation:
//! [`domain::supervision::Supervision`] decides, and the supervisor of [`engine`] acts.

pub mod adapters;
pub mod cli;
pub mod domain;
pub mod ejabberd;
pub mod engine;
