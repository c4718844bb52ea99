//! The log of the built program, in each format.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::host::{Host, eventually, get};

/// Creates a directory with a desired state whose engine does not exist. The desired state causes a
/// warning of several lines.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let file = format!(
        "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: {{ name: test }}\n\
         spec:\n  host: example.org\n  server: {{ docker: {{ container: absent, engine: \"unix://{}\" }} }}\n  \
         users: [{{ name: ann, password: guess-me-not }}]\n",
        directory.path().join("absent.sock").display()
    );
    fs::write(directory.path().join("desired-state.yaml"), file).unwrap();
    directory
}

fn operator(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"));
    command.current_dir(directory).args(["run", "--listen", "127.0.0.1:0"]).args(arguments);
    for name in ["JOURNAL_STREAM", "EJABBERD_OPERATOR_LOG", "EJABBERD_OPERATOR_LOG_FORMAT"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn stop(child: &mut Child) {
    let id = child.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    child.wait().unwrap();
}

/// Returns the log of a whole run. Ends the run as soon as the log reports the missing engine.
fn log(mut command: Command) -> Vec<String> {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("absent.sock") {
            let id = child.id().to_string();
            assert!(Command::new("kill").arg(&id).status().unwrap().success());
        }
        lines.push(line);
    }
    child.wait().unwrap();
    assert!(lines.len() > 3, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("guess-me-not")), "{lines:#?}");
    lines
}

/// Checks that every line has a time and a level, or is indented because it continues a line.
fn is_text(lines: &[String]) {
    for line in lines {
        if line.starts_with("    ") {
            continue;
        }
        let (time, rest) = line.split_once(' ').unwrap();
        time.parse::<jiff::Timestamp>().unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(time.len(), "2026-01-01T00:00:00Z".len(), "{line}");
        let level = rest.split_whitespace().next().unwrap();
        assert!(["ERROR", "WARN", "INFO"].contains(&level), "{line}");
    }
}

#[test]
fn the_text_format_has_a_time_and_a_level() {
    let directory = directory();
    let lines = log(operator(directory.path(), &[]));
    is_text(&lines);
    assert!(lines[0].contains(" INFO  started address=127.0.0.1:"), "{lines:#?}");
    let problem =
        lines.iter().position(|line| line.contains("WARN  desired-state.yaml:7")).unwrap();
    assert!(lines[problem + 1].starts_with("    "), "the source line is indented: {lines:#?}");
}

#[test]
fn the_json_format_has_one_object_on_each_line() {
    let directory = directory();
    let mut command = operator(directory.path(), &["--log-format", "json"]);
    command.env("EJABBERD_OPERATOR_LOG", "debug");
    let mut in_rounds = 0;
    for line in log(command) {
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        event["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert!(event["level"].is_string() && event["fields"]["message"].is_string(), "{line}");
        let rounds = event["spans"].as_array().into_iter().flatten();
        for round in rounds.filter(|span| span["name"] == "round") {
            assert!(round["number"].as_u64().unwrap() > 0, "{line}");
            assert_eq!(round["revision"].as_str().unwrap().len(), 12, "{line}");
            in_rounds += 1;
        }
    }
    assert!(in_rounds > 0, "no line names its round");
}

/// Checks that every line has a priority and no time.
fn is_for_the_journal(lines: &[String]) {
    let priorities = ["<3>", "<4>", "<6>", "<7>"];
    for line in lines {
        assert!(priorities.iter().any(|priority| line.starts_with(priority)), "{line}");
    }
    assert!(lines[0].starts_with("<6>started "), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("<4>")), "{lines:#?}");
}

#[test]
fn the_journal_format_has_priorities_and_no_time() {
    let directory = directory();
    is_for_the_journal(&log(operator(directory.path(), &["--log-format", "journald"])));
    let mut command = operator(directory.path(), &[]);
    command.env("EJABBERD_OPERATOR_LOG_FORMAT", "journald");
    is_for_the_journal(&log(command));
}

#[test]
fn device_and_inode_identify_the_journal() {
    for (ours, check) in [(true, is_for_the_journal as fn(&[String])), (false, is_text)] {
        let directory = directory();
        let path = directory.path().join("stderr");
        let file = File::create(&path).unwrap();
        let stat = file.metadata().unwrap();
        let inode = if ours { stat.ino() } else { stat.ino() + 1 };
        let mut command = operator(directory.path(), &[]);
        command.env("JOURNAL_STREAM", format!("{}:{inode}", stat.dev()));
        let mut child = command.stderr(file).spawn().unwrap();
        let read = || fs::read_to_string(&path).unwrap();
        eventually("an observation", Duration::from_secs(30), || read().contains("absent.sock"));
        stop(&mut child);
        check(&read().lines().map(str::to_owned).collect::<Vec<_>>());
    }
}

#[test]
fn an_invalid_level_is_reported() {
    let directory = directory();
    let mut command = operator(directory.path(), &[]);
    command.env("EJABBERD_OPERATOR_LOG", "=verbose=");
    let lines = log(command);
    assert!(lines[0].contains("EJABBERD_OPERATOR_LOG") && lines[0].contains("debug"), "{lines:#?}");
}

/// Returns the number of rounds so far.
fn rounds(host: &Host) -> u64 {
    let (_, metrics) = get(&host.endpoint(), "/metrics").unwrap();
    let name = "ejabberd_operator_reconcile_duration_seconds_count ";
    let count = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    count.parse().unwrap()
}

/// On a real server, a normal start logs no warning. The operator logs one line for each step and
/// for each round that changes something, and nothing for a round without a change.
#[test]
fn one_line_for_each_step_and_silence_when_nothing_happens() {
    let host = Host::new("newest");
    host.declare("  users: [{ name: ann, passwordFrom: { file: secret } }]\n");
    fs::write(host.path("secret"), "guess-me-not\n").unwrap();
    let arguments = ["run", "--listen", "127.0.0.1:0", "--resync", "1s", "--log-format", "json"];
    let operator = host.start(&arguments, "run.log");
    let read = || fs::read_to_string(host.path("run.log")).unwrap();
    let ready = || host.run(&["status"]).code == Some(0);
    eventually("Ready", Duration::from_mins(2), ready);
    // Waits for two more rounds, so that the log has all lines of the start.
    let now = rounds(&host);
    eventually("two rounds", Duration::from_mins(1), || rounds(&host) >= now + 2);
    let before = read();
    eventually("three rounds", Duration::from_mins(1), || rounds(&host) >= now + 5);
    assert_eq!(read(), before, "a line without a change");
    drop(operator);
    let events: Vec<Value> = before.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(!before.contains("guess-me-not"));
    let level = |event: &&Value, level: &str| event["level"] == level;
    let alarms: Vec<&Value> =
        events.iter().filter(|e| level(e, "WARN") || level(e, "ERROR")).collect();
    assert!(alarms.is_empty(), "a normal start warns: {alarms:#?}");
    let created = |span: &Value| {
        let of = (&span["name"], &span["kind"], &span["op"], &span["object"]);
        of.0 == "step" && of.1 == "user" && of.2 == "create" && of.3 == "ann@test.example"
    };
    let steps =
        events.iter().filter(|event| event["spans"].as_array().into_iter().flatten().any(created));
    assert_eq!(steps.count(), 1, "one step, one line: {before}");
    let over = events.iter().filter(|e| e["fields"]["message"] == "the round is over");
    assert!(over.count() >= 1, "{before}");
}
