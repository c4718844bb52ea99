//! Judges the declared configuration and the configuration on the server by ejabberd's own offline
//! check.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{FIRST, NOT_ASKED, explained, reason_to_skip, unknown, unless, within};
use crate::domain::checks::doctor::{Checked, Symptom};
use crate::domain::configuration::Configuration;
use crate::domain::observed::{ProcessState, Reading};
use crate::domain::rollout;
use crate::domain::rollout::Snapshot;
use crate::domain::spec::{Config, DesiredState};
use crate::ejabberd::erlang::Verdict;
use crate::engine::diagnostics::Diagnostics;
use crate::engine::ports::{ConfigFiles, MAIN_CONFIG};

/// The deadline of one offline check. On an idle host, ejabberd's check takes half a second, and
/// the start of a container for the check takes another half second.
const CHECK: Duration = Duration::from_secs(15);

/// The evidence about the configurations.
pub(super) struct Configurations {
    /// The check of the declared configuration; `None` if no configuration is declared.
    pub(super) declared: Option<Reading<Checked>>,
    /// The check of the configuration on the server; `None` if the configuration on the server is
    /// the declared configuration, or if there is no configuration on the server.
    pub(super) live: Option<Reading<Checked>>,
    /// The expanded configuration that the server reports. If the server reports none, the result
    /// of the offline check: of the configuration on the server or, if `live` is `None`, of the
    /// declared configuration.
    pub(super) in_force: Reading<Configuration>,
}

/// The result of an offline check: the expanded configuration, or the reason why ejabberd refuses
/// the configuration.
type CheckResult = Reading<Result<Configuration, String>>;

/// The condition under which the offline checks run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checks {
    /// Always run the checks.
    All,
    /// Run the checks only if the server does not report its configuration. Other evidence needs
    /// the configuration.
    Needed,
}

/// The files of both configurations.
struct Files {
    /// The declared configuration; `None` if no configuration is declared.
    declared: Option<Declared>,
    live: Reading<ConfigFiles>,
    /// Whether there is no server.
    absent: bool,
}

/// The declared configuration.
struct Declared {
    /// The path of the variant.
    path: String,
    files: Result<ConfigFiles, String>,
}

impl Files {
    fn declared(&self) -> Option<&ConfigFiles> {
        self.declared.as_ref()?.files.as_ref().ok()
    }

    /// Whether the server has the declared files; `true` also if there is no server, because a new
    /// server starts with the declared files.
    fn are_same(&self) -> bool {
        let known = self.live.known().zip(self.declared());
        known.is_some_and(|(live, declared)| self.absent || live == declared)
    }

    /// Returns the names of the options that differ between the server and the declaration.
    fn differences(
        &self,
        live: Option<&Configuration>,
        declared: Option<&Configuration>,
    ) -> Vec<String> {
        let Some((before, after)) = self.live.known().zip(self.declared()) else {
            return Vec::new();
        };
        if self.absent {
            return Vec::new();
        }
        let changes = rollout::difference(
            Snapshot { files: before, expanded: live },
            Snapshot { files: after, expanded: declared },
            None,
        );
        changes.into_iter().map(|change| change.name).collect()
    }
}

impl Diagnostics {
    /// Collects the evidence about the configurations. If `skip` holds a reason (for example, the
    /// engine does not respond), all evidence is unknown with this reason.
    pub(super) async fn configurations(
        &self,
        desired: &DesiredState,
        process: &Reading<ProcessState>,
        skip: Option<&str>,
        symptoms: &[Symptom],
    ) -> Configurations {
        if let Some(why) = skip {
            return Configurations {
                declared: desired.config.as_ref().map(|_| unknown(why)),
                live: Some(unknown(why)),
                in_force: unknown(why),
            };
        }
        let files = self.files(desired, process).await;
        // Prefer the configuration that the server reports: the files, which the offline check
        // reads, may have changed since the server loaded the configuration.
        let reported = unless(reason_to_skip(process), FIRST, async {
            explained(self.server.configuration().await)
        })
        .await;
        let checks = if symptoms.contains(&Symptom::Start) { Checks::All } else { Checks::Needed };
        let unreported = reported.known().is_none();
        let skip = |needed| reason_not_to_check(process, checks, needed);
        // Run the checks at the same time, because each check takes about a second.
        let (declared, live) = tokio::join!(
            self.check_declared(&files, skip(unreported && files.are_same())),
            self.check_live(&files, skip(unreported)),
        );
        assemble(&files, declared, live, reported)
    }

    /// Reads the files of both configurations.
    async fn files(&self, desired: &DesiredState, process: &Reading<ProcessState>) -> Files {
        let declared = match &desired.config {
            None => None,
            Some(config) => Some(Declared {
                path: path_of(config),
                files: explained(self.configs.declared_config(config).await),
            }),
        };
        let mut names: BTreeSet<String> = BTreeSet::from([MAIN_CONFIG.to_owned()]);
        if let Some(Declared { files: Ok(files), .. }) = &declared {
            names.extend(files.keys().cloned());
        }
        let names: Vec<String> = names.into_iter().collect();
        let absent = matches!(process, Reading::Known(ProcessState::Absent));
        let live = if absent {
            Reading::Known(ConfigFiles::new())
        } else {
            within(FIRST, async { explained(self.runtime.read_config(&names).await) }).await
        };
        Files { declared, live, absent }
    }

    /// Checks the declared configuration; `None` if no configuration is declared.
    async fn check_declared(&self, files: &Files, skip: Option<&str>) -> Option<CheckResult> {
        Some(match &files.declared.as_ref()?.files {
            Ok(files) => self.check_offline(skip, files).await,
            Err(why) => unknown(why),
        })
    }

    /// Checks the configuration on the server; `None` if the configuration on the server is the
    /// declared configuration, or if there is no configuration on the server.
    async fn check_live(&self, files: &Files, skip: Option<&str>) -> Option<CheckResult> {
        match &files.live {
            Reading::Known(live) if files.are_same() || live.is_empty() => None,
            Reading::Known(live) => Some(self.check_offline(skip, live).await),
            Reading::Unknown(why) => Some(unknown(why)),
        }
    }

    /// Runs ejabberd's offline check of `files`, unless there is a reason to skip the check.
    async fn check_offline(&self, skip: Option<&str>, files: &ConfigFiles) -> CheckResult {
        unless(skip, CHECK, async {
            let context = self.configs.start_context().await;
            match explained(self.runtime.check_config(files, &context).await)? {
                Verdict::Accepted(configuration) => Ok(Ok(*configuration)),
                Verdict::Refused(why) => Ok(Err(why)),
                Verdict::Unable(why) => Err(format!("ejabberd could not check the files: {why}")),
            }
        })
        .await
    }
}

/// Returns the reason to skip an offline check; `None` if the check must run. In a paused
/// container, no check can run.
fn reason_not_to_check(
    process: &Reading<ProcessState>,
    checks: Checks,
    needed: bool,
) -> Option<&'static str> {
    if checks == Checks::Needed && !needed {
        return Some(NOT_ASKED);
    }
    let running = matches!(process, Reading::Known(ProcessState::Running { .. }));
    reason_to_skip(process).filter(|_| running)
}

/// Builds the evidence from the results of the checks and the configuration that the server
/// reports.
fn assemble(
    files: &Files,
    declared: Option<CheckResult>,
    live: Option<CheckResult>,
    reported: Reading<Configuration>,
) -> Configurations {
    let in_force = match (reported, live.as_ref().or(declared.as_ref())) {
        (Reading::Known(reported), _) => Reading::Known(reported),
        (_, Some(Reading::Known(Ok(expanded)))) => Reading::Known(expanded.clone()),
        (_, Some(Reading::Known(Err(why)))) => unknown(&format!("ejabberd refuses it: {why}")),
        (_, Some(Reading::Unknown(why))) => unknown(why),
        (_, None) => unknown("there is no configuration on the server"),
    };
    let expanded =
        declared.as_ref().and_then(Reading::known).and_then(|result| result.as_ref().ok());
    let differences = files.differences(in_force.known(), expanded);
    let live_exists = files.live.known().is_some_and(|live| !live.is_empty());
    let unreadable = files.declared.as_ref().is_some_and(|declared| declared.files.is_err());
    let path = files.declared.as_ref().map(|declared| declared.path.clone()).unwrap_or_default();
    Configurations {
        live: match live {
            None if unreadable && live_exists => Some(unknown("the declared one cannot be read")),
            live => live.map(|result| checked(MAIN_CONFIG.to_owned(), result, differences)),
        },
        declared: declared.map(|result| checked(path, result, Vec::new())),
        in_force,
    }
}

/// Builds the evidence of one check.
fn checked(path: String, result: CheckResult, differs: Vec<String>) -> Reading<Checked> {
    match result {
        Reading::Known(result) => Reading::Known(Checked { path, refused: result.err(), differs }),
        Reading::Unknown(why) => Reading::Unknown(why),
    }
}

/// Returns the path of the declared variant, for messages.
fn path_of(config: &Config) -> String {
    let path = config.variants.get(&config.variant);
    path.map_or_else(|| config.variant.clone(), |path| path.display().to_string())
}
