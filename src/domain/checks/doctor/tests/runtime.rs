//! Tests the checks of the file, the operator, the host and the runtime.

use super::*;
use crate::domain::observed::{Holder, PAUSED};
use crate::domain::status::{ConditionType, ServerPhase, Status, SupervisionStatus};
use crate::domain::supervision::{Cause, EndedWhile, Ending};

fn ended(e: &mut Evidence, exit_code: i64, line: &str) {
    let log = vec![line.to_owned()];
    let ending = Ending { exit_code: Some(exit_code), log: log.clone(), ..Ending::default() };
    let s = server(e);
    s.process = Reading::Known(stopped(exit_code));
    s.response = no();
    s.log = Reading::Known(log);
    s.cause = Some(Cause::of(&ending, EndedWhile::Starting));
}

fn around(e: &mut Evidence) -> &mut RuntimeDiagnostics {
    let Reading::Known(around) = &mut server(e).diagnostics else { panic!("not known") };
    around
}

fn held(e: &mut Evidence, own: bool, open: Option<bool>) {
    let mut taken = port("127.0.0.1:5222", "ejabberd_c2s");
    taken.open = open;
    let at = "0.0.0.0:5222".parse().unwrap();
    taken.holders.push(Holder { at, user: 33, program: Some(("nginx".into(), 42)), own });
    server(e).ports = Reading::Known(vec![taken]);
}

fn engine(e: &mut Evidence, why: &str) {
    server(e).process = Reading::Unknown(format!("failed to reach the Docker engine: {why}"));
}

#[test]
fn a_server_that_cannot_run_is_a_problem() {
    table(&[
        (
            |e| engine(e, "Permission denied (os error 13)"),
            "engine",
            Fails,
            &["may not use it", "usermod -aG docker", "os error 13"],
        ),
        (
            |e| engine(e, "Socket not found: /x"),
            "engine",
            Fails,
            &["its socket does not exist", "spec.server.docker.engine"],
        ),
        (|e| engine(e, "Connection refused"), "engine", Fails, &["no program listens"]),
        (|e| engine(e, "no response within 5s"), "engine", Fails, &["does not respond"]),
        (|e| engine(e, "something else"), "engine", Fails, &["docker info"]),
        (|e| around(e).image = Some(("e:1".into(), false)), "image", Fails, &["docker pull e:1"]),
        (|e| around(e).image = None, "image", Fails, &["set spec.server.docker.image"]),
        (
            |e| server(e).process = Reading::Known(ProcessState::Absent),
            "process",
            Fails,
            &["there is no container xmpp", "apply"],
        ),
        (
            |e| server(e).process = Reading::Known(ProcessState::Created),
            "process",
            Fails,
            &["never started"],
        ),
        (
            |e| {
                server(e).process =
                    Reading::Known(ProcessState::Running { health: Some(PAUSED.into()) })
            },
            "process",
            Fails,
            &["docker unpause xmpp"],
        ),
        (
            |e| {
                server(e).process =
                    Reading::Known(ProcessState::Running { health: Some("unhealthy".into()) })
            },
            "process",
            Passes,
            &["unhealthy"],
        ),
        (
            |e| {
                ended(e, 1, "x");
                around(e).ended = Some("2026-07-01T09:00:05Z".parse().unwrap());
                around(e).restarts = 7;
            },
            "process",
            Fails,
            &["exit code 1", "5s", "restarted it 7 times"],
        ),
        (
            |e| {
                ended(e, 1, "x");
                e.desired =
                    Some(desired(&FILE.replace("  server:", "  server:\n    state: stopped")));
            },
            "process",
            Passes,
            &["as spec.server.state: stopped declares"],
        ),
        (
            |e| {
                e.desired =
                    Some(desired(&FILE.replace("  server:", "  server:\n    state: stopped")))
            },
            "process",
            Fails,
            &["declares the server stopped"],
        ),
        (|e| around(e).gone.push("/etc/x".into()), "mounts", Fails, &["/etc/x"]),
        (
            |e| {
                let Reading::Known(s) = &mut server(e).drift else { panic!() };
                s.differences = vec!["image: other".into(), "volumes./db: a is declared".into()];
            },
            "mounts",
            Fails,
            &["volumes./db: a is declared"],
        ),
        (
            |e| around(e).mounts = vec![("/db".into(), "the volume v".into())],
            "mounts",
            Passes,
            &["/db: the volume v"],
        ),
    ]);
}

#[test]
fn a_failure_in_the_log_or_on_the_host_is_a_problem() {
    table(&[
        (
            |e| ended(e, 1, "Failed to open socket at port 5222: address already in use"),
            "last_words",
            Fails,
            &["PortTaken", "ss -tlnp"],
        ),
        (
            |e| ended(e, 1, "no space left on device"),
            "last_words",
            Fails,
            &["DiskFull", "free space"],
        ),
        (
            |e| ended(e, 3, "something odd"),
            "last_words",
            Fails,
            &["Crashed", "something odd", "docker logs --tail 100 xmpp"],
        ),
        (
            |e| {
                ended(e, 1, "the name ejabberd@localhost seems to be in use by another Erlang node")
            },
            "last_words",
            Fails,
            &["NodeNameTaken", "ERLANG_NODE"],
        ),
        (
            |e| server(e).log = Reading::Known(vec!["it could not".into()]),
            "last_words",
            Fails,
            &["it could not", "spec.config.variants"],
        ),
        (
            |e| held(e, false, None),
            "ports",
            Fails,
            &["127.0.0.1:5222 (ejabberd_c2s)", "nginx (process 42, user 33)", "0.0.0.0:5222"],
        ),
        (|e| held(e, false, Some(false)), "ports", Fails, &["nginx"]),
        (|e| held(e, false, Some(true)), "ports", Passes, &["it listens"]),
        (|e| held(e, true, None), "ports", Passes, &["no other program"]),
        (
            |e| {
                held(e, true, Some(false));
            },
            "ports",
            Fails,
            &["does not listen where", "docker exec xmpp ejabberdctl reload_config"],
        ),
        (|e| server(e).ports = Reading::Known(Vec::new()), "ports", DoesNotApply, &[]),
        (
            |e| server(e).space = Reading::Known(vec![space(1 << 20, 1 << 36)]),
            "disk",
            Fails,
            &["/db", "1.0 MiB of 64.0 GiB", "docker system df"],
        ),
        (
            |e| {
                server(e).space =
                    Reading::Known(vec![Space { no_inodes: true, ..space(1 << 34, 1 << 36) }])
            },
            "disk",
            Fails,
            &["no more files"],
        ),
        (|e| server(e).space = Reading::Known(Vec::new()), "disk", Unknown, &[]),
        (
            |e| server(e).memory = Some(HostMemory { available: 1 << 20, total: 1 << 33 }),
            "memory",
            Fails,
            &["hardly any memory"],
        ),
        (
            |e| {
                server(e).process = Reading::Known(ProcessState::Stopped {
                    exit_code: Some(137),
                    oom_killed: true,
                });
                around(e).memory_limit = Some(1 << 28);
            },
            "memory",
            Fails,
            &["256.0 MiB", "docker update"],
        ),
    ]);
}

#[test]
fn a_configuration_that_ejabberd_refuses_is_a_problem() {
    table(&[
        (
            |e| {
                server(e).declared =
                    Some(Reading::Known(Checked { refused: Some("line 3".into()), ..checked() }))
            },
            "configuration",
            Fails,
            &["one.yml", "line 3", "spec.config.variant"],
        ),
        (|e| server(e).declared = None, "configuration", DoesNotApply, &[]),
        (
            |e| {
                server(e).live =
                    Some(Reading::Known(Checked { differs: vec!["listen".into()], ..checked() }))
            },
            "configuration_live",
            Fails,
            &["1 difference (listen)", "plan"],
        ),
        (
            |e| {
                server(e).live =
                    Some(Reading::Known(Checked { refused: Some("line 4".into()), ..checked() }))
            },
            "configuration_live",
            Fails,
            &["line 4", "`ejabberd-operator apply`"],
        ),
        (
            |e| {
                server(e).live =
                    Some(Reading::Known(Checked { refused: Some("line 4".into()), ..checked() }));
                server(e).declared =
                    Some(Reading::Known(Checked { refused: Some("line 3".into()), ..checked() }));
            },
            "configuration_live",
            Fails,
            &["`ejabberd-operator rollback`"],
        ),
        (
            |e| {
                server(e).live = Some(Reading::Known(checked()));
                server(e).declared = None;
            },
            "configuration_live",
            Passes,
            &["accepts"],
        ),
    ]);
}

fn status(fare: impl Fn(&mut Status)) -> Option<Box<Status>> {
    let now = Timestamp::UNIX_EPOCH;
    let mut status = Status::new(now);
    status.set(ConditionType::Ready, true, "Converged", "", now);
    status.set(ConditionType::Degraded, false, "", "", now);
    status.set(ConditionType::Stalled, false, "", "", now);
    fare(&mut status);
    Some(Box::new(status))
}

fn backing_off(status: &mut Status) {
    status.server.supervision = Some(SupervisionStatus {
        state: ServerPhase::BackingOff,
        since: Timestamp::UNIX_EPOCH,
        starts: 4,
        next_start: Some("2026-07-01T10:01:00Z".parse().unwrap()),
        last_cause: Some("it crashed".into()),
    });
}

#[test]
fn an_invalid_file_or_a_failing_operator_is_a_problem() {
    table(&[
        (
            |e| {
                e.file =
                    File::Invalid { path: "d.yaml".into(), problems: vec!["d.yaml:3:1: no".into()] }
            },
            "desired_state",
            Fails,
            &["1 error", "d.yaml:3:1: no", "git revert"],
        ),
        (
            |e| {
                e.file = File::Invalid { path: "d.yaml".into(), problems: Vec::new() };
                e.desired = None;
            },
            "desired_state",
            Fails,
            &["the server that it declares could not be read"],
        ),
        (
            |e| e.file = File::Unreadable("failed to read it".into()),
            "desired_state",
            Fails,
            &["failed to read it", "--desired-state"],
        ),
        (|_| {}, "operator", DoesNotApply, &["nothing restarts the server when it ends"]),
        (|e| ended(e, 1, "x"), "operator", Fails, &["systemctl start ejabberd-operator"]),
        (
            |e| e.operator.lock = Reading::Known(Some(42)),
            "operator",
            Fails,
            &["process 42", "does not respond"],
        ),
        (
            |e| e.operator.response = status(|_| {}),
            "operator",
            Passes,
            &["everything is as declared"],
        ),
        (
            |e| e.operator.response = Some(Box::new(Status::new(e.now))),
            "operator",
            Passes,
            &["is working"],
        ),
        (
            |e| {
                e.operator.response = status(|s| {
                    s.set(
                        ConditionType::Stalled,
                        true,
                        "Invalid",
                        "the file is bad",
                        Timestamp::UNIX_EPOCH,
                    )
                })
            },
            "operator",
            Fails,
            &["Stalled=True Invalid: the file is bad", "ejabberd-operator status"],
        ),
        (
            |e| e.operator.usable = Usable::No("denied".into()),
            "state_directory",
            Fails,
            &["denied", "chown"],
        ),
        (
            |e| {
                e.operator.usable = Usable::No("denied".into());
                e.operator.response = status(|_| {});
            },
            "state_directory",
            Passes,
            &["its operator responds"],
        ),
        (
            |e| {
                e.operator.usable = Usable::Yes;
                e.operator.space = Some(space(0, 1 << 36));
            },
            "state_directory",
            Fails,
            &["is full"],
        ),
        (
            |e| {
                e.operator.usable = Usable::Yes;
                e.operator.remembered = no();
            },
            "state_directory",
            Fails,
            &["it hid", "/state away"],
        ),
        (
            |e| {
                e.operator.usable = Usable::Yes;
                e.operator.lock = Reading::Known(Some(42));
            },
            "state_directory",
            Passes,
            &["process 42"],
        ),
        (
            |e| e.operator.response = status(backing_off),
            "supervision",
            Fails,
            &["until 2026-07-01T10:01:00Z", "4 starts", "it crashed", "retry"],
        ),
        (
            |e| {
                e.operator.response = status(backing_off);
                e.now = "2026-07-01T11:00:00Z".parse().unwrap();
            },
            "supervision",
            Passes,
            &["backing-off"],
        ),
        (
            |e| e.operator.remembered = Reading::Known(status(backing_off)),
            "supervision",
            Fails,
            &["the last operator waits"],
        ),
        (
            |e| e.operator.response = status(backing_off),
            "restarts",
            Fails,
            &["started it 4 times", "it crashed"],
        ),
        (|e| around(e).restarts = 9, "restarts", Fails, &["Docker restarted it 9 times"]),
    ]);
}
