//! The file, the operator, and what runs the server.

use super::*;
use crate::domain::observed::{Holder, PAUSED};
use crate::domain::status::{ConditionType, ServerPhase, Status, SupervisionStatus};
use crate::domain::supervision::{Cause, EndedWhile, Ending};

fn ended(e: &mut Evidence, exit_code: i64, line: &str) {
    let log = vec![line.to_owned()];
    let ending = Ending { exit_code: Some(exit_code), log: log.clone(), ..Ending::default() };
    let s = server(e);
    s.process = Reading::Known(stopped(exit_code));
    s.answer = no();
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
fn the_engine_and_the_container() {
    table(&[
        (
            |e| engine(e, "Permission denied (os error 13)"),
            "engine",
            Problem,
            &["may not talk to it", "usermod -aG docker", "os error 13"],
        ),
        (
            |e| engine(e, "Socket not found: /x"),
            "engine",
            Problem,
            &["its socket is not there", "spec.server.docker.engine"],
        ),
        (|e| engine(e, "Connection refused"), "engine", Problem, &["nobody listens"]),
        (|e| engine(e, "no answer within 5s"), "engine", Problem, &["does not answer"]),
        (|e| engine(e, "something else"), "engine", Problem, &["docker info"]),
        (|e| around(e).image = Some(("e:1".into(), false)), "image", Problem, &["docker pull e:1"]),
        (|e| around(e).image = None, "image", Problem, &["set spec.server.docker.image"]),
        (
            |e| server(e).process = Reading::Known(ProcessState::Absent),
            "process",
            Problem,
            &["there is no container xmpp", "apply"],
        ),
        (
            |e| server(e).process = Reading::Known(ProcessState::Created),
            "process",
            Problem,
            &["never started"],
        ),
        (
            |e| {
                server(e).process =
                    Reading::Known(ProcessState::Running { health: Some(PAUSED.into()) })
            },
            "process",
            Problem,
            &["docker unpause xmpp"],
        ),
        (
            |e| {
                server(e).process =
                    Reading::Known(ProcessState::Running { health: Some("unhealthy".into()) })
            },
            "process",
            Fine,
            &["unhealthy"],
        ),
        (
            |e| {
                ended(e, 1, "x");
                around(e).ended = Some("2026-07-01T09:00:05Z".parse().unwrap());
                around(e).restarts = 7;
            },
            "process",
            Problem,
            &["exit code 1", "5s", "started it again 7 times"],
        ),
        (
            |e| {
                ended(e, 1, "x");
                e.desired =
                    Some(desired(&FILE.replace("  server:", "  server:\n    state: stopped")));
            },
            "process",
            Fine,
            &["as spec.server.state: stopped declares"],
        ),
        (
            |e| {
                e.desired =
                    Some(desired(&FILE.replace("  server:", "  server:\n    state: stopped")))
            },
            "process",
            Problem,
            &["declares it stopped"],
        ),
        (|e| around(e).gone.push("/etc/x".into()), "mounts", Problem, &["/etc/x"]),
        (
            |e| {
                let Reading::Known(s) = &mut server(e).drift else { panic!() };
                s.differences = vec!["image: other".into(), "volumes./db: a is declared".into()];
            },
            "mounts",
            Problem,
            &["volumes./db: a is declared"],
        ),
        (
            |e| around(e).mounts = vec![("/db".into(), "the volume v".into())],
            "mounts",
            Fine,
            &["/db: the volume v"],
        ),
    ]);
}

#[test]
fn last_words_ports_disks_and_memory() {
    table(&[
        (
            |e| ended(e, 1, "Failed to open socket at port 5222: address already in use"),
            "last_words",
            Problem,
            &["PortTaken", "ss -tlnp"],
        ),
        (
            |e| ended(e, 1, "no space left on device"),
            "last_words",
            Problem,
            &["DiskFull", "make room"],
        ),
        (
            |e| ended(e, 3, "something odd"),
            "last_words",
            Problem,
            &["Crashed", "something odd", "docker logs --tail 100 xmpp"],
        ),
        (
            |e| {
                ended(e, 1, "the name ejabberd@localhost seems to be in use by another Erlang node")
            },
            "last_words",
            Problem,
            &["NodeNameTaken", "ERLANG_NODE"],
        ),
        (
            |e| server(e).log = Reading::Known(vec!["it could not".into()]),
            "last_words",
            Problem,
            &["it could not", "spec.config.variants"],
        ),
        (
            |e| held(e, false, None),
            "ports",
            Problem,
            &["127.0.0.1:5222 (ejabberd_c2s)", "nginx (process 42, user 33)", "0.0.0.0:5222"],
        ),
        (|e| held(e, false, Some(false)), "ports", Problem, &["nginx"]),
        (|e| held(e, false, Some(true)), "ports", Fine, &["it listens"]),
        (|e| held(e, true, None), "ports", Fine, &["nobody else"]),
        (
            |e| {
                held(e, true, Some(false));
            },
            "ports",
            Problem,
            &["does not listen where", "docker exec xmpp ejabberdctl reload_config"],
        ),
        (|e| server(e).ports = Reading::Known(Vec::new()), "ports", DoesNotApply, &[]),
        (
            |e| server(e).space = Reading::Known(vec![space(1 << 20, 1 << 36)]),
            "disk",
            Problem,
            &["/db", "1.0 MiB of 64.0 GiB", "docker system df"],
        ),
        (
            |e| {
                server(e).space =
                    Reading::Known(vec![Space { no_inodes: true, ..space(1 << 34, 1 << 36) }])
            },
            "disk",
            Problem,
            &["no more files"],
        ),
        (|e| server(e).space = Reading::Known(Vec::new()), "disk", Unknown, &[]),
        (
            |e| server(e).memory = Some((1 << 20, 1 << 33)),
            "memory",
            Problem,
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
            Problem,
            &["256.0 MiB", "docker update"],
        ),
    ]);
}

#[test]
fn configurations() {
    table(&[
        (
            |e| {
                server(e).declared =
                    Some(Reading::Known(Checked { refused: Some("line 3".into()), ..checked() }))
            },
            "configuration",
            Problem,
            &["one.yml", "line 3", "spec.config.variant"],
        ),
        (|e| server(e).declared = None, "configuration", DoesNotApply, &[]),
        (
            |e| {
                server(e).live =
                    Some(Reading::Known(Checked { differs: vec!["listen".into()], ..checked() }))
            },
            "configuration_live",
            Problem,
            &["1 difference (listen)", "plan"],
        ),
        (
            |e| {
                server(e).live =
                    Some(Reading::Known(Checked { refused: Some("line 4".into()), ..checked() }))
            },
            "configuration_live",
            Problem,
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
            Problem,
            &["`ejabberd-operator rollback`"],
        ),
        (
            |e| {
                server(e).live = Some(Reading::Known(checked()));
                server(e).declared = None;
            },
            "configuration_live",
            Fine,
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
fn the_file_and_the_operator() {
    table(&[
        (
            |e| {
                e.file =
                    File::Invalid { path: "d.yaml".into(), problems: vec!["d.yaml:3:1: no".into()] }
            },
            "desired_state",
            Problem,
            &["1 error", "d.yaml:3:1: no", "git revert"],
        ),
        (
            |e| {
                e.file = File::Invalid { path: "d.yaml".into(), problems: Vec::new() };
                e.desired = None;
            },
            "desired_state",
            Problem,
            &["not even which server"],
        ),
        (
            |e| e.file = File::Unreadable("failed to read it".into()),
            "desired_state",
            Problem,
            &["failed to read it", "--desired-state"],
        ),
        (|_| {}, "operator", DoesNotApply, &["nobody starts the server again when it dies"]),
        (|e| ended(e, 1, "x"), "operator", Problem, &["systemctl start ejabberd-operator"]),
        (
            |e| e.operator.lock = Reading::Known(Some(42)),
            "operator",
            Problem,
            &["process 42", "does not answer"],
        ),
        (|e| e.operator.answers = status(|_| {}), "operator", Fine, &["all is as declared"]),
        (
            |e| e.operator.answers = Some(Box::new(Status::new(e.now))),
            "operator",
            Fine,
            &["at work"],
        ),
        (
            |e| {
                e.operator.answers = status(|s| {
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
            Problem,
            &["Stalled=True Invalid: the file is bad", "ejabberd-operator status"],
        ),
        (
            |e| e.operator.usable = Usable::No("denied".into()),
            "state_directory",
            Problem,
            &["denied", "chown"],
        ),
        (
            |e| {
                e.operator.usable = Usable::No("denied".into());
                e.operator.answers = status(|_| {});
            },
            "state_directory",
            Fine,
            &["its operator answers"],
        ),
        (
            |e| {
                e.operator.usable = Usable::Yes;
                e.operator.space = Some(space(0, 1 << 36));
            },
            "state_directory",
            Problem,
            &["is full"],
        ),
        (
            |e| {
                e.operator.usable = Usable::Yes;
                e.operator.remembered = no();
            },
            "state_directory",
            Problem,
            &["it hid", "/state away"],
        ),
        (
            |e| {
                e.operator.usable = Usable::Yes;
                e.operator.lock = Reading::Known(Some(42));
            },
            "state_directory",
            Fine,
            &["process 42"],
        ),
        (
            |e| e.operator.answers = status(backing_off),
            "supervision",
            Problem,
            &["until 2026-07-01T10:01:00Z", "4 starts", "it crashed", "retry"],
        ),
        (
            |e| {
                e.operator.answers = status(backing_off);
                e.now = "2026-07-01T11:00:00Z".parse().unwrap();
            },
            "supervision",
            Fine,
            &["backing-off"],
        ),
        (
            |e| e.operator.remembered = Reading::Known(status(backing_off)),
            "supervision",
            Problem,
            &["the last operator waits"],
        ),
        (
            |e| e.operator.answers = status(backing_off),
            "restarts",
            Problem,
            &["started it 4 times", "it crashed"],
        ),
        (|e| around(e).restarts = 9, "restarts", Problem, &["Docker started it again 9 times"]),
    ]);
}
