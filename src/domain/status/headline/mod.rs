//! The state of the server in one sentence: what is wrong, since when, and what the operator does
//! about it.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;

use super::{Condition, ConditionStatus, ConditionType, Progress, Reason, ServerPhase, Status};
use crate::domain::plan::approval_hint;

/// The urgency of a headline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// The server is as declared.
    Good,
    /// The operator is making a change.
    Busy,
    /// The server needs attention, but not at once.
    Warning,
    /// The server needs attention now.
    Bad,
    /// The state is unknown.
    Unknown,
}

/// The state of the server in one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Headline {
    /// The urgency.
    pub tone: Tone,
    /// The state.
    pub what: String,
    /// The time when the state began.
    pub since: Option<Timestamp>,
    /// The reason.
    pub why: String,
    /// What the operator does about it, or waits for.
    pub doing: String,
    /// The time of the next action.
    pub at: Option<Timestamp>,
    /// Other problems.
    pub also: Vec<String>,
}

impl Headline {
    fn new(tone: Tone, what: impl Into<String>, doing: impl Into<String>) -> Self {
        let (what, doing) = (what.into(), doing.into());
        Self { tone, what, since: None, why: String::new(), doing, at: None, also: Vec::new() }
    }

    /// Adds the reason and the time of a condition.
    fn of(self, status: &Status, kind: ConditionType) -> Self {
        let Some(condition) = status.get(kind) else { return self };
        let since = Some(condition.last_transition_time);
        Self { since, why: condition.message.clone(), ..self }
    }
}

impl Status {
    /// The headline: the worst finding first.
    #[must_use]
    pub fn headline(&self) -> Headline {
        headline(self)
    }
}

fn headline(status: &Status) -> Headline {
    let checks = [operator, server, file, configuration, deletions, steps, differences];
    let mut found = checks.into_iter().filter_map(|check| check(status));
    let reconciling = working(status).filter(|_| status.held.is_none());
    let mut headline = match (found.next(), reconciling) {
        // A running reconciliation may correct the problem, so the problem is no warning yet.
        (Some(first), Some(busy)) if first.tone == Tone::Warning && !waits(status) => {
            Headline { why: first.what, ..busy }
        }
        (Some(first), busy) => {
            Headline { also: busy.map(|b| b.what).into_iter().collect(), ..first }
        }
        (None, Some(busy)) => busy,
        (None, None) => good(status),
    };
    if let (Some(why), Tone::Bad | Tone::Warning) = (&status.held, headline.tone) {
        headline = Headline { doing: format!("nothing is changed: {why}"), at: None, ..headline };
    }
    headline.also.extend(found.map(|other| other.what));
    headline.also.extend(security(status));
    headline
}

/// Whether something waits for a person, so that no reconciliation changes it.
fn waits(status: &Status) -> bool {
    status.blocked.is_some() || !status.failing.is_empty() || !status.contended.is_empty()
}

fn holds(status: &Status, kind: ConditionType) -> Option<ConditionStatus> {
    status.get(kind).map(|condition| condition.status)
}

fn reason(status: &Status, kind: ConditionType) -> Option<&Reason> {
    status.get(kind).map(|condition| &condition.reason)
}

/// The headline of a command that finds no running operator.
fn operator(status: &Status) -> Option<Headline> {
    (reason(status, ConditionType::Ready) == Some(&Reason::OperatorNotRunning)).then(|| {
        let what = "No operator runs";
        let doing = "nothing restarts the server if it ends; the rest is the last known status";
        Headline::new(Tone::Bad, what, doing)
    })
}

fn server(status: &Status) -> Option<Headline> {
    let healthy = status.get(ConditionType::Healthy)?;
    let supervision = status.server.supervision.as_ref();
    let phase = supervision.map(|supervision| supervision.state);
    let down =
        phase.is_some_and(|phase| !matches!(phase, ServerPhase::Absent | ServerPhase::Running));
    if !down && (status.server.up || healthy.status == ConditionStatus::True) {
        return None;
    }
    if !down && status.last_attempt.is_none() && healthy.reason == Reason::Starting {
        return None;
    }
    let mut headline = server_phase(phase, healthy).of(status, ConditionType::Healthy);
    if let Some(supervision) = supervision.filter(|_| down) {
        headline.since = headline.since.map(|since| since.min(supervision.since));
        headline.at = supervision.next_start;
        if let Some(cause) =
            supervision.last_cause.clone().filter(|_| phase != Some(ServerPhase::Stopped))
        {
            headline.why = cause;
        }
    }
    Some(headline)
}

/// The headline for a server that is down or cannot be observed.
fn server_phase(phase: Option<ServerPhase>, healthy: &Condition) -> Headline {
    match phase {
        Some(ServerPhase::Starting) => Headline::new(
            Tone::Busy,
            "Server starting",
            "the operator waits while the start makes progress",
        ),
        Some(ServerPhase::Unresponsive) => Headline::new(
            Tone::Bad,
            "Server does not respond",
            "the operator restarts a server that does nothing, and waits longer for a busy server",
        ),
        Some(ServerPhase::Halted) => Headline::new(
            Tone::Bad,
            "ejabberd stopped in its node",
            "the operator restarts it if it stays stopped",
        ),
        Some(ServerPhase::Unseen) => Headline::new(
            Tone::Bad,
            "Server cannot be seen",
            "the operator changes nothing, and tries again every 15 s",
        ),
        Some(ServerPhase::PortSilent) => Headline::new(
            Tone::Bad,
            "A client port does not respond",
            "the operator does not restart the server: its node responds",
        ),
        Some(ServerPhase::Paused) => {
            Headline::new(Tone::Bad, "Server paused", "the operator does not end the pause")
        }
        Some(ServerPhase::BackingOff) => Headline::new(Tone::Bad, "Server down", "next start"),
        Some(ServerPhase::Failed) => {
            Headline::new(Tone::Bad, "Server cannot be started", "fix the cause; next try")
        }
        Some(ServerPhase::Stopping) => {
            Headline::new(Tone::Busy, "Server stopping, as declared", "")
        }
        Some(ServerPhase::Stopped) => {
            Headline::new(Tone::Unknown, "Server stopped, as declared", "")
        }
        _ if healthy.reason == Reason::Interrupted => Headline::new(
            Tone::Busy,
            "Server stopped for a change",
            "the operator starts it again in this round",
        ),
        _ if healthy.status == ConditionStatus::Unknown => {
            Headline::new(Tone::Bad, "Server cannot be seen", "the operator tries again")
        }
        _ => Headline::new(Tone::Bad, "Server down", "the operator checks it now"),
    }
}

fn file(status: &Status) -> Option<Headline> {
    if !status.is(ConditionType::Stalled) || status.blocked.is_some() {
        return None;
    }
    if reason(status, ConditionType::Stalled) == Some(&Reason::DatabaseMissing) {
        let what = "The server's database is missing or replaced";
        let doing = "nothing on the server is changed before `ejabberd-operator retry --fill`";
        return Some(Headline::new(Tone::Bad, what, doing).of(status, ConditionType::Stalled));
    }
    if reason(status, ConditionType::Stalled) == Some(&Reason::StateOutdated) {
        let what = "The state directory is an old copy";
        let doing = "nothing on the server is changed before `ejabberd-operator adopt --all`";
        return Some(Headline::new(Tone::Bad, what, doing).of(status, ConditionType::Stalled));
    }
    let what = "The desired state cannot be used";
    let doing = "the operator reads it again as soon as it changes";
    Some(Headline::new(Tone::Bad, what, doing).of(status, ConditionType::Stalled))
}

fn configuration(status: &Status) -> Option<Headline> {
    let kind = ConditionType::ConfigApplied;
    if holds(status, kind) != Some(ConditionStatus::False) {
        return None;
    }
    let headline = match reason(status, kind) {
        Some(Reason::Invalid) => Headline::new(
            Tone::Bad,
            "ejabberd refuses the configuration",
            "the operator tries again when it changes, or after `ejabberd-operator retry`",
        ),
        Some(Reason::RolledBack) => Headline::new(
            Tone::Bad,
            "The new configuration was rolled back",
            "the operator tries again when it changes, or after `ejabberd-operator retry`",
        ),
        // Another headline reports that the server is down, which is the reason.
        _ if !status.server.up => return None,
        _ => Headline::new(Tone::Busy, "The configuration is not in force yet", ""),
    };
    Some(headline.of(status, kind))
}

fn deletions(status: &Status) -> Option<Headline> {
    let blocked = status.blocked.as_ref()?;
    let what = blocked.counted();
    let headline = Headline::new(Tone::Warning, what, "waits for your approval");
    let headline = headline.of(status, ConditionType::Stalled);
    // The list of the deletions explains how to approve them.
    let hint = approval_hint(&blocked.digest);
    let why = blocked.reason.strip_suffix(&hint).unwrap_or(&blocked.reason);
    Some(Headline { why: why.to_owned(), ..headline })
}

fn steps(status: &Status) -> Option<Headline> {
    if !status.is(ConditionType::Degraded) {
        return None;
    }
    let kind = ConditionType::Degraded;
    let headline = match (reason(status, kind), failing(status), status.contended.len()) {
        (Some(Reason::StateUnavailable), ..) => Headline::new(
            Tone::Bad,
            "The state directory cannot be used",
            "nothing is changed until it can",
        ),
        (Some(Reason::ConfigHeldBack), ..) => return None,
        (Some(Reason::Contested), _, n) => Headline::new(
            Tone::Warning,
            format!("{} changed back by something else", objects(n)),
            "the operator corrects them at longer and longer intervals",
        ),
        (Some(Reason::CannotObserve), ..) if !status.server.up => return None,
        (Some(Reason::CannotObserve), ..) => Headline::new(
            Tone::Warning,
            "Not everything can be read",
            "nothing is deleted because of that; the operator tries again",
        ),
        (_, n, _) => Headline::new(
            Tone::Warning,
            format!("{} cannot be corrected", objects(n)),
            "the operator tries again at longer and longer intervals",
        ),
    };
    Some(headline.of(status, kind))
}

/// The number of objects that fail. A status of an older operator has no count.
fn failing(status: &Status) -> usize {
    status.failing_count.max(status.failing.len())
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
    let refused = status.blocked.as_ref().map_or(0, |b| b.deletions + b.creations);
    let known = refused + failing(status) + status.contended.len();
    if !status.server.up
        || drift <= known
        || holds(status, ConditionType::Ready) != Some(ConditionStatus::False)
    {
        return None;
    }
    let what = match drift - known {
        1 => "1 difference is left".to_owned(),
        n => format!("{n} differences are left"),
    };
    Some(
        Headline::new(Tone::Warning, what, "the next round continues")
            .of(status, ConditionType::Ready),
    )
}

fn working(status: &Status) -> Option<Headline> {
    let steps = match status.progress {
        Some(Progress { steps, done, failed }) if steps > 0 => {
            let failed = if failed == 0 { String::new() } else { format!(", {failed} failed") };
            format!("{done} of {steps} steps done{failed}")
        }
        _ => String::new(),
    };
    let known = status.last_attempt.is_some();
    if status.is(ConditionType::Reconciling) || !steps.is_empty() {
        let what = if known { "Applying the declared state" } else { "First observation" };
        let headline = Headline::new(Tone::Busy, what, steps);
        let since = status.get(ConditionType::Reconciling).map(|c| c.last_transition_time);
        return Some(Headline { since, ..headline });
    }
    let starts = holds(status, ConditionType::Ready) == Some(ConditionStatus::Unknown) && !known;
    starts.then(|| {
        Headline::new(Tone::Unknown, "The operator has just started", "it observes the server")
    })
}

fn good(status: &Status) -> Headline {
    if status.is(ConditionType::Ready) {
        return Headline::new(Tone::Good, "All as declared", "")
            .of(status, ConditionType::Ready)
            .without_why();
    }
    Headline::new(Tone::Warning, "Not as declared", "the operator tries again")
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
