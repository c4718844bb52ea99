//! Which steps of a plan have to wait, and why.

use std::borrow::Cow;

use jiff::Timestamp;

use super::maintenance;
use super::phases::{Permission, View};
use super::report::{StepOutcome, StepResult};
use crate::domain::diff::Action;
use crate::domain::plan::{Plan, Step};
use crate::domain::spec::{DesiredState, Mode};

/// Why nothing is changed at all, if so.
pub(in crate::engine) fn held(desired: &DesiredState) -> Option<&'static str> {
    match desired.policy.mode {
        _ if desired.suspend => Some("spec.suspend is true"),
        Mode::Report => Some("policy.mode is report"),
        Mode::Enforce => None,
    }
}

/// What keeps the operator from touching the server itself.
pub(in crate::engine) struct DeferralContext {
    /// Nothing can be said about a server that runs.
    unseen: bool,
    /// Why the operator leaves its container to the owner.
    owner: Option<String>,
    /// The option that removes the container as soon as it stops, if any.
    removed_by: Option<&'static str>,
    /// The configuration leaves accounts behind, without an approval.
    leaves_accounts: bool,
}

impl DeferralContext {
    pub(in crate::engine) fn of(view: &View, plan: &Plan, owner: Option<String>) -> Self {
        let found = view.state.drift.known().and_then(Option::as_ref);
        Self {
            unseen: view.state.unseen,
            owner,
            removed_by: found.and_then(|found| found.removed_by),
            leaves_accounts: !view.set.would_leave.is_empty() && plan.blocked.is_some(),
        }
    }
}

/// Splits off the steps that have to wait.
pub(in crate::engine) fn sort_out(
    desired: &DesiredState,
    context: &DeferralContext,
    steps: Vec<Step>,
    permission: &Permission<'_>,
) -> (Vec<Step>, Vec<StepOutcome>) {
    let closed = maintenance::waits(&desired.server.maintenance, Timestamp::now());
    // What is down already is not interrupted by what is done on the way up.
    let comes_up =
        steps.iter().any(|step| matches!(step.action, Action::StartServer | Action::CreateServer));
    let (mut ready, mut waiting) = (Vec::new(), Vec::new());
    for step in steps {
        let why: Option<Cow<'static, str>> = match (&step.action, &closed) {
            // It may be serving, and no gate could judge it after the change.
            (Action::ApplyConfig { .. } | Action::ReplaceServer, _) if context.unseen => {
                Some("the operator cannot see the server, and leaves it alone".into())
            }
            (Action::ApplyConfig { .. }, _) if context.leaves_accounts => {
                Some("it leaves accounts behind, and waits for an approval".into())
            }
            (
                Action::ApplyConfig { restart: true, .. }
                | Action::ReplaceServer
                | Action::StopServer,
                _,
            ) if let Some(option) = context.removed_by => Some(
                format!("the container was started with `{option}`, and stopping removes it")
                    .into(),
            ),
            (Action::CreateServer | Action::ApplyConfig { .. }, _) if context.owner.is_some() => {
                context.owner.clone().map(Cow::Owned)
            }
            (Action::ApplyConfig { latched: Some(_), .. }, _) => Some(
                "it failed, and is tried again when it changes or after `ejabberd-operator retry`"
                    .into(),
            ),
            (_, Some(window)) if !comes_up && maintenance::interrupts(&step) => {
                Some(window.clone().into())
            }
            _ => (permission.backing_off)(&step).map(Cow::Borrowed),
        };
        match why {
            Some(why) => waiting.push(StepOutcome { step, result: StepResult::Deferred(why) }),
            None => ready.push(step),
        }
    }
    (ready, waiting)
}

pub(in crate::engine) fn deferred_all(
    steps: Vec<Step>,
    why: &'static str,
) -> impl Iterator<Item = StepOutcome> {
    steps.into_iter().map(move |step| StepOutcome { step, result: StepResult::deferred(why) })
}
