//! What keeps a server from starting, in what runs it.

use super::words::time;
use super::{Answer, Evidence, Server, fine, no_matter, problem, unknown};
use crate::domain::observed::{PAUSED, ProcessState, Reading};

/// Looks at the server, where the file says which it is.
pub(super) fn of_server(e: &Evidence, look: impl FnOnce(&Server) -> Answer) -> Answer {
    match &e.server {
        Some(server) => look(server),
        None => unknown("the file does not say which server"),
    }
}

/// What kind of trouble the engine's words tell of, and what helps.
const TROUBLES: [(&str, &str, &str); 5] = [
    (
        "ermission denied",
        "this user may not talk to it",
        "run as root, or `usermod -aG docker USER` (which makes USER root of the host) and log in again",
    ),
    (
        "o such file",
        "its socket is not there",
        "`systemctl start docker`, or mend spec.server.docker.engine if the socket is elsewhere",
    ),
    (
        "ocket not found",
        "its socket is not there",
        "`systemctl start docker`, or mend spec.server.docker.engine if the socket is elsewhere",
    ),
    (
        "onnection refused",
        "its socket is there and nobody listens",
        "`systemctl restart docker`; `journalctl -u docker` tells why it ended",
    ),
    (
        "no answer within",
        "it does not answer",
        "`systemctl restart docker` (containers end with it, unless it has `live-restore`)",
    ),
];

pub(super) fn engine(e: &Evidence) -> Answer {
    of_server(e, |server| {
        let Some(docker) = e.docker() else {
            return no_matter("the server is a process of this host, without an engine");
        };
        let why = match &server.process {
            Reading::Known(_) => {
                return fine(format!("the Docker engine at {} answers", docker.engine));
            }
            Reading::Unknown(why) => why,
        };
        let known = TROUBLES.iter().find(|(words, ..)| why.contains(words));
        let (what, cure) = known.map_or(
            ("it answers with an error", "`docker info` and `journalctl -u docker` tell more"),
            |(_, what, cure)| (*what, *cure),
        );
        problem(format!("the Docker engine at {} cannot be used: {what}", docker.engine), cure)
            .with([why.clone()])
    })
}

pub(super) fn image(e: &Evidence) -> Answer {
    of_server(e, |server| {
        if e.docker().is_none() {
            return no_matter("an installed ejabberd needs none");
        }
        match &server.diagnostics {
            Reading::Unknown(why) => unknown(why.clone()),
            Reading::Known(around) => match &around.image {
                Some((name, true)) => fine(format!("{name} is there")),
                Some((name, false)) => problem(
                    format!(
                        "there is no container, and the image {name} to make one of is not there"
                    ),
                    format!("mend spec.server.docker.image, or `docker pull {name}`"),
                ),
                None => problem(
                    "there is no container, and no image is declared to make one of",
                    "set spec.server.docker.image",
                ),
            },
        }
    })
}

pub(super) fn process(e: &Evidence) -> Answer {
    of_server(e, |server| {
        let state = match &server.process {
            Reading::Known(state) => state,
            Reading::Unknown(why) => return unknown(why.clone()),
        };
        let name = e.name();
        let in_docker = e.docker().is_some();
        let around = server.diagnostics.known();
        let since = around.and_then(|around| around.started);
        let since = since.map(|at| format!(" since {at:.0}")).unwrap_or_default();
        match state {
            ProcessState::Running { health } if health.as_deref() == Some(PAUSED) => problem(
                format!("{name} is frozen: somebody paused it"),
                if in_docker {
                    format!("`docker unpause {name}`")
                } else {
                    "send it the signal CONT".to_owned()
                },
            ),
            ProcessState::Running { health: _ } if e.shall_stop() => problem(
                format!("{name} runs{since}, and the file declares it stopped"),
                "an operator that runs stops it; or set spec.server.state: running",
            ),
            ProcessState::Running { health } => {
                let health = health
                    .as_ref()
                    .map_or_else(String::new, |word| format!("; the engine calls it {word}"));
                fine(format!("{name} runs{since}{health}"))
            }
            _ if e.shall_stop() => {
                fine(format!("{name} does not run, as spec.server.state: stopped declares"))
            }
            ProcessState::Absent => problem(
                if in_docker {
                    format!("there is no container {name}")
                } else {
                    "there is no installed server".to_owned()
                },
                "`ejabberd-operator apply` makes it, or an operator that runs; if it has another name, mend spec.server.docker.container",
            ),
            ProcessState::Created => problem(
                format!("{name} was made and never started"),
                "`ejabberd-operator apply` starts it, or an operator that runs",
            ),
            ProcessState::Stopped { exit_code, oom_killed } => {
                let how = match (oom_killed, exit_code) {
                    (true, _) => "the kernel killed it for want of memory".to_owned(),
                    (false, Some(code)) => format!("exit code {code}"),
                    (false, None) => "nobody saw how it ended".to_owned(),
                };
                problem(
                    format!("{name} does not run: {how}"),
                    "mend the cause, if there is one below; then `ejabberd-operator apply` starts it, or an operator that runs (`ejabberd-operator retry` has it do so now)",
                )
                .with(times(server))
            }
        }
    })
}

/// When it began and ended, and who else starts it.
fn times(server: &Server) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(around) = server.diagnostics.known() {
        if let (Some(from), Some(to)) = (around.started, around.ended) {
            let ran = u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0);
            lines.push(format!("it ran from {from:.0} to {to:.0}: {}", time(ran)));
        }
        if around.restarts > 0 {
            lines.push(format!("Docker has started it again {} times", around.restarts));
        }
        lines.extend(around.error.iter().map(|why| format!("Docker said: {why}")));
    }
    if let Some(by) = server.drift.known().and_then(|s| s.restarted_by.as_ref()) {
        lines.push(format!("it is also restarted by {by}"));
    }
    lines
}

pub(super) fn last_words(e: &Evidence) -> Answer {
    of_server(e, |server| {
        let log = match &server.log {
            Reading::Known(log) => log,
            Reading::Unknown(why) => return unknown(why.clone()),
        };
        match &server.cause {
            Some(cause) if e.shall_stop() => no_matter(cause.message.clone()),
            Some(cause) => {
                let todo = cause.cure.clone().unwrap_or_else(|| match e.docker() {
                    Some(docker) => format!("`docker logs --tail 100 {}` shows what came before", docker.container),
                    None => "the server's log shows what came before".to_owned(),
                });
                let shown = log.iter().filter(|line| !cause.message.ends_with(line.as_str()));
                problem(format!("{}: {}", cause.reason, cause.message), todo).with(shown.cloned())
            }
            None if log.is_empty() => fine("nothing in its log tells of a fault"),
            None => problem(
                format!("its log tells of a failure: {}", log.last().map_or("", String::as_str)),
                "mend what the lines name, in the file of spec.config.variants or in the files beside it",
            )
            .with(log.iter().cloned()),
        }
    })
}
