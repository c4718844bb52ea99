//! Judging a configuration before anybody is interrupted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::compare::config_digest;
use crate::domain::checks::audit;
use crate::domain::configuration::Configuration;
use crate::domain::model::{Digest, Vhost};
use crate::domain::rollout::Failure;
use crate::domain::spec::DesiredState;
use crate::ejabberd::StartContext;
use crate::ejabberd::erlang::Verdict;
use crate::engine::Engine;
use crate::engine::ports::ConfigFiles;

/// For how long a verdict counts. A plan asks, and so does each step that
/// follows from it a moment later; what is installed on the server can change.
const COUNTS_FOR: Duration = Duration::from_secs(10);

/// The variant whose name is a promise: it has to pass the security checklist.
pub(in crate::engine) const HARDENED: &str = "hardened";

/// The items that a configuration alone can break.
const PROMISED: [&str; 6] = [
    "loopback_inside",
    "api_commands",
    "web_handlers",
    "starttls_file",
    "starttls_wire",
    "rooms_members_only",
];

/// What ejabberd said last of new files.
#[derive(Debug, Default)]
pub struct Verdicts(Mutex<Option<Kept>>);

#[derive(Debug, Clone)]
struct Kept {
    since: Instant,
    digest: Digest,
    result: Result<Arc<Configuration>, Failure>,
}

impl Engine {
    /// What ejabberd itself makes of `files`, offline, and whether that is what
    /// `desired` declares: it serves the hosts, and a variant that is called
    /// hardened is. Without `desired`, as for a configuration that proved good
    /// before, ejabberd alone decides.
    pub(in crate::engine) async fn judge(
        &self,
        desired: Option<&DesiredState>,
        files: &ConfigFiles,
    ) -> Result<Arc<Configuration>, Failure> {
        let configuration = self.expand(files).await?;
        let Some(desired) = desired else { return Ok(configuration) };
        let unfit = match unfit(desired, &configuration) {
            None if is_called_hardened(desired) => {
                let around = audit::broken_around(&self.evidence_around().await);
                around.map(|(check, seen)| broken_message(check, &seen))
            }
            unfit => unfit,
        };
        match unfit {
            Some(message) => Err(Failure { message, blame: true }),
            None => Ok(configuration),
        }
    }

    /// Of a configuration that is called hardened, what of it is not.
    pub(super) async fn promise(&self, desired: &DesiredState) -> Result<(), Failure> {
        if desired.config.as_ref().is_none_or(|config| config.variant != HARDENED) {
            return Ok(());
        }
        let findings = audit::check(&self.evidence(desired).await);
        let broken = findings.iter().find(|finding| {
            PROMISED.contains(&finding.check) && finding.verdict.holds() == Some(false)
        });
        broken.map_or(Ok(()), |finding| {
            Err(Failure { message: broken_message(finding.check, &finding.seen), blame: true })
        })
    }

    /// Whether `files` may be put in force, see [`judge`](Self::judge).
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

    /// How the server was started, where it answers.
    pub(in crate::engine) async fn start_context(&self) -> StartContext {
        self.server.start_context().await.unwrap_or_default()
    }
}

/// Why a configuration that ejabberd accepts is not the declared one, if so.
fn unfit(desired: &DesiredState, configuration: &Configuration) -> Option<String> {
    let served: Vec<Vhost> =
        configuration.hosts().iter().filter_map(|host| Vhost::new(host).ok()).collect();
    let mut declared = std::iter::once(&desired.host).chain(&desired.hosts);
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
    let (check, seen) = audit::broken_promise(configuration)?;
    Some(broken_message(check, &seen))
}

fn is_called_hardened(desired: &DesiredState) -> bool {
    desired.config.as_ref().is_some_and(|config| config.variant == HARDENED)
}

/// How a variant that is called hardened breaks its promise.
pub(in crate::engine) fn broken_message(check: &str, seen: &str) -> String {
    format!("it is called `{HARDENED}` and fails the security checklist: {check}: {seen}")
}
