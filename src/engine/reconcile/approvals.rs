//! Counts the uses of approvals. Each use of an approval of refused steps counts once.

use std::collections::BTreeMap;

use super::report::{StepOutcome, StepResult};
use crate::domain::diff::ObjectStep;
use crate::domain::model::Digest;
use crate::domain::plan::Approved;
use crate::engine::error::StoreError;
use crate::engine::ports::StateKey;
use crate::engine::reconcile::round::Reconciler;

impl Reconciler {
    /// Returns the number of uses of each digest.
    pub(in crate::engine) fn approvals_used(&self) -> Result<BTreeMap<Digest, u32>, StoreError> {
        let json = self.store.recall(StateKey::Approvals)?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
    }

    /// Records the use of an approval. The caller must call this function before the first approved
    /// step, so that a killed operator does not use the approval a second time. Returns whether any
    /// of `steps` uses the approval.
    pub(in crate::engine) fn use_approval(
        &self,
        approved: Option<&Approved>,
        steps: &[ObjectStep],
    ) -> Result<bool, StoreError> {
        let Some(approved) = approved else { return Ok(false) };
        let uses = steps.iter().any(|step| approved.steps.contains(step));
        if uses {
            self.change_approval(&approved.digest, |used| used.saturating_add(1))?;
        }
        Ok(uses)
    }

    /// Takes back the recorded use of an approval if no approved step was carried out, because the
    /// operator retries the same steps.
    pub(in crate::engine) fn return_approval(
        &self,
        approved: Option<&Approved>,
        outcomes: &[StepOutcome],
    ) -> Result<(), StoreError> {
        let Some(approved) = approved else { return Ok(()) };
        let mut done = outcomes.iter().filter(|o| matches!(o.result, StepResult::Done));
        let is_covered =
            |outcome: &StepOutcome| approved.steps.iter().any(|s| *s.info() == outcome.step);
        if done.any(is_covered) {
            return Ok(());
        }
        self.change_approval(&approved.digest, |used| used.saturating_sub(1))
    }

    fn change_approval(
        &self,
        digest: &Digest,
        change: impl FnOnce(u32) -> u32,
    ) -> Result<(), StoreError> {
        let mut all = self.approvals_used()?;
        let used = all.entry(digest.clone()).or_default();
        *used = change(*used);
        all.retain(|_, used| *used > 0);
        let json = serde_json::to_string(&all).unwrap_or_default();
        self.store.remember(StateKey::Approvals, Some(&json))
    }
}
