//! The declared configuration beside the one on the server.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::Engine;
use super::error::{ControlError, SecretError};
use super::ports::{ConfigFiles, MAIN_CONFIG};
use crate::audit::{self, Certificate};
use crate::model::Digest;
use crate::observed::{ConfigReading, Latched, ProcessState, Reading, Standing};
use crate::rollout::{self, Method};
use crate::spec::{Config, DesiredState};

impl Engine {
    /// The declared configuration beside the one on the server, which is asked
    /// for it itself, or, where it does not answer, its runtime.
    pub(super) async fn config(
        &self,
        desired: &DesiredState,
        silent: Option<&ProcessState>,
    ) -> Option<Reading<ConfigReading>> {
        let config = desired.config.as_ref()?;
        Some(match self.compare_config(config, silent).await {
            Ok(reading) => Reading::Known(reading),
            Err(why) => Reading::Unknown(format!("failed to {why}")),
        })
    }

    async fn compare_config(
        &self,
        config: &Config,
        silent: Option<&ProcessState>,
    ) -> Result<ConfigReading, String> {
        let declared = self.declared_config(config).await.map_err(|e| e.to_string())?;
        let digest = config_digest(&declared);
        let latch = self.latch_of(&digest, &config.variant).map_err(|e| e.to_string())?;
        let standing = match latch {
            Some(_) => self.standing().map_err(|e| e.to_string())?,
            None => None,
        };
        let wanted = standing.as_ref().map_or(&declared, |(_, files)| files);
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
        let changes = rollout::difference(&of(wanted), wanted);
        let restarts = changes.iter().filter(|change| change.method == Method::Restart);
        let restarts = restarts.map(|change| match change.why {
            Some(why) => format!("`{}` {why}", change.name),
            None => format!("`{}`", change.name),
        });
        Ok(ConfigReading {
            in_force: config_digest(&of(&declared)),
            declared: digest,
            standing: standing.as_ref().map(|(good, files)| Standing {
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

    /// The declared variant and the files beside it, as they are now.
    pub(super) async fn declared_config(
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

/// The certificates among the declared files.
pub(super) fn certificates(files: &ConfigFiles) -> Vec<Certificate> {
    let ends = |(file, content): (&String, &Vec<u8>)| {
        Some(Certificate { file: file.clone(), ends: audit::ends(content)? })
    };
    files.iter().filter_map(ends).collect()
}

/// The hash of a configuration: names and contents.
pub(super) fn config_digest(files: &ConfigFiles) -> Digest {
    let mut hash = Sha256::new();
    for (name, content) in files {
        // Lengths keep a name from running into a content.
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(content);
    }
    Digest::new(
        hash.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
    )
}
