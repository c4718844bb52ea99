//! Where a server is in its life, what happens to it, and what follows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Ending;
use crate::domain::observed::Work;
use crate::domain::spec::{Backoff, Probe};

/// What is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether the server must run.
    pub must_run: bool,
    /// How its health is asked for.
    pub probe: Probe,
    /// How fast it is started again.
    pub backoff: Backoff,
    /// Who else may start it.
    pub others: Others,
}

/// Who else may start the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Nobody.
    None,
    /// The owner of a container that the operator did not create: the owner may
    /// stop it to replace it, as `docker-compose down` and `up` do.
    Owner,
    /// Its engine, by a restart policy.
    RestartPolicy,
}

/// Where the server is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Nobody has looked yet, or there is nothing to start.
    Absent,
    /// It was started and has not answered since.
    Starting {
        /// When it was last seen to do something.
        alive: Timestamp,
        /// What it had done by then, where that was measured.
        work: Option<Work>,
    },
    /// It answers.
    Running {
        /// Since when, without a miss that mattered.
        healthy: Timestamp,
        /// Answers missed in a row.
        misses: u32,
    },
    /// It runs and does not answer.
    Unresponsive {
        /// Answers missed in a row.
        misses: u32,
        /// When the work was measured, at the last miss.
        measured: Timestamp,
        /// What it had done by then, where that was measured.
        work: Option<Work>,
    },
    /// Its node lives, and ejabberd has been stopped in it.
    Halted,
    /// It runs, and the operator cannot see how: the control channel does not
    /// open, or a client port answers although the node does not.
    Unseen {
        /// Why not, and what to do.
        why: String,
    },
    /// ejabberd answers, and a client port does not. A restart may not help, and
    /// would interrupt those whom it serves at other ports.
    PortSilent {
        /// Which port, and what it does instead.
        why: String,
    },
    /// Somebody has paused it; that is theirs to end.
    Paused,
    /// It ended, and is started again later.
    BackingOff {
        /// When.
        until: Timestamp,
    },
    /// It cannot be started until somebody mends something; it is tried again all the same.
    Failed {
        /// When.
        until: Timestamp,
    },
    /// It is being stopped, as declared.
    Stopping,
    /// It is stopped, as declared.
    Stopped,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The process runs.
    Runs,
    /// The process is paused.
    IsPaused,
    /// The process has ended, or could not be started.
    Ended(Ending),
    /// There is no process to start.
    IsAbsent,
    /// It answers.
    Answered,
    /// Neither its node nor a client port answered in time. What it has done so
    /// far, where that is known.
    Missed(Option<Work>),
    /// Its node answers and says that ejabberd is on the way up. What it has done
    /// so far, where that is known.
    InProgress(Option<Work>),
    /// The operator cannot see whether the server serves: why not.
    Unseen(String),
    /// ejabberd answers, and a client port does not.
    PortSilent(String),
    /// Its node lives, and ejabberd in it has been stopped.
    Halted,
    /// Somebody wants it tried again now.
    TryNow,
    /// Only time has passed.
    Nothing,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start the process.
    Start,
    /// End the living process, by force if need be, and start it.
    Restart,
    /// Stop the server by its own stop command.
    Stop,
}
