//! Keeps a live ejabberd in agreement with a `desired-state.yaml`.
//!
//! This page is the map of the code; how to use the program is in `README.md`.
//!
//! # The way of the data
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
//! # The floors
//!
//! A module uses only floors below its own, and adapters do not use each
//! other; `tests/floors.rs` reads the `use` lines and fails otherwise. Floors
//! 0 to 2 are pure: no I/O, no clock, no randomness.
//!
//! | floor | modules |
//! |---|---|
//! | 0 | [`model`]: names, kinds, revisions, secrets, versions; [`configuration`]: the one reader of `ejabberd.yml` |
//! | 1 | [`spec`]: the file, from text to [`spec::DesiredState`]; [`observed`]; [`inventory`]; [`status`]; [`database`]: which database a server has; [`erlang`]: the two small programs that run beside the server |
//! | 2 | [`diff`], [`plan`] with the guard; [`supervision`] and [`rollout`], the two state machines; [`audit`], the security checklist; [`doctor`], what may be wrong; [`export`], a live server as a file; [`overview`], how every object stands |
//! | 3 | [`engine`]: the ports (traits), the typed commands ([`engine::Server`]), one round ([`engine::Engine`]), the loop ([`engine::Controller`]), and beside it the keeper that supervises the server ([`engine::Keeper`]); [`files`], every file of the host outside the state directory |
//! | 4 | adapters: [`runtime`] (Docker, process), [`control`] (session, `ejabberdctl`), [`store`] (`SQLite`), [`source`] (files and their changes), [`secrets`], [`metrics`], [`web`] |
//! | 5 | [`cli`] |
//!
//! # Where to begin
//!
//! [`engine::Engine::round`] is the whole program in one function: observe,
//! diff, plan, guard, apply, read back. [`diff::diff`] decides what differs,
//! [`plan::plan`] what may be done about it, [`engine::Server`] knows
//! ejabberd's commands and their traps. Inside the engine `observe` reads,
//! `database` decides whether the operator manages the database that it found,
//! `ownership` brings the inventory up to date, `waiting` takes out what waits for
//! something, `apply` carries out the rest, and `retry` and `contests` keep what is
//! tried again. `check` has a new configuration judged before anybody is
//! interrupted, `replacement` decides about a new container, `origin` leaves a
//! container that the operator did not create to its owner, and `survey` reads a
//! whole server for `export`. A death is not left to the next round:
//! [`supervision::Supervision`] decides, and the keeper carries it out.

pub mod adapters;
pub mod cli;
pub mod domain;
pub mod ejabberd;
pub mod engine;
