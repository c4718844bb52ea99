//! The control channel `session`: one hidden Erlang node beside the server, with many concurrent
//! calls over its standard input and output.
//!
//! The first call opens the session, and a call after a failure opens a new session. A call without
//! a response ends the session, because the operator's program in the Erlang VM hangs.

pub mod etf;
mod link;
mod terms;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

use self::link::Link;
use self::terms::Outcome;
use crate::domain::model::ServerVersion;
use crate::ejabberd::{Call, Control, ControlError, Value, erlang};
use crate::engine::{RuntimeError, Spawner};

/// The maximum number of calls in flight. More calls would only wait in the server, which has as
/// many schedulers as the host has cores.
const WINDOW: usize = 64;

/// The time limit to open a session: the start of a VM on a busy host, and the first call.
const OPEN_DEADLINE: Duration = Duration::from_secs(15);

/// The minimum age of a session that the operator replaces because the session does not find the
/// server. A new session for each probe would cost a starting server half a core.
const STALE_AFTER: Duration = Duration::from_secs(10);

/// The time beyond a call's deadline in which the operator's program in the Erlang VM must report
/// the timeout. A longer silence means that the session itself hangs.
const GRACE: Duration = Duration::from_secs(2);

/// The reason for which this channel refuses some commands with a secret.
const LOGGED: &str = "ejabberd would write its secret to the log at `loglevel: debug`";

/// The control channel `session`; see the documentation of the module.
pub struct Session {
    spawner: Arc<dyn Spawner>,
    link: Arc<Mutex<Slot>>,
    window: Semaphore,
}

enum Slot {
    Closed,
    Open(Arc<Link>),
    /// The time and the error of the last attempt.
    Failed(Instant, ControlError),
}

impl Session {
    /// A session that `spawner` opens at the first call.
    #[must_use]
    pub fn new(spawner: Arc<dyn Spawner>) -> Self {
        Self { spawner, link: Arc::new(Mutex::new(Slot::Closed)), window: Semaphore::new(WINDOW) }
    }

    /// The open link, or a new link. Concurrent callers share one attempt, because they wait for
    /// the same lock.
    async fn link(&self) -> Result<Arc<Link>, ControlError> {
        let asked = Instant::now();
        let mut slot = Arc::clone(&self.link).lock_owned().await;
        match &*slot {
            Slot::Open(link) if link.is_open() => return Ok(Arc::clone(link)),
            // The attempt failed while this caller waited. A new attempt for each waiting caller
            // would multiply the time.
            Slot::Failed(when, error) if *when > asked => return Err(error.clone()),
            Slot::Open(_) | Slot::Failed(..) | Slot::Closed => {}
        }
        // The drop of the old link closes its input, which ends its VM.
        *slot = Slot::Closed;
        let spawner = Arc::clone(&self.spawner);
        // A separate task: on a busy host a session takes longer to open than a probe waits, and
        // each probe would start another attempt.
        let opening = tokio::spawn(async move {
            let opened = timeout(OPEN_DEADLINE, open(&*spawner)).await.unwrap_or_else(|_| {
                Err(ControlError::CannotOpen("opening a session took too long".to_owned()))
            });
            match opened {
                Ok(link) => {
                    let link = Arc::new(link);
                    *slot = Slot::Open(Arc::clone(&link));
                    Ok(link)
                }
                Err(error) => {
                    *slot = Slot::Failed(Instant::now(), error.clone());
                    Err(error)
                }
            }
        });
        let gone = |_| Err(ControlError::CannotOpen("opening a session was given up".to_owned()));
        opening.await.unwrap_or_else(gone)
    }
}

async fn open(spawner: &dyn Spawner) -> Result<Link, ControlError> {
    let (installation, node) = spawner.locate().await.map_err(|e| match e {
        RuntimeError::NoErlang(_) => ControlError::NO_ERLANG,
        // No process of the server: the server is starting, or has ended.
        RuntimeError::Missing(what) => ControlError::Unreachable(format!("failed to find {what}")),
        other => ControlError::CannotOpen(format!("failed to {other}")),
    })?;
    let command = erlang::session_command(&installation, &node);
    let started = spawner.spawn(command).await;
    let started = started.map_err(|e| ControlError::CannotOpen(format!("failed to {e}")))?;
    Link::open(started).await
}

#[async_trait]
impl Control for Session {
    async fn call(&self, call: Call, deadline: Duration) -> Result<Value, ControlError> {
        let name = call.name();
        if terms::would_be_logged(&call) {
            return Err(ControlError::Unsupported { command: name, why: LOGGED });
        }
        // The semaphore is never closed.
        let _permit = self.window.acquire().await.map_err(|_| ControlError::Broken(name))?;
        let link = self.link().await?;
        match timeout(deadline + GRACE, link.call(call, deadline)).await {
            Ok(outcome) => {
                let response = interpret(name, outcome?);
                // The server may have a new name, port or cookie, which only a new session uses.
                if matches!(response, Err(ControlError::Unreachable(_))) && link.age() > STALE_AFTER
                {
                    link.shut();
                }
                response
            }
            Err(_) => {
                link.shut();
                Err(ControlError::Timeout(name))
            }
        }
    }

    async fn version(&self) -> Result<ServerVersion, ControlError> {
        let link = self.link().await?;
        let asked = timeout(OPEN_DEADLINE + GRACE, link.version(OPEN_DEADLINE)).await;
        let version = asked.unwrap_or_else(|_| {
            link.shut();
            Err(ControlError::Timeout("version"))
        });
        if version.is_err() && link.age() > STALE_AFTER {
            link.shut();
        }
        version
    }

    async fn close(&self) {
        // If the lock is taken, a session is being opened. The end of the server also ends that
        // session.
        let Ok(mut slot) = self.link.try_lock() else { return };
        if let Slot::Open(link) = std::mem::replace(&mut *slot, Slot::Closed) {
            link.shut();
        }
    }
}

/// The tags of `ejabberd_commands` and of modules for an unknown command.
const UNKNOWN: [&str; 4] = ["unknown_command", "undef", "command_unknown", "module_not_loaded"];

fn interpret(command: &'static str, outcome: Outcome) -> Result<Value, ControlError> {
    match outcome {
        Outcome::Ok(value) => Ok(value),
        Outcome::Unreachable(reason) if reason == "timeout" => Err(ControlError::Timeout(command)),
        Outcome::Unreachable(reason) => {
            Err(ControlError::Unreachable(format!("its node does not respond ({reason})")))
        }
        Outcome::Thrown { tag, .. } | Outcome::Crashed { tag, .. }
            if UNKNOWN.contains(&tag.as_str()) =>
        {
            Err(ControlError::UnknownCommand {
                command,
                hint: "are mod_admin_extra and mod_muc_admin among the modules of its configuration?",
            })
        }
        Outcome::Thrown { tag, text } => Err(ControlError::Refused {
            command,
            message: if text.is_empty() { tag } else { text },
        }),
        Outcome::Crashed { tag, place } => Err(ControlError::Crashed {
            command,
            tag,
            place: if place.is_empty() { place } else { format!(" in {place}") },
        }),
    }
}
