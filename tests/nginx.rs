//! Runs the checks of the site in `manifests/nginx` with a real nginx. The checks are in
//! `tests/nginx/check.py`; `scripts/test` installs nginx.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

fn check(arguments: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut check = Command::new("python3");
    check.arg(root.join("tests/nginx/check.py")).args(arguments);
    let output = check.output().expect("scripts/test needs python3");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}

#[test]
fn the_site_of_nginx_serves_only_the_mcp_server_within_limits() {
    check(&[]);
}

/// Each check fails if the line of the site that the check is for is missing or wrong.
#[test]
fn the_checks_notice_faults_of_the_site() {
    check(&["--faults"]);
}
