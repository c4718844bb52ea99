//! The limit on the requests of a client: a token bucket.

use std::time::Duration;

use crate::domain::spec::Rate;

/// The remaining requests of a client. Time is the monotonic time since any fixed moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    remaining: f64,
    at: Duration,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate, now: Duration) -> Self {
        Self { remaining: f64::from(rate.burst), at: now }
    }

    /// Takes one request. Fails with the time after which a request is permitted again.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let per_second = f64::from(rate.per_minute) / 60.0;
        let gained = now.saturating_sub(self.at).as_secs_f64() * per_second;
        self.at = self.at.max(now);
        self.remaining = (self.remaining + gained).min(f64::from(rate.burst));
        if self.remaining >= 1.0 {
            self.remaining -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - self.remaining) / per_second;
        Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_its_burst_and_then_its_rate() {
        let rate = Rate { per_minute: 60, burst: 3 };
        let second = Duration::from_secs;
        let mut bucket = Bucket::new(rate, second(100));
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, second(100)), Ok(()));
        }
        assert_eq!(bucket.take(rate, second(100)), Err(second(1)));
        assert_eq!(bucket.take(rate, second(101)), Ok(()));
        assert!(bucket.take(rate, second(101)).is_err());
        // A clock that steps back gives nothing.
        assert!(bucket.take(rate, second(50)).is_err());
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, second(9999)), Ok(()));
        }
        assert!(bucket.take(rate, second(9999)).is_err());
    }
}
