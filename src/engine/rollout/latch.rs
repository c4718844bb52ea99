//! What the operator knows of configurations beyond the files: which one is
//! not to be tried again, which ones proved good, and the rollout under way.

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

/// A configuration that is not tried again until it changes or somebody says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latch {
    /// The hash of its files.
    pub digest: Digest,
    /// What it was declared as: a name may be a promise that another does not
    /// make. Nothing where that made no difference.
    #[serde(default)]
    pub variant: Option<String>,
    /// What made it one.
    pub reason: LatchReason,
    /// Why, for people.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

/// The rollout under way, as it is found again by an operator that was killed in the middle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::engine) struct UnderWay {
    /// Where it is.
    pub(in crate::engine) rollout: Rollout,
    /// The hash under which the new files are kept.
    pub(in crate::engine) target: Digest,
    /// The hash under which the files from before are kept.
    pub(in crate::engine) before: Digest,
    /// What the new files were declared as.
    pub(in crate::engine) variant: String,
    pub(in crate::engine) revision: Revision,
    /// Whether this is the last good configuration, which replaces the declared one. The stored
    /// name is that of earlier versions.
    #[serde(default, rename = "standing")]
    pub(in crate::engine) last_good: bool,
    /// Since when the server may have them.
    pub(in crate::engine) since: Timestamp,
}

/// The latch of the memory. One that cannot be read is none: it was written by
/// another version, and the worst that follows is one more try.
pub fn latch(store: &dyn Store) -> Result<Option<Latch>, StoreError> {
    Ok(store.recall(StateKey::Latch)?.and_then(|json| serde_json::from_str(&json).ok()))
}

/// Takes the latch away; answers whether there was one.
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

/// Sets `declared` aside by hand, so that the good configuration `to` comes
/// back into force until the declaration changes.
fn set_aside(store: &dyn Store, declared: &Digest, to: &GoodConfig) -> Result<(), StoreError> {
    store.record_good(&GoodConfig { since: Timestamp::now(), ..to.clone() })?;
    keep_latch(
        store,
        &Latch {
            digest: declared.clone(),
            variant: None,
            reason: LatchReason::ByHand,
            message: format!(
                "set aside by hand: `{}` ({}) is in force in its place",
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
    /// Sets the declared configuration aside, by hand, for the good one whose
    /// digest begins with `to`.
    pub async fn roll_back_to(
        &self,
        desired: &DesiredState,
        to: &Digest,
    ) -> Result<String, ApplyError> {
        let none = |why: &str| ApplyError::ConfigUnchecked(why.to_owned());
        let config = desired.config.as_ref().ok_or_else(|| none("none is declared"))?;
        let declared = config_digest(&self.declared_config(config).await?);
        let good = self.store.good_configs()?;
        let good = good.into_iter().find(|good| good.digest.as_str().starts_with(to.as_str()));
        let good = good.ok_or_else(|| none("no good one of that digest is kept"))?;
        if good.digest == declared {
            lift_latch(&*self.store)?;
            return Ok(format!(
                "`{}` is what is declared: nothing stands in its way",
                good.variant
            ));
        }
        set_aside(&*self.store, &declared, &good)?;
        Ok(format!("`{}` ({}) comes back into force", good.variant, good.digest.short()))
    }

    /// The latch, where it is that of `declared` under the name `variant`.
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
            tracing::warn!(%error, "failed to remember that a configuration is not to be tried again");
        }
    }

    /// The good configuration that stands while the declared one is latched.
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
