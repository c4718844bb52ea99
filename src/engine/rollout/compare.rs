//! Compares the declared configuration with the configuration on the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::check::ConfigChecker;
use crate::domain::checks::audit;
use crate::domain::checks::audit::Certificate;
use crate::domain::configuration::Configuration;
use crate::domain::model::Digest;
use crate::domain::observed::{ConfigReading, LastGood, Latched, ProcessState, Reading};
use crate::domain::rollout;
use crate::domain::rollout::{Changed, Failure, Method, Snapshot};
use crate::domain::spec::{Config, DesiredState, ServerState};
use crate::ejabberd::ControlError;
use crate::engine::error::SecretError;
use crate::engine::ports::{ConfigFiles, MAIN_CONFIG};

/// The deadline of ejabberd's check of new files during the creation of a plan.
const JUDGED_WITHIN: Duration = Duration::from_secs(20);

impl ConfigChecker {
    /// Compares the declared configuration with the configuration on the server; `None` if no
    /// configuration is declared. The server reports its files. If the server does not respond
    /// (`silent`), the runtime reads the files.
    pub(in crate::engine) async fn config(
        &self,
        desired: &DesiredState,
        silent: Option<&ProcessState>,
    ) -> Option<Reading<ConfigReading>> {
        let config = desired.config.as_ref()?;
        Some(match self.compare_config(desired, config, silent).await {
            Ok(reading) => Reading::Known(reading),
            Err(why) => Reading::Unknown(format!("failed to {why}")),
        })
    }

    async fn compare_config(
        &self,
        desired: &DesiredState,
        config: &Config,
        silent: Option<&ProcessState>,
    ) -> Result<ConfigReading, String> {
        let declared = self.declared_config(config).await.map_err(|e| e.to_string())?;
        let digest = config_digest(&declared);
        let latch = self.latch_of(&digest, &config.variant).map_err(|e| e.to_string())?;
        let last_good = match latch {
            Some(_) => self.last_good().map_err(|e| e.to_string())?,
            None => None,
        };
        let wanted = last_good.as_ref().map_or(&declared, |(_, files)| files);
        let names: BTreeSet<&String> = declared.keys().chain(wanted.keys()).collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        let found = match silent {
            Some(ProcessState::Absent) => ConfigFiles::new(),
            Some(_) => self.runtime.read_config(&names).await.map_err(|e| e.to_string())?,
            None => self.config_of_server(&names).await.map_err(|e| e.to_string())?,
        };
        let of = |files: &ConfigFiles| -> ConfigFiles {
            let same = found.iter().filter(|(name, _)| files.contains_key(*name));
            same.map(|(name, content)| (name.clone(), content.clone())).collect()
        };
        let before = of(wanted);
        let asked = desired.server.state == ServerState::Running && before != *wanted;
        let judged = match (asked, &latch) {
            (false, _) => None,
            (true, Some(_)) => self.judge_in_time(None, wanted).await,
            (true, None) => self.judge_in_time(Some(desired), wanted).await,
        };
        let refused = match (&judged, &latch) {
            (Some(Err(failure)), None) if failure.blame => Some(failure.message.clone()),
            _ => None,
        };
        let expanded = judged.and_then(Result::ok);
        let leaves = match &expanded {
            Some(expanded) if latch.is_none() => self.databases.would_leave(desired, expanded),
            _ => Ok(BTreeMap::new()),
        };
        let leaves = leaves.map_err(|e| e.to_string())?;
        let changes = self.changes(&before, wanted, expanded.as_deref(), silent).await;
        let restarts = changes.iter().filter(|change| change.method == Method::Restart);
        let restarts = restarts.map(|change| match change.why {
            Some(why) => format!("`{}` {why}", change.name),
            None => format!("`{}`", change.name),
        });
        Ok(ConfigReading {
            in_force: config_digest(&of(&declared)),
            declared: digest,
            refused,
            leaves,
            last_good: last_good.as_ref().map(|(good, files)| LastGood {
                digest: good.digest.clone(),
                variant: good.variant.clone(),
                in_force: of(files) == *files,
            }),
            latched: latch.map(|latch| Latched { reason: latch.reason, message: latch.message }),
            restarts: restarts.collect(),
            notes: certificates(&declared)
                .iter()
                .filter_map(|one| audit::warning(one, Timestamp::now()))
                .collect(),
            changes: changes.into_iter().map(|change| change.name).collect(),
        })
    }

    /// Returns the verdict about new files; `None` if the check takes longer than
    /// [`JUDGED_WITHIN`], for example because Docker must pull the image first.
    async fn judge_in_time(
        &self,
        desired: Option<&DesiredState>,
        files: &ConfigFiles,
    ) -> Option<Result<Arc<Configuration>, Failure>> {
        timeout(JUDGED_WITHIN, self.judge(desired, files)).await.ok()
    }

    /// Returns the options and files that differ between the configuration in force and `wanted`.
    /// If the server does not respond, the configuration in force is unknown, so the function
    /// compares only the files: the server starts with the files on its disk.
    async fn changes(
        &self,
        before: &ConfigFiles,
        wanted: &ConfigFiles,
        expanded: Option<&Configuration>,
        silent: Option<&ProcessState>,
    ) -> Vec<Changed> {
        let (mut in_force, mut version) = (None, None);
        if silent.is_none() && before != wanted {
            let (configuration, reported) =
                tokio::join!(self.server.configuration(), self.server.version());
            in_force = configuration
                .inspect_err(
                    |error| tracing::debug!(%error, "failed to read the configuration in force"),
                )
                .ok();
            version = reported.ok();
        }
        rollout::difference(
            Snapshot { files: before, expanded: in_force.as_ref() },
            Snapshot { files: wanted, expanded },
            version,
        )
    }

    async fn config_of_server(&self, names: &[String]) -> Result<ConfigFiles, ControlError> {
        let path = self.server.config_path().await?;
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let mut files = ConfigFiles::new();
        for name in names {
            let place =
                if name == MAIN_CONFIG { path.clone() } else { format!("{directory}/{name}") };
            if let Some(content) = self.server.read_file(&place).await? {
                files.insert(name.clone(), content);
            }
        }
        Ok(files)
    }

    /// Reads the files of the declared variant.
    pub(in crate::engine) async fn declared_config(
        &self,
        config: &Config,
    ) -> Result<ConfigFiles, SecretError> {
        let mut files = ConfigFiles::new();
        let main = config.variants.get(&config.variant).map(|path| (MAIN_CONFIG, path));
        let beside = config.files.iter().map(|(name, path)| (name.as_str(), path));
        for (name, path) in main.into_iter().chain(beside) {
            files.insert(name.to_owned(), self.secrets.read_file(path).await?);
        }
        Ok(files)
    }
}

/// Returns the certificates among the declared files.
pub(in crate::engine) fn certificates(files: &ConfigFiles) -> Vec<Certificate> {
    let ends = |(file, content): (&String, &Vec<u8>)| {
        Some(Certificate { file: file.clone(), ends: audit::ends(content)? })
    };
    files.iter().filter_map(ends).collect()
}

/// Returns the hash of the names and the contents of the files of a configuration.
pub(in crate::engine) fn config_digest(files: &ConfigFiles) -> Digest {
    let mut hash = Sha256::new();
    for (name, content) in files {
        // Hash the lengths too, so that the same bytes with another border between name and content
        // give another hash.
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(content);
    }
    Digest::new(hex::encode(hash.finalize()))
}
