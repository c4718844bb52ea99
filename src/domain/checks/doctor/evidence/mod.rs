//! The evidence that the diagnosis judges.

mod delivery;
mod server;

use jiff::Timestamp;

use crate::domain::model::Jid;
use crate::domain::observed::{Reading, Space};
use crate::domain::spec;
use crate::domain::spec::{DesiredState, ServerState};
use crate::domain::status::Status;

pub use delivery::{
    Archive, Backend, BackendServer, BackendState, Client, Delivery, HostModules, Listening,
    Opening, PortTarget, RoomState,
};
pub use server::{
    Account, Alive, Api, Checked, HostMemory, Load, Port, Server, Session, UsageSamples, Vm,
};

/// The evidence that the engine and the command `doctor` collected. A value that could not be
/// collected is unknown, with the reason.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The time of the collection.
    pub now: Timestamp,
    /// The file with the desired state.
    pub file: File,
    /// The desired state; `None` if the file cannot be read. If the file is invalid, this field
    /// holds only the part that declares the server, or `None` if that part cannot be read either.
    pub desired: Option<DesiredState>,
    /// The operator of the server.
    pub operator: Operator,
    /// The server; `None` if the file does not declare which server.
    pub server: Option<Server>,
    /// The account that the caller asked about; `None` if the caller asked about no account.
    pub account: Option<(Jid, Reading<Account>)>,
}

/// The file with the desired state.
#[derive(Debug, Clone)]
pub enum File {
    /// The file is valid.
    Valid {
        /// The path.
        path: String,
        /// The hash of the content of the file.
        revision: String,
        /// The warnings of the validation.
        warnings: Vec<String>,
    },
    /// The file is not valid.
    Invalid {
        /// The path.
        path: String,
        /// The errors of the validation, each with its line and column.
        problems: Vec<String>,
    },
    /// The file cannot be read, for this reason.
    Unreadable(String),
}

/// The evidence about the operator of the server and about the state directory of the operator.
#[derive(Debug, Clone)]
pub struct Operator {
    /// The path of the state directory.
    pub directory: String,
    /// Whether this user can use the state directory.
    pub usable: Usable,
    /// The id of the process that holds the lock of the state directory; `None` if the lock is
    /// free.
    pub lock: Reading<Option<i32>>,
    /// The status that a running operator reports; `None` if no operator responds.
    pub response: Option<Box<Status>>,
    /// The last status that an operator stored in the state directory; `None` if no status is
    /// stored.
    pub remembered: Reading<Option<Box<Status>>>,
    /// The space on the disk of the state directory; `None` if the space is unknown.
    pub space: Option<Space>,
}

/// Whether a user can use a state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usable {
    /// The directory does not exist, because no operator has run with this state directory.
    Missing,
    /// The user can use the directory.
    Yes,
    /// The user cannot use the directory, for this reason.
    No(String),
}

impl Evidence {
    /// Whether the file declares the server as stopped.
    pub(super) fn is_declared_stopped(&self) -> bool {
        self.desired.as_ref().is_some_and(|desired| desired.server.state == ServerState::Stopped)
    }

    /// The declaration of the container; `None` if the declared server does not run in Docker.
    pub(super) fn docker(&self) -> Option<&spec::Docker> {
        match &self.desired.as_ref()?.server.runtime {
            spec::Runtime::Docker(docker) => Some(docker),
            spec::Runtime::Process(_) | spec::Runtime::External(_) => None,
        }
    }

    /// The name of the server in a sentence or a Docker command.
    pub(super) fn name(&self) -> &str {
        self.docker().map_or("the process", |docker| docker.container.as_str())
    }

    /// Returns the shell command that runs `ejabberdctl` for this server.
    pub(super) fn ejabberdctl(&self) -> String {
        match self.docker() {
            Some(docker) => format!("docker exec {} ejabberdctl", docker.container),
            None => "ejabberdctl".to_owned(),
        }
    }

    /// Returns the instruction that tells an administrator how to restart the server.
    pub(super) fn restart(&self) -> String {
        match self.docker() {
            Some(docker) => format!("`docker restart {}`", docker.container),
            None => "end its process".to_owned(),
        }
    }

    /// The status that the running operator reports; if no operator responds, the last status in
    /// the state directory. `None` if neither exists.
    pub(super) fn status(&self) -> Option<&Status> {
        let remembered = || self.operator.remembered.known().and_then(Option::as_deref);
        self.operator.response.as_deref().or_else(remembered)
    }
}
