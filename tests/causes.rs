//! Tests the causes that the operator derives from logs of real servers whose start failed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/golden.rs"]
mod golden;

use std::fmt::Write as _;
use std::path::Path;

use ejabberd_operator::domain::supervision::{Cause, EndedWhile, Ending};

/// The directory of the logs and of the expected causes.
const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/causes");

/// Reads the logs `VERSION/CASE.EXITCODE.log` below [`LOGS`]. Returns the name, the exit code and
/// the lines of each log, sorted by name.
fn logs() -> Vec<(String, i64, Vec<String>)> {
    let mut found = Vec::new();
    for version in std::fs::read_dir(LOGS).unwrap().map(|entry| entry.unwrap().path()) {
        for log in std::fs::read_dir(&version).into_iter().flatten() {
            let log = log.unwrap().path();
            let part = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
            let name = part(&log);
            let [case, exit_code, _] = name.split('.').collect::<Vec<_>>()[..] else {
                panic!("{name} is not CASE.EXITCODE.log")
            };
            let text = std::fs::read_to_string(&log).unwrap();
            let lines = text.lines().map(str::to_owned).collect();
            let name = format!("{}/{case}", part(&version));
            found.push((name, exit_code.parse().unwrap(), lines));
        }
    }
    found.sort();
    found
}

#[test]
fn the_first_error_with_a_reason_explains_a_failed_start() {
    let expected = Path::new(LOGS).join("expected.txt");
    let mut text = "# The cause of each log; UPDATE_GOLDEN=1 rewrites this file.\n".to_owned();
    for (name, exit_code, log) in logs() {
        let ending = Ending { exit_code: Some(exit_code), log, ..Ending::default() };
        let Cause { reason, message, cure, config } = Cause::of(&ending, EndedWhile::Starting);
        let blamed = if config { ", for its configuration" } else { "" };
        writeln!(text, "\n{name}: {reason}{blamed}\n  {message}").unwrap();
        cure.iter().for_each(|cure| writeln!(text, "  -> {cure}").unwrap());
    }
    golden::assert_golden(&expected, &text);
}
