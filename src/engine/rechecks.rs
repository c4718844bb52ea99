//! Whose password is asked for again in a round, though it was seen in force.
//!
//! Somebody may have changed it behind our back. Asking for all of them in each
//! round would cost the server half a millisecond of hashing each, so they take
//! turns.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The turns; so many a round.
#[derive(Debug)]
pub struct Rechecks {
    per_round: usize,
    begin: AtomicUsize,
}

/// The part of a list whose turn it is; it may go past the end to the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    begin: usize,
    count: usize,
    length: usize,
}

impl Rechecks {
    /// `per_round` of them in each round, the first turn at `begin`: a command
    /// that has only one round should not always ask for the same.
    #[must_use]
    pub fn new(per_round: usize, begin: usize) -> Self {
        Self { per_round, begin: AtomicUsize::new(begin) }
    }

    /// The next turn, in a list of `length`.
    pub(super) fn next(&self, length: usize) -> Turn {
        let count = self.per_round.min(length);
        let begin = self.begin.fetch_add(count, Ordering::Relaxed);
        Turn { begin: if length == 0 { 0 } else { begin % length }, count, length }
    }
}

impl Turn {
    /// Whether it is the turn of the one at `index`.
    pub(super) fn contains(self, index: usize) -> bool {
        let after = (index + self.length - self.begin) % self.length.max(1);
        after < self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_and_nobody_two_before_the_others() {
        let rechecks = Rechecks::new(3, 0);
        let mut seen = [0; 7];
        for _ in 0..7 {
            let turn = rechecks.next(7);
            (0..7).filter(|n| turn.contains(*n)).for_each(|n| seen[n] += 1);
        }
        assert_eq!(seen, [3; 7]);
        assert!(!Rechecks::new(0, 0).next(5).contains(0));
        assert!(!Rechecks::new(9, 0).next(0).contains(0));
        assert!((0..4).all(|n| Rechecks::new(9, 0).next(4).contains(n)));
    }
}
