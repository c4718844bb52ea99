//! Ways to ask the server.

use std::time::Duration;

use super::start::of_server;
use super::words::time;
use super::{Alive, Answer, Api, Evidence, Server, fine, no_matter, problem, unknown};
use crate::domain::model::ServerVersion;
use crate::domain::observed::{PAUSED, ProcessState, Reading};

/// A server that takes longer for three small answers has a lot to do, or its
/// host has.
const SLOW: Duration = Duration::from_secs(5);

/// Since this version a server can tell who is banned.
const TELLS_BANS: ServerVersion = ServerVersion { year: 24, month: 6 };

/// Why nobody can tell who is banned, if so.
pub(super) fn bans_untold(e: &Evidence) -> Option<String> {
    let version = e.server.as_ref()?.answer.known()?.version;
    (version < TELLS_BANS).then(|| format!("ejabberd {version} cannot tell who is banned"))
}

/// Looks at a server that answers.
pub(super) fn of_alive(e: &Evidence, look: impl FnOnce(&Server, &Alive) -> Answer) -> Answer {
    of_server(e, |server| match &server.answer {
        Reading::Known(alive) if alive.started => look(server, alive),
        Reading::Known(_) => unknown("ejabberd has not started in its node"),
        Reading::Unknown(_) if e.shall_stop() => no_matter("the server is stopped, as declared"),
        Reading::Unknown(why) => unknown(why.clone()),
    })
}

pub(super) fn control(e: &Evidence) -> Answer {
    of_server(e, |server| {
        match &server.answer {
        Reading::Unknown(_) if e.shall_stop() => no_matter("the server is stopped, as declared"),
        Reading::Unknown(why) => match &server.process {
            // Then that is what is wrong.
            Reading::Known(ProcessState::Running { health }) if health.as_deref() == Some(PAUSED) => unknown(why.clone()),
            Reading::Known(ProcessState::Running { .. }) => problem(
                "its process runs, and it does not answer",
                format!("one that starts may take minutes after a crash; one that hangs is restarted by an operator that runs within half a minute, else: {}", e.restart()),
            )
            .with([why.clone()]),
            _ => unknown(why.clone()),
        },
        Reading::Known(Alive { halted: true, .. }) => problem(
            "ejabberd was stopped while its process went on",
            format!("an operator that runs restarts it; else {}", e.restart()),
        ),
        Reading::Known(Alive { started: false, way, .. }) => problem(
            format!("it answers by {way}, and has not started yet"),
            "wait: after a crash it repairs its tables first, which takes minutes; an operator leaves it alone as long as it works",
        ),
        Reading::Known(alive) => {
            let up = alive.uptime.map_or_else(String::new, |up| format!("; up for {}", time(up)));
            let millis = alive.took.as_millis();
            let said = format!("ejabberd {} answers by {} in {millis} ms{up}", alive.version, alive.way);
            if alive.took > SLOW {
                return problem(said, "that is slow: look at --symptom load, and at what else the host does");
            }
            fine(said)
        }
    }
    })
}

/// Where an API is, for people.
fn place(api: &Api) -> String {
    let scheme = if api.tls { "https" } else { "http" };
    match api.at {
        Some(at) => format!("{scheme}://{at}{}", api.path),
        None => format!("a Unix socket ({})", api.path),
    }
}

/// Whether a status says that an API is behind it: it may want a password, or refuse the question.
const fn is_api(status: u16) -> bool {
    matches!(status, 200 | 400 | 401 | 403)
}

pub(super) fn http_api(e: &Evidence) -> Answer {
    of_alive(e, |server, _| {
        let apis = match &server.api {
            Reading::Known(apis) => apis,
            Reading::Unknown(why) => return unknown(why.clone()),
        };
        if apis.is_empty() {
            return fine(format!(
                "no HTTP API is configured, and none is needed: the operator asks from inside, and so does `{} status`",
                e.ejabberdctl()
            ));
        }
        let bad: Vec<String> = apis
            .iter()
            .filter_map(|api| match &api.status {
                Reading::Known(status) if is_api(*status) => None,
                Reading::Known(status) => Some(format!("{}: it answers with {status}", place(api))),
                // A Unix socket that may not be connected to; see below.
                Reading::Unknown(_) if api.at.is_none() => None,
                Reading::Unknown(why) => Some(format!("{}: {why}", place(api))),
            })
            .collect();
        let lines = apis.iter().map(|api| match &api.status {
            Reading::Known(status) => format!("{}/status: {status}, from inside", place(api)),
            Reading::Unknown(why) => format!("{}: {why}", place(api)),
        });
        let unasked = apis.iter().any(|api| api.at.is_none() && api.status.known().is_none());
        if bad.is_empty() && unasked {
            return unknown("an HTTP API on a Unix socket could not be asked").with(lines);
        }
        if bad.is_empty() {
            return fine("the HTTP API answers where the server runs").with(lines);
        }
        problem(
            "the HTTP API does not answer where the server runs",
            "see `ports`, and request_handlers and api_permissions in the configuration; `ejabberdctl` and the operator go on without it",
        )
        .with(bad)
    })
}

/// Whether this host can reach it.
pub(super) fn reach(e: &Evidence) -> Answer {
    of_alive(e, |server, _| {
        let apis = match &server.api {
            Reading::Known(apis) if apis.is_empty() => {
                return no_matter("no HTTP API is configured");
            }
            Reading::Known(apis) => apis,
            Reading::Unknown(why) => return unknown(why.clone()),
        };
        if e.docker().is_none() {
            return fine("the server is in the host's own network");
        }
        let (drift, around) = match (&server.drift, &server.diagnostics) {
            (Reading::Known(drift), Reading::Known(around)) => (drift, around),
            (Reading::Unknown(why), _) | (_, Reading::Unknown(why)) => return unknown(why.clone()),
        };
        if drift.host_network {
            let places = apis.iter().map(|api| format!("curl {}/status", place(api)));
            return fine("the container has the host's network").with(places);
        }
        let mut lines = Vec::new();
        let mut dead = false;
        for api in apis {
            let Some(at) = api.at else { continue };
            let published = around.published.iter().find(|(_, inside)| *inside == at.port());
            lines.push(match published {
                Some((outside, _)) if at.ip().is_loopback() => {
                    dead = true;
                    format!("{}: published at {outside}, and listens on the container's own loopback, where that does not lead", place(api))
                }
                Some((outside, _)) => format!("{}: published at {outside}", place(api)),
                None => format!("{}: not published, so only from inside: `docker exec {} curl -s {}/status`", place(api), e.name(), place(api)),
            });
        }
        if dead {
            return problem(
                "a port is published that cannot be reached",
                "use the host's network (spec.server.docker.network: host), or have the listener on 0.0.0.0 in the configuration and published on 127.0.0.1",
            )
            .with(lines);
        }
        fine("the container is in a network of its own").with(lines)
    })
}
