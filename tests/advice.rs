//! What a person can do wrong on the command line: each message names what is
//! wrong and what to do next, and the exit status is the right one. None of
//! this needs a server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ejabberd_operator::adapters::sqlite::SqliteStore;

const FILE: &str = "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: { name: test }\n\
    spec:\n  host: example.org\n  hosts: [example.net]\n  server: { docker: { container: nobody, engine: \"unix://absent.sock\" } }\n  \
    users: [{ name: ann }]\n";

fn place() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("desired-state.yaml"), FILE).unwrap();
    directory
}

/// Runs it, and expects that exit status and each of those words in what is said.
fn says(place: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let out = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"))
        .current_dir(place)
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("STATE_DIRECTORY")
        .output()
        .unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains("error: "), "{arguments:?}: {said}");
    // A sentence that was not finished: an error that completes "failed to …" put elsewhere.
    for bad in ["failed to the", "failed to `", "``", "os error 0"] {
        assert!(!said.contains(bad), "{arguments:?}: {said}");
    }
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
    }
}

#[test]
fn names_that_cannot_be() {
    let place = place();
    let place = place.path();
    for name in ["", "a b", "@", "a@b@c", "a@", "ann\u{1b}[2J"] {
        says(place, &["adopt", name], 1, &["cannot be a name", "NAME@HOST"]);
        says(place, &["secret", name], 1, &["cannot be a name", "NAME@HOST"]);
        let owned = ["is owned", "`inventory`"];
        if name.is_empty() {
            says(place, &["forget", name], 1, &["give the full name", "`inventory`"]);
        } else {
            says(place, &["forget", name], 1, &owned);
        }
    }
    for host in ["", "a b"] {
        says(place, &["forget", "--host", host], 1, &["cannot be a host", "`inventory`"]);
    }
    says(place, &["forget", "--host", "example.com"], 1, &["example.com", "`inventory`"]);
    says(place, &["adopt", "bob@elsewhere.org"], 1, &["example.org, example.net", "NAME@HOST"]);
    says(place, &["adopt", "hall", "--kind", "room"], 1, &["NAME@SERVICE"]);
    says(place, &["adopt", "ann"], 1, &["declared", "by itself"]);
    says(place, &["secret", "ann"], 1, &["passwordFrom"]);
}

#[test]
fn what_is_not_there() {
    let place = place();
    let place = place.path();
    let elsewhere = ["--desired-state", "nowhere.yaml", "plan"];
    says(place, &elsewhere, 1, &["nowhere.yaml", "no such file", "--desired-state"]);
    fs::create_dir(place.join("empty")).unwrap();
    let empty = ["--desired-state", "empty", "validate"];
    says(place, &empty, 1, &["*.yaml", "--desired-state"]);
    says(place, &["--desired-state", "/dev/null", "plan"], 1, &["--desired-state"]);
    says(place, &["status"], 1, &["no operator", "ejabberd-operator run", "--state-dir"]);
    says(place, &["rollback"], 1, &["`history`"]);
    says(place, &["rollback", "abc"], 1, &["six digits", "`history`"]);
    says(place, &["rollback", "abcdef012345"], 1, &["abcdef012345", "`history`"]);
    says(place, &["plan"], 1, &["incomplete", "fix the causes"]);
    says(place, &["plan", "--output", "json"], 1, &["absent.sock", "dockerd"]);
    let export = ["export", "--container", "c", "--engine", "unix://absent.sock", "--output", "o"];
    says(place, &export, 1, &["absent.sock", "--engine"]);
    assert!(!place.join("o").exists());
}

#[test]
fn what_is_taken_or_closed() {
    let place = place();
    let place = place.path();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    says(place, &["run", "--listen", &address], 1, &[&address, "--listen"]);
    let _other = SqliteStore::open(&place.join("state")).unwrap();
    for command in ["run", "apply"] {
        let words = ["state", "another operator", "stop that operator", "--state-dir"];
        says(place, &["--state-dir", "state", command], 1, &words);
    }
    fs::write(place.join("file"), "").unwrap();
    for command in ["apply", "plan", "inventory", "status", "history", "retry"] {
        let words = ["file", "not a directory", "--state-dir"];
        says(place, &["--state-dir", "file", command], 1, &words);
    }
    says(place, &["--state-dir", "/proc/none", "apply"], 1, &["/proc/none", "--state-dir"]);
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A pipe in the state directory blocks no command and no signal.
#[test]
fn a_pipe_in_the_state_directory_blocks_nothing() {
    let place = place();
    let place = place.path();
    for (number, name) in ["state.sqlite", "state.sqlite-wal", "endpoint"].iter().enumerate() {
        let state = format!("state-{number}");
        fs::create_dir(place.join(&state)).unwrap();
        fifo(&place.join(&state).join(name));
        for command in ["run", "apply"] {
            says(place, &["--state-dir", &state, command], 1, &[name, "no file"]);
        }
        for command in ["status", "plan", "inventory", "history", "events", "doctor", "retry"] {
            let reader = Operator::start(place, &["--state-dir", &state, command]);
            reader.wait(command);
        }
    }

    let args = ["--state-dir", "state", "run", "--listen", "127.0.0.1:0"];
    let running = Operator::start(place, &args);
    let state = place.join("state");
    wait("the operator listens", || state.join("endpoint").exists());
    for entry in fs::read_dir(&state).unwrap() {
        let path = entry.unwrap().path();
        fs::remove_file(&path).unwrap();
        fifo(&path);
    }
    // Read-only commands that look for this operator.
    says(place, &["--state-dir", "state", "status"], 1, &["no file", "remove it"]);
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    running.wait("SIGTERM ends the operator");
}

/// The operator, which is killed if a test fails.
struct Operator(Child);

impl Operator {
    /// Starts it, and reads nothing that it prints.
    fn start(place: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"));
        command.current_dir(place).args(arguments).env_remove("STATE_DIRECTORY");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn wait(mut self, what: &str) {
        wait(what, || self.0.try_wait().unwrap().is_some());
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn arguments_that_are_wrong() {
    let place = place();
    let place = place.path();
    says(place, &["pan"], 64, &["'plan'", "--help"]);
    says(place, &["plan", "--output", "xml"], 64, &["text, json"]);
    says(place, &["run", "--listen", "9565"], 64, &["127.0.0.1:9565"]);
    says(place, &["run", "--resync", "1ms"], 64, &["between 100ms and 24h"]);
    says(place, &["run", "--resync", "soon"], 64, &["30s"]);
    says(place, &["forget"], 64, &["<NAME>"]);
    says(place, &["completions", "tcsh"], 64, &["bash"]);
}
