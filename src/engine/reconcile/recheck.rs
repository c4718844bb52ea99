//! Limits how many known passwords and vCards the operator compares again in a reconciliation.
//!
//! Another program may have changed a password or vCard since the last comparison. Each comparison
//! of a password costs the server half a millisecond of hashing. So the budget limits the
//! comparisons per minute, and each reconciliation compares the next part of the accounts.

use std::time::Instant;

use parking_lot::Mutex;

/// The budgets of comparisons for passwords and for vCards.
#[derive(Debug)]
pub struct RecheckBudget {
    pub(in crate::engine) passwords: KindBudget,
    pub(in crate::engine) vcards: KindBudget,
}

impl RecheckBudget {
    /// Creates a budget of `passwords` and `vcards` comparisons per minute. The first turn starts
    /// at the account with the index `begin`, so that commands with a single reconciliation do not
    /// always compare the same accounts.
    #[must_use]
    pub fn new(passwords: usize, vcards: usize, begin: usize) -> Self {
        Self {
            passwords: KindBudget::new(passwords, begin),
            vcards: KindBudget::new(vcards, begin),
        }
    }
}

/// The budget of comparisons for passwords or for vCards.
#[derive(Debug)]
pub(in crate::engine) struct KindBudget {
    per_minute: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    begin: usize,
    /// The number of comparisons that are allowed at `since`. The number grows with time, up to the
    /// limit per minute.
    allowed: f64,
    since: Instant,
}

/// The part of a list that the operator compares now. The part may wrap around the end of the list.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Turn {
    begin: usize,
    count: usize,
    length: usize,
}

impl KindBudget {
    fn new(per_minute: usize, begin: usize) -> Self {
        let state = State { begin, allowed: as_f64(per_minute), since: Instant::now() };
        Self { per_minute, state: Mutex::new(state) }
    }

    /// Returns the next part of a list with `length` elements, and subtracts the part from the
    /// budget.
    pub(in crate::engine) fn next(&self, length: usize) -> Turn {
        self.next_at(length, Instant::now())
    }

    fn next_at(&self, length: usize, now: Instant) -> Turn {
        let mut state = self.state.lock();
        let most = as_f64(self.per_minute);
        let minutes = now.saturating_duration_since(state.since).as_secs_f64() / 60.0;
        let allowed = most.min(state.allowed + minutes * most);
        let count = (0..length).take_while(|n| as_f64(*n) + 1.0 <= allowed).count();
        let begin = if length == 0 { 0 } else { state.begin % length };
        *state = State { begin: begin + count, allowed: allowed - as_f64(count), since: now };
        Turn { begin, count, length }
    }
}

/// Converts a number to `f64`. The result is exact up to `u32::MAX`, which exceeds every limit per
/// minute.
fn as_f64(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

impl Turn {
    /// Whether the operator compares the element at `index` now.
    pub(in crate::engine) fn contains(self, index: usize) -> bool {
        let after = (index + self.length - self.begin) % self.length.max(1);
        after < self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_element_is_compared_once_before_any_is_compared_twice() {
        let (turns, start) = (KindBudget::new(3, 0), Instant::now());
        let mut seen = [0; 7];
        for minute in 0..7 {
            let turn = turns.next_at(7, start + Duration::from_secs(60 * minute));
            (0..7).filter(|n| turn.contains(*n)).for_each(|n| seen[n] += 1);
        }
        assert_eq!(seen, [3; 7]);
        assert!(!KindBudget::new(0, 0).next(5).contains(0));
        assert!(!KindBudget::new(9, 0).next(0).contains(0));
        assert!((0..4).all(|n| KindBudget::new(9, 0).next(4).contains(n)));
    }

    #[test]
    fn the_limit_per_minute_does_not_depend_on_the_number_of_rounds() {
        let (turns, start) = (KindBudget::new(10, 0), Instant::now());
        let asked = |from: u64, to: u64| -> usize {
            let rounds = (from..to).map(|n| turns.next_at(1000, start + Duration::from_millis(n)));
            rounds.map(|turn| turn.count).sum()
        };
        assert_eq!(asked(0, 1000), 10, "the initial allowance");
        let minute = asked(1000, 61_000);
        assert!((9..=11).contains(&minute), "{minute}");
    }
}
