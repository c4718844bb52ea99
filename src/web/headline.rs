//! How things are, in one sentence: what is wrong, since when, and what the
//! operator does about it. Pure.

use jiff::Timestamp;
use serde::Serialize;

use super::board::Progress;
use crate::status::{ConditionStatus, ConditionType, Status};

/// How it sounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tone {
    /// As declared.
    Good,
    /// Being put right.
    Busy,
    /// Somebody should look at it some time.
    Warning,
    /// Somebody should look at it now.
    Bad,
    /// Nobody knows.
    Unknown,
}

/// The sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Headline {
    pub(super) tone: Tone,
    /// What is the matter.
    pub(super) what: String,
    /// Since when.
    pub(super) since: Option<Timestamp>,
    /// Why.
    pub(super) why: String,
    /// What the operator does about it, or waits for.
    pub(super) doing: String,
    /// When it does that.
    pub(super) at: Option<Timestamp>,
    /// What else is not as it should be.
    pub(super) also: Vec<String>,
}

impl Headline {
    fn new(tone: Tone, what: impl Into<String>, doing: impl Into<String>) -> Self {
        let (what, doing) = (what.into(), doing.into());
        Self { tone, what, since: None, why: String::new(), doing, at: None, also: Vec::new() }
    }

    /// With what a condition says.
    fn of(self, status: &Status, kind: ConditionType) -> Self {
        let Some(condition) = status.get(kind) else { return self };
        let since = Some(condition.last_transition_time);
        Self { since, why: condition.message.clone(), ..self }
    }
}

/// Looks at everything, the worst first.
pub(super) fn headline(status: &Status, progress: Option<Progress>) -> Headline {
    let looks = [server, file, configuration, deletions, steps, differences];
    let mut found = looks.into_iter().filter_map(|look| look(status));
    let reconciling = working(status, progress);
    let mut headline = match (found.next(), reconciling) {
        // What a round under way puts right is not yet a fault.
        (Some(first), Some(busy)) if first.tone == Tone::Warning && !waits(status) => {
            Headline { why: first.what, ..busy }
        }
        (Some(first), busy) => {
            Headline { also: busy.map(|b| b.what).into_iter().collect(), ..first }
        }
        (None, Some(busy)) => busy,
        (None, None) => good(status),
    };
    headline.also.extend(found.map(|other| other.what));
    headline.also.extend(security(status));
    headline
}

/// Whether something waits for a person, which no round changes.
fn waits(status: &Status) -> bool {
    status.blocked.is_some() || !status.failing.is_empty() || !status.contested.is_empty()
}

fn holds(status: &Status, kind: ConditionType) -> Option<ConditionStatus> {
    status.get(kind).map(|condition| condition.status)
}

fn reason(status: &Status, kind: ConditionType) -> &str {
    status.get(kind).map(|condition| condition.reason.as_str()).unwrap_or_default()
}

fn server(status: &Status) -> Option<Headline> {
    let healthy = status.get(ConditionType::Healthy)?;
    let supervision = status.server.supervision.as_ref();
    let word = supervision.map_or("", |supervision| supervision.state.as_str());
    let down = matches!(
        word,
        "starting" | "unresponsive" | "paused" | "backing-off" | "failed" | "stopping" | "stopped"
    );
    if !down && (status.server.up || healthy.status == ConditionStatus::True) {
        return None;
    }
    if !down && status.last_attempt.is_none() && healthy.reason == "Starting" {
        return None;
    }
    let headline = match word {
        "starting" => {
            Headline::new(Tone::Busy, "Server starting", "it is left alone as long as it works")
        }
        "unresponsive" => Headline::new(
            Tone::Bad,
            "Server does not answer",
            "it is restarted if it does nothing; one that is busy gets longer",
        ),
        "paused" => {
            Headline::new(Tone::Bad, "Server paused", "it is for whoever paused it to end that")
        }
        "backing-off" => Headline::new(Tone::Bad, "Server down", "next start"),
        "failed" => Headline::new(
            Tone::Bad,
            "Server cannot be started",
            "somebody has to mend that; tried again",
        ),
        "stopping" => Headline::new(Tone::Busy, "Server stopping, as declared", ""),
        "stopped" => Headline::new(Tone::Unknown, "Server stopped, as declared", ""),
        _ if healthy.reason == "Interrupted" => Headline::new(
            Tone::Busy,
            "Server stopped for a change",
            "it is started again in this round",
        ),
        _ if healthy.status == ConditionStatus::Unknown => {
            Headline::new(Tone::Bad, "Server cannot be seen", "the operator looks again and again")
        }
        _ => Headline::new(Tone::Bad, "Server down", "the operator looks at it now"),
    };
    let mut headline = headline.of(status, ConditionType::Healthy);
    if let Some(supervision) = supervision.filter(|_| down) {
        headline.since = headline.since.map(|since| since.min(supervision.since));
        headline.at = supervision.next_start;
        if let Some(cause) = supervision.last_cause.clone().filter(|_| word != "stopped") {
            headline.why = cause;
        }
    }
    Some(headline)
}

fn file(status: &Status) -> Option<Headline> {
    let about_file = !matches!(reason(status, ConditionType::Stalled), "DeletionsRefused");
    if !status.is(ConditionType::Stalled) || !about_file {
        return None;
    }
    let what = "The desired state cannot be used";
    let doing = "it is read again as soon as it changes";
    Some(Headline::new(Tone::Bad, what, doing).of(status, ConditionType::Stalled))
}

fn configuration(status: &Status) -> Option<Headline> {
    let kind = ConditionType::ConfigApplied;
    if holds(status, kind) != Some(ConditionStatus::False) {
        return None;
    }
    let headline = match reason(status, kind) {
        "Invalid" => Headline::new(
            Tone::Bad,
            "ejabberd refuses the configuration",
            "it is tried again when it changes, or by `ejabberd-operator retry`",
        ),
        "RolledBack" => Headline::new(
            Tone::Bad,
            "The new configuration was taken back",
            "it is tried again when it changes, or by `ejabberd-operator retry`",
        ),
        _ => Headline::new(Tone::Busy, "The configuration is not in force yet", ""),
    };
    Some(headline.of(status, kind))
}

fn deletions(status: &Status) -> Option<Headline> {
    let blocked = status.blocked.as_ref()?;
    let what = match blocked.deletions {
        1 => "1 deletion is refused".to_owned(),
        n => format!("{n} deletions are refused"),
    };
    let headline = Headline::new(Tone::Warning, what, "waits for your approval, below");
    let headline = headline.of(status, ConditionType::Stalled);
    Some(Headline { why: blocked.reason.clone(), ..headline })
}

fn steps(status: &Status) -> Option<Headline> {
    if !status.is(ConditionType::Degraded) {
        return None;
    }
    let kind = ConditionType::Degraded;
    let headline = match (reason(status, kind), status.failing.len(), status.contested.len()) {
        ("NoMemory", ..) => Headline::new(
            Tone::Bad,
            "The state directory cannot be used",
            "nothing is changed until it can",
        ),
        ("ConfigHeldBack", ..) => return None,
        ("Contested", _, n) => Headline::new(
            Tone::Warning,
            format!("{} changed back by something else", objects(n)),
            "put right more and more rarely",
        ),
        ("CannotObserve", ..) => Headline::new(
            Tone::Warning,
            "Some of the server cannot be read",
            "nothing is deleted because of that; the operator looks again",
        ),
        (_, n, _) => Headline::new(
            Tone::Warning,
            format!("{} cannot be put right", objects(n)),
            "tried again, each time a little later",
        ),
    };
    Some(headline.of(status, kind))
}

fn objects(count: usize) -> String {
    match count {
        0 => "Something".to_owned(),
        1 => "1 object".to_owned(),
        n => format!("{n} objects"),
    }
}

fn differences(status: &Status) -> Option<Headline> {
    let drift: usize = status.drift.values().sum();
    let refused = status.blocked.as_ref().map_or(0, |blocked| blocked.deletions);
    let known = refused + status.failing.len() + status.contested.len();
    if drift <= known || holds(status, ConditionType::Ready) != Some(ConditionStatus::False) {
        return None;
    }
    let what = match drift - known {
        1 => "1 difference is left".to_owned(),
        n => format!("{n} differences are left"),
    };
    let held = reason(status, ConditionType::Ready) == "Held";
    let doing = if held { "looked at, and left as they are" } else { "the next round goes on" };
    Some(Headline::new(Tone::Warning, what, doing).of(status, ConditionType::Ready))
}

fn working(status: &Status, progress: Option<Progress>) -> Option<Headline> {
    let steps = match progress {
        Some(Progress { steps, done, failed }) if steps > 0 => {
            let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
            format!("{done} of {steps} steps done{failed}")
        }
        _ => String::new(),
    };
    let known = status.last_attempt.is_some();
    if status.is(ConditionType::Reconciling) || !steps.is_empty() {
        let what = if known { "Making it as declared" } else { "Looking for the first time" };
        let headline = Headline::new(Tone::Busy, what, steps);
        let since = status.get(ConditionType::Reconciling).map(|c| c.last_transition_time);
        return Some(Headline { since, ..headline });
    }
    let starts = holds(status, ConditionType::Ready) == Some(ConditionStatus::Unknown) && !known;
    starts.then(|| {
        Headline::new(Tone::Unknown, "The operator has just begun", "it looks at the server")
    })
}

fn good(status: &Status) -> Headline {
    if status.is(ConditionType::Ready) {
        return Headline::new(Tone::Good, "All as declared", "")
            .of(status, ConditionType::Ready)
            .without_why();
    }
    Headline::new(Tone::Warning, "Not as declared", "the operator looks again")
        .of(status, ConditionType::Ready)
}

impl Headline {
    fn without_why(self) -> Self {
        Self { why: String::new(), ..self }
    }
}

fn security(status: &Status) -> Option<String> {
    let audit = status.audit.as_ref().filter(|audit| !audit.failing.is_empty())?;
    let (failing, items) = (audit.failing.len(), audit.items);
    let verb = if failing == 1 { "does" } else { "do" };
    Some(format!("{failing} of {items} items of the security checklist {verb} not hold"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{AuditStatus, BlockedStatus, SupervisionStatus};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// One that is as declared since 10.
    fn converged() -> Status {
        let mut status = Status::new(at(0));
        status.last_attempt = Some(at(10));
        status.server.up = true;
        use ConditionType::{ConfigApplied, Degraded, Healthy, Ready, Reconciling, Stalled};
        for (kind, holds) in [
            (Ready, true),
            (Reconciling, false),
            (Stalled, false),
            (Degraded, false),
            (ConfigApplied, true),
            (Healthy, true),
        ] {
            status.set(kind, holds, "Test", "a message", at(10));
        }
        status
    }

    fn supervision(state: &str) -> SupervisionStatus {
        SupervisionStatus {
            state: state.to_owned(),
            since: at(30),
            starts: 3,
            next_start: Some(at(50)),
            last_cause: Some("killed".to_owned()),
        }
    }

    #[test]
    fn what_is_as_declared_says_since_when() {
        let told = headline(&converged(), None);
        assert_eq!(
            (told.tone, told.what.as_str(), told.since),
            (Tone::Good, "All as declared", Some(at(10)))
        );
        assert!(told.also.is_empty() && told.why.is_empty());
    }

    #[test]
    fn a_dead_server_comes_before_everything_else() {
        let mut status = converged();
        status.server.up = false;
        status.server.supervision = Some(supervision("backing-off"));
        status.set(ConditionType::Healthy, false, "Killed", "words", at(20));
        status.set(ConditionType::Ready, false, "ServerDown", "words", at(20));
        status.set(ConditionType::Degraded, true, "StepsFail", "words", at(20));
        status.failing.insert("user a@b".to_owned(), "failed".to_owned());
        let told = headline(&status, Some(Progress { steps: 0, done: 0, failed: 0 }));
        assert_eq!(told.what, "Server down");
        assert_eq!((told.tone, told.since, told.at), (Tone::Bad, Some(at(20)), Some(at(50))));
        assert_eq!((told.why.as_str(), told.doing.as_str()), ("killed", "next start"));
        assert_eq!(told.also, ["1 object cannot be put right"]);
        // An operator that began later knows from its memory since when.
        status.set(ConditionType::Healthy, true, "", "", at(60));
        status.set(ConditionType::Healthy, false, "", "", at(70));
        assert_eq!(headline(&status, None).since, Some(at(30)));
    }

    #[test]
    fn every_state_of_the_server_has_its_sentence() {
        let mut sentences = std::collections::BTreeSet::new();
        for state in
            ["starting", "unresponsive", "paused", "backing-off", "failed", "stopping", "stopped"]
        {
            let mut status = converged();
            status.server.up = false;
            status.server.supervision = Some(supervision(state));
            status.set(ConditionType::Healthy, false, "Test", "words", at(20));
            let told = headline(&status, None);
            assert_ne!(told.tone, Tone::Good, "{state}");
            sentences.insert(told.what);
        }
        assert_eq!(sentences.len(), 7);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_with_its_place() {
        let mut status = converged();
        let message = "desired-state.yaml:3:5: unknown field";
        status.set(ConditionType::Stalled, true, "InvalidDesiredState", message, at(40));
        status.set(ConditionType::Ready, false, "InvalidDesiredState", message, at(40));
        let told = headline(&status, None);
        assert_eq!((told.tone, told.why.as_str(), told.since), (Tone::Bad, message, Some(at(40))));
    }

    #[test]
    fn refused_deletions_wait_for_somebody_also_while_a_round_goes_on() {
        let mut status = converged();
        let digest = crate::model::Digest::new("d");
        status.blocked =
            Some(BlockedStatus { digest, reason: "too many".to_owned(), deletions: 6 });
        status.drift.insert("user delete".to_owned(), 6);
        status.set(ConditionType::Stalled, true, "DeletionsRefused", "too many", at(40));
        status.set(ConditionType::Ready, false, "Drift", "6 differences are left", at(40));
        status.set(ConditionType::Reconciling, true, "Working", "", at(41));
        let told = headline(&status, None);
        assert_eq!(told.what, "6 deletions are refused");
        assert_eq!(told.also, ["Making it as declared"]);
    }

    #[test]
    fn what_a_round_puts_right_is_no_fault_yet() {
        let mut status = converged();
        status.drift.insert("user create".to_owned(), 9);
        status.set(ConditionType::Ready, false, "Drift", "9 differences are left", at(40));
        assert_eq!(headline(&status, None).what, "9 differences are left");
        status.set(ConditionType::Reconciling, true, "Working", "", at(41));
        let told = headline(&status, Some(Progress { steps: 9, done: 4, failed: 1 }));
        assert_eq!((told.tone, told.doing.as_str()), (Tone::Busy, "4 of 9 steps done, 1 failed"));
    }

    #[test]
    fn an_open_item_of_the_checklist_is_told_beside() {
        let mut status = converged();
        let failing = vec!["loopback_host".to_owned()];
        status.audit = Some(AuditStatus { time: at(1), items: 15, failing, unknown: vec![] });
        let told = headline(&status, None);
        assert_eq!(told.tone, Tone::Good);
        assert_eq!(told.also, ["1 of 15 items of the security checklist does not hold"]);
    }

    #[test]
    fn who_has_not_looked_yet_does_not_sound_the_alarm() {
        let told = headline(&Status::new(at(0)), None);
        assert_eq!(told.tone, Tone::Unknown);
    }
}
