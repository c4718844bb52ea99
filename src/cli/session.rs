//! Functions that the commands share: read the file, and connect to the server.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::runtimes::Connectors;
use super::{Exit, output};
use crate::adapters::host::nginx::NginxFiles;
use crate::adapters::secrets::FileSecrets;
use crate::adapters::source::FileSource;
use crate::adapters::sqlite::SqliteStore;
use crate::domain::spec;
use crate::domain::spec::{DesiredState, Severity};
use crate::ejabberd::EjabberdClient;
use crate::engine::{
    Connector, Engine, EventSink, Ports, RecheckBudget, Secrets, Source, Store, StoreError,
    Supervisor,
};

/// The maximum number of known passwords that a single command verifies again. On a small server,
/// this number includes all passwords. ejabberd 23.01 needs 13 ms to hash one password.
const PASSWORDS_VERIFIED: usize = 50;

/// The paths of the desired state and of the state directory.
pub(super) struct Paths {
    pub(super) desired_state: PathBuf,
    pub(super) state_dir: PathBuf,
}

impl Paths {
    pub(super) fn source(&self) -> Result<FileSource, Exit> {
        Ok(FileSource::new(self.desired_state.clone())?)
    }

    /// Opens the store to write.
    pub(super) fn memory(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.state_dir)
    }

    /// Opens the store to read. `None` if there is no database yet.
    pub(super) fn remembered(&self) -> Result<Option<SqliteStore>, Exit> {
        SqliteStore::open_read_only(&self.state_dir).map_err(|error| self.unusable(&error))
    }

    /// Returns the identity of the state directory: a hash of its path without links. `None` if the
    /// path cannot be resolved.
    pub(super) fn holder(&self) -> Option<String> {
        let path = self.state_dir.canonicalize().ok()?;
        let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
        hash.get(..8).map(hex::encode)
    }

    /// Converts the error of a state directory that cannot be used. The message contains the action
    /// for the user.
    pub(super) fn unusable(&self, error: &StoreError) -> Exit {
        let help = match (error, std::fs::metadata(&self.state_dir)) {
            (StoreError::Locked(_), _) => {
                "; stop that operator first, or name another directory with --state-dir".to_owned()
            }
            (_, Ok(found)) if !found.is_dir() => {
                "; it is not a directory: name one with --state-dir".to_owned()
            }
            (_, Ok(found)) if !may_use(found.uid()) => format!(
                "; it belongs to the user {}: run this command as that user, or name another directory \
                 with --state-dir",
                found.uid()
            ),
            (_, Ok(_)) => String::new(),
            (_, Err(_)) => {
                "; name a directory that this user can create and use with --state-dir".to_owned()
            }
        };
        Exit::Failure(format!("failed to {error}{help}"))
    }

    /// Reads the file again. `None` if the file is no longer valid.
    pub(super) async fn reread(&self) -> Option<DesiredState> {
        let files = self.source().ok()?.load().await.ok()?;
        Some(spec::validate(&files).ok()?.desired)
    }

    /// Reads and validates the file. Prints the problems of the file to standard error.
    pub(super) async fn desired(&self) -> Result<DesiredState, Exit> {
        let files = self.source()?.load().await?;
        match spec::validate(&files) {
            Ok(validated) => {
                validated.warnings.iter().for_each(output::problem);
                Ok(validated.desired)
            }
            Err(problems) => {
                problems.iter().for_each(output::problem);
                let errors =
                    problems.iter().filter(|problem| problem.severity == Severity::Error).count();
                let noun = if errors == 1 { "error" } else { "errors" };
                Err(Exit::Failure(format!(
                    "{} is not valid: {errors} {noun}; nothing was changed",
                    self.desired_state.display()
                )))
            }
        }
    }
}

/// Returns whether this process can open private files of the user `owner`.
fn may_use(owner: u32) -> bool {
    let us = rustix::process::geteuid();
    us.is_root() || us.as_raw() == owner
}

/// Creates an engine for the server in `desired`.
pub(super) fn engine(
    desired: &DesiredState,
    store: Arc<dyn Store>,
    events: Arc<dyn EventSink>,
    connectors: &Connectors,
) -> Engine {
    let (runtime, control) = connectors.connect(&desired.server);
    let secrets: Arc<dyn Secrets> = Arc::new(FileSecrets::new());
    let begin = jiff::Timestamp::now().subsec_nanosecond().unsigned_abs();
    let recheck_budget = RecheckBudget::new(
        PASSWORDS_VERIFIED,
        PASSWORDS_VERIFIED,
        usize::try_from(begin).unwrap_or(0),
    );
    let server = EjabberdClient::new(control);
    let proxy = Arc::new(NginxFiles::default());
    let ports = Ports { server, runtime, store, secrets, proxy, events };
    let supervisor = Arc::new(Supervisor::new(desired, &ports));
    Engine::new(ports, supervisor, recheck_budget)
}
