//! Tests of bad input. The program prints one message with the next step, exits with a status other
//! than zero, and changes nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::time::Duration;

use support::host::{Host, Ran, eventually};
use support::real::docker;

fn says(ran: &Ran, words: &[&str]) {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(all.contains(word), "{word:?} is missing in\n{all}");
    }
}

fn no_container(host: &Host) {
    assert_eq!(
        docker(&["ps", "-aq", "--filter", &format!("name={}", host.container)]),
        "",
        "a container was created"
    );
    assert_eq!(
        docker(&["volume", "ls", "-q", "--filter", &format!("name={}", host.container)]),
        "",
        "a volume was created"
    );
}

#[test]
fn a_missing_broken_or_wrong_file_is_reported() {
    let host = Host::new("newest");
    says(&host.run(&["apply"]).expect(1), &["desired-state.yaml"]);
    fs::write(host.file(), "spec: [").unwrap();
    says(&host.run(&["apply"]).expect(1), &["desired-state.yaml:1:", "nothing was changed"]);
    host.declare("  usrs: []\n  rooms: [{ name: 'two words' }]\n");
    let ran = host.run(&["validate"]).expect(1);
    says(&ran, &["usrs", "users", "two words", "2 errors"]);
    host.declare("  users: [{ name: ann }, { name: ANN }]\n");
    says(&host.run(&["validate"]).expect(1), &["twice", "ann"]);
    host.declare("");
    let text =
        fs::read_to_string(host.file()).unwrap().replace("variant: test\n", "variant: tset\n");
    fs::write(host.file(), text).unwrap();
    says(&host.run(&["validate"]).expect(1), &["tset", "test"]);
    host.run(&["no-such-command"]).expect(64);
    host.run(&["run", "--resync", "soon"]).expect(64);
    no_container(&host);
}

#[test]
fn a_missing_or_silent_docker_engine_is_reported() {
    let host = Host::new("newest");
    let silent = std::os::unix::net::UnixListener::bind(host.path("silent.sock")).unwrap();
    for (socket, word) in [("absent.sock", "dockerd"), ("silent.sock", "no response")] {
        host.declare("");
        let engine = format!("network: bridge, engine: \"unix://{}\"", host.path(socket).display());
        let text = fs::read_to_string(host.file()).unwrap().replace("network: bridge", &engine);
        fs::write(host.file(), text).unwrap();
        says(&host.run(&["apply"]).expect(1), &["Docker engine", socket, word]);
        says(&host.run(&["plan"]).expect(1), &["Docker engine"]);
    }
    drop(silent);
    no_container(&host);
}

#[test]
fn a_missing_image_is_reported() {
    let host = Host::new("newest");
    host.declare("  users: [{ name: ann }]\n");
    let text = fs::read_to_string(host.file())
        .unwrap()
        .replace("ejabberd-operator/ejabberd:newest", "ejabberd-operator/no-such-image:1");
    fs::write(host.file(), text).unwrap();
    says(&host.run(&["apply"]).expect(1), &["no-such-image:1", "docker pull"]);
    no_container(&host);
}

#[test]
fn a_configuration_that_ejabberd_refuses_is_reported() {
    let host = Host::new("newest");
    fs::write(
        host.path("ejabberd.yml"),
        "hosts: [test.example]\nlisten: [{ port: many, module: ejabberd_c2s }]\n",
    )
    .unwrap();
    host.declare("  users: [{ name: ann }]\n");
    // If no server exists, the operator creates no container with a refused configuration.
    says(&host.run(&["apply"]).expect(1), &["ejabberd refuses it", "port"]);
    no_container(&host);
    // A running server keeps its configuration, and the operator applies the other changes.
    fs::write(host.path("ejabberd.yml"), support::real::CONFIG).unwrap();
    host.run(&["apply"]).expect(0);
    let started = docker(&["inspect", "-f", "{{.State.StartedAt}}", &host.container]);
    fs::write(host.path("ejabberd.yml"), "hosts: []\nno_such_option: 1\n").unwrap();
    host.declare("  users: [{ name: ann }, { name: bea }]\n");
    says(&host.run(&["apply"]).expect(1), &["ejabberd refuses it"]);
    assert_eq!(
        docker(&["inspect", "-f", "{{.State.StartedAt}}", &host.container]),
        started,
        "the server was restarted"
    );
    assert_eq!(host.users(), ["ann", "bea"], "one failing object never blocks the others");

    let operator = host.start(&["run", "--listen", "127.0.0.1:0"], "run.log");
    eventually("ConfigApplied=False", Duration::from_mins(1), || {
        let status = host.run(&["status", "--output", "json"]);
        serde_json::from_str::<serde_json::Value>(&status.stdout).is_ok_and(|status| {
            status["conditions"].as_array().unwrap().iter().any(|c| {
                c["type"] == "ConfigApplied" && c["status"] == "False" && c["reason"] == "Invalid"
            }) && status["conditions"]
                .as_array()
                .unwrap()
                .iter()
                .any(|c| c["type"] == "Degraded" && c["status"] == "True")
        })
    });
    drop(operator);
}

#[test]
fn a_missing_or_refused_secret_is_reported() {
    let host = Host::new("newest");
    host.declare(
        "  users:\n    - { name: ann, passwordFrom: { file: nowhere } }\n    - { name: bea, passwordFrom: { env: NO_SUCH_VARIABLE } }\n    \
         - { name: cleo, password: fine }\n    - { name: dora, passwordFrom: { file: emoji } }\n",
    );
    fs::write(host.path("emoji"), "🐘\n").unwrap();
    let ran = host.run(&["apply"]).expect(1);
    says(&ran, &["nowhere", "NO_SUCH_VARIABLE", "user dora"]);
    assert!(!ran.stdout.contains('🐘') && !ran.stderr.contains('🐘'), "the secret is shown");
    assert_eq!(host.users(), ["cleo"], "one failing object never blocks the others");
}
