//! Tests that a hostile Erlang node or a hostile Docker engine costs the operator bounded memory
//! and time, and never ends the operator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "hostile/corpus.rs"]
mod corpus;
#[path = "hostile/engine/mod.rs"]
mod engine;
#[path = "hostile/far_end.rs"]
mod far_end;
#[path = "hostile/session.rs"]
mod session;
#[path = "hostile/terms.rs"]
mod terms;

/// Returns the peak memory of this process, in MiB. Nextest runs each test in a separate process.
fn peak_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
