//! The JSON Schemas of the output of commands: the schemas match the types, and the output matches
//! the schemas. Tests with a real server validate what each command prints, too.
//!
//! `UPDATE_GOLDEN=1` writes the schemas again. Read the difference before you commit the schemas.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/golden.rs"]
mod golden;
mod support;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ejabberd_operator::cli::output_schemas;
use ejabberd_operator::domain::model::{Digest, Kind, ObjectKey, Op, Revision};
use ejabberd_operator::domain::plan::NotInForce;
use ejabberd_operator::domain::status::{
    AuditStatus, BlockedStatus, ConditionType, Counts, EventDraft, Progress, Reason, ServerPhase,
    ServerStatus, Status, SupervisionStatus,
};
use jiff::Timestamp;
use support::schemas::{COMMANDS, assert_valid_output, path, validate};
use support::world::{Lab, declare};

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    let schemas = output_schemas();
    assert_eq!(schemas.each_ref().map(|(command, _)| *command), COMMANDS);
    for (command, schema) in schemas {
        let (path, now) = (path(command), serde_json::to_string_pretty(&schema).unwrap() + "\n");
        golden::assert_golden(&path, &now);
    }
}

#[test]
fn no_other_schema_is_committed() {
    let directory = path("plan").parent().unwrap().to_owned();
    let mut files: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files, COMMANDS.map(path));
}

#[test]
fn a_field_that_no_schema_names_is_refused() {
    let mut status = serde_json::to_value(Status::new(Timestamp::UNIX_EPOCH)).unwrap();
    validate("status", &status).unwrap();
    for at in ["", "/server", "/conditions/0"] {
        let mut more = status.clone();
        more.pointer_mut(at).unwrap()["colour"] = "blue".into();
        let error = validate("status", &more).unwrap_err();
        assert!(error.contains("colour"), "{at}: {error}");
    }
    status["conditions"][0]["lastTransitionTime"] = "yesterday".into();
    assert!(validate("status", &status).is_err());
}

/// A status in which no field is empty or null.
fn full_status() -> Status {
    let time = Timestamp::from_second(1_700_000_000).unwrap();
    let mut status = Status {
        instance: "i".to_owned(),
        name: "test".to_owned(),
        revision: Some(Revision::new("ab12")),
        variant: Some("hardened".to_owned()),
        config_digest: Some(Digest::new("cd34")),
        server: ServerStatus {
            up: true,
            process: "running".to_owned(),
            health: Some("healthy".to_owned()),
            version: Some("26.07".to_owned()),
            uptime_seconds: Some(7),
            registered_users: [("example.org".to_owned(), 3)].into(),
            connected_users: [("example.org".to_owned(), 2)].into(),
            online_rooms: [("conference.example.org".to_owned(), 1)].into(),
            supervision: None,
        },
        objects: [("user".to_owned(), Counts { desired: 1, managed: 2, unmanaged: 3 })].into(),
        drift: [("user create".to_owned(), 1)].into(),
        contended: [("user ann".to_owned(), "password".to_owned())].into(),
        blocked: Some(BlockedStatus {
            digest: Digest::new("ef56"),
            reason: "too many".to_owned(),
            deletions: 9,
            creations: 1,
        }),
        failing: [("user bob".to_owned(), "refused".to_owned())].into(),
        not_in_force: [("room hall".to_owned(), "mod_mam".to_owned())].into(),
        failing_count: 1,
        progress: Some(Progress { steps: 3, done: 1, failed: 1 }),
        held: Some("a window".to_owned()),
        last_attempt: Some(time),
        last_success: Some(time),
        audit: Some(AuditStatus {
            time,
            items: 16,
            failing: vec!["log_level".to_owned()],
            unknown: vec!["starttls_wire".to_owned()],
        }),
        ..Status::new(time)
    };
    for kind in ConditionType::ALL {
        status.set(kind, true, Reason::Converged, "a sentence", time);
    }
    status.set(ConditionType::Ready, false, Reason::Other("OutOfMemory".to_owned()), "", time);
    let about = ObjectKey::parse(Kind::User, "ann@example.org").unwrap();
    status.record_event(EventDraft::warning("StepFailed", "a sentence").about(&about), time);
    status.record_event(EventDraft::normal("Started", "a sentence"), time);
    status
}

#[test]
fn a_full_status_matches_its_schema() {
    let mut status = full_status();
    for phase in ServerPhase::ALL {
        status.server.supervision = Some(SupervisionStatus {
            state: phase,
            since: Timestamp::UNIX_EPOCH,
            starts: 1,
            next_start: Some(Timestamp::UNIX_EPOCH),
            last_cause: Some("Killed".to_owned()),
        });
        let status = serde_json::to_value(&status).unwrap();
        validate("status", &status).unwrap();
        validate("events", &status["events"]).unwrap();
    }
}

/// Sets the fields that a plan rarely has, because `Lab::round` validates only ordinary plans.
#[tokio::test(start_paused = true)]
async fn a_full_plan_matches_its_schema() {
    let lab = Lab::new();
    let users = ["ann", "bob", "eve"].map(|name| format!("{{ name: {name} }}")).join(", ");
    lab.round(&declare(&format!("users: [{users}]"))).await;
    let refused = lab.round(&declare("users: []\nrooms: [{ name: hall }]")).await.plan;
    let mut blocked = refused.blocked.clone().expect("the guard refuses to empty a kind");
    assert!(blocked.deletions.iter().all(|step| step.op() == Op::Delete));
    blocked.creations = refused.objects.clone();
    let plan = ejabberd_operator::domain::plan::Plan {
        blocked: Some(blocked),
        database_missing: Some("another node".to_owned()),
        state_outdated: Some("a copy".to_owned()),
        unknown: vec!["rooms".to_owned()],
        notes: vec!["a note".to_owned()],
        not_in_force: vec![NotInForce {
            kind: Kind::Room,
            name: "hall".to_owned(),
            why: "mod_mam".to_owned(),
        }],
        ..refused
    };
    validate("plan", &serde_json::to_value(plan).unwrap()).unwrap();
}

const FILE: &str = "apiVersion: ejabberd-operator/v1\nkind: EjabberdServer\nmetadata: { name: test }\n\
    spec:\n  host: example.org\n  server: { docker: { container: none, engine: \"unix://absent.sock\" } }\n  \
    users: [{ name: ann }]\n";

fn operator(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ejabberd-operator"));
    command.current_dir(directory).args(args).stdin(Stdio::null()).env_remove("STATE_DIRECTORY");
    command
}

fn printed(directory: &Path, command: &str) -> String {
    let args = [command, "--output", "json"];
    let output = String::from_utf8(operator(directory, &args).output().unwrap().stdout).unwrap();
    assert_valid_output(&args, &output);
    output
}

/// A running operator. Dropping the value ends the operator.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Each command prints valid output, even if the server is unreachable.
#[test]
fn what_commands_print_without_a_server_matches_their_schemas() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("desired-state.yaml"), FILE).unwrap();
    let mut run = operator(directory, &["run", "--listen", "127.0.0.1:0"]);
    let _running = Running(run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + Duration::from_mins(1);
    // The operator stores an event when it has failed to reach the server.
    while !printed(directory, "events").contains("reason") {
        assert!(Instant::now() < deadline, "no event: {}", printed(directory, "events"));
        sleep(Duration::from_millis(100));
    }
    for command in COMMANDS {
        assert!(!printed(directory, command).is_empty(), "{command}");
    }
}
