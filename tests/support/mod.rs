//! What the tests share. Each test binary uses a part of it.
#![allow(dead_code, reason = "every test binary compiles this, and none uses all of it")]

pub mod double;
pub mod host;
pub mod real;
