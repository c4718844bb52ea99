//! `spec.policy`: what the operator may change and delete.

use crate::domain::model::Digest;
use wildmatch::WildMatch;

/// `spec.policy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Whether the operator repairs drift.
    pub mode: Mode,
    /// Which objects without an entry the operator deletes.
    pub prune: Prune,
    /// Patterns of names that the operator never changes.
    pub ignore: Vec<WildMatch>,
    /// The limits on the number of objects that the operator may delete at once.
    pub guard: GuardLimits,
}

impl Policy {
    /// Whether `name` (`local@host`) or its localpart matches one of the patterns.
    #[must_use]
    pub fn ignores(&self, name: &str) -> bool {
        let local = name.split_once('@').map_or(name, |(local, _)| local);
        self.ignore.iter().any(|pattern| pattern.matches(name) || pattern.matches(local))
    }
}

/// Whether the operator repairs drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The operator repairs drift.
    Enforce,
    /// The operator reports drift and changes nothing.
    Report,
}

/// Which objects without an entry the operator deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// The operator deletes only objects of the inventory.
    Managed,
    /// The operator deletes no objects.
    None,
    /// The operator deletes all objects that are not declared.
    All,
}

/// `spec.policy.guard`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardLimits {
    /// The maximum share of the owned objects of one kind that may be deleted at once, in percent.
    pub max_delete_percent: u8,
    /// The number of objects of one kind that may always be deleted, whatever their share is.
    pub free_deletes: u32,
    /// The digest of the refused deletions that the administrator approved; `None` without an
    /// approval.
    pub approve: Option<Digest>,
}
