//! `spec.policy`: what may be changed.

use crate::domain::model::Digest;
use wildmatch::WildMatch;

/// `spec.policy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Whether anything is changed.
    pub mode: Mode,
    /// What is deleted when its entry is gone.
    pub prune: Prune,
    /// Names that are never touched.
    pub ignore: Vec<WildMatch>,
    /// How much may be deleted at once.
    pub guard: GuardLimits,
}

impl Policy {
    /// Whether `name` (`local@host`) matches one of the patterns, as a whole or
    /// by its localpart alone.
    #[must_use]
    pub fn ignores(&self, name: &str) -> bool {
        let local = name.split_once('@').map_or(name, |(local, _)| local);
        self.ignore.iter().any(|pattern| pattern.matches(name) || pattern.matches(local))
    }
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Drift is repaired.
    Enforce,
    /// Drift is reported.
    Report,
}

/// What is deleted when its entry is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// What the inventory holds.
    Managed,
    /// Nothing.
    None,
    /// Whatever is not declared.
    All,
}

/// `spec.policy.guard`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardLimits {
    /// More of a kind than this share of what the inventory holds of it is refused.
    pub max_delete_percent: u8,
    /// So many deletions of a kind pass without a look at the share.
    pub free_deletes: u32,
    /// The digest of refused deletions that may pass after all.
    pub approve: Option<Digest>,
}
