//! The operator adopts a container that another program created, with the configuration in a
//! mounted file, in a mounted directory or in the container itself. Later changes of the declared
//! configuration reach the server, and the operator does not replace the container.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use support::host::{Host, replace};
use support::real::{CONFIG, docker, image};
use support::situation::{Situation, Way};

const PEOPLE: &str = "  users: [{ name: ann, password: a }]\n";

/// Creates the container with the options `mount`, applies three changes of the configuration, and
/// checks the file in the container after each change.
fn changes_reach(host: &Host, mount: &[&str]) {
    let mut run = vec!["run", "-d", "--restart=always", "--name", host.container.as_str()];
    run.extend(mount);
    let image = image(&host.version);
    run.push(&image);
    docker(&run);
    let made = docker(&["inspect", "-f", "{{.Id}}", &host.container]);
    host.declare(PEOPLE);
    host.run(&["apply"]).expect(0);
    assert_eq!(host.users(), ["ann"]);
    for change in [
        ("loglevel: info", "loglevel: warning"),
        ("acl:", "net_ticktime: 30\nacl:"),
        ("loglevel: warning", "queue_type: file\nloglevel: warning"),
    ] {
        let text = fs::read_to_string(host.path("ejabberd.yml")).unwrap();
        let text = text.replacen(change.0, change.1, 1);
        replace(&host.path("ejabberd.yml"), &text);
        host.run(&["apply"]).expect(0);
        let inside = docker(&["exec", &host.container, "cat", "/home/ejabberd/conf/ejabberd.yml"]);
        assert_eq!(inside.trim(), text.trim(), "{change:?}");
        assert_eq!(host.users(), ["ann"]);
    }
    assert_eq!(docker(&["inspect", "-f", "{{.Id}}", &host.container]), made);
    let plan = host.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("restart policy"), "the plan does not name the restart policy: {plan}");
}

#[test]
fn changes_reach_a_mounted_file() {
    let host = Host::new("newest");
    let file = host.path("mounted.yml");
    fs::write(&file, CONFIG).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let inode = fs::metadata(&file).unwrap().ino();
    let mount = format!("{}:/home/ejabberd/conf/ejabberd.yml", file.display());
    changes_reach(&host, &["-v", &mount]);
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode);
    assert!(host.path("mounted.yml.before").exists(), "a copy of what it was");
}

#[test]
fn changes_reach_a_mounted_directory() {
    let host = Host::new("newest");
    let made = docker(&["create", &image("newest")]);
    let directory = host.path("conf");
    docker(&["cp", &format!("{made}:/home/ejabberd/conf"), directory.to_str().unwrap()]);
    docker(&["rm", "-v", &made]);
    let uid = docker(&["run", "--rm", "--entrypoint", "id", &image("newest"), "-u"]);
    let owned = Command::new("chown").args(["-R", &uid]).arg(&directory).status().unwrap();
    assert!(owned.success());
    let mount = format!("{}:/home/ejabberd/conf", directory.display());
    changes_reach(&host, &["-v", &mount]);
    assert!(directory.join("ejabberdctl.cfg").exists(), "what the image brought stays");
}

#[test]
fn changes_reach_a_container_without_mounts() {
    let host = Host::new("newest");
    changes_reach(&host, &[]);
}

/// Runs one case of `scripts/prove adopted`. The script runs all cases on five images.
fn proved(version: &'static str, way: Way) {
    let proved = Situation { version, way }.prove();
    for (step, took) in proved.steps {
        println!("{step} {took:?}");
    }
}

#[test]
fn mounted_directory_on_ecs() {
    proved("24.12-ecs", Way::Directory);
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn compose_on_ghcr() {
    proved("newest-ghcr", Way::Compose);
}

#[test]
#[ignore = "scripts/test --all runs it"]
fn single_file_on_debian() {
    proved("newest", Way::File);
}
