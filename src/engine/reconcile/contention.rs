//! Detects other programs that change the same objects. If another program
//! repeatedly reverts a correction, the operator repeats the correction at growing intervals, and
//! reports the object.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::diff::{Phase, StepInfo};
use crate::domain::model::{ObjectKey, Op};

/// The number of corrections in short succession after which a difference counts as contended.
const TIMES: u32 = 4;

/// The maximum time between two corrections in short succession.
const SOON: Duration = Duration::from_mins(15);

const FIRST_WAIT: Duration = Duration::from_mins(1);
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// The maximum number of differences in memory. The operator drops the oldest differences first.
const MOST: usize = 10_000;

/// A difference of an object: the object, the operation and the fields.
type Difference = (ObjectKey, Op, Vec<String>);

struct ContendedObject {
    times: u32,
    last: Instant,
}

/// The counter of the corrections of each difference.
#[derive(Default)]
pub(in crate::engine) struct Contention {
    seen: BTreeMap<Difference, ContendedObject>,
}

impl ContendedObject {
    /// Returns the time until which the next correction waits; `None` if the difference is not
    /// contended.
    fn until(&self) -> Option<Instant> {
        let more = self.times.checked_sub(TIMES)?;
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(more)).min(LONGEST_WAIT);
        Some(self.last + wait)
    }
}

fn difference(step: &StepInfo) -> Difference {
    (step.key.clone(), step.op, step.fields.clone())
}

impl Contention {
    /// Whether a step must wait at `now` because another program repeatedly reverts the step.
    pub(in crate::engine) fn waits(&self, step: &StepInfo, now: Instant) -> bool {
        let until = self.seen.get(&difference(step)).and_then(ContendedObject::until);
        until.is_some_and(|until| now < until)
    }

    /// Records that a step was carried out.
    pub(in crate::engine) fn done(&mut self, step: &StepInfo, now: Instant) {
        if step.phase == Phase::Server {
            // The supervisor's backoff and the latch already limit these steps: the operator does
            // not retry a failed configuration until the configuration changes.
            return;
        }
        let object =
            self.seen.entry(difference(step)).or_insert(ContendedObject { times: 0, last: now });
        let soon = now.saturating_duration_since(object.last) <= SOON;
        *object = ContendedObject { times: if soon { object.times + 1 } else { 1 }, last: now };
    }

    /// Drops the differences whose last correction is longer ago than [`SOON`], and the oldest
    /// differences above [`MOST`].
    pub(in crate::engine) fn tidy(&mut self, now: Instant) {
        self.seen.retain(|_, object| now.saturating_duration_since(object.last) <= SOON);
        while self.seen.len() > MOST {
            let oldest = self.seen.iter().min_by_key(|(_, object)| object.last);
            let Some(oldest) = oldest.map(|(difference, _)| difference.clone()) else { break };
            self.seen.remove(&oldest);
        }
    }

    /// Returns the time of the next waiting correction; `None` if no correction waits.
    pub(in crate::engine) fn next(&self, now: Instant) -> Option<Instant> {
        self.seen.values().filter_map(ContendedObject::until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::Kind;

    fn step(field: &str) -> StepInfo {
        StepInfo {
            phase: Phase::Objects,
            key: ObjectKey::parse(Kind::Room, "hall@conference.example.org").unwrap(),
            op: Op::Update,
            fields: vec![field.to_owned()],
            reason: String::new(),
        }
    }

    #[test]
    fn a_repeatedly_reverted_correction_waits_longer_each_time() {
        let (mut contention, mut now) = (Contention::default(), Instant::now());
        let title = step("options.title");
        for _ in 0..3 {
            contention.done(&title, now);
            assert!(!contention.waits(&title, now));
            now += Duration::from_secs(30);
        }
        let mut waits = Vec::new();
        for _ in 0..6 {
            contention.done(&title, now);
            let until = contention.next(now).unwrap();
            assert!(contention.waits(&title, now) && !contention.waits(&title, until));
            assert!(!contention.waits(&step("options.public"), now), "another difference");
            waits.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
        now += SOON + Duration::from_secs(1);
        contention.tidy(now);
        contention.done(&title, now);
        assert!(!contention.waits(&title, now), "after a pause the count starts again");
    }

    #[test]
    fn a_reverted_table_storage_is_contended_and_a_repeated_server_start_is_not() {
        let now = Instant::now();
        let server = ObjectKey::Server("xmpp".to_owned());
        let storage = StepInfo { key: server.clone(), ..step("accountsTable") };
        let start = StepInfo { phase: Phase::Server, key: server, ..step("start") };
        let mut contention = Contention::default();
        for _ in 0..TIMES {
            contention.done(&storage, now);
            contention.done(&start, now);
        }
        assert!(contention.waits(&storage, now), "another program moves the table back");
        assert!(!contention.waits(&start, now), "the supervisor has its own backoff");
    }
}
