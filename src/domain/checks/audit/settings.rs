//! Judges the items about the version, the declared variant and the container.

use super::{Evidence, Judgement, Variant, fails, known, passes, unknown};
use crate::domain::model::ServerVersion;
use crate::domain::observed::Reading;

/// The oldest version of ejabberd with which this program, the checks and both variants are tested.
/// The behaviour of older versions with unknown options is untested.
pub const VERSION_FLOOR: ServerVersion = ServerVersion { year: 23, month: 1 };

/// The name of the variant that must pass the checklist.
const HARDENED: &str = "hardened";

pub(super) fn variant_hardened(evidence: &Evidence) -> Judgement {
    let Some(Variant { name, in_force }) = &evidence.variant else {
        return fails("no configuration is declared: spec.config is missing");
    };
    if name != HARDENED {
        return fails(format!("`{name}` is declared"));
    }
    match in_force {
        Reading::Known(true) => passes("`hardened`, and the files on the server are its files"),
        Reading::Known(false) => {
            fails("`hardened` is declared, and the files on the server differ")
        }
        Reading::Unknown(why) => unknown(why),
    }
}

pub(super) fn version_floor(evidence: &Evidence) -> Judgement {
    let version = known!(&evidence.version);
    if *version < VERSION_FLOOR {
        fails(format!("ejabberd {version}, older than {VERSION_FLOOR}"))
    } else {
        passes(format!("ejabberd {version}"))
    }
}

pub(super) fn restart_policy(evidence: &Evidence) -> Judgement {
    match &known!(&evidence.drift).restarted_by {
        Some(other) => fails(other),
        None => passes("only the operator restarts it"),
    }
}

pub(super) fn docker_socket(evidence: &Evidence) -> Judgement {
    match &known!(&evidence.drift).engine_socket {
        Some(path) => fails(format!("{path} of the host is mounted in the container")),
        None => passes("the socket of the engine is not mounted"),
    }
}

pub(super) fn not_privileged(evidence: &Evidence) -> Judgement {
    if known!(&evidence.drift).privileged {
        fails("it has the rights of the host's root")
    } else {
        passes("it is not privileged")
    }
}
