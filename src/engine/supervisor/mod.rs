//! Keeps the server running: carries out the decisions of [`crate::domain::supervision`].
//!
//! The supervisor is a task beside the rounds, because a round may take minutes, and the supervisor
//! must restart an ended server within milliseconds. A rollout or a replacement stops the server on
//! purpose, so a rollout or a replacement holds a `SupervisorGuard` meanwhile.

mod hold;
pub(super) mod meter;
pub(super) mod probe;
mod report;
mod respond;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex as StdMutex;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout};

use super::controller::status_publisher::StatusPublisher;
use super::ports::{EventSink, Ports, Runtime, StateKey, Store};
use super::reconcile::observe::{HALTED, Sight};
use crate::domain::observed::Work;
use crate::domain::spec;
use crate::domain::spec::{DesiredState, Mode, ServerState};
use crate::domain::status::Status;
use crate::domain::supervision::{Event, Others, Settings, State, Supervision};
use crate::ejabberd::EjabberdClient;
pub(super) use crate::engine::supervisor::hold::SupervisorGuard;
use probe::{Answer, ProbeMode, Prober};
use report::{describe, seconds};

/// The minimum time between two measurements of a starting server, because a measurement costs the
/// container engine time.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// The maximum wait for the lock of the state machine. If the lock takes longer, a rollout or a
/// start holds the lock.
const MACHINE_WAIT: Duration = Duration::from_secs(1);

/// The time before the next inspection of the process, if an inspection fails. Also the deadline of
/// a measurement and of a read of the log.
const BLIND: Duration = Duration::from_secs(2);

/// The supervisor of one server. The documentation of this module says what the supervisor does.
pub struct Supervisor {
    runtime: Arc<dyn Runtime>,
    server: EjabberdClient,
    store: Arc<dyn Store>,
    events: Arc<dyn EventSink>,
    prober: Prober,
    machine: Mutex<Supervision>,
    settings: StdMutex<Settings>,
    /// Whether the supervisor only observes, by `suspend` or `mode: report`.
    hands_off: AtomicBool,
    /// Whether the last inspection of the process failed, for example because the container engine
    /// does not respond. The supervisor then sends no probes, because a missing response does not
    /// prove that the server is down.
    blind: AtomicBool,
    /// Notified by the runtime when the process may have started or stopped.
    process: Arc<Notify>,
    /// Notified when the server changed, so that a reconciliation may have work.
    server_changed: Arc<Notify>,
    publisher: Option<Arc<StatusPublisher>>,
}

impl Supervisor {
    /// Creates a supervisor of the server that `desired` declares. The supervisor does nothing
    /// until [`supervise`](Self::supervise) runs.
    #[must_use]
    pub fn new(desired: &DesiredState, ports: &Ports) -> Self {
        let Ports { server, runtime, store, events, secrets: _, proxy: _ } = ports.clone();
        let settings = settings(&desired.server, Others::None);
        let now = Timestamp::now();
        let kept = store.recall(StateKey::Supervision).ok().flatten();
        let kept = kept.and_then(|json| serde_json::from_str::<Supervision>(&json).ok());
        let machine = kept.map_or_else(
            || Supervision::new(now),
            |kept: Supervision| kept.resumed(&settings, now),
        );
        Self {
            prober: Prober::new(server.clone(), desired.host.clone()),
            runtime,
            server,
            store,
            events,
            machine: Mutex::new(machine),
            settings: StdMutex::new(settings),
            hands_off: AtomicBool::new(hands_off(desired)),
            blind: AtomicBool::new(false),
            process: Arc::default(),
            server_changed: Arc::default(),
            publisher: None,
        }
    }

    /// Returns this supervisor, changed to publish the health of the server through `publisher` and
    /// to notify `server_changed` when a reconciliation may have work.
    #[must_use]
    pub fn publishing(self, publisher: Arc<StatusPublisher>, server_changed: Arc<Notify>) -> Self {
        Self { publisher: Some(publisher), server_changed, ..self }
    }

    /// Takes the settings of a new desired state.
    pub fn set(&self, desired: &DesiredState) {
        self.prober.set_host(&desired.host);
        self.hands_off.store(hands_off(desired), Ordering::Relaxed);
        let mut settings = self.settings.lock();
        let others = settings.others;
        *settings = self::settings(&desired.server, others);
        drop(settings);
        self.process.notify_one();
    }

    /// Sets the other programs that may start the server.
    pub fn set_others(&self, others: Others) {
        self.settings.lock().others = others;
    }

    fn settings(&self) -> Settings {
        *self.settings.lock()
    }

    /// Supervises the server. Never returns; to end the supervision, the caller drops the future.
    pub async fn supervise(&self) {
        let watch = self.runtime.watch(&self.process);
        tokio::select! {
            () = watch => {}
            () = self.supervise_process() => {}
        }
    }

    async fn supervise_process(&self) {
        loop {
            let wait = self.attend().await;
            let probe = async {
                tokio::time::sleep(wait).await;
                self.ask().await
            };
            let seen = tokio::select! {
                // A change of the process invalidates the result of the probe.
                biased;
                () = self.process.notified() => None,
                seen = probe => seen,
            };
            if let Some(event) = seen
                // During a rollout or a start, the result does not show the health of the server.
                && let Ok(mut machine) = self.machine.try_lock()
            {
                self.advance(&mut machine, event).await;
            }
        }
    }

    /// Inspects the process, and acts on the state of the process. Returns the time until the next
    /// inspection.
    pub async fn attend(&self) -> Duration {
        if self.is_hands_off() {
            return self.settings().probe.interval;
        }
        let mut machine = self.machine.lock().await;
        let found = self.runtime.inspect().await;
        if self.blind.swap(found.is_err(), Ordering::Relaxed) != found.is_err() {
            // Start a round: the round reports the failure, and must run at once when an inspection
            // succeeds again.
            self.server_changed.notify_one();
        }
        match found {
            Ok(process) => {
                let event = self.event(process, &machine).await;
                self.advance(&mut machine, event).await;
            }
            Err(error) => {
                tracing::debug!(%error, "failed to inspect the process of the server");
                return BLIND;
            }
        }
        let probe = self.settings().probe;
        let due = machine.due().map(|_| machine.waits(Timestamp::now()));
        due.unwrap_or_else(|| machine.probe_after(&probe))
    }

    /// Waits for exclusive use of the server, and returns the guard. The supervisor does nothing
    /// until the caller drops the guard.
    pub(super) async fn hold(&self) -> SupervisorGuard<'_> {
        SupervisorGuard { machine: self.machine.lock().await, supervisor: self }
    }

    /// Returns a message with the time until the next start of the server, and with the cause of
    /// the last end; `None` if no start is scheduled.
    pub(super) async fn waits(&self) -> Option<String> {
        let machine = self.machine.lock().await;
        let wait = machine.due().map(|_| machine.waits(Timestamp::now()))?;
        let why = machine.cause.as_ref().map_or_else(String::new, ToString::to_string);
        Some(format!("it is started again in {}: {why}", seconds(wait)))
    }

    /// Returns why the server cannot respond now; `None` if the server may respond. The caller then
    /// sends no query, because a query would only slow down a starting server.
    pub(super) async fn silence(&self) -> Option<Sight> {
        let silent = |why: &str| Some(Sight::Silent(why.to_owned()));
        // A rollout or a start holds the state machine for longer than an inspection.
        let Ok(machine) = timeout(MACHINE_WAIT, self.machine.lock()).await else {
            return silent("the server is being started or stopped");
        };
        match &machine.state {
            State::Starting { .. } => Some(Sight::Starting),
            State::Unresponsive { .. } => silent("the server runs and does not respond"),
            State::Halted => silent(HALTED),
            State::Unseen { why } => Some(Sight::Unseen(why.clone())),
            _ => None,
        }
    }

    /// Whether the supervisor only observes, by `suspend` or `mode: report`.
    pub(super) fn is_hands_off(&self) -> bool {
        self.hands_off.load(Ordering::Relaxed)
    }

    /// Returns why the operator cannot see whether the server serves clients; `None` if the probe
    /// gives a clear result. For a reconciliation without a running supervisor.
    pub(super) async fn cannot_see(&self) -> Option<String> {
        match self.prober.ask(ProbeMode::Starting).await {
            Answer::Unseen(why) => Some(why),
            _ => None,
        }
    }

    /// Ends the wait for the next start, and starts the server at once, because the administrator
    /// has fixed the cause.
    pub async fn try_now(&self) {
        if self.is_hands_off() {
            return;
        }
        let mut machine = self.machine.lock().await;
        self.advance(&mut machine, Event::TryNow).await;
    }

    /// Probes the server, and returns the result as an event for the state machine. If the server
    /// does not respond, also measures the work of the server. `None` if the supervisor only
    /// observes, if the last inspection of the process failed, or if another task holds the state
    /// machine.
    async fn ask(&self) -> Option<Event> {
        if self.is_hands_off() || self.blind.load(Ordering::Relaxed) {
            return None;
        }
        let (starting, wants, measured) = {
            let machine = self.machine.try_lock().ok()?;
            let starting = matches!(machine.state, State::Starting { .. });
            (starting, machine.wants_probes(), self.prober.measured())
        };
        if !wants {
            return Some(Event::Nothing);
        }
        let interval = self.settings().probe.interval;
        let mode = if starting { ProbeMode::Starting } else { ProbeMode::Running { interval } };
        match self.prober.ask(mode).await {
            Answer::Well => Some(Event::Answered),
            Answer::Halted => Some(Event::Halted),
            Answer::Stopping => Some(Event::Nothing),
            Answer::Unseen(why) => Some(Event::Unseen(why)),
            Answer::PortSilent(why) => Some(Event::PortSilent(why)),
            other if starting && recently(measured) => {
                tracing::debug!(?other, "the server has not started");
                Some(Event::Nothing)
            }
            Answer::InProgress => Some(Event::InProgress(self.measure().await)),
            Answer::Silent(why) => {
                tracing::debug!(why, "the server does not respond");
                Some(Event::Missed(self.measure().await))
            }
        }
    }

    /// Measures the work of the server since the start of the server; `None` if the measurement
    /// fails.
    async fn measure(&self) -> Option<Work> {
        self.prober.now_measured();
        let usage = timeout(BLIND, self.runtime.usage()).await;
        usage.ok().and_then(Result::ok).flatten().and_then(|usage| usage.work)
    }

    /// Returns a function that writes the health of the server into the status of a reconciliation.
    pub(super) async fn description(&self) -> impl FnOnce(&mut Status) + use<> {
        let machine = self.machine.lock().await.clone();
        let hands_off = self.is_hands_off();
        move |status| {
            if !hands_off {
                describe(&machine, status, Timestamp::now());
            }
        }
    }
}

fn recently(measured: Option<Instant>) -> bool {
    measured.is_some_and(|at| at.elapsed() < MEASURE_EVERY)
}

fn hands_off(desired: &DesiredState) -> bool {
    desired.suspend || desired.policy.mode == Mode::Report
}

fn settings(server: &spec::Server, others: Others) -> Settings {
    Settings {
        must_run: server.state == ServerState::Running,
        probe: server.probe,
        backoff: server.backoff,
        others,
    }
}
