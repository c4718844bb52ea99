//! Items about how the server is run.

use super::evidence::{Evidence, Variant};
use super::{Answer, fails, holds, unknown};
use crate::domain::model::ServerVersion;
use crate::domain::observed::{Reading, RuntimeDrift};

/// The oldest version that this program, its checks and both variants are
/// tried with. What an older one makes of an option that it does not know,
/// nobody has looked at.
pub const VERSION_FLOOR: ServerVersion = ServerVersion { year: 23, month: 1 };

/// The name of the variant that the checklist is about.
const HARDENED: &str = "hardened";

pub(super) fn variant_hardened(evidence: &Evidence) -> Answer {
    let Some(Variant { name, in_force }) = &evidence.variant else {
        return fails("no configuration is declared: spec.config is missing");
    };
    if name != HARDENED {
        return fails(format!("`{name}` is declared"));
    }
    match in_force {
        Reading::Known(true) => holds("`hardened`, and the files on the server are its files"),
        Reading::Known(false) => {
            fails("`hardened` is declared, and the files on the server differ")
        }
        Reading::Unknown(why) => unknown(why),
    }
}

pub(super) fn version_floor(evidence: &Evidence) -> Answer {
    match &evidence.version {
        Reading::Known(version) if *version < VERSION_FLOOR => {
            fails(format!("ejabberd {version}, older than {VERSION_FLOOR}"))
        }
        Reading::Known(version) => holds(format!("ejabberd {version}")),
        Reading::Unknown(why) => unknown(why),
    }
}

fn surrounded(evidence: &Evidence, judge: impl Fn(&RuntimeDrift) -> Answer) -> Answer {
    match &evidence.drift {
        Reading::Known(drift) => judge(drift),
        Reading::Unknown(why) => unknown(why),
    }
}

pub(super) fn restart_policy(evidence: &Evidence) -> Answer {
    surrounded(evidence, |drift| match &drift.restarted_by {
        Some(other) => fails(other),
        None => holds("nobody else does"),
    })
}

pub(super) fn docker_socket(evidence: &Evidence) -> Answer {
    surrounded(evidence, |drift| match &drift.engine_socket {
        Some(path) => fails(format!("{path} of the host is mounted in the container")),
        None => holds("it is not mounted"),
    })
}

pub(super) fn not_privileged(evidence: &Evidence) -> Answer {
    surrounded(evidence, |drift| {
        if drift.privileged {
            fails("it may do what root of the host may")
        } else {
            holds("it is not")
        }
    })
}
