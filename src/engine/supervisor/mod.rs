//! Keeps the server running: carries out what
//! [`crate::domain::supervision`] decides.
//!
//! A task of its own, beside the rounds: a round may take minutes, and a death
//! is answered within milliseconds all the same. What stops the server on
//! purpose (a rollout, a replacement) holds the supervisor meanwhile.

mod guard;
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
pub(super) use crate::engine::supervisor::guard::SupervisorGuard;
use probe::{Answer, ProbeMode, Prober};
use report::{describe, told};

/// Measuring what a server does costs its engine a little; not more often.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// How long a look at the process takes at most, mostly.
const LOOK: Duration = Duration::from_secs(1);

/// An engine that does not answer is asked again after so long.
const BLIND: Duration = Duration::from_secs(2);

/// The supervisor of one server; see the module's documentation.
pub struct Supervisor {
    runtime: Arc<dyn Runtime>,
    server: EjabberdClient,
    store: Arc<dyn Store>,
    events: Arc<dyn EventSink>,
    prober: Prober,
    machine: Mutex<Supervision>,
    settings: StdMutex<Settings>,
    /// Only looked at, as `suspend` and `mode: report` want it.
    hands_off: AtomicBool,
    /// The engine does not answer: no silence of the server means anything.
    blind: AtomicBool,
    /// Said by the runtime whenever the process may have begun or ended.
    process: Arc<Notify>,
    /// Says that a round may have something to do.
    news: Arc<Notify>,
    publisher: Option<Arc<StatusPublisher>>,
}

impl Supervisor {
    /// A supervisor of what `desired` declares. It does nothing by itself until
    /// [`supervise`](Self::supervise) runs.
    #[must_use]
    pub fn new(desired: &DesiredState, ports: &Ports) -> Self {
        let Ports { server, runtime, store, events, secrets: _ } = ports.clone();
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
            news: Arc::default(),
            publisher: None,
        }
    }

    /// The same, which publishes how the server fares, and notifies `news` when a
    /// reconciliation may have something to do.
    #[must_use]
    pub fn publishing(self, publisher: Arc<StatusPublisher>, news: Arc<Notify>) -> Self {
        Self { publisher: Some(publisher), news, ..self }
    }

    /// Takes up what is declared now.
    pub fn set(&self, desired: &DesiredState) {
        self.prober.set_host(&desired.host);
        self.hands_off.store(hands_off(desired), Ordering::Relaxed);
        let mut settings = self.settings.lock();
        let others = settings.others;
        *settings = self::settings(&desired.server, others);
        drop(settings);
        self.process.notify_one();
    }

    /// Takes up who else may start the server.
    pub fn set_others(&self, others: Others) {
        self.settings.lock().others = others;
    }

    fn settings(&self) -> Settings {
        *self.settings.lock()
    }

    /// Watches over the server for ever; whoever started it drops it.
    pub async fn supervise(&self) {
        let watch = self.runtime.watch(&self.process);
        tokio::select! {
            () = watch => {}
            () = self.look_after() => {}
        }
    }

    async fn look_after(&self) {
        loop {
            let wait = self.attend().await;
            let probe = async {
                tokio::time::sleep(wait).await;
                self.ask().await
            };
            let seen = tokio::select! {
                // What happened makes the probe's answer worthless.
                biased;
                () = self.process.notified() => None,
                seen = probe => seen,
            };
            if let Some(event) = seen
                // A rollout has the server: what was seen is not about its health.
                && let Ok(mut machine) = self.machine.try_lock()
            {
                self.advance(&mut machine, event).await;
            }
        }
    }

    /// Looks at the process and does what is called for. Answers when to look
    /// again.
    pub async fn attend(&self) -> Duration {
        if self.is_hands_off() {
            return self.settings().probe.interval;
        }
        let mut machine = self.machine.lock().await;
        let found = self.runtime.inspect().await;
        if self.blind.swap(found.is_err(), Ordering::Relaxed) != found.is_err() {
            // The rounds tell it, and look again at once when it is over.
            self.news.notify_one();
        }
        match found {
            Ok(process) => {
                let event = self.event(process, &machine).await;
                self.advance(&mut machine, event).await;
            }
            Err(error) => {
                tracing::debug!(%error, "the server's process cannot be seen");
                return BLIND;
            }
        }
        let probe = self.settings().probe;
        let due = machine.due().map(|_| machine.waits(Timestamp::now()));
        due.unwrap_or_else(|| machine.probe_after(&probe))
    }

    /// Has the supervisor leave the server alone until the guard is dropped.
    pub(super) async fn hold(&self) -> SupervisorGuard<'_> {
        SupervisorGuard { machine: self.machine.lock().await, supervisor: self }
    }

    /// Whether the server was found in need of being started and waits for it: until when, and why.
    pub(super) async fn waits(&self) -> Option<String> {
        let machine = self.machine.lock().await;
        let wait = machine.due().map(|_| machine.waits(Timestamp::now()))?;
        let why = machine.cause.as_ref().map_or_else(String::new, ToString::to_string);
        Some(format!("it is started again in {}: {why}", told(wait)))
    }

    /// Why a server that it watches cannot be asked now, if so: asking costs a
    /// server that starts more than it tells.
    pub(super) async fn silence(&self) -> Option<Sight> {
        let silent = |why: &str| Some(Sight::Silent(why.to_owned()));
        // A rollout or a start holds the machine for longer than a look takes.
        let Ok(machine) = timeout(LOOK, self.machine.lock()).await else {
            return silent("the server is being started or stopped");
        };
        match &machine.state {
            State::Starting { .. } => Some(Sight::Starting),
            State::Unresponsive { .. } => silent("the server runs and does not answer"),
            State::Halted => silent(HALTED),
            State::Unseen { why } => Some(Sight::Unseen(why.clone())),
            _ => None,
        }
    }

    /// Whether it only looks on, as `suspend` and `mode: report` want it.
    pub(super) fn is_hands_off(&self) -> bool {
        self.hands_off.load(Ordering::Relaxed)
    }

    /// Why a server that gives no answer may be serving all the same, if so.
    /// For a round without a supervisor.
    pub(super) async fn cannot_see(&self) -> Option<String> {
        match self.prober.ask(ProbeMode::Starting).await {
            Answer::Unseen(why) => Some(why),
            _ => None,
        }
    }

    /// Somebody has mended something: a server that waits is tried at once.
    pub async fn try_now(&self) {
        if self.is_hands_off() {
            return;
        }
        let mut machine = self.machine.lock().await;
        self.advance(&mut machine, Event::TryNow).await;
    }

    /// Asks the server how it is, and what it does if it does not answer.
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
                tracing::debug!(why, "the server does not answer");
                Some(Event::Missed(self.measure().await))
            }
        }
    }

    /// What the server has done so far, where that can be measured.
    async fn measure(&self) -> Option<Work> {
        self.prober.now_measured();
        let usage = timeout(BLIND, self.runtime.usage()).await;
        usage.ok().and_then(Result::ok).flatten().and_then(|usage| usage.work)
    }

    /// What writes how the server fares into a status that a round has set.
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
