//! Stores and reads the records about configurations: the latch, the good configurations, and the
//! rollout under way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::check::ConfigChecker;
use super::compare::config_digest;
use crate::domain::model::{Digest, Revision};
use crate::domain::observed::LatchReason;
use crate::domain::rollout::Rollout;
use crate::domain::spec::DesiredState;
use crate::engine::error::StoreError;
use crate::engine::ports::{ConfigFiles, GoodConfig, StateKey, Store};
use crate::engine::reconcile::report::ApplyError;

/// The record of a configuration that the operator does not retry until the configuration changes,
/// or until an administrator runs `retry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latch {
    /// The hash of the files of the configuration.
    pub digest: Digest,
    /// The name of the variant under which the configuration failed; `None` if the latch is for
    /// every name. The name matters because the name `hardened` adds checks.
    #[serde(default)]
    pub variant: Option<String>,
    /// The event that set the latch.
    pub reason: LatchReason,
    /// The cause, as a message for people.
    pub message: String,
    /// The time at which the latch was set.
    pub since: Timestamp,
}

/// The stored record of the rollout under way, for an operator that starts after a kill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::engine) struct UnderWay {
    /// The state of the rollout.
    pub(in crate::engine) rollout: Rollout,
    /// The hash under which the new files are stored.
    pub(in crate::engine) target: Digest,
    /// The hash under which the previous files are stored.
    pub(in crate::engine) before: Digest,
    /// The variant of the new files.
    pub(in crate::engine) variant: String,
    pub(in crate::engine) revision: Revision,
    /// Whether the new files are the last good configuration, which replaces the declared
    /// configuration. The record stores this field with the name `standing`, because earlier
    /// versions of the operator used this name.
    #[serde(default, rename = "standing")]
    pub(in crate::engine) last_good: bool,
    /// The earliest time at which the server may have had the new files.
    pub(in crate::engine) since: Timestamp,
}

/// Reads the stored latch; `None` if no latch is stored. Ignores a latch of another version of the
/// operator that cannot be parsed, because one more try of the configuration does no harm.
pub fn latch(store: &dyn Store) -> Result<Option<Latch>, StoreError> {
    Ok(store.recall(StateKey::Latch)?.and_then(|json| serde_json::from_str(&json).ok()))
}

/// Deletes the latch and the record of a failed replacement. Returns the deleted latch; `None` if
/// no latch was stored.
pub fn lift_latch(store: &dyn Store) -> Result<Option<Latch>, StoreError> {
    let before = latch(store)?;
    if before.is_some() {
        store.remember(StateKey::Latch, None)?;
    }
    if store.recall(StateKey::FailedReplacement)?.is_some() {
        store.remember(StateKey::FailedReplacement, None)?;
    }
    Ok(before)
}

/// Latches the configuration `declared` for an administrator, so that the good configuration `to`
/// replaces `declared` until the declaration changes.
fn set_aside(store: &dyn Store, declared: &Digest, to: &GoodConfig) -> Result<(), StoreError> {
    store.record_good(&GoodConfig { since: Timestamp::now(), ..to.clone() })?;
    keep_latch(
        store,
        &Latch {
            digest: declared.clone(),
            variant: None,
            reason: LatchReason::ByHand,
            message: format!(
                "rolled back by hand: `{}` ({}) replaces the declared one",
                to.variant,
                to.digest.short()
            ),
            since: Timestamp::now(),
        },
    )
}

fn keep_latch(store: &dyn Store, latch: &Latch) -> Result<(), StoreError> {
    let json = serde_json::to_string(latch).unwrap_or_default();
    store.remember(StateKey::Latch, Some(&json))
}

impl ConfigChecker {
    /// Rolls back from the declared configuration to the good configuration whose digest begins
    /// with `to`, on the request of an administrator. Returns the message for the administrator. If
    /// the good configuration is the declared configuration, the function only deletes the latch.
    pub async fn roll_back_to(
        &self,
        desired: &DesiredState,
        to: &Digest,
    ) -> Result<String, ApplyError> {
        let none = |why: &str| ApplyError::ConfigUnchecked(why.to_owned());
        let config = desired.config.as_ref().ok_or_else(|| none("no configuration is declared"))?;
        let declared = config_digest(&self.declared_config(config).await?);
        let good = self.store.good_configs()?;
        let good = good.into_iter().find(|good| good.digest.as_str().starts_with(to.as_str()));
        let good = good.ok_or_else(|| none("no good configuration with that digest is stored"))?;
        if good.digest == declared {
            lift_latch(&*self.store)?;
            return Ok(format!(
                "the operator retries `{}`, the declared configuration",
                good.variant
            ));
        }
        set_aside(&*self.store, &declared, &good)?;
        Ok(format!("the operator restores `{}` ({})", good.variant, good.digest.short()))
    }

    /// Returns the latch if the latch is for the configuration `declared` under the name `variant`,
    /// otherwise `None`.
    pub(in crate::engine) fn latch_of(
        &self,
        declared: &Digest,
        variant: &str,
    ) -> Result<Option<Latch>, StoreError> {
        Ok(latch(&*self.store)?.filter(|latch| {
            latch.digest == *declared && latch.variant.as_ref().is_none_or(|of| of == variant)
        }))
    }

    pub(in crate::engine) fn latch(
        &self,
        digest: &Digest,
        variant: &str,
        reason: LatchReason,
        message: &str,
    ) {
        let latch = Latch {
            digest: digest.clone(),
            variant: Some(variant.to_owned()),
            reason,
            message: message.to_owned(),
            since: Timestamp::now(),
        };
        if let Err(error) = keep_latch(&*self.store, &latch) {
            tracing::warn!(%error, "failed to store the latch of a configuration");
        }
    }

    /// Returns the newest good configuration and its files; `None` if no good configuration is
    /// stored. This configuration is in force while the declared configuration is latched.
    pub(in crate::engine) fn last_good(
        &self,
    ) -> Result<Option<(GoodConfig, ConfigFiles)>, StoreError> {
        let Some(good) = self.store.good_configs()?.into_iter().next() else { return Ok(None) };
        let files = self.store.kept_config(&good.digest)?;
        Ok(files.map(|files| (good, files)))
    }

    pub(in crate::engine) fn under_way(&self) -> Result<Option<UnderWay>, StoreError> {
        let kept = self.store.recall(StateKey::Rollout)?;
        Ok(kept.and_then(|json| serde_json::from_str(&json).ok()))
    }

    pub(in crate::engine) fn keep_under_way(
        &self,
        under_way: Option<&UnderWay>,
    ) -> Result<(), StoreError> {
        let json = under_way.and_then(|under_way| serde_json::to_string(under_way).ok());
        self.store.remember(StateKey::Rollout, json.as_deref())
    }
}
