//! Checks of the control channel and the HTTP APIs.

use std::time::Duration;

use super::parts::{judge_alive, judge_server};
use super::{Alive, Api, Evidence, Judgement, does_not_apply, known, passes, problem, unknown};
use crate::domain::checks::text::time;
use crate::domain::model::ServerVersion;
use crate::domain::observed::{PAUSED, ProcessState, Reading};

/// The maximum duration of the small calls. If the calls take longer, the check `control` fails,
/// because the server or the host is overloaded.
const SLOW: Duration = Duration::from_secs(5);

/// The first version that lists the banned accounts.
const LISTS_BANS: ServerVersion = ServerVersion { year: 24, month: 6 };

/// The reason why the banned accounts are unknown; `None` if the server can list banned accounts,
/// or if the version of the server is unknown.
pub(super) fn unknown_bans(e: &Evidence) -> Option<String> {
    let version = e.server.as_ref()?.response.known()?.version;
    (version < LISTS_BANS).then(|| format!("ejabberd {version} cannot list banned accounts"))
}

pub(super) fn control(e: &Evidence) -> Judgement {
    judge_server(e, |server| {
        match &server.response {
        Reading::Unknown(_) if e.is_declared_stopped() => does_not_apply("the server is stopped, as declared"),
        Reading::Unknown(why) => match &server.process {
            // The check `process` reports a paused server.
            Reading::Known(ProcessState::Running { health }) if health.as_deref() == Some(PAUSED) => unknown(why.clone()),
            Reading::Known(ProcessState::Running { .. }) => problem(
                "the server's process runs, but ejabberd does not respond",
                format!("a start may take minutes after a crash; a running operator restarts a hung server, and the restart starts within half a minute; without an operator: {}", e.restart()),
            )
            .with([why.clone()]),
            _ => unknown(why.clone()),
        },
        Reading::Known(Alive { halted: true, .. }) => problem(
            "ejabberd is stopped, but the Erlang VM still runs",
            format!("a running operator restarts it; without an operator: {}", e.restart()),
        ),
        Reading::Known(Alive { started: false, channel, .. }) => problem(
            format!("ejabberd responds by {channel}, and has not started yet"),
            "wait: after a crash ejabberd repairs its tables first, which takes minutes; the operator does not interrupt a start that makes progress",
        ),
        Reading::Known(alive) => {
            let up = alive.uptime.map_or_else(String::new, |up| format!("; up for {}", time(up)));
            let millis = alive.took.as_millis();
            let response = format!("ejabberd {} responds by {} in {millis} ms{up}", alive.version, alive.channel);
            if alive.took > SLOW {
                return problem(response, "responses are slow: run `ejabberd-operator doctor --symptom load`, and look for other programs that load the host");
            }
            passes(response)
        }
    }
    })
}

/// Returns the URL of an API, or a description of the Unix socket of the API.
fn url(api: &Api) -> String {
    let scheme = if api.tls { "https" } else { "http" };
    match api.at {
        Some(at) => format!("{scheme}://{at}{}", api.path),
        None => format!("a Unix socket ({})", api.path),
    }
}

/// Whether `status` proves that the API works. 401 and 403 count too: the API demands a password or
/// refuses the request.
const fn is_api(status: u16) -> bool {
    matches!(status, 200 | 400 | 401 | 403)
}

pub(super) fn http_api(e: &Evidence) -> Judgement {
    judge_alive(e, |server, _| {
        let apis = known!(&server.api);
        if apis.is_empty() {
            return passes(format!(
                "no HTTP API is configured, and none is needed: the operator and `{} status` work without it",
                e.ejabberdctl()
            ));
        }
        let bad: Vec<String> = apis
            .iter()
            .filter_map(|api| match &api.status {
                Reading::Known(status) if is_api(*status) => None,
                Reading::Known(status) => Some(format!("{}: it responds with {status}", url(api))),
                // An unknown status of a Unix socket is no failure: in some versions of ejabberd a
                // connection ends the listener, so the engine does not connect. `unasked` handles
                // this case.
                Reading::Unknown(_) if api.at.is_none() => None,
                Reading::Unknown(why) => Some(format!("{}: {why}", url(api))),
            })
            .collect();
        let lines = apis.iter().map(|api| match &api.status {
            Reading::Known(status) => format!("{}/status: {status}, from inside", url(api)),
            Reading::Unknown(why) => format!("{}: {why}", url(api)),
        });
        let unasked = apis.iter().any(|api| api.at.is_none() && api.status.known().is_none());
        if bad.is_empty() && unasked {
            return unknown("an HTTP API on a Unix socket could not be called").with(lines);
        }
        if bad.is_empty() {
            return passes("the HTTP API responds where the server runs").with(lines);
        }
        problem(
            "the HTTP API does not respond where the server runs",
            "see the check `ports`, then check `request_handlers` and `api_permissions` in the configuration; `ejabberdctl` and the operator do not need the API",
        )
        .with(bad)
    })
}

/// Judges whether the HTTP APIs can be reached from this host.
pub(super) fn reach(e: &Evidence) -> Judgement {
    judge_alive(e, |server, _| {
        let apis = known!(&server.api);
        if apis.is_empty() {
            return does_not_apply("no HTTP API is configured");
        }
        if e.docker().is_none() {
            return passes("the server is in the host's own network");
        }
        let drift = known!(&server.drift);
        let diagnostics = known!(&server.diagnostics);
        if drift.host_network {
            let commands = apis.iter().map(|api| format!("curl {}/status", url(api)));
            return passes("the container has the host's network").with(commands);
        }
        let mut lines = Vec::new();
        let mut dead = false;
        for api in apis {
            let Some(at) = api.at else { continue };
            let published = diagnostics.published.iter().find(|(_, inside)| *inside == at.port());
            lines.push(match published {
                Some((outside, _)) if at.ip().is_loopback() => {
                    dead = true;
                    format!("{}: published at {outside}, but Docker cannot forward to this listener, because the listener uses the container's loopback", url(api))
                }
                Some((outside, _)) => format!("{}: published at {outside}", url(api)),
                None => format!("{}: not published; reachable from inside only: `docker exec {} curl -s {}/status`", url(api), e.name(), url(api)),
            });
        }
        if dead {
            return problem(
                "a published port cannot be reached",
                "use the host's network (spec.server.docker.network: host), or set the `ip` of the HTTP listener to 0.0.0.0 and publish the port on 127.0.0.1",
            )
            .with(lines);
        }
        passes("the container has its own network").with(lines)
    })
}
