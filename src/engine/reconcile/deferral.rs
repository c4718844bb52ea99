//! Decides which steps of a plan must wait, and why.

use std::fmt;

use jiff::Timestamp;

use super::maintenance;
use super::report::{StepOutcome, StepResult};
use super::round::{Permission, View};
use crate::domain::diff::{
    Action, ConfigChange, ObjectAction, ObjectStep, ServerAction, ServerStep, Step, StepInfo,
};
use crate::domain::plan::Plan;
use crate::domain::rollout::Method;
use crate::domain::spec::{DesiredState, Mode};

/// The reason why a step is not tried in this reconciliation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deferral {
    /// The object failed, and the wait before the next try is not over.
    Backoff,
    /// Another program keeps changing the object back.
    Contended,
    /// The step interrupts clients, and the maintenance window is closed. Contains a message that
    /// names the next window.
    Maintenance(String),
    /// The container belongs to an owner who may create or start the container. Contains a message
    /// with the time until which the operator waits.
    ContainerOwner(String),
    /// The operator cannot see the server.
    CannotSee,
    /// The configuration would leave accounts behind in another store.
    LeavesAccounts,
    /// The container was started with this option, so a stop would remove the container.
    RemovedWhenStopped(&'static str),
    /// The last rollout of the configuration failed, and the configuration has not changed since.
    ConfigLatched,
    /// The start is part of a rollout that failed or could not begin.
    ConfigUnderWay,
    /// ejabberd refuses the configuration. Contains the message of ejabberd.
    ConfigRefused(String),
    /// The configuration was not accepted.
    ConfigNotAccepted,
    /// The container could not be created.
    ServerNotCreated,
    /// The server could not be started.
    ServerNotStarted,
    /// The supervisor waits before the next start. Contains a message with the remaining time.
    SupervisorWaits(String),
    /// The server is gone.
    ServerGone,
    /// The server no longer responds.
    ServerAway,
    /// The store could not record the ownership of the object before the step.
    NotNoted,
    /// A client registered the object after the observation of the server.
    Registered,
    /// A creation of the same plan failed, and without this creation the deletion exceeds the
    /// guard's limit.
    CreationFailed,
    /// The revision has been unchanged for less than two seconds.
    RevisionTooYoung,
    /// The file of the desired state is missing or invalid now.
    FileUnusable,
    /// The file of the desired state has changed since the operator read the file.
    FileChanged,
    /// The file of the desired state has changed during `apply`, and `apply` does not try again.
    ChangedDuringApply,
}

impl fmt::Display for Deferral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Backoff => "it failed a moment ago",
            Self::Contended => "something else keeps changing it back",
            Self::Maintenance(why) | Self::ContainerOwner(why) | Self::SupervisorWaits(why) => why,
            Self::CannotSee => "the operator cannot see the server, and does not change it",
            Self::LeavesAccounts => "it leaves accounts behind, and waits for an approval",
            Self::RemovedWhenStopped(option) => {
                return write!(
                    f,
                    "the container was started with `{option}`, so stopping would remove it"
                );
            }
            Self::ConfigLatched => {
                "the last rollout of this configuration failed; change the file, or run \
                 `ejabberd-operator retry`"
            }
            Self::ConfigUnderWay => "its configuration is not in force yet",
            Self::ConfigRefused(why) => {
                return write!(f, "ejabberd refuses its configuration: {why}");
            }
            Self::ConfigNotAccepted => "its configuration was not accepted",
            Self::ServerNotCreated => "the server could not be created",
            Self::ServerNotStarted => "the server could not be started",
            Self::ServerGone => "the server is gone",
            Self::ServerAway => "the server does not respond",
            Self::NotNoted => "the state directory could not record the ownership",
            Self::Registered => "a client registered the object, so the object stays",
            Self::CreationFailed => {
                "a creation of the same plan failed, and without it too much would be deleted"
            }
            Self::RevisionTooYoung => "the file changed less than two seconds ago",
            Self::FileUnusable => "the file is missing or invalid now",
            Self::FileChanged => "the file has changed since it was read",
            Self::ChangedDuringApply => "the file changed during `apply`; run `apply` again",
        })
    }
}

/// Returns why the operator must not change anything; `None` if the operator may carry out steps.
pub(in crate::engine) fn held(desired: &DesiredState) -> Option<&'static str> {
    match desired.policy.mode {
        _ if desired.suspend => Some("spec.suspend is true"),
        Mode::Report => Some("policy.mode is report"),
        Mode::Enforce => None,
    }
}

/// The facts that decide which steps of the server must wait.
pub(in crate::engine) struct DeferralContext {
    /// Whether the server runs but the operator cannot see the server.
    unseen: bool,
    /// Why the operator leaves the container to the owner of the container; `None` if the operator
    /// need not wait.
    owner: Option<String>,
    /// The option that removes the container as soon as the container stops; `None` if no such
    /// option is set.
    removed_by: Option<&'static str>,
    /// Whether the configuration leaves accounts behind, without an approval.
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

    /// Returns why a step of the server must wait, even during a maintenance window; `None` if the
    /// step may run.
    fn deferral_of(&self, action: &ServerAction) -> Option<Deferral> {
        let stops = match action {
            ServerAction::Replace { .. } | ServerAction::Stop { .. } => true,
            ServerAction::ApplyConfig(change) => change.method == Method::Restart,
            ServerAction::Create { .. }
            | ServerAction::Start { .. }
            | ServerAction::DisableRestartPolicy { .. } => false,
        };
        match action {
            // The server may serve clients, and the health gate could not check the server after
            // the change.
            ServerAction::ApplyConfig(_) | ServerAction::Replace { .. } if self.unseen => {
                Some(Deferral::CannotSee)
            }
            ServerAction::ApplyConfig(_) if self.leaves_accounts => Some(Deferral::LeavesAccounts),
            _ if stops && let Some(option) = self.removed_by => {
                Some(Deferral::RemovedWhenStopped(option))
            }
            ServerAction::Create { .. } | ServerAction::ApplyConfig(_)
                if let Some(owner) = &self.owner =>
            {
                Some(Deferral::ContainerOwner(owner.clone()))
            }
            ServerAction::ApplyConfig(ConfigChange { latched: Some(_), .. }) => {
                Some(Deferral::ConfigLatched)
            }
            ServerAction::ApplyConfig(_)
            | ServerAction::Create { .. }
            | ServerAction::Start { .. }
            | ServerAction::Stop { .. }
            | ServerAction::Replace { .. }
            | ServerAction::DisableRestartPolicy { .. } => None,
        }
    }
}

/// The steps that can be carried out, and the outcomes of the steps that must wait.
pub(in crate::engine) struct Sorted<A> {
    pub(in crate::engine) ready: Vec<Step<A>>,
    pub(in crate::engine) waiting: Vec<StepOutcome>,
}

/// Separates the steps of the server that can be carried out from the steps that must wait.
pub(in crate::engine) fn sort_server_steps(
    desired: &DesiredState,
    context: &DeferralContext,
    steps: Vec<ServerStep>,
    permission: &Permission<'_>,
) -> Sorted<ServerAction> {
    let closed = maintenance::waits(&desired.server.maintenance, Timestamp::now());
    // If the plan starts the server, no client is connected, so a change before the start
    // interrupts no client.
    let comes_up = steps.iter().any(|step| {
        matches!(step.action(), ServerAction::Start { .. } | ServerAction::Create { .. })
    });
    let window = closed.filter(|_| !comes_up);
    sort_out(steps, |step| {
        context.deferral_of(step.action()).or_else(|| match &window {
            Some(window) if maintenance::interrupts(step.action()) => {
                Some(Deferral::Maintenance(window.clone()))
            }
            _ => (permission.backing_off)(step.info()),
        })
    })
}

/// Separates the steps of objects that can be carried out from the steps that must wait.
pub(in crate::engine) fn sort_object_steps(
    steps: Vec<ObjectStep>,
    permission: &Permission<'_>,
) -> Sorted<ObjectAction> {
    sort_out(steps, |step| (permission.backing_off)(step.info()))
}

fn sort_out<A: Action>(
    steps: Vec<Step<A>>,
    deferral: impl Fn(&Step<A>) -> Option<Deferral>,
) -> Sorted<A> {
    let (mut ready, mut waiting) = (Vec::new(), Vec::new());
    for step in steps {
        match deferral(&step) {
            Some(why) => waiting
                .push(StepOutcome { step: step.into_info(), result: StepResult::Deferred(why) }),
            None => ready.push(step),
        }
    }
    Sorted { ready, waiting }
}

/// Defers all `steps` for the same reason.
pub(in crate::engine) fn deferred_all(
    steps: impl IntoIterator<Item = StepInfo>,
    why: &Deferral,
) -> impl Iterator<Item = StepOutcome> {
    steps
        .into_iter()
        .map(move |step| StepOutcome { step, result: StepResult::Deferred(why.clone()) })
}
