//! Collects the evidence of the diagnosis.
//!
//! Three parts run one after the other: the state of the process, the values that need no
//! response of the server, and the values that the server reports. Each part and each query
//! has a deadline, so a server, an engine or a disk that hangs costs the time of its part.

mod configurations;
mod login;
mod ports;
mod queries;
mod runtime;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::collect::{NOT_ASKED, Unresponsive, explained, unknown, unless, unresponsive, within};
use crate::domain::checks::doctor::{Account, Alive, Delivery, Load, Server, Symptom};
use crate::domain::model::Jid;
use crate::domain::observed::{ProcessState, Reading};
use crate::domain::spec::DesiredState;
use crate::ejabberd::{ControlError, NodePhase};
use crate::engine::diagnostics::Diagnostics;

/// The deadline for the state of the process. It is longer than the engine's own deadline for
/// a connection, whose error message is more precise.
const INSPECT: Duration = Duration::from_secs(6);

/// The deadline of a value that other values need.
const FIRST: Duration = Duration::from_secs(3);

/// The deadline of the values that need no response of the server.
const RUNTIME: Duration = Duration::from_secs(10);

/// The deadline for the first response of the server.
const ALIVE: Duration = Duration::from_secs(10);

/// The deadline of the values that the server reports.
const QUERIES: Duration = Duration::from_secs(7);

/// The deadline of the authentication methods. The operator's program in the Erlang VM waits up to
/// seven seconds for a server that does not respond.
const LOGINS: Duration = Duration::from_secs(9);

/// The deadline of one call.
const CALL: Duration = Duration::from_secs(5);

impl Diagnostics {
    /// Collects the evidence about the server. Changes nothing, and ends within half a minute.
    pub async fn collect_server(&self, desired: &DesiredState, symptoms: &[Symptom]) -> Server {
        let process = within(INSPECT, async { explained(self.runtime.inspect().await) }).await;
        let skip = reason_to_skip(&process);
        let (mut server, response) =
            tokio::join!(self.runtime_evidence(desired, &process, symptoms), self.alive(skip));
        let not_started = match &response {
            Reading::Known(alive) if alive.started => None,
            Reading::Known(_) => Some("ejabberd has not started in its node"),
            Reading::Unknown(why) => Some(why.as_str()),
        };
        // The usage is measured after the check of the configuration, which occupies a core.
        let no_usage = skip.or_else(|| unneeded(symptoms, &[Symptom::Load]));
        let ((), usage) = tokio::join!(
            self.query_server(desired, &mut server, not_started, symptoms),
            unless(no_usage, QUERIES, self.usage_samples()),
        );
        server.load.usage = usage;
        server.response = response;
        server
    }

    /// Collects the evidence about one account.
    pub async fn collect_account(&self, server: &Server, jid: &Jid) -> Reading<Account> {
        match &server.response {
            Reading::Known(alive) if alive.started => {
                within(QUERIES, async { Ok(self.account(jid).await) }).await
            }
            Reading::Known(_) => unknown("ejabberd has not started"),
            Reading::Unknown(why) => unknown(why),
        }
    }

    /// The response of the server to a few small calls.
    async fn alive(&self, skip: Option<&str>) -> Reading<Alive> {
        let server = self.server.clone().with_deadline(ALIVE);
        let query = async {
            let began = Instant::now();
            let version = server.version().await?;
            let phase = server.phase().await?;
            let took = began.elapsed();
            let started = phase == NodePhase::Running;
            let halted = phase == NodePhase::Stopped;
            // Only a session carries calls of functions.
            let channel = match server.calls_functions().await {
                Ok(false) => "ejabberdctl",
                _ => "session",
            };
            let uptime = if started { server.uptime_seconds().await.ok() } else { None };
            let uptime = uptime.and_then(|seconds| u64::try_from(seconds).ok());
            Ok::<_, ControlError>(Alive { version, started, halted, channel, took, uptime })
        };
        unless(skip, ALIVE, async { explained(query.await) }).await
    }
}

/// Why the server gets no queries; `None` if the server may respond.
fn reason_to_skip(process: &Reading<ProcessState>) -> Option<&'static str> {
    Some(match unresponsive(process)? {
        Unresponsive::Paused => "it is paused",
        Unresponsive::NotRunning => "the server does not run",
        Unresponsive::Unknown(_) => "it is not known whether the server runs",
    })
}

/// The reason to skip a value that only the symptoms `by` need; `None` if the caller asked for one
/// of these symptoms.
fn unneeded(symptoms: &[Symptom], needed_by: &[Symptom]) -> Option<&'static str> {
    let needed = symptoms.iter().any(|symptom| needed_by.contains(symptom));
    (!needed).then_some(NOT_ASKED)
}

/// The evidence about messages and logins before any query.
fn no_delivery() -> Delivery {
    Delivery {
        hosts: unknown(NOT_ASKED),
        modules: BTreeMap::new(),
        clients: unknown(NOT_ASKED),
        backends: unknown(NOT_ASKED),
        listeners: unknown(NOT_ASKED),
        published: unknown(NOT_ASKED),
        archive: unknown(NOT_ASKED),
        waiting: unknown(NOT_ASKED),
        unasked: 0,
        missing: unknown(NOT_ASKED),
        banned: unknown(NOT_ASKED),
        rooms: unknown(NOT_ASKED),
        services: unknown(NOT_ASKED),
        connected: unknown(NOT_ASKED),
    }
}

/// The evidence about the load before any query.
fn no_load() -> Load {
    Load {
        usage: unknown(NOT_ASKED),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        vm: unknown(NOT_ASKED),
        registered: BTreeMap::new(),
    }
}
