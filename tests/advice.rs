//! Mistakes on the command line: each message names the problem and the next step, and the exit
//! status is correct. These tests need no server.

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
use ejabberd_operator::domain::model::{Kind, ObjectKey};
use ejabberd_operator::engine::Store;

const FILE: &str = "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: { name: test }\n\
    spec:\n  host: example.org\n  hosts: [example.net]\n  server: { docker: { container: absent, engine: \"unix://absent.sock\" } }\n  \
    users: [{ name: ann }]\n";

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("desired-state.yaml"), FILE).unwrap();
    directory
}

/// Runs the program. Fails the test unless the exit status is `code` and the error message contains
/// all `words`.
fn says(directory: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let out = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"))
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("STATE_DIRECTORY")
        .output()
        .unwrap();
    let stderr = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains("error: "), "{arguments:?}: {stderr}");
    // These strings show a badly built message: "failed to" without a verb, an empty name, or an
    // error without a cause.
    for bad in ["failed to the", "failed to `", "``", "os error 0"] {
        assert!(!stderr.contains(bad), "{arguments:?}: {stderr}");
    }
    for word in words {
        assert!(stderr.contains(word), "{arguments:?} does not print {word:?}: {stderr}");
    }
}

#[test]
fn invalid_names_are_explained() {
    let directory = directory();
    let directory = directory.path();
    for name in ["", "a b", "@", "a@b@c", "a@", "ann\u{1b}[2J"] {
        says(directory, &["adopt", name], 1, &["cannot be a name", "NAME@HOST"]);
        says(directory, &["secret", name], 1, &["cannot be a name", "NAME@HOST"]);
        let owned = ["owns no", "`inventory`"];
        if name.is_empty() {
            says(directory, &["forget", name], 1, &["give the full name", "`inventory`"]);
        } else {
            says(directory, &["forget", name], 1, &owned);
        }
    }
    for host in ["", "a b"] {
        says(directory, &["forget", "--host", host], 1, &["cannot be a host", "`inventory`"]);
    }
    says(directory, &["forget", "--host", "example.com"], 1, &["example.com", "`inventory`"]);
    says(directory, &["adopt", "bob@elsewhere.org"], 1, &["example.org, example.net", "NAME@HOST"]);
    says(directory, &["adopt", "hall", "--kind", "room"], 1, &["NAME@SERVICE"]);
    says(directory, &["adopt", "ann"], 1, &["declared", "in the next round"]);
    says(directory, &["secret", "ann"], 1, &["passwordFrom"]);
}

#[test]
fn missing_files_and_records_are_explained() {
    let directory = directory();
    let directory = directory.path();
    let elsewhere = ["--desired-state", "nowhere.yaml", "plan"];
    says(directory, &elsewhere, 1, &["nowhere.yaml", "no such file", "--desired-state"]);
    fs::create_dir(directory.join("empty")).unwrap();
    let empty = ["--desired-state", "empty", "validate"];
    says(directory, &empty, 1, &["*.yaml", "--desired-state"]);
    says(directory, &["--desired-state", "/dev/null", "plan"], 1, &["--desired-state"]);
    says(directory, &["status"], 1, &["no operator", "ejabberd-operator run", "--state-dir"]);
    says(directory, &["rollback"], 1, &["`history`"]);
    says(directory, &["rollback", "abc"], 1, &["six digits", "`history`"]);
    says(directory, &["rollback", "abcdef012345"], 1, &["abcdef012345", "`history`"]);
    says(directory, &["plan"], 1, &["incomplete", "fix the causes"]);
    says(directory, &["plan", "--output", "json"], 1, &["absent.sock", "dockerd"]);
    let export = ["export", "--container", "c", "--engine", "unix://absent.sock", "--output", "o"];
    says(directory, &export, 1, &["absent.sock", "--engine"]);
    assert!(!directory.join("o").exists());
}

fn prints(directory: &Path, arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"))
        .current_dir(directory)
        .args(["--state-dir", "state"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn registered_objects_are_listed_refused_by_adopt_and_removed_by_forget() {
    let directory = directory();
    let directory = directory.path();
    let names = [(Kind::User, "bot@example.org"), (Kind::Room, "bot@conference.example.org")];
    let keys = names.map(|(kind, name)| ObjectKey::parse(kind, name).unwrap());
    {
        let store = SqliteStore::open(&directory.join("state")).unwrap();
        store.record_registered("agents", jiff::Timestamp::UNIX_EPOCH, &keys).unwrap();
    }
    let text = prints(directory, &["inventory"]);
    for (kind, name) in names {
        let line = text.lines().find(|line| line.contains(name)).unwrap();
        assert!(
            line.starts_with(kind.as_str()) && line.ends_with("registered by agents"),
            "{text}"
        );
    }
    let list = prints(directory, &["inventory", "--output", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let expected = serde_json::json!({
        "kind": "user", "name": "bot@example.org", "origin": "registered",
        "since": "1970-01-01T00:00:00Z", "revision": "", "deletionPolicy": "retain",
        "banned": null, "registeredBy": "agents",
    });
    assert_eq!((list.as_array().unwrap().len(), &list[0]), (2, &expected));

    let state = ["--state-dir", "state"];
    let why = ["not adopted", "client `agents`", "`state: absent`", "forget bot@example.org`"];
    says(directory, &[&state[..], &["adopt", "bot"]].concat(), 1, &why);
    says(directory, &[&state[..], &["forget", "bot"]].concat(), 1, &["can mean", "--kind"]);
    let text = prints(directory, &["forget", "bot", "--kind", "room"]);
    assert_eq!(text, "room bot@conference.example.org is no longer registered.\n");
    let text = prints(directory, &["forget", "--host", "example.org"]);
    assert_eq!(text, "user bot@example.org is no longer registered.\n");
    assert_eq!(prints(directory, &["inventory"]), "The operator owns no objects yet.\n");
}

#[test]
fn addresses_and_directories_in_use_are_explained() {
    let directory = directory();
    let directory = directory.path();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    says(directory, &["run", "--listen", &address], 1, &[&address, "--listen"]);
    let _other = SqliteStore::open(&directory.join("state")).unwrap();
    for command in ["run", "apply"] {
        let words = ["state", "another operator", "stop that operator", "--state-dir"];
        says(directory, &["--state-dir", "state", command], 1, &words);
    }
    fs::write(directory.join("file"), "").unwrap();
    for command in ["apply", "plan", "inventory", "status", "history", "retry"] {
        let words = ["file", "not a directory", "--state-dir"];
        says(directory, &["--state-dir", "file", command], 1, &words);
    }
    says(directory, &["--state-dir", "/proc/none", "apply"], 1, &["/proc/none", "--state-dir"]);
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A pipe in the state directory blocks no command and no signal.
#[test]
fn a_pipe_in_the_state_directory_blocks_nothing() {
    let directory = directory();
    let directory = directory.path();
    for (number, name) in ["state.sqlite", "state.sqlite-wal", "endpoint"].iter().enumerate() {
        let state = format!("state-{number}");
        fs::create_dir(directory.join(&state)).unwrap();
        fifo(&directory.join(&state).join(name));
        for command in ["run", "apply"] {
            says(directory, &["--state-dir", &state, command], 1, &[name, "no file"]);
        }
        for command in ["status", "plan", "inventory", "history", "events", "doctor", "retry"] {
            let reader = Operator::start(directory, &["--state-dir", &state, command]);
            reader.wait(command);
        }
    }

    let args = ["--state-dir", "state", "run", "--listen", "127.0.0.1:0"];
    let running = Operator::start(directory, &args);
    let state = directory.join("state");
    wait("the operator listens", || state.join("endpoint").exists());
    for entry in fs::read_dir(&state).unwrap() {
        let path = entry.unwrap().path();
        fs::remove_file(&path).unwrap();
        fifo(&path);
    }
    // `status` looks for the endpoint of the running operator, which is now a pipe.
    says(directory, &["--state-dir", "state", "status"], 1, &["no file", "remove it"]);
    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    running.wait("SIGTERM ends the operator");
}

/// A process of the program. Dropping the value kills the process, also if the test fails.
struct Operator(Child);

impl Operator {
    /// Starts the program and discards its output.
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"));
        command.current_dir(directory).args(arguments).env_remove("STATE_DIRECTORY");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn wait(mut self, what: &str) {
        wait(what, || self.0.try_wait().unwrap().is_some());
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // `kill` fails if the process has already ended.
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
fn wrong_arguments_are_explained() {
    let directory = directory();
    let directory = directory.path();
    says(directory, &["pan"], 64, &["'plan'", "--help"]);
    says(directory, &["plan", "--output", "xml"], 64, &["text, json"]);
    says(directory, &["run", "--listen", "9565"], 64, &["127.0.0.1:9565"]);
    says(directory, &["run", "--resync", "1ms"], 64, &["between 100ms and 24h"]);
    says(directory, &["run", "--resync", "soon"], 64, &["30s"]);
    says(directory, &["forget"], 64, &["<NAME>"]);
    says(directory, &["completions", "tcsh"], 64, &["bash"]);
}
