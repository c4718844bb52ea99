//! Checks of the runtime that starts the server: engine, image, process and log.

use super::parts::judge_server;
use super::{Evidence, Judgement, Server, does_not_apply, known, passes, problem, unknown};
use crate::domain::checks::text::time;
use crate::domain::observed::{PAUSED, ProcessState, Reading};

/// A known failure of the Docker engine.
struct EngineFailure {
    /// A part of the error message, without the first letter, because the case of the first letter
    /// varies.
    message: &'static str,
    what: &'static str,
    cure: &'static str,
}

/// The known failures of the Docker engine.
const ENGINE_FAILURES: [EngineFailure; 5] = [
    EngineFailure {
        message: "ermission denied",
        what: "this user may not use it",
        cure: "run as root, or `usermod -aG docker USER` (which makes USER root of the host) and log in again",
    },
    EngineFailure {
        message: "o such file",
        what: "its socket does not exist",
        cure: "`systemctl start docker`, or correct spec.server.docker.engine if the socket is elsewhere",
    },
    EngineFailure {
        message: "ocket not found",
        what: "its socket does not exist",
        cure: "`systemctl start docker`, or correct spec.server.docker.engine if the socket is elsewhere",
    },
    EngineFailure {
        message: "onnection refused",
        what: "its socket exists, and no program listens on it",
        cure: "`systemctl restart docker`; `journalctl -u docker` shows why it ended",
    },
    EngineFailure {
        message: "no response within",
        what: "it does not respond",
        cure: "`systemctl restart docker` (containers end with it, unless it has `live-restore`)",
    },
];

pub(super) fn engine(e: &Evidence) -> Judgement {
    judge_server(e, |server| {
        let Some(docker) = e.docker() else {
            return does_not_apply("the server is a process of this host, without an engine");
        };
        let why = match &server.process {
            Reading::Known(_) => {
                return passes(format!("the Docker engine at {} responds", docker.engine));
            }
            Reading::Unknown(why) => why,
        };
        let known = ENGINE_FAILURES.iter().find(|failure| why.contains(failure.message));
        let (what, cure) = known.map_or(
            ("it responds with an error", "`docker info` and `journalctl -u docker` show more"),
            |failure| (failure.what, failure.cure),
        );
        problem(format!("the Docker engine at {} cannot be used: {what}", docker.engine), cure)
            .with([why.clone()])
    })
}

pub(super) fn image(e: &Evidence) -> Judgement {
    judge_server(e, |server| {
        if e.docker().is_none() {
            return does_not_apply("an installed ejabberd needs no image");
        }
        match &server.diagnostics {
            Reading::Unknown(why) => unknown(why.clone()),
            Reading::Known(diagnostics) => match &diagnostics.image {
                Some((name, true)) => passes(format!("{name} exists")),
                Some((name, false)) => problem(
                    format!("there is no container, and its image {name} does not exist"),
                    format!("correct spec.server.docker.image, or `docker pull {name}`"),
                ),
                None => problem(
                    "there is no container, and no image is declared to create it from",
                    "set spec.server.docker.image",
                ),
            },
        }
    })
}

pub(super) fn process(e: &Evidence) -> Judgement {
    judge_server(e, |server| {
        let state = known!(&server.process);
        let name = e.name();
        let in_docker = e.docker().is_some();
        let diagnostics = server.diagnostics.known();
        let since = diagnostics.and_then(|diagnostics| diagnostics.started);
        let since = since.map(|at| format!(" since {at:.0}")).unwrap_or_default();
        match state {
            ProcessState::Running { health } if health.as_deref() == Some(PAUSED) => problem(
                format!("{name} is paused"),
                if in_docker {
                    format!("`docker unpause {name}`")
                } else {
                    "send the process the signal CONT".to_owned()
                },
            ),
            ProcessState::Running { health: _ } if e.is_declared_stopped() => problem(
                format!("{name} runs{since}, but the file declares the server stopped"),
                "a running operator stops it; or set spec.server.state: running",
            ),
            ProcessState::Running { health } => {
                let health = health
                    .as_ref()
                    .map_or_else(String::new, |state| format!("; the engine reports {state}"));
                passes(format!("{name} runs{since}{health}"))
            }
            _ if e.is_declared_stopped() => {
                passes(format!("{name} does not run, as spec.server.state: stopped declares"))
            }
            ProcessState::Absent => problem(
                if in_docker {
                    format!("there is no container {name}")
                } else {
                    "there is no installed server".to_owned()
                },
                "`ejabberd-operator apply` or a running operator creates it; if it has another name, correct spec.server.docker.container",
            ),
            ProcessState::Created => problem(
                format!("{name} was created and never started"),
                "`ejabberd-operator apply` or a running operator starts it",
            ),
            ProcessState::Stopped { exit_code, oom_killed } => {
                let how = match (oom_killed, exit_code) {
                    (true, _) => "the kernel killed it because memory was exhausted".to_owned(),
                    (false, Some(code)) => format!("exit code {code}"),
                    (false, None) => "its exit code is unknown".to_owned(),
                };
                problem(
                    format!("{name} does not run: {how}"),
                    "fix the cause, if a check below shows one; then `ejabberd-operator apply` or a running operator starts it (at once after `ejabberd-operator retry`)",
                )
                .with(times(server))
            }
        }
    })
}

/// Returns lines of evidence: the times of the last run, the restarts and the error that Docker
/// reports, and the restart policy.
fn times(server: &Server) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(diagnostics) = server.diagnostics.known() {
        if let (Some(from), Some(to)) = (diagnostics.started, diagnostics.ended) {
            let ran = u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0);
            lines.push(format!("it ran from {from:.0} to {to:.0}: {}", time(ran)));
        }
        if diagnostics.restarts > 0 {
            lines.push(format!("Docker has restarted it {} times", diagnostics.restarts));
        }
        lines.extend(diagnostics.error.iter().map(|why| format!("Docker reported: {why}")));
    }
    if let Some(by) = server.drift.known().and_then(|s| s.restarted_by.as_ref()) {
        lines.push(format!("{by} restarts it too"));
    }
    lines
}

pub(super) fn last_words(e: &Evidence) -> Judgement {
    judge_server(e, |server| {
        let log = known!(&server.log);
        match &server.cause {
            Some(cause) if e.is_declared_stopped() => does_not_apply(cause.message.clone()),
            Some(cause) => {
                let cure_of_cause = cause.cure.clone().unwrap_or_else(|| match e.docker() {
                    Some(docker) => format!("`docker logs --tail 100 {}` shows what came before", docker.container),
                    None => "the server's log shows what came before".to_owned(),
                });
                let shown = log.iter().filter(|line| !cause.message.ends_with(line.as_str()));
                problem(format!("{}: {}", cause.reason, cause.message), cure_of_cause).with(shown.cloned())
            }
            None if log.is_empty() => passes("its log shows no fault"),
            None => problem(
                format!("its log shows a failure: {}", log.last().map_or("", String::as_str)),
                "fix what the lines name, in the file of spec.config.variants or in the files beside it",
            )
            .with(log.iter().cloned()),
        }
    })
}
