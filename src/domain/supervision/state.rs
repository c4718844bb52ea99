//! The settings, states, events and effects of the supervision.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Ending;
use crate::domain::observed::Work;
use crate::domain::spec::{Backoff, Probe};

/// The declared settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether the server must run.
    pub must_run: bool,
    /// The settings of the probes.
    pub probe: Probe,
    /// The wait between starts.
    pub backoff: Backoff,
    /// Who else may start the server.
    pub others: Others,
}

/// Who else may start the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Only the operator.
    None,
    /// The owner of a container that the operator did not create. The owner may stop the container
    /// to replace it, as `docker-compose down` and `up` do.
    Owner,
    /// The engine, by a restart policy.
    RestartPolicy,
}

/// The state of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The server is not observed yet, or there is nothing to start.
    Absent,
    /// The server was started and has not responded since.
    Starting {
        /// The time when the server was last observed to work.
        alive: Timestamp,
        /// The work of the server at that time, if measured.
        work: Option<Work>,
    },
    /// The server responds.
    Running {
        /// The time since when the server is healthy. A single miss does not reset it.
        healthy: Timestamp,
        /// The number of missed responses in a row.
        misses: u32,
    },
    /// The server runs and does not respond.
    Unresponsive {
        /// The number of missed responses in a row.
        misses: u32,
        /// The time of the last miss, when the work was measured.
        measured: Timestamp,
        /// The work of the server at that time, if measured.
        work: Option<Work>,
    },
    /// The node runs, but ejabberd in the node is stopped.
    Halted,
    /// The server runs, and the operator cannot observe its state: the control channel does not
    /// open, or a client port responds although the node does not.
    Unseen {
        /// The reason, and what to do.
        why: String,
    },
    /// ejabberd responds, and a client port does not. A restart may not help, and would interrupt
    /// the clients of the other ports.
    PortSilent {
        /// The port, and its behaviour.
        why: String,
    },
    /// The server is paused. Only the person who paused it may end the pause.
    Paused,
    /// The server ended, and the operator starts it again later.
    BackingOff {
        /// The time of the next start.
        until: Timestamp,
    },
    /// The server cannot start until a person fixes something. The operator still tries again.
    Failed {
        /// The time of the next start.
        until: Timestamp,
    },
    /// The server is stopping, as declared.
    Stopping,
    /// The server is stopped, as declared.
    Stopped,
}

/// An observation of the server, or an order.
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
    /// Neither the node nor a client port responded in time. With the work so far, if known.
    Missed(Option<Work>),
    /// The node reports that ejabberd is starting. With the work so far, if known.
    InProgress(Option<Work>),
    /// The operator cannot observe whether the server serves, for this reason.
    Unseen(String),
    /// ejabberd responds, and a client port does not.
    PortSilent(String),
    /// The node runs, but ejabberd in the node is stopped.
    Halted,
    /// A person orders the next attempt now.
    TryNow,
    /// Only time has passed.
    Nothing,
}

/// The action of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start the process.
    Start,
    /// End the process, by force if necessary, and start it.
    Restart,
    /// Stop the server by its own stop command.
    Stop,
}
