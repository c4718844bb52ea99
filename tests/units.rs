//! Tests the exposure of the systemd units, the account of the MCP server, the file of
//! docker-compose, and the program with the rights of the unit for a server in Docker.

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
use std::path::{Path, PathBuf};
use std::process::Command;

use support::host::Host;
use support::watched::PEOPLE;

/// A unit, with the drop-in that makes the operator serve `spec.messaging`.
#[derive(Clone, Copy)]
struct Unit {
    name: &'static str,
    serves_messaging: bool,
}

/// Every unit, with and without the drop-in.
const UNITS: [Unit; 5] = [
    Unit { name: "ejabberd-operator.service", serves_messaging: false },
    Unit { name: "ejabberd-operator.service", serves_messaging: true },
    Unit { name: "ejabberd-operator-process.service", serves_messaging: false },
    Unit { name: "ejabberd-operator-process.service", serves_messaging: true },
    Unit { name: "ejabberd-operator-mcp.service", serves_messaging: false },
];

impl Unit {
    /// Writes the unit to `directory`. The settings of the drop-in follow those of the unit, as
    /// systemd reads them.
    fn write(self, directory: &Path) -> PathBuf {
        let manifests = Path::new("manifests/systemd");
        let mut text = fs::read_to_string(manifests.join(self.name)).unwrap();
        if self.serves_messaging {
            let drop_in = manifests.join("ejabberd-operator.service.d/messaging.conf");
            text += &fs::read_to_string(drop_in).unwrap();
        }
        // The program may not be installed on this machine.
        let text = text.replace("/usr/local/bin/ejabberd-operator", "/bin/true");
        let path = directory.join(self.name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The exposure by `systemd-analyze security`, from 0 to 10.
    fn exposure(self) -> f64 {
        let scratch = tempfile::tempdir().unwrap();
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=yes", "--no-pager"]).arg(self.write(scratch.path()));
        let output = analyze.output().expect("scripts/test installs systemd-analyze");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (_, level) = text.rsplit_once("Overall exposure level for ").expect(&text);
        let level = level.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        level.expect(&text)
    }
}

#[test]
fn the_exposure_of_each_unit_is_bounded() {
    for unit in UNITS {
        let bound = if unit.name == "ejabberd-operator-process.service" { 3.4 } else { 1.5 };
        let exposure = unit.exposure();
        assert!(
            exposure <= bound,
            "{}, messaging {}: {exposure}",
            unit.name,
            unit.serves_messaging
        );
    }
}

/// systemd only warns about an unknown option, so a misspelt option would have no effect.
#[test]
fn every_option_of_the_units_is_known() {
    for unit in UNITS {
        let scratch = tempfile::tempdir().unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no"]).arg(unit.write(scratch.path()));
        let output = verify.output().unwrap();
        let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
        let ours: Vec<&str> = warnings.lines().filter(|line| line.contains(unit.name)).collect();
        assert!(ours.is_empty(), "{warnings}");
    }
}

#[test]
fn the_account_of_the_mcp_server_has_the_name_in_the_units() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("etc")).unwrap();
    let mut create = Command::new("systemd-sysusers");
    create.arg(format!("--root={}", scratch.path().display()));
    let manifest = fs::canonicalize("manifests/systemd/ejabberd-mcp.sysusers").unwrap();
    let output = create.arg(manifest).output().expect("a program of the package systemd");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in ["etc/passwd", "etc/group"] {
        let text = fs::read_to_string(scratch.path().join(file)).unwrap();
        assert!(text.contains("ejabberd-mcp:"), "{file}: {text}");
    }
}

#[test]
fn docker_compose_accepts_the_file_with_all_parts() {
    let mut compose = Command::new("docker-compose");
    compose.args(["--file", "manifests/compose/docker-compose.yml", "config", "--quiet"]);
    compose.env("MCP_NAME", "mcp.example.org").env("DOCKER_GROUP", "999");
    let output = compose.output().expect("scripts/test installs docker-compose");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
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
