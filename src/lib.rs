//! Keeps a live ejabberd in agreement with a `desired-state.yaml`.
//!
//! This page is the map of the code; how to use the program is in `README.md`.
//!
//! # How data flows
//!
//! ```text
//! desired-state.yaml ─ source ─► spec::validate ─► DesiredState ─┐
//!                                                                ├─► diff ─► plan ─► guard ─► steps
//! live ejabberd ─ runtime, control ─► ObservedState ─────────────┤                             │
//! state directory ─ store ─► Inventory ──────────────────────────┘                             │
//!        ▲                                                                                     │
//!        └───── outcomes, read back ◄── runtime, control ◄──────────────────────────── apply ◄─┘
//! ```
//!
//! # The folders
//!
//! A folder uses itself and the folders above it in this table. Adapters do not use each
//! other, except for [`adapters::host`]. `tests/layers.rs` reads every path in the code
//! and fails otherwise.
//!
//! | folder | what is in it |
//! |---|---|
//! | [`domain`] | pure: no I/O, clock, randomness or async. [`domain::spec`], the file from text to [`domain::spec::DesiredState`]; [`domain::observed`]; [`domain::inventory`]; [`domain::diff()`](domain::diff::diff); [`domain::plan()`](domain::plan::plan) with the guard; the state machines [`domain::supervision`] and [`domain::rollout`]; [`domain::status`]; [`domain::checks`], which judge what `audit` and `doctor` collected; [`domain::export`]; [`domain::configuration`], the reader of `ejabberd.yml` |
//! | [`ejabberd`] | ejabberd's commands, typed, with the traps of each version ([`ejabberd::EjabberdClient`]); the port that carries them ([`ejabberd::Control`]); the Erlang programs that run beside the server |
//! | [`engine`] | the ports to the runtime, the store, the secrets and the source; `reconcile`, one reconciliation ([`engine::Engine::round`]); `rollout`, behind a health gate; `supervisor` ([`engine::Supervisor`]); `diagnostics`; `controller`, the loop ([`engine::Controller`]) |
//! | [`adapters`] | `docker`, `process`, `session`, `ejabberdctl`, `sqlite`, `source`, `secrets`, `metrics`, `web`; and `host`, which opens every file outside the state directory |
//! | [`cli`] | the commands, and which adapters serve which server |
//!
//! # Where to begin
//!
//! [`engine::Engine::round`] is the whole program in one function: observe, diff, plan,
//! guard, apply, read back. [`domain::diff::diff`] decides what differs,
//! [`domain::plan::plan`] what may be done about the differences.
//!
//! Inside `engine::reconcile`, `observe` reads, `database` decides whether the operator
//! manages the database that it found, `ownership` updates the inventory, `deferral` takes
//! out the steps that have to wait, `server_phase` and `apply` carry out the rest, and
//! `retry` and `contention` keep what is tried again. `origin` leaves a container that
//! the operator did not create to its owner. Inside `engine::rollout`, `check` has
//! ejabberd judge a new configuration before any client is interrupted, `gate` decides
//! whether the changed server is healthy, and `replacement` exchanges the container.
//!
//! A server that died does not wait for the next reconciliation:
//! [`domain::supervision::Supervision`] decides, and [`engine::Supervisor`] acts.

pub mod adapters;
pub mod cli;
pub mod domain;
pub mod ejabberd;
pub mod engine;
