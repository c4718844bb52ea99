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
    /// Who may start the server, besides the operator.
    pub others: Others,
}

/// Who may start the server, besides the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Only the operator.
    None,
    /// The owner of a container that the operator did not create. The owner may stop the container
    /// to replace the container, as `docker-compose down` and `up` do.
    Owner,
    /// The engine, by a restart policy.
    RestartPolicy,
}

/// The state of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The operator has not observed the server yet, or there is no process to start.
    Absent,
    /// The server was started and has not responded since.
    Starting {
        /// The time when the server was last observed to work.
        alive: Timestamp,
        /// The work of the server at that time; `None` if the work was not measured.
        work: Option<Work>,
    },
    /// The server responds.
    Running {
        /// The time since when the server is healthy. A single miss does not reset this time.
        healthy: Timestamp,
        /// The number of missed responses in a row.
        misses: u32,
    },
    /// The server runs and does not respond.
    Unresponsive {
        /// The number of missed responses in a row.
        misses: u32,
        /// The time of the last miss, at which the operator measured the work.
        measured: Timestamp,
        /// The work of the server at that time; `None` if the work was not measured.
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
    /// The server is paused. Only the person who paused the server may end the pause.
    Paused,
    /// The server ended, and the operator starts the server again later.
    BackingOff {
        /// The time of the next start.
        until: Timestamp,
    },
    /// The server cannot start until a person fixes the cause. The operator still retries the
    /// start.
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
    /// Neither the node nor a client port responded in time. Contains the work so far; `None` if
    /// the work is unknown.
    Missed(Option<Work>),
    /// The node reports that ejabberd is starting. Contains the work so far; `None` if the work is
    /// unknown.
    InProgress(Option<Work>),
    /// The operator cannot observe whether the server serves clients. Contains the reason.
    Unseen(String),
    /// ejabberd responds, and a client port does not. Contains the port and its behaviour.
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
    /// End the process, by force if necessary, and start the process again.
    Restart,
    /// Stop the server by its own stop command.
    Stop,
}
