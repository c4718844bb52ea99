//! Checks a configuration before the operator interrupts the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::compare::config_digest;
use crate::domain::checks::audit;
use crate::domain::configuration::Configuration;
use crate::domain::model::{Digest, Vhost};
use crate::domain::rollout::Failure;
use crate::domain::spec::DesiredState;
use crate::ejabberd::erlang::Verdict;
use crate::ejabberd::{EjabberdClient, StartContext};
use crate::engine::diagnostics::audit_probe::AuditProbe;
use crate::engine::ports::{ConfigFiles, Runtime, Secrets, Store};
use crate::engine::reconcile::database::Databases;

/// The time for which a stored verdict is valid. A plan and the steps of the plan need the same
/// verdict within a few seconds. Later verdicts can differ, because the installation of the server
/// can change.
const COUNTS_FOR: Duration = Duration::from_secs(10);

/// The name of a variant that must pass the security checklist.
pub(in crate::engine) const HARDENED: &str = "hardened";

/// The last verdict of ejabberd about new files, with the digest of the files and the time of the
/// check.
#[derive(Debug, Default)]
pub struct Verdicts(Mutex<Option<Kept>>);

#[derive(Debug, Clone)]
struct Kept {
    since: Instant,
    digest: Digest,
    result: Result<Arc<Configuration>, Failure>,
}

/// Checks configurations, compares configurations with the configuration on the server, and stores
/// which configurations proved good or failed.
pub struct ConfigChecker {
    pub(in crate::engine) server: EjabberdClient,
    pub(in crate::engine) runtime: Arc<dyn Runtime>,
    pub(in crate::engine) store: Arc<dyn Store>,
    pub(in crate::engine) secrets: Arc<dyn Secrets>,
    pub(in crate::engine) databases: Arc<Databases>,
    pub(in crate::engine) probe: Arc<AuditProbe>,
    /// The last verdict of ejabberd about new configuration files.
    pub(in crate::engine) verdicts: Verdicts,
}

impl ConfigChecker {
    /// Judges `files` with ejabberd's offline check, and returns the expanded configuration. The
    /// files must also match `desired`: they must serve the declared hosts, and a variant with the
    /// name `hardened` must pass the security checklist. If `desired` is `None`, as for an earlier
    /// good configuration, only the offline check decides.
    pub(in crate::engine) async fn judge(
        &self,
        desired: Option<&DesiredState>,
        files: &ConfigFiles,
    ) -> Result<Arc<Configuration>, Failure> {
        let configuration = self.expand(files).await?;
        let Some(desired) = desired else { return Ok(configuration) };
        let unfit = match unfit(desired, &configuration) {
            None if is_called_hardened(desired) => {
                let around = audit::broken_around(&self.probe.collect_runtime_audit().await);
                around.map(|broken| broken_message(broken.check, &broken.seen))
            }
            unfit => unfit,
        };
        match unfit {
            Some(message) => Err(Failure { message, blame: true }),
            None => Ok(configuration),
        }
    }

    /// Checks that the operator may put `files` in force. Returns the failure of
    /// [`judge`](Self::judge) otherwise.
    pub(in crate::engine) async fn check(
        &self,
        desired: Option<&DesiredState>,
        files: &ConfigFiles,
    ) -> Result<(), Failure> {
        self.judge(desired, files).await.map(drop)
    }

    async fn expand(&self, files: &ConfigFiles) -> Result<Arc<Configuration>, Failure> {
        let digest = config_digest(files);
        if let Some(kept) = self.kept_verdict(&digest) {
            return kept;
        }
        let not_now = |message: String| Failure { message, blame: false };
        let result = match self.runtime.check_config(files, &self.start_context().await).await {
            Ok(Verdict::Accepted(configuration)) => Ok(Arc::new(*configuration)),
            Ok(Verdict::Refused(message)) => {
                Err(Failure { message: format!("ejabberd refuses it: {message}"), blame: true })
            }
            Ok(Verdict::Unable(message)) => return Err(not_now(message)),
            Err(error) => return Err(not_now(format!("failed to {error}"))),
        };
        let kept = Kept { since: Instant::now(), digest, result: result.clone() };
        *self.verdicts.0.lock() = Some(kept);
        result
    }

    fn kept_verdict(&self, digest: &Digest) -> Option<Result<Arc<Configuration>, Failure>> {
        let kept = self.verdicts.0.lock();
        let kept = kept.as_ref().filter(|kept| kept.digest == *digest)?;
        (kept.since.elapsed() < COUNTS_FOR).then(|| kept.result.clone())
    }

    /// Returns the context of the server's start; empty if the server does not respond.
    pub(in crate::engine) async fn start_context(&self) -> StartContext {
        self.server.start_context().await.unwrap_or_default()
    }
}

/// Returns the reason why a configuration that ejabberd accepts does not match the desired state;
/// `None` if the configuration matches.
fn unfit(desired: &DesiredState, configuration: &Configuration) -> Option<String> {
    let served: Vec<Vhost> =
        configuration.hosts().iter().filter_map(|host| Vhost::new(host).ok()).collect();
    let mut declared = desired.all_hosts();
    if let Some(host) = declared.find(|host| !served.contains(host)) {
        let served: Vec<&str> = served.iter().map(Vhost::as_str).collect();
        return Some(format!(
            "it does not serve `{host}`, which the desired state declares: its `hosts` are {}; add \
             `{host}` there, or correct spec.host and spec.hosts",
            served.join(", ")
        ));
    }
    if !is_called_hardened(desired) {
        return None;
    }
    let broken = audit::broken_promise(configuration)?;
    Some(broken_message(broken.check, &broken.seen))
}

pub(super) fn is_called_hardened(desired: &DesiredState) -> bool {
    desired.config.as_ref().is_some_and(|config| config.variant == HARDENED)
}

/// Returns the message about an item of the checklist that a variant with the name `hardened`
/// fails.
pub(in crate::engine) fn broken_message(check: &str, seen: &str) -> String {
    format!("it is called `{HARDENED}` and fails the security checklist: {check}: {seen}")
}
