//! The state of the server in one sentence: what is wrong, since when, and what the operator does
//! about it.

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::Serialize;

use super::{Condition, ConditionStatus, ConditionType, Progress, Reason, ServerPhase, Status};

/// How it sounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// As declared.
    Good,
    /// Being put right.
    Busy,
    /// Needs attention some time.
    Warning,
    /// Needs attention now.
    Bad,
    /// Not known.
    Unknown,
}

/// The sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Headline {
    /// How it sounds.
    pub tone: Tone,
    /// What is the matter.
    pub what: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why.
    pub why: String,
    /// What the operator does about it, or waits for.
    pub doing: String,
    /// When it does that.
    pub at: Option<Timestamp>,
    /// What else is not as it should be.
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
    let looks = [operator, server, file, configuration, deletions, steps, differences];
    let mut found = looks.into_iter().filter_map(|look| look(status));
    let reconciling = working(status).filter(|_| status.held.is_none());
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
    if let (Some(why), Tone::Bad | Tone::Warning) = (&status.held, headline.tone) {
        headline = Headline { doing: format!("left as it is: {why}"), at: None, ..headline };
    }
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

fn reason(status: &Status, kind: ConditionType) -> Option<&Reason> {
    status.get(kind).map(|condition| &condition.reason)
}

/// The headline of a command that finds no running operator.
fn operator(status: &Status) -> Option<Headline> {
    (reason(status, ConditionType::Ready) == Some(&Reason::OperatorNotRunning)).then(|| {
        let what = "No operator runs";
        let doing = "nobody starts the server if it ends; what follows is what was last known";
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

/// What a server is doing that is down or cannot be observed.
fn server_phase(phase: Option<ServerPhase>, healthy: &Condition) -> Headline {
    match phase {
        Some(ServerPhase::Starting) => {
            Headline::new(Tone::Busy, "Server starting", "it is left alone as long as it works")
        }
        Some(ServerPhase::Unresponsive) => Headline::new(
            Tone::Bad,
            "Server does not answer",
            "it is restarted if it does nothing; one that is busy gets longer",
        ),
        Some(ServerPhase::Halted) => Headline::new(
            Tone::Bad,
            "ejabberd stopped in its node",
            "it is restarted if it stays so",
        ),
        Some(ServerPhase::Unseen) => Headline::new(
            Tone::Bad,
            "Server cannot be seen",
            "it is left alone; the operator looks again every 15 s",
        ),
        Some(ServerPhase::PortSilent) => Headline::new(
            Tone::Bad,
            "A client port does not answer",
            "the server is left alone: its node answers",
        ),
        Some(ServerPhase::Paused) => {
            Headline::new(Tone::Bad, "Server paused", "it is for whoever paused it to end that")
        }
        Some(ServerPhase::BackingOff) => Headline::new(Tone::Bad, "Server down", "next start"),
        Some(ServerPhase::Failed) => Headline::new(
            Tone::Bad,
            "Server cannot be started",
            "somebody has to mend that; tried again",
        ),
        Some(ServerPhase::Stopping) => {
            Headline::new(Tone::Busy, "Server stopping, as declared", "")
        }
        Some(ServerPhase::Stopped) => {
            Headline::new(Tone::Unknown, "Server stopped, as declared", "")
        }
        _ if healthy.reason == Reason::Interrupted => Headline::new(
            Tone::Busy,
            "Server stopped for a change",
            "it is started again in this round",
        ),
        _ if healthy.status == ConditionStatus::Unknown => {
            Headline::new(Tone::Bad, "Server cannot be seen", "the operator looks again and again")
        }
        _ => Headline::new(Tone::Bad, "Server down", "the operator looks at it now"),
    }
}

fn file(status: &Status) -> Option<Headline> {
    if !status.is(ConditionType::Stalled) || status.blocked.is_some() {
        return None;
    }
    if reason(status, ConditionType::Stalled) == Some(&Reason::DatabaseMissing) {
        let what = "The server's database is missing, or another one";
        let doing = "nothing on the server is changed before an order: `retry --fill`";
        return Some(Headline::new(Tone::Bad, what, doing).of(status, ConditionType::Stalled));
    }
    if reason(status, ConditionType::Stalled) == Some(&Reason::StateOutdated) {
        let what = "The state directory is an old copy";
        let doing = "nothing on the server is changed before an order: `adopt --all`";
        return Some(Headline::new(Tone::Bad, what, doing).of(status, ConditionType::Stalled));
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
        Some(Reason::Invalid) => Headline::new(
            Tone::Bad,
            "ejabberd refuses the configuration",
            "it is tried again when it changes, or by `ejabberd-operator retry`",
        ),
        Some(Reason::RolledBack) => Headline::new(
            Tone::Bad,
            "The new configuration was taken back",
            "it is tried again when it changes, or by `ejabberd-operator retry`",
        ),
        // The server is down, which is the reason and another headline.
        _ if !status.server.up => return None,
        _ => Headline::new(Tone::Busy, "The configuration is not in force yet", ""),
    };
    Some(headline.of(status, kind))
}

fn deletions(status: &Status) -> Option<Headline> {
    let blocked = status.blocked.as_ref()?;
    let what = blocked.counted();
    let headline = Headline::new(Tone::Warning, what, "waits for your approval, below");
    let headline = headline.of(status, ConditionType::Stalled);
    // The list of the deletions explains how to approve them.
    let why = blocked.reason.split("; approve the digest").next().unwrap_or_default();
    Some(Headline { why: why.to_owned(), ..headline })
}

fn steps(status: &Status) -> Option<Headline> {
    if !status.is(ConditionType::Degraded) {
        return None;
    }
    let kind = ConditionType::Degraded;
    let headline = match (reason(status, kind), failing(status), status.contested.len()) {
        (Some(Reason::StateUnavailable), ..) => Headline::new(
            Tone::Bad,
            "The state directory cannot be used",
            "nothing is changed until it can",
        ),
        (Some(Reason::ConfigHeldBack), ..) => return None,
        (Some(Reason::Contested), _, n) => Headline::new(
            Tone::Warning,
            format!("{} changed back by something else", objects(n)),
            "put right more and more rarely",
        ),
        (Some(Reason::CannotObserve), ..) if !status.server.up => return None,
        (Some(Reason::CannotObserve), ..) => Headline::new(
            Tone::Warning,
            "Not everything can be read",
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

/// One that was remembered by an older operator has no count.
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
    let known = refused + failing(status) + status.contested.len();
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
        Headline::new(Tone::Warning, what, "the next round goes on")
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
