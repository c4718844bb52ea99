//! Collects the evidence of the diagnosis.
//!
//! Three parts run one after the other: the state of the process, the values that need no response
//! of the server, and the values that the server reports. Each part and each query has a deadline,
//! so a server, a Docker engine or a disk that hangs costs at most the deadline of one part.

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

/// The deadline for the state of the process. This deadline is longer than the connection deadline
/// of the Docker client, so that the diagnosis reports the more precise error of the Docker client.
const INSPECT: Duration = Duration::from_secs(6);

/// The deadline of a query whose result other queries need.
const FIRST: Duration = Duration::from_secs(3);

/// The deadline of the queries that need no response of the server.
const RUNTIME: Duration = Duration::from_secs(10);

/// The deadline for the first response of the server.
const ALIVE: Duration = Duration::from_secs(10);

/// The deadline of a query that the server must handle.
const QUERIES: Duration = Duration::from_secs(7);

/// The deadline of the query for the authentication methods. The operator's code in ejabberd's VM
/// waits up to seven seconds for an authentication server, such as an LDAP server, that does not
/// respond.
const LOGINS: Duration = Duration::from_secs(9);

/// The deadline of one call to the server. One query can make several calls.
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
        // Measure the usage after the offline check of the configuration. Otherwise the check,
        // which occupies a core, changes the measurement.
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

    /// Returns the response of the server to a few small calls.
    async fn alive(&self, skip: Option<&str>) -> Reading<Alive> {
        let server = self.server.clone().with_deadline(ALIVE);
        let query = async {
            let began = Instant::now();
            let version = server.version().await?;
            let phase = server.phase().await?;
            let took = began.elapsed();
            let started = phase == NodePhase::Running;
            let halted = phase == NodePhase::Stopped;
            // Of the two channels, only a session can call functions.
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

/// Returns the reason to send no queries to the server; `None` if the server may respond.
fn reason_to_skip(process: &Reading<ProcessState>) -> Option<&'static str> {
    Some(match unresponsive(process)? {
        Unresponsive::Paused => "it is paused",
        Unresponsive::NotRunning => "the server does not run",
        Unresponsive::Unknown(_) => "it is not known whether the server runs",
    })
}

/// Returns the reason to skip a value that is needed only for the symptoms in `needed_by`; `None`
/// if `symptoms` contains a symptom of `needed_by`.
fn unneeded(symptoms: &[Symptom], needed_by: &[Symptom]) -> Option<&'static str> {
    let needed = symptoms.iter().any(|symptom| needed_by.contains(symptom));
    (!needed).then_some(NOT_ASKED)
}

/// Returns the initial evidence about messages and logins, before the operator sends a query.
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

/// Returns the initial evidence about the load, before the operator sends a query.
fn no_load() -> Load {
    Load {
        usage: unknown(NOT_ASKED),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        vm: unknown(NOT_ASKED),
        registered: BTreeMap::new(),
    }
}
