//! Who else decides on the same objects: the same drift, put right again and
//! again, means that somebody else wants it otherwise. To go on at full speed
//! would help nobody, so such an object is put right more and more rarely, and
//! told.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::diff::StepInfo;
use crate::domain::model::{Kind, ObjectKey, Op};

/// Put right so often, each time soon after the last, it is contested.
const TIMES: u32 = 4;

/// What comes back later than this after it was put right is a new matter.
const SOON: Duration = Duration::from_mins(15);

const FIRST_WAIT: Duration = Duration::from_mins(1);
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// More differences than this are not kept in mind; the oldest go.
const MOST: usize = 10_000;

/// One difference of one object.
type Matter = (ObjectKey, Op, Vec<String>);

struct ContendedObject {
    times: u32,
    last: Instant,
}

/// See the module's documentation.
#[derive(Default)]
pub(in crate::engine) struct Contention {
    seen: BTreeMap<Matter, ContendedObject>,
}

impl ContendedObject {
    /// Until when it waits; `None` if it does not.
    fn until(&self) -> Option<Instant> {
        let more = self.times.checked_sub(TIMES)?;
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(more)).min(LONGEST_WAIT);
        Some(self.last + wait)
    }
}

fn matter(step: &StepInfo) -> Matter {
    (step.key.clone(), step.op, step.fields.clone())
}

impl Contention {
    /// Whether a step has to wait because somebody keeps undoing it.
    pub(in crate::engine) fn waits(&self, step: &StepInfo, now: Instant) -> bool {
        let until = self.seen.get(&matter(step)).and_then(ContendedObject::until);
        until.is_some_and(|until| now < until)
    }

    /// Notes that a step was carried out.
    pub(in crate::engine) fn done(&mut self, step: &StepInfo, now: Instant) {
        if matches!(step.kind(), Kind::Server | Kind::Config) {
            // The supervisor has a backoff of its own, and configurations a latch.
            return;
        }
        let contest =
            self.seen.entry(matter(step)).or_insert(ContendedObject { times: 0, last: now });
        let soon = now.saturating_duration_since(contest.last) <= SOON;
        *contest = ContendedObject { times: if soon { contest.times + 1 } else { 1 }, last: now };
    }

    /// Drops what is long past.
    pub(in crate::engine) fn tidy(&mut self, now: Instant) {
        self.seen.retain(|_, contest| now.saturating_duration_since(contest.last) <= SOON);
        while self.seen.len() > MOST {
            let oldest = self.seen.iter().min_by_key(|(_, contest)| contest.last);
            let Some(oldest) = oldest.map(|(matter, _)| matter.clone()) else { break };
            self.seen.remove(&oldest);
        }
    }

    /// When the next one is due.
    pub(in crate::engine) fn next(&self, now: Instant) -> Option<Instant> {
        self.seen.values().filter_map(ContendedObject::until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(field: &str) -> StepInfo {
        StepInfo {
            key: ObjectKey::parse(Kind::Room, "hall@conference.example.org").unwrap(),
            op: Op::Update,
            fields: vec![field.to_owned()],
            reason: String::new(),
        }
    }

    #[test]
    fn what_is_undone_again_and_again_is_put_right_more_and_more_rarely() {
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
            assert!(!contention.waits(&step("options.public"), now), "another matter");
            waits.push((until - now).as_secs());
            now = until;
        }
        assert_eq!(waits, [60, 120, 240, 480, 600, 600]);
        now += SOON + Duration::from_secs(1);
        contention.tidy(now);
        contention.done(&title, now);
        assert!(!contention.waits(&title, now), "after a time of peace it is a new matter");
    }
}
