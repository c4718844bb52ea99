//! Gathering what the doctor judges.
//!
//! Three parts after each other: whether it runs, what can be seen from beside
//! it, and what it says itself. Each has a deadline, and so has each question;
//! a frozen server, engine or disk costs its part and no more.

mod beside;
mod configured;
mod inside;
mod login;

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::domain::checks::doctor::{Alive, Delivery, Load, Server, Symptom};
use crate::domain::model::Jid;
use crate::domain::observed::{PAUSED, ProcessState, Reading};
use crate::domain::spec::DesiredState;
use crate::ejabberd::{ControlError, NodePhase};
use crate::engine::diagnostics::Diagnostics;

/// How long the engine may take to say whether the server runs: longer than
/// it takes us to find that it does not answer at all.
const INSPECT: Duration = Duration::from_secs(6);

/// How long what is asked before or after everything else may take.
const FIRST: Duration = Duration::from_secs(3);

/// How long everything that is asked from beside the server may take.
const BESIDE: Duration = Duration::from_secs(10);

/// How long the server may take to show that it is there.
const ALIVE: Duration = Duration::from_secs(10);

/// How long everything that is asked of the server itself may take.
const INSIDE: Duration = Duration::from_secs(7);

/// How long the authentication backends may take: an unreachable backend is waited for
/// by the far end of the session, for up to seven seconds.
const LOGINS: Duration = Duration::from_secs(9);

/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);

impl Diagnostics {
    /// Gathers everything about the server. Changes nothing, and ends within
    /// half a minute.
    pub async fn examine(&self, desired: &DesiredState, symptoms: &[Symptom]) -> Server {
        let process = within(INSPECT, async {
            self.runtime.inspect().await.map_err(|e| format!("failed to {e}"))
        })
        .await;
        let silent = silence(&process);
        let (mut server, answer) =
            tokio::join!(self.beside(desired, &process, symptoms), self.alive(silent.as_deref()),);
        let usage = async {
            let wanted = symptoms.contains(&Symptom::Load);
            // Not beside the check of the configuration, which takes a core.
            asked(silent.as_deref(), INSIDE, self.usage_twice(wanted)).await
        };
        let away = match &answer {
            Reading::Known(alive) if alive.started => None,
            Reading::Known(_) => Some("ejabberd has not started in its node".to_owned()),
            Reading::Unknown(why) => Some(why.clone()),
        };
        server.answer = answer;
        server.process = process;
        let ((), usage) =
            tokio::join!(self.inside(desired, &mut server, away.as_deref(), symptoms), usage);
        server.load.usage = usage;
        server
    }

    /// Looks closely at one account.
    pub async fn examine_account(
        &self,
        server: &Server,
        jid: &Jid,
    ) -> Reading<crate::domain::checks::doctor::Account> {
        match &server.answer {
            Reading::Known(alive) if alive.started => {
                within(INSIDE, async { Ok(self.account(jid).await) }).await
            }
            Reading::Known(_) => Reading::Unknown("ejabberd has not started".to_owned()),
            Reading::Unknown(why) => Reading::Unknown(why.clone()),
        }
    }

    async fn alive(&self, silent: Option<&str>) -> Reading<Alive> {
        let server = self.server.clone().with_deadline(ALIVE);
        let ask = async {
            let began = Instant::now();
            let version = server.version().await?;
            let phase = server.phase().await?;
            let took = began.elapsed();
            let started = phase == NodePhase::Running;
            let halted = phase == NodePhase::Stopped;
            // What only the session carries tells which way it is.
            let way = match server.calls_functions().await {
                Ok(false) => "ejabberdctl",
                _ => "session",
            };
            let uptime = if started { server.uptime_seconds().await.ok() } else { None };
            let uptime = uptime.and_then(|seconds| u64::try_from(seconds).ok());
            Ok(Alive { version, started, halted, way, took, uptime })
        };
        asked(silent, ALIVE, async {
            ask.await.map_err(|e: ControlError| format!("failed to {e}"))
        })
        .await
    }
}

/// A server about which nothing was asked yet.
fn nothing(why: &str) -> (Delivery, Load) {
    fn not<T>(why: &str) -> Reading<T> {
        Reading::Unknown(why.to_owned())
    }
    let delivery = Delivery {
        hosts: not(why),
        modules: std::collections::BTreeMap::new(),
        clients: not(why),
        backends: not(why),
        listeners: not(why),
        published: not(why),
        archive: not(why),
        waiting: not(why),
        unasked: 0,
        missing: not(why),
        banned: not(why),
        rooms: not(why),
        services: not(why),
        connected: not(why),
    };
    let registered = std::collections::BTreeMap::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (delivery, Load { usage: not(why), cores, vm: not(why), registered })
}

/// Why a server cannot be asked, if so.
fn silence(process: &Reading<ProcessState>) -> Option<String> {
    match process {
        Reading::Known(ProcessState::Running { health }) if health.as_deref() == Some(PAUSED) => {
            Some("it is paused".to_owned())
        }
        Reading::Known(ProcessState::Running { .. }) => None,
        Reading::Known(_) => Some("the server does not run".to_owned()),
        Reading::Unknown(_) => Some("it is not known whether the server runs".to_owned()),
    }
}

async fn asked<T>(
    silent: Option<&str>,
    deadline: Duration,
    ask: impl Future<Output = Result<T, String>>,
) -> Reading<T> {
    match silent {
        Some(why) => Reading::Unknown(why.to_owned()),
        None => within(deadline, ask).await,
    }
}

async fn within<T>(deadline: Duration, ask: impl Future<Output = Result<T, String>>) -> Reading<T> {
    match timeout(deadline, ask).await {
        Ok(Ok(value)) => Reading::Known(value),
        Ok(Err(why)) => Reading::Unknown(why),
        Err(_) => Reading::Unknown(format!("no answer within {deadline:?}")),
    }
}

fn said<T>(answer: Result<T, ControlError>) -> Result<T, String> {
    answer.map_err(|e| format!("failed to {e}"))
}
