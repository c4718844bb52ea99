//! Whose password or vCard is asked for again in a round, though it was seen
//! to be as declared.
//!
//! Somebody may have changed it behind our back. Asking for all of them in each
//! round would cost the server half a millisecond of hashing each, so they take
//! turns: so many a minute, however many rounds there are.

use std::time::Instant;

use parking_lot::Mutex;

/// The turns of each kind.
#[derive(Debug)]
pub struct RecheckBudget {
    pub(in crate::engine) passwords: KindBudget,
    pub(in crate::engine) vcards: KindBudget,
}

impl RecheckBudget {
    /// So many of each a minute, the first turn at `begin`: a command that has
    /// only one round should not always ask for the same.
    #[must_use]
    pub fn new(passwords: usize, vcards: usize, begin: usize) -> Self {
        Self {
            passwords: KindBudget::new(passwords, begin),
            vcards: KindBudget::new(vcards, begin),
        }
    }
}

/// The turns of one kind.
#[derive(Debug)]
pub(in crate::engine) struct KindBudget {
    per_minute: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    begin: usize,
    /// So many may be asked for right now; grows with time, to a minute's worth.
    allowed: f64,
    since: Instant,
}

/// The part of a list whose turn it is; it may go past the end to the start.
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

    /// The next turn, in a list of `length`.
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

/// Exact for every number that a minute can have of these.
fn as_f64(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

impl Turn {
    /// Whether it is the turn of the one at `index`.
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
    fn everybody_has_a_turn_and_nobody_two_before_the_others() {
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
    fn however_many_rounds_there_are_a_minute_has_its_limit() {
        let (turns, start) = (KindBudget::new(10, 0), Instant::now());
        let asked = |from: u64, to: u64| -> usize {
            let rounds = (from..to).map(|n| turns.next_at(1000, start + Duration::from_millis(n)));
            rounds.map(|turn| turn.count).sum()
        };
        assert_eq!(asked(0, 1000), 10, "what had gathered");
        let minute = asked(1000, 61_000);
        assert!((9..=11).contains(&minute), "{minute}");
    }
}
