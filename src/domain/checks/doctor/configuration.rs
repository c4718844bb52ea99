//! Checks of the configuration, by ejabberd's own offline check.

use super::parts::judge_server;
use super::{Checked, Evidence, Judgement, does_not_apply, listed, passes, problem, unknown};
use crate::domain::checks::text::count;
use crate::domain::observed::Reading;

pub(super) fn declared(e: &Evidence) -> Judgement {
    judge_server(e, |server| match &server.declared {
        None => does_not_apply("the file declares no configuration"),
        Some(Reading::Unknown(why)) => unknown(why.clone()),
        Some(Reading::Known(checked)) => {
            let Checked { path, refused, .. } = checked;
            match refused {
                None => passes(format!("ejabberd accepts {path}")),
                Some(why) => problem(
                    format!("ejabberd refuses {path}, the declared configuration"),
                    format!(
                        "fix {path}, or declare another variant (spec.config.variant); until then \
                         the previous configuration stays in force"
                    ),
                )
                .with(why.lines().map(str::to_owned)),
            }
        }
    })
}

pub(super) fn live(e: &Evidence) -> Judgement {
    judge_server(e, |server| match (&server.live, &server.declared) {
        (None, None) => does_not_apply("there is no server with a configuration"),
        (None, Some(_)) => passes("the configuration on the server is the declared one"),
        (Some(Reading::Unknown(why)), _) => unknown(why.clone()),
        (Some(Reading::Known(live)), declared) => {
            let Checked { path, refused, differs } = live;
            // Without this condition, the cure could be a configuration that ejabberd refuses too.
            let good =
                matches!(declared, Some(Reading::Known(checked)) if checked.refused.is_none());
            if let Some(why) = refused {
                let cure = if good {
                    "`ejabberd-operator apply` or a running operator replaces it with the declared one"
                        .to_owned()
                } else {
                    format!(
                        "fix {path}, or declare a good configuration (spec.config), which then replaces it; \
                         `ejabberd-operator rollback` restores the last good one"
                    )
                };
                return problem(
                    format!("ejabberd refuses {path}, the configuration on the server"),
                    cure,
                )
                .with(why.lines().map(str::to_owned));
            }
            if differs.is_empty() {
                return passes(format!("ejabberd accepts {path} on the server"));
            }
            problem(
                format!(
                    "the configuration on the server is not the declared one: {} ({})",
                    count(differs.len(), "difference"),
                    listed(differs)
                ),
                "`ejabberd-operator status` shows why it is not in force (ConfigApplied); `ejabberd-operator plan` shows what would change; `ejabberd-operator retry` tries again",
            )
        }
    })
}
