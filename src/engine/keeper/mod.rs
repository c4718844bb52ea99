//! Keeps the server running: carries out what [`supervision`] decides.
//!
//! A task of its own, beside the rounds: a round may take minutes, and a death
//! is answered within milliseconds all the same. What stops the server on
//! purpose (a rollout, a replacement) holds the keeper meanwhile.

mod words;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard, Notify, watch};
use tokio::time::{Instant, timeout};

use self::words::{describe, headline, told};
use super::error::RuntimeError;
use super::ports::{Memo, Runtime, Store, Telemetry};
use super::probe::{Answer, Prober};
use super::report::ApplyError;
use super::server::Server;
use crate::observed::{PAUSED, ProcessState};
use crate::spec::{self, DesiredState, Mode, ServerState};
use crate::status::{ConditionType, Status};
use crate::supervision::{Cause, Effect, Ending, Event, Settings, State, Supervision};

/// So many of its last lines are looked at when a server has ended.
const LAST_WORDS: usize = 60;

/// How far back they may lie.
const LAST_WORDS_SINCE: Duration = Duration::from_secs(120);

/// Measuring what a server does costs its engine a little; not more often.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// How long a look at the process takes at most, mostly.
const LOOK: Duration = Duration::from_secs(1);

/// An engine that does not answer is asked again after so long.
const BLIND: Duration = Duration::from_secs(2);

/// The keeper of one server; see the module's documentation.
pub struct Keeper {
    runtime: Arc<dyn Runtime>,
    server: Server,
    store: Arc<dyn Store>,
    telemetry: Arc<dyn Telemetry>,
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
    status: Option<watch::Sender<Status>>,
}

impl Keeper {
    /// A keeper of what `desired` declares. It does nothing by itself until
    /// somebody runs [`supervise`](Self::supervise); `news` is said when a
    /// round may have something to do.
    #[must_use]
    pub fn new(
        desired: &DesiredState,
        (runtime, server): (Arc<dyn Runtime>, Server),
        (store, telemetry): (Arc<dyn Store>, Arc<dyn Telemetry>),
        (status, news): (Option<watch::Sender<Status>>, Arc<Notify>),
    ) -> Self {
        let settings = settings(&desired.server, false);
        let now = Timestamp::now();
        let kept = store.memo(Memo::Supervision).ok().flatten();
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
            telemetry,
            machine: Mutex::new(machine),
            settings: StdMutex::new(settings),
            hands_off: AtomicBool::new(hands_off(desired)),
            blind: AtomicBool::new(false),
            process: Arc::default(),
            news,
            status,
        }
    }

    /// Takes up what is declared now.
    pub fn set(&self, desired: &DesiredState) {
        self.prober.set_host(&desired.host);
        self.hands_off.store(hands_off(desired), Ordering::Relaxed);
        let mut settings = self.lock_settings();
        let others = settings.others_restart;
        *settings = self::settings(&desired.server, others);
        drop(settings);
        self.process.notify_one();
    }

    /// Notes whether somebody else restarts the server as well.
    pub fn set_others(&self, others_restart: bool) {
        self.lock_settings().others_restart = others_restart;
    }

    fn lock_settings(&self) -> std::sync::MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> Settings {
        *self.lock_settings()
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
        if self.hands_off.load(Ordering::Relaxed) {
            return self.settings().probe.interval;
        }
        let mut machine = self.machine.lock().await;
        let found = self.runtime.inspect().await;
        self.blind.store(found.is_err(), Ordering::Relaxed);
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

    /// Has the keeper leave the server alone until the guard is dropped.
    pub(super) async fn hold(&self) -> Held<'_> {
        Held { machine: self.machine.lock().await, keeper: self }
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
    pub(super) async fn silence(&self) -> Option<&'static str> {
        if self.hands_off.load(Ordering::Relaxed) {
            return None;
        }
        // Whoever has it for longer than a look starts or stops the server.
        let Ok(machine) = timeout(LOOK, self.machine.lock()).await else {
            return Some("the server is being started or stopped");
        };
        match machine.state {
            State::Starting { .. } => Some("the server is starting"),
            State::Unresponsive { .. } => Some("the server runs and does not answer"),
            _ => None,
        }
    }

    /// Somebody has mended something: a server that waits is tried at once.
    pub async fn try_now(&self) {
        if self.hands_off.load(Ordering::Relaxed) {
            return;
        }
        let mut machine = self.machine.lock().await;
        self.advance(&mut machine, Event::TryNow).await;
    }

    async fn event(&self, process: ProcessState, machine: &Supervision) -> Event {
        match process {
            ProcessState::Absent | ProcessState::Created => Event::IsAbsent,
            ProcessState::Running { health } if health.as_deref() == Some(PAUSED) => {
                Event::IsPaused
            }
            ProcessState::Running { .. } => Event::Runs,
            ProcessState::Stopped { exit_code, oom_killed } => {
                let ending = Ending { exit_code, oom_killed, ..Ending::default() };
                let starting = matches!(machine.state, State::Starting { .. } | State::Absent);
                // One that was up is started first and asked why afterwards.
                let log = if starting { self.last_words().await } else { Vec::new() };
                Event::Ended(Ending { log, ..ending })
            }
        }
    }

    async fn last_words(&self) -> Vec<String> {
        let since = Timestamp::now().checked_sub(LAST_WORDS_SINCE).unwrap_or_default();
        let log = timeout(BLIND, self.runtime.log(since, LAST_WORDS)).await;
        log.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Feeds the machine, and does what it says until it says nothing more.
    async fn advance(&self, machine: &mut Supervision, event: Event) {
        let settings = self.settings();
        let before = machine.clone();
        let mut event = event;
        // A start that fails at once is one more event; there are no others.
        for _ in 0..3 {
            let was_up =
                matches!(machine.state, State::Running { .. } | State::Unresponsive { .. });
            let ended = match &event {
                Event::Ended(ending) => Some(ending.clone()),
                _ => None,
            };
            let Some(effect) = machine.step(event, &settings, Timestamp::now()) else { break };
            let failed = self.carry_out(effect).await;
            if was_up && let Some(ending) = ended {
                let log = self.last_words().await;
                machine.cause = Some(Cause::of(&Ending { log, ..ending }, true));
            }
            if effect != Effect::Stop && failed.is_none() {
                let reason = machine.cause.as_ref().map_or("Stopped", |c| c.reason.as_str());
                self.telemetry.restarted(reason);
            }
            match failed {
                Some(why) if effect != Effect::Stop => {
                    let log = self.last_words().await;
                    event =
                        Event::Ended(Ending { not_started: Some(why), log, ..Ending::default() });
                }
                _ => break,
            }
        }
        self.tell(&before, machine);
    }

    /// Answers why it could not be done, if so.
    async fn carry_out(&self, effect: Effect) -> Option<String> {
        if effect != Effect::Stop {
            tracing::info!("starting the server");
        }
        let done = match effect {
            Effect::Start => self.runtime.start().await,
            Effect::Restart => {
                self.server.close().await;
                match self.runtime.stop().await {
                    Ok(()) => self.runtime.start().await,
                    Err(error) => Err(error),
                }
            }
            Effect::Stop => match self.stop_in_order().await {
                Ok(()) => Ok(()),
                Err(error) => {
                    tracing::warn!("failed to {error}");
                    return Some(error.to_string());
                }
            },
        };
        done.err().map(|error: RuntimeError| format!("failed to {error}"))
    }

    /// Stops the server in good order, then its process. A server that cannot
    /// be asked any more is stopped all the same.
    pub(super) async fn stop_in_order(&self) -> Result<(), RuntimeError> {
        if let Err(error) = self.server.stop().await {
            tracing::warn!(%error, "the server could not be asked to stop in good order");
        }
        self.server.close().await;
        self.runtime.stop().await
    }

    /// Asks the server how it is, and what it does if it does not answer.
    async fn ask(&self) -> Option<Event> {
        if self.hands_off.load(Ordering::Relaxed) || self.blind.load(Ordering::Relaxed) {
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
        match self.prober.ask(interval, starting).await {
            Answer::Well => Some(Event::Answered),
            Answer::Halted => Some(Event::Halted),
            Answer::Silent(why) => {
                tracing::debug!(why, "the server does not answer");
                if starting && measured.is_some_and(|at: Instant| at.elapsed() < MEASURE_EVERY) {
                    return Some(Event::Nothing);
                }
                self.prober.now_measured();
                let usage = timeout(BLIND, self.runtime.usage()).await;
                let usage = usage.ok().and_then(Result::ok).flatten();
                Some(Event::Missed(usage.map(|usage| usage.work)))
            }
        }
    }

    /// Lets everybody know what has changed, and remembers it.
    fn tell(&self, before: &Supervision, after: &Supervision) {
        let moved = std::mem::discriminant(&before.state) != std::mem::discriminant(&after.state);
        if !moved && before.cause == after.cause && before.starts == after.starts {
            return;
        }
        if let Ok(json) = serde_json::to_string(after)
            && let Err(error) = self.store.remember(Memo::Supervision, Some(&json))
        {
            tracing::warn!(%error, "failed to remember how the server fares");
        }
        self.telemetry.backoff(after.waits(Timestamp::now()));
        if let Some(status) = &self.status {
            status.send_modify(|status| {
                let now = Timestamp::now();
                describe(after, status, now);
                if after.state == State::Absent {
                    status.server.up = false;
                    status.set(ConditionType::Ready, false, "ServerDown", "it is gone", now);
                }
                if let Some((reason, message)) = headline(before, after, now) {
                    if reason == "ServerUp" {
                        tracing::info!("{message}");
                    } else {
                        tracing::warn!(reason, "{message}");
                    }
                    status.event(&reason, message, now);
                }
            });
            self.telemetry.status(&status.borrow());
        }
        self.news.notify_one();
    }

    fn show(&self, change: impl FnOnce(&mut Status, Timestamp)) {
        let Some(status) = &self.status else { return };
        status.send_modify(|status| change(status, Timestamp::now()));
        self.telemetry.status(&status.borrow());
    }

    /// What writes how the server fares into a status that a round has set.
    pub(super) async fn description(&self) -> impl FnOnce(&mut Status) + use<> {
        let machine = self.machine.lock().await.clone();
        let hands_off = self.hands_off.load(Ordering::Relaxed);
        move |status| {
            if !hands_off {
                describe(&machine, status, Timestamp::now());
            }
        }
    }
}

/// The keeper leaves the server alone while this lives.
pub(super) struct Held<'a> {
    machine: MutexGuard<'a, Supervision>,
    keeper: &'a Keeper,
}

impl Held<'_> {
    /// Starts the process, and has it counted.
    pub(super) async fn start(&mut self, reason: &str) -> Result<(), ApplyError> {
        self.keeper.runtime.start().await?;
        self.keeper.telemetry.restarted(reason);
        Ok(())
    }

    /// Says that a configuration is being put in force.
    pub(super) fn rolls_out(&self, variant: &str) {
        let message = format!("`{variant}` is being put in force");
        self.keeper.show(|status, now| {
            status.set(ConditionType::ConfigApplied, false, "RollingOut", message, now);
        });
    }

    /// Stops the server in good order, then its process.
    pub(super) async fn stop(&mut self) -> Result<(), ApplyError> {
        // Whoever asks before the round is over must not read what was true before.
        self.keeper.show(|status, now| {
            let why = "the operator has stopped it, and a round is under way";
            status.server.up = false;
            status.set(ConditionType::Healthy, false, "Interrupted", why, now);
            status.set(ConditionType::Ready, false, "ServerDown", why, now);
        });
        Ok(self.keeper.stop_in_order().await?)
    }

    /// Says that the server was found well.
    pub(super) async fn well(&mut self) {
        let Self { machine, keeper } = self;
        keeper.advance(machine, Event::Runs).await;
        keeper.advance(machine, Event::Answered).await;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Whatever happened meanwhile was not attended to.
        self.keeper.process.notify_one();
    }
}

fn hands_off(desired: &DesiredState) -> bool {
    desired.suspend || desired.policy.mode == Mode::Report
}

fn settings(server: &spec::Server, others_restart: bool) -> Settings {
    Settings {
        shall_run: server.state == ServerState::Running,
        probe: server.probe,
        backoff: server.backoff,
        others_restart,
    }
}
