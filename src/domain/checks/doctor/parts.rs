//! Selects the part of the evidence that a check judges. If the part is missing, the verdict is
//! unknown.

use super::{Alive, Delivery, Evidence, Judgement, Server, does_not_apply, unknown};
use crate::domain::observed::Reading;
use crate::domain::spec::DesiredState;

/// Judges the server. The verdict is unknown if the file does not declare which server.
pub(super) fn judge_server(e: &Evidence, judge: impl FnOnce(&Server) -> Judgement) -> Judgement {
    match &e.server {
        Some(server) => judge(server),
        None => unknown("the file does not declare which server"),
    }
}

/// Judges a server that responds and has started. Otherwise the verdict is unknown, or the check
/// does not apply to a server that is declared stopped.
pub(super) fn judge_alive(
    e: &Evidence,
    judge: impl FnOnce(&Server, &Alive) -> Judgement,
) -> Judgement {
    judge_server(e, |server| match &server.response {
        Reading::Known(alive) if alive.started => judge(server, alive),
        Reading::Known(_) => unknown("ejabberd has not started in its node"),
        Reading::Unknown(_) if e.is_declared_stopped() => {
            does_not_apply("the server is stopped, as declared")
        }
        Reading::Unknown(why) => unknown(why.clone()),
    })
}

/// Judges messages and logins on a server that responds. The verdict is unknown if the desired
/// state could not be read.
pub(super) fn judge_delivery(
    e: &Evidence,
    judge: impl FnOnce(&Delivery, &DesiredState) -> Judgement,
) -> Judgement {
    judge_alive(e, |server, _| match &e.desired {
        Some(desired) => judge(&server.delivery, desired),
        None => unknown("the desired state could not be read"),
    })
}
