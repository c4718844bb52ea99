//! The status in one sentence: what is wrong, and since when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Condition, ConditionStatus, ConditionType, Status};

/// How much of a hurry there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything is as it shall be.
    Good,
    /// The operator is at work, or nothing is known yet.
    Busy,
    /// Something differs, or waits for somebody.
    Attention,
    /// The server is of no use to anybody.
    Bad,
}

/// What matters most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headline {
    /// How much of a hurry there is.
    pub level: Level,
    /// In a few words.
    pub title: String,
    /// What is known about it.
    pub detail: String,
    /// Since when.
    pub since: Option<Timestamp>,
}

impl Status {
    /// What matters most.
    #[must_use]
    pub fn headline(&self) -> Headline {
        let said = |level, title: &str, condition: &Condition| Headline {
            level,
            title: title.to_owned(),
            detail: condition.message.clone(),
            since: Some(condition.last_transition_time),
        };
        let with = |kind, status| self.get(kind).filter(|condition| condition.status == status);
        let (yes, no) = (ConditionStatus::True, ConditionStatus::False);
        if let Some(ready) = self.conditions.iter().find(|c| c.reason == "OperatorNotRunning") {
            return said(Level::Bad, "No operator runs", ready);
        }
        if let Some(healthy) = with(ConditionType::Healthy, no) {
            return match healthy.reason.as_str() {
                "Stopped" => said(Level::Attention, "The server is stopped", healthy),
                "Starting" | "Stopping" => said(
                    Level::Busy,
                    &format!("The server is {}", healthy.reason.to_lowercase()),
                    healthy,
                ),
                _ => said(Level::Bad, "The server is down", healthy),
            };
        }
        if let Some(stalled) = with(ConditionType::Stalled, yes) {
            let title = match stalled.reason.as_str() {
                "DeletionsRefused" => "Deletions wait for an approval",
                "Unreadable" => "The desired state cannot be read",
                _ => "The desired state is not valid",
            };
            return said(Level::Attention, title, stalled);
        }
        if let Some(healthy) = with(ConditionType::Healthy, ConditionStatus::Unknown)
            && healthy.reason != "Starting"
        {
            return said(Level::Bad, "Nobody knows how the server is", healthy);
        }
        if let Some(config) = with(ConditionType::ConfigApplied, no) {
            match config.reason.as_str() {
                "RolledBack" => {
                    return said(Level::Attention, "The configuration was taken back", config);
                }
                "Invalid" => {
                    return said(Level::Attention, "The configuration was refused", config);
                }
                _ => {}
            }
        }
        if let Some(degraded) = with(ConditionType::Degraded, yes) {
            let title = match degraded.reason.as_str() {
                "Contested" => "Something else changes the same objects",
                "NoMemory" => "The operator's memory cannot be used",
                "CannotObserve" => "Not everything can be read",
                _ => "Some steps fail",
            };
            return said(Level::Attention, title, degraded);
        }
        if let Some(ready) = with(ConditionType::Ready, yes) {
            return said(Level::Good, "All as declared", ready);
        }
        if let Some(working) = with(ConditionType::Reconciling, yes) {
            return said(Level::Busy, "At work", working);
        }
        match with(ConditionType::Ready, no) {
            Some(ready) => said(Level::Attention, "Not as declared", ready),
            None => Headline {
                level: Level::Busy,
                title: "Just started".to_owned(),
                detail: "no round has ended yet".to_owned(),
                since: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn headline(set: &[(ConditionType, bool, &str)]) -> (Level, String) {
        let mut status = Status::new(NOW);
        for (kind, holds, reason) in set {
            status.set(*kind, *holds, reason, "", NOW);
        }
        let Headline { level, title, .. } = status.headline();
        (level, title)
    }

    #[test]
    fn the_worst_comes_first() {
        use ConditionType::{ConfigApplied, Degraded, Healthy, Ready, Stalled};
        let cases: [(&[_], _, _); 8] = [
            (&[], Level::Busy, "Just started"),
            (&[(Ready, true, ""), (Healthy, true, "")], Level::Good, "All as declared"),
            (&[(Ready, false, "Drift"), (Healthy, true, "")], Level::Attention, "Not as declared"),
            (
                &[(Healthy, false, "Killed"), (Stalled, true, "InvalidDesiredState")],
                Level::Bad,
                "The server is down",
            ),
            (&[(Healthy, false, "Stopped")], Level::Attention, "The server is stopped"),
            (&[(Healthy, false, "Starting")], Level::Busy, "The server is starting"),
            (
                &[(Healthy, true, ""), (Stalled, true, "DeletionsRefused"), (Ready, false, "")],
                Level::Attention,
                "Deletions wait for an approval",
            ),
            (
                &[(Healthy, true, ""), (ConfigApplied, false, "RolledBack"), (Degraded, true, "")],
                Level::Attention,
                "The configuration was taken back",
            ),
        ];
        for (set, level, title) in cases {
            assert_eq!(headline(set), (level, title.to_owned()), "{set:?}");
        }
    }
}
