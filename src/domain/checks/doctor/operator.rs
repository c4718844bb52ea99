//! Checks of the desired state, the operator and its state directory.

use super::{Evidence, File, Judgement, Usable, does_not_apply, passes, problem};
use crate::domain::checks::text::{bytes, count};
use crate::domain::observed::{ProcessState, Reading};
use crate::domain::status::{ConditionStatus, ConditionType, Status};

pub(super) fn desired_state(e: &Evidence) -> Judgement {
    match &e.file {
        File::Valid { path, revision, warnings } => {
            let short: String = revision.chars().take(12).collect();
            passes(format!("{path} is valid: revision {short}")).with(warnings.iter().cloned())
        }
        File::Invalid { path, problems } => {
            let rest = if e.desired.is_some() {
                "; its part about the server could be read, and is checked below"
            } else {
                "; the server that it declares could not be read"
            };
            problem(
                format!("{path} is not valid: {}{rest}", count(problems.len(), "error")),
                "fix the errors that `ejabberd-operator validate` shows, or `git revert` the \
                 commit; until then a running operator keeps the last good revision, and an \
                 operator that starts changes nothing",
            )
            .with(problems.iter().cloned())
        }
        File::Unreadable(why) => {
            problem(why.clone(), "give its path with --desired-state, and let this user read it")
        }
    }
}

pub(super) fn runs(e: &Evidence) -> Judgement {
    let Some(status) = &e.operator.response else { return absent(e) };
    let holds = |kind| status.get(kind).map(|condition| condition.status);
    let wrong = |kind: ConditionType| match kind {
        ConditionType::Stalled | ConditionType::Degraded => {
            holds(kind) == Some(ConditionStatus::True)
        }
        ConditionType::Reconciling => false,
        _ => holds(kind) == Some(ConditionStatus::False),
    };
    let described = |kind: ConditionType| {
        let condition = status.get(kind)?;
        Some(format!(
            "{kind}={} {}: {}",
            condition.status.as_str(),
            condition.reason,
            condition.message
        ))
    };
    let lines: Vec<String> =
        ConditionType::ALL.into_iter().filter(|kind| wrong(*kind)).filter_map(described).collect();
    if holds(ConditionType::Ready) == Some(ConditionStatus::True) && lines.is_empty() {
        return passes("an operator runs, and reports that everything is as declared");
    }
    if lines.is_empty() {
        return passes("an operator runs, and is working").with(described(ConditionType::Ready));
    }
    problem(
        "an operator runs, and reports a problem",
        "`ejabberd-operator status` shows everything; `ejabberd-operator retry` tries again now",
    )
    .with(lines)
}

/// Returns the judgement for the case that no operator responds.
fn absent(e: &Evidence) -> Judgement {
    let last = e.operator.remembered.known().and_then(Option::as_deref).map(last_status);
    let here = format!("no operator runs with the state directory {}", e.operator.directory);
    if let Reading::Known(Some(pid)) = e.operator.lock {
        return problem(
            format!("process {pid} holds the lock of the state directory {} and does not respond", e.operator.directory),
            format!("check what it does (`ps -fp {pid}`, its log); if it hangs, end it and start the operator again: ejabberd keeps running meanwhile"),
        )
        .with(last);
    }
    let down = e.server.as_ref().is_some_and(|server| {
        matches!(server.process, Reading::Known(ref state) if !matches!(state, ProcessState::Running { .. }))
    });
    if down && !e.is_declared_stopped() {
        return problem(
            format!("{here}: nothing restarts the server"),
            "start it: `systemctl start ejabberd-operator`, or `ejabberd-operator run`; if it uses another state directory, give that with --state-dir",
        )
        .with(last);
    }
    does_not_apply(format!("{here}: nothing restarts the server when it ends")).with(last)
}

/// Formats the last status of an operator as a line of evidence.
fn last_status(status: &Status) -> String {
    let ready = status.get(ConditionType::Ready);
    let message = ready.map_or("", |condition| condition.message.as_str());
    let when = status.last_attempt.map_or_else(|| "?".to_owned(), |at| format!("{at:.0}"));
    format!("last known status, {when}: {message}")
}

pub(super) fn state_directory(e: &Evidence) -> Judgement {
    let operator = &e.operator;
    let path = &operator.directory;
    match &operator.usable {
        Usable::Missing => {
            return does_not_apply(format!(
                "{path} does not exist: no operator has run with it yet"
            ));
        }
        Usable::No(why) if operator.response.is_some() => {
            return passes(format!("its operator responds; this user may not write to {path}"))
                .with([why.clone()]);
        }
        Usable::No(why) => {
            return problem(
                format!("{path} cannot be used by this user"),
                format!("run this as the operator's user, which must own {path} (`chown -R USER {path}`)"),
            )
            .with([why.clone()]);
        }
        Usable::Yes => {}
    }
    if let Some(space) = operator.space.as_ref().filter(|space| super::host::is_full(space)) {
        return problem(
            format!("the disk that holds {path} is full: {} are free", bytes(space.free)),
            "free space there: otherwise the operator cannot store its state, and changes nothing",
        );
    }
    if let Reading::Unknown(why) = &operator.remembered {
        return problem(
            format!("the state in {path} cannot be read"),
            format!("if it is damaged, move {path} away: an operator with an empty state directory owns no objects, and so deletes none"),
        )
        .with([why.clone()]);
    }
    let holder = match &operator.lock {
        Reading::Known(Some(pid)) => format!("process {pid} has its lock"),
        Reading::Known(None) => "its lock is free".to_owned(),
        Reading::Unknown(why) => why.clone(),
    };
    passes(format!("{path} can be written; {holder}"))
}

pub(super) fn supervision(e: &Evidence) -> Judgement {
    let Some(supervision) = e.status().and_then(|status| status.server.supervision.as_ref()) else {
        return does_not_apply(
            "no operator has supervised this server, as far as the state directory shows",
        );
    };
    let cause: Vec<String> =
        supervision.last_cause.iter().map(|c| format!("it last ended because: {c}")).collect();
    let starts = match supervision.starts {
        0 => "no start was needed lately".to_owned(),
        n => format!("{} since it was last healthy for long", count(n, "start")),
    };
    let operator = if e.operator.response.is_some() { "the operator" } else { "the last operator" };
    let waits = supervision.next_start.filter(|next| *next > e.now);
    match waits {
        Some(next) => problem(
            format!("{operator} waits with the next start until {next:.0}: {starts}"),
            "fix the cause; the operator tries again then, or at once after `ejabberd-operator retry`",
        )
        .with(cause),
        None => passes(format!("{operator} reports the state {}: {starts}", supervision.state)).with(cause),
    }
}
