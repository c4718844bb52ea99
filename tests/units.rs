//! Tests the exposure of the systemd units, and the program with the rights of the unit for a
//! server in Docker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;

use support::host::Host;
use support::watched::PEOPLE;

/// The exposure of a unit by `systemd-analyze security`, from 0 to 10.
fn exposure(unit: &str) -> f64 {
    let path = Path::new("manifests/systemd").join(unit);
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=yes", "--no-pager"]).arg(path);
    let output = analyze.output().expect("scripts/test installs systemd-analyze");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, level) = text.rsplit_once("Overall exposure level for ").expect(&text);
    let level = level.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    level.expect(&text)
}

#[test]
fn the_unit_for_docker_has_a_low_exposure() {
    let exposure = exposure("ejabberd-operator.service");
    assert!(exposure <= 1.5, "{exposure}");
}

#[test]
fn the_unit_for_a_process_has_a_bounded_exposure() {
    let exposure = exposure("ejabberd-operator-process.service");
    assert!(exposure <= 3.4, "{exposure}");
}

/// systemd only warns about an unknown option, so a misspelt option would have no effect.
#[test]
fn every_option_of_the_units_is_known() {
    for unit in ["ejabberd-operator.service", "ejabberd-operator-process.service"] {
        let scratch = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(Path::new("manifests/systemd").join(unit)).unwrap();
        // The program may not be installed on this machine.
        let text = text.replace("/usr/local/bin/ejabberd-operator", "/bin/true");
        let copy = scratch.path().join(unit);
        fs::write(&copy, text).unwrap();
        let mut verify = Command::new("systemd-analyze");
        let output = verify.args(["verify", "--man=no"]).arg(copy).output().unwrap();
        let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
        let ours: Vec<&str> = warnings.lines().filter(|line| line.contains(unit)).collect();
        assert!(ours.is_empty(), "{warnings}");
    }
}

/// A user id without an account on the host.
const NOBODY: u32 = 65_532;

/// Runs the program as an account in the group of Docker's socket, in a separate user namespace,
/// without capabilities.
#[test]
fn the_program_works_with_the_rights_of_the_unit_for_docker() {
    let host = Host::new("newest");
    let group = fs::metadata("/var/run/docker.sock").unwrap().gid();
    let open = |path: &Path| chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    let confined = |args: &[&str]| {
        open(&host.path(""));
        fs::read_dir(host.path("")).unwrap().for_each(|entry| open(&entry.unwrap().path()));
        let program = Path::new(env!("CARGO_BIN_EXE_ejabberd-operator"));
        // A build directory may be closed to other accounts.
        let copy = host.path("ejabberd-operator");
        fs::copy(program, &copy).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")])
            .args([format!("--groups={group}").as_str(), "--no-new-privs", "--bounding-set=-all"])
            .args(["unshare", "--user", "--"])
            .arg(copy)
            .env("EJABBERD_OPERATOR_DESIRED_STATE", host.file())
            .env("EJABBERD_OPERATOR_STATE_DIR", host.state())
            .args(args);
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&text));
    };
    host.declare(PEOPLE);
    confined(&["apply"]);
    assert_eq!(host.users(), ["ann", "bob", "gen"]);
    // An option that needs a reload, and an option that needs a restart.
    for option in ["max_fsm_queue: 900", "queue_type: file"] {
        let text = fs::read_to_string(host.path("ejabberd.yml")).unwrap();
        fs::write(host.path("ejabberd.yml"), format!("{option}\n{text}")).unwrap();
        confined(&["apply"]);
        confined(&["plan", "--detailed-exitcode"]);
    }
}
