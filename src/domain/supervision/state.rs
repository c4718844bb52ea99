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
    /// Only the operator.
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
    /// Not observed yet, or nothing to start.
    Absent,
    /// It was started and has not answered since.
    Starting {
        /// When it was last seen to do something.
        alive: Timestamp,
        /// What it had done by then, where that was measured.
        work: Option<Work>,
    },
    /// The server responds.
    Running {
        /// Since when, without a miss that mattered.
        healthy: Timestamp,
        /// The number of missed responses in a row.
        misses: u32,
    },
    /// The server runs and does not respond.
    Unresponsive {
        /// The number of missed responses in a row.
        misses: u32,
        /// When the work was measured, at the last miss.
        measured: Timestamp,
        /// What it had done by then, where that was measured.
        work: Option<Work>,
    },
    /// Its node lives, and ejabberd has been stopped in it.
    Halted,
    /// The server runs, and the operator cannot observe its state: the control channel does not
    /// open, or a client port responds although the node does not.
    Unseen {
        /// Why not, and what to do.
        why: String,
    },
    /// ejabberd responds, and a client port does not. A restart may not help, and would interrupt
    /// the clients of the other ports.
    PortSilent {
        /// Which port, and what it does instead.
        why: String,
    },
    /// The server is paused. Only the person who paused it may end the pause.
    Paused,
    /// It ended, and is started again later.
    BackingOff {
        /// When.
        until: Timestamp,
    },
    /// The server cannot start until a person fixes something. The operator still tries again.
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
    /// The server responds.
    Answered,
    /// Neither its node nor a client port answered in time. What it has done so
    /// far, where that is known.
    Missed(Option<Work>),
    /// The node responds that ejabberd is starting. With the work so far, where known.
    InProgress(Option<Work>),
    /// The operator cannot see whether the server serves: why not.
    Unseen(String),
    /// ejabberd responds, and a client port does not.
    PortSilent(String),
    /// Its node lives, and ejabberd in it has been stopped.
    Halted,
    /// A person orders the next attempt now.
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
