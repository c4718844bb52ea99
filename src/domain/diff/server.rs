//! Compares the server: the process, the container's settings, the configuration and the account
//! table.

use super::{ChangeSet, ConfigChange, ConfigSource, ObjectAction, ServerAction, Step};
use crate::domain::observed::{ConfigReading, ObservedState, ProcessState, Reading};
use crate::domain::rollout::Method;
use crate::domain::spec::{Config, ConfigApply, DesiredState, Recreate, Runtime, ServerState};

/// Compares the process, the container's settings and the configuration of the server.
pub(super) fn diff(desired: &DesiredState, observed: &ObservedState, set: &mut ChangeSet) {
    process(desired, observed, set);
    if desired.server.state == ServerState::Running
        && matches!(observed.process, Reading::Known(ProcessState::Running { .. }))
    {
        drift(desired, observed, set);
    }
    config(desired, observed, set);
}

/// Returns the name of the server in plans: the container, or `metadata.name` for a server without
/// a container.
fn name(desired: &DesiredState) -> String {
    match &desired.server.runtime {
        Runtime::Docker(docker) => docker.container.clone(),
        Runtime::Process(_) | Runtime::External(_) => desired.name.clone(),
    }
}

/// Compares the storage of the account table, if the file declares the storage. The operator does
/// not change an undeclared storage: a table in memory needs memory for every account, so the
/// administrator decides.
pub(super) fn accounts_table(
    desired: &DesiredState,
    observed: &ObservedState,
    set: &mut ChangeSet,
) {
    let (Some(wanted), Some(found)) = (desired.server.accounts_table, &observed.accounts_table)
    else {
        return;
    };
    match found {
        Reading::Unknown(why) => set.unknown.push(format!("the account table: {why}")),
        Reading::Known(found) if found == wanted.as_str() => {}
        Reading::Known(found) => {
            let reason =
                format!("the account table is {found}, but {} is declared", wanted.as_str());
            let fields = vec!["accountsTable".to_owned()];
            let action = ObjectAction::StoreAccounts { server: name(desired), storage: wanted };
            set.push_fields(action, fields, &reason);
        }
    }
}

fn process(desired: &DesiredState, observed: &ObservedState, set: &mut ChangeSet) {
    let server = name(desired);
    let state = match &observed.process {
        Reading::Known(state) => state,
        Reading::Unknown(why) => return set.unknown.push(format!("the server: {why}")),
    };
    match (desired.server.state, state) {
        (ServerState::Running, ProcessState::Absent) => {
            set.push_server(ServerAction::Create { server }, "declared, does not exist");
        }
        (ServerState::Running, ProcessState::Created) => {
            set.push_server(ServerAction::Create { server }, "created, never started");
        }
        (ServerState::Running, ProcessState::Stopped { .. }) => {
            set.push_server(ServerAction::Start { server }, "it does not run");
        }
        (ServerState::Stopped, ProcessState::Running { .. }) => {
            set.push_server(ServerAction::Stop { server }, "declared stopped");
        }
        (ServerState::Running, ProcessState::Running { .. })
        | (
            ServerState::Stopped,
            ProcessState::Absent | ProcessState::Created | ProcessState::Stopped { .. },
        ) => set.unchanged += 1,
    }
}

fn config(desired: &DesiredState, observed: &ObservedState, set: &mut ChangeSet) {
    let (Some(config), Some(reading)) = (&desired.config, &observed.config) else { return };
    if let Reading::Known(reading) = reading {
        set.notes.extend(reading.notes.iter().cloned());
    }
    match reading {
        Reading::Unknown(why) => set.unknown.push(format!("the configuration: {why}")),
        Reading::Known(_) if desired.server.state == ServerState::Stopped => {
            // Plan no change: the configuration takes effect when the server runs again, and the
            // operator judges the configuration then.
        }
        Reading::Known(ConfigReading { latched: None, declared, in_force, .. })
            if declared == in_force =>
        {
            set.unchanged += 1;
        }
        Reading::Known(reading) => {
            let first = matches!(observed.process, Reading::Known(ProcessState::Absent));
            let accepted = reading.refused.is_none();
            let ConfigUpdate { change, reason } = config_update(config, reading);
            let (fields, reason) = if first && accepted && reading.latched.is_none() {
                (Vec::new(), "put in place before the first start".to_owned())
            } else {
                (reading.changes.clone(), reason)
            };
            let mut step = Step::new(ServerAction::ApplyConfig(change), fields, reason);
            if !reading.leaves.is_empty() && accepted {
                let left: Vec<&str> = reading.leaves.values().map(String::as_str).collect();
                step.explain(&left.join("; "));
                set.would_leave.clone_from(&reading.leaves);
            }
            set.server.push(step);
        }
    }
}

/// A change of the configuration, and the reason for the change.
struct ConfigUpdate {
    change: ConfigChange,
    reason: String,
}

fn config_update(config: &Config, reading: &ConfigReading) -> ConfigUpdate {
    let ConfigReading { latched, refused, last_good, restarts, .. } = reading;
    let always = config.apply == ConfigApply::Restart;
    let restart = always || !restarts.is_empty();
    let how = match (always, restarts.as_slice()) {
        _ if refused.is_some() => format!("refused: {}", refused.as_deref().unwrap_or_default()),
        (_, []) if !restart => "a reload is enough".to_owned(),
        (true, _) => "by a restart, as spec.config.apply says".to_owned(),
        (false, restarts) => format!("a restart is needed: {}", restarts.join("; ")),
    };
    let method = if restart { Method::Restart } else { Method::Reload };
    let variant = config.variant.clone();
    let source = ConfigSource::Declared;
    let change = ConfigChange { variant, method, source, latched: None };
    match (latched, last_good) {
        // While the declared configuration is latched, the server must have the last good
        // configuration. The files on the server differ from the last good configuration, for
        // example because another program changed the files, or because an administrator ran
        // `rollback`. So put the last good configuration in force.
        (Some(_), Some(good)) if !good.in_force => ConfigUpdate {
            change: ConfigChange {
                variant: good.variant.clone(),
                source: ConfigSource::LastGood,
                ..change
            },
            reason: format!("changed on the server; the last good one is put back: {how}"),
        },
        (Some(latched), _) => ConfigUpdate {
            change: ConfigChange { latched: Some(latched.message.clone()), ..change },
            reason: format!(
                "not tried again until it changes, or `ejabberd-operator retry`: {}",
                latched.message
            ),
        },
        (None, _) => {
            ConfigUpdate { change, reason: format!("differs from what is on the server; {how}") }
        }
    }
}

/// Compares the settings of the container with the declared settings.
fn drift(desired: &DesiredState, observed: &ObservedState, set: &mut ChangeSet) {
    let Runtime::Docker(docker) = &desired.server.runtime else { return };
    let Reading::Known(Some(found)) = &observed.drift else { return };
    let server = || docker.container.clone();
    match &found.restarted_by {
        Some(who) if found.ours => {
            let reason = format!("{who} also restarts the server, against the operator's backoff");
            let action = ServerAction::DisableRestartPolicy { server: server() };
            set.server.push(Step::new(action, vec!["restartPolicy".to_owned()], reason));
        }
        Some(who) => set.notes.push(format!(
            "{who} also restarts the server: the operator waits ten seconds for that before it \
             restarts the server itself; after `docker update --restart=no {}` only the operator \
             restarts it",
            docker.container
        )),
        None => {}
    }
    if let Some(why) = &found.unattached {
        set.notes.push(format!("if the container is removed, its database is missing: {why}"));
    }
    if let Some(option) = found.removed_by {
        set.notes.push(format!(
            "the container was started with `{option}`: Docker removes the container as soon as it \
             stops, so the operator does nothing that stops it"
        ));
    }
    let Some(first) = found.differences.first() else { return };
    let all = found.differences.join("; ");
    match (docker.recreate, found.replacement_impact.as_slice()) {
        (Recreate::Never, _) => {
            set.notes.push(format!("the container differs ({all}); recreate is never"));
        }
        (Recreate::WhenChanged, impact @ [_, ..]) => set.unknown.push(format!(
            "the container differs ({first}) and is not replaced, because this would be lost: {}",
            impact.join("; ")
        )),
        (Recreate::WhenChanged, []) => {
            let field = |text: &String| text.split(':').next().unwrap_or_default().to_owned();
            let fields = found.differences.iter().map(field).collect();
            let action = ServerAction::Replace { server: server() };
            let reason = format!("replaced on the same volumes: {all}");
            set.server.push(Step::new(action, fields, reason));
        }
    }
}
