//! The marks of verdicts in the output of `audit` and `doctor`.

use super::table::Cell;
use super::terminal::Ink;
use crate::domain::checks::Verdict;

/// The mark of a verdict.
pub(super) fn mark(verdict: Verdict) -> Cell {
    match verdict {
        Verdict::Passes => Cell::painted("✓", Ink::Green),
        Verdict::Fails => Cell::painted("✗", Ink::Red),
        Verdict::Unknown => Cell::painted("?", Ink::Yellow),
        Verdict::DoesNotApply => Cell::painted("–", Ink::Faint),
    }
}
