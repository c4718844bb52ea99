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
                "; what it says of the server could be read, and is looked at below"
            } else {
                "; not even which server it is about can be read from it"
            };
            problem(
                format!("{path} is not valid: {}{rest}", count(problems.len(), "error")),
                "mend what `ejabberd-operator validate` shows, or `git revert` the commit; until \
                 then an operator that runs goes on with the last good revision, and one that is \
                 started does nothing",
            )
            .with(problems.iter().cloned())
        }
        File::Unreadable(why) => {
            problem(why.clone(), "give its place with --desired-state, and let this user read it")
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
        return passes("one runs, and says that all is as declared");
    }
    if lines.is_empty() {
        return passes("one runs, and is at work").with(described(ConditionType::Ready));
    }
    problem(
        "one runs, and says that something is wrong",
        "`ejabberd-operator status` shows all of it; `ejabberd-operator retry` has it try again now",
    )
    .with(lines)
}

/// Judges a server without an operator that responds.
fn absent(e: &Evidence) -> Judgement {
    let last = e.operator.remembered.known().and_then(Option::as_deref).map(last_status);
    let here = format!("no operator runs with the state directory {}", e.operator.directory);
    if let Reading::Known(Some(pid)) = e.operator.lock {
        return problem(
            format!("process {pid} has the state directory {} and does not answer", e.operator.directory),
            format!("see what it does (`ps -fp {pid}`, its log); if it hangs, end it and start the operator again: ejabberd goes on meanwhile"),
        )
        .with(last);
    }
    let down = e.server.as_ref().is_some_and(|server| {
        matches!(server.process, Reading::Known(ref state) if !matches!(state, ProcessState::Running { .. }))
    });
    if down && !e.is_declared_stopped() {
        return problem(
            format!("{here}: nobody starts the server again"),
            "start it: `systemctl start ejabberd-operator`, or `ejabberd-operator run`; with another state directory, say so with --state-dir",
        )
        .with(last);
    }
    does_not_apply(format!("{here}: nobody starts the server again when it dies")).with(last)
}

/// The line of evidence from the last status of an operator.
fn last_status(status: &Status) -> String {
    let ready = status.get(ConditionType::Ready);
    let message = ready.map_or("", |condition| condition.message.as_str());
    let when = status.last_attempt.map_or_else(|| "?".to_owned(), |at| format!("{at:.0}"));
    format!("what the last one knew, {when}: {message}")
}

pub(super) fn state_directory(e: &Evidence) -> Judgement {
    let operator = &e.operator;
    let path = &operator.directory;
    match &operator.usable {
        Usable::Missing => {
            return does_not_apply(format!("{path} is not there: no operator has run with it yet"));
        }
        Usable::No(why) if operator.response.is_some() => {
            return passes(format!("its operator answers; this user may not write to {path}"))
                .with([why.clone()]);
        }
        Usable::No(why) => {
            return problem(
                format!("{path} cannot be used by this user"),
                format!("run this as the operator's user; that has to own {path} (`chown -R USER {path}`)"),
            )
            .with([why.clone()]);
        }
        Usable::Yes => {}
    }
    if let Some(space) = operator.space.as_ref().filter(|space| super::host::is_full(space)) {
        return problem(
            format!("the disk that holds {path} is full: {} are free", bytes(space.free)),
            "make room there: without it the operator remembers nothing and does nothing",
        );
    }
    if let Reading::Unknown(why) = &operator.remembered {
        return problem(
            format!("what is remembered in {path} cannot be read"),
            format!("if it is damaged, move {path} away: an operator with an empty memory owns nothing, and so deletes nothing"),
        )
        .with([why.clone()]);
    }
    let holder = match &operator.lock {
        Reading::Known(Some(pid)) => format!("process {pid} has its lock"),
        Reading::Known(None) => "nobody has its lock".to_owned(),
        Reading::Unknown(why) => why.clone(),
    };
    passes(format!("{path} can be written; {holder}"))
}

pub(super) fn supervision(e: &Evidence) -> Judgement {
    let Some(supervision) = e.status().and_then(|status| status.server.supervision.as_ref()) else {
        return does_not_apply("no operator has looked after this server, as far as is remembered");
    };
    let cause: Vec<String> =
        supervision.last_cause.iter().map(|c| format!("it last ended because: {c}")).collect();
    let starts = match supervision.starts {
        0 => "no start was needed lately".to_owned(),
        n => format!("{} since it was last well for long", count(n, "start")),
    };
    let operator = if e.operator.response.is_some() { "the operator" } else { "the last operator" };
    let waits = supervision.next_start.filter(|next| *next > e.now);
    match waits {
        Some(next) => problem(
            format!("{operator} waits with the next start until {next:.0}: {starts}"),
            "mend the cause; it is tried again then, or at once with `ejabberd-operator retry`",
        )
        .with(cause),
        None => passes(format!("{operator} has it as {}: {starts}", supervision.state)).with(cause),
    }
}
