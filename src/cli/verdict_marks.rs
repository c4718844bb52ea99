//! The marks of verdicts in the output of `audit` and `doctor`.

use super::table::Cell;
use super::terminal::{FAINT, GREEN, RED, YELLOW};
use crate::domain::checks::Verdict;

/// Returns the cell with the mark of a verdict.
pub(super) fn mark(verdict: Verdict) -> Cell {
    match verdict {
        Verdict::Passes => Cell::painted("✓", GREEN),
        Verdict::Fails => Cell::painted("✗", RED),
        Verdict::Unknown => Cell::painted("?", YELLOW),
        Verdict::DoesNotApply => Cell::painted("–", FAINT),
    }
}
