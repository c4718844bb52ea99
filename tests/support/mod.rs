//! The code that the tests share. Each test binary uses a part of it.
#![allow(dead_code, reason = "every test binary compiles this, and none uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::cast_possible_wrap,
    clippy::unused_self,
    reason = "the double counts a handful of things, and its functions read as methods"
)]

pub mod bench;
pub mod client;
pub mod double;
pub mod findings;
pub mod host;
pub mod inside;
pub mod mcp;
pub mod messaging;
pub mod nginx;
pub mod objects;
pub mod real;
pub mod schemas;
pub mod shipped;
pub mod situation;
pub mod watched;
pub mod world;
