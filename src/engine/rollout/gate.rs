//! The health gate: the checks that a server must pass after a change of its configuration. The
//! checks include the log ([`super::failure_log`]). The login of the canary is the last check.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::check::{broken_message, is_called_hardened};
use super::execute::RolloutExecutor;
use super::failure_log::{STOPPED, first_failure};
use crate::domain::checks::audit;
use crate::domain::checks::audit::Inside;
use crate::domain::observed::{PAUSED, ProcessState, Work};
use crate::domain::rollout::{Failure, Side};
use crate::domain::spec::{DesiredState, Gate};
use crate::domain::supervision::{Cause, EndReason, EndedWhile, Ending, entries};
use crate::ejabberd::client::{Encryption, Listener};
use crate::ejabberd::{ControlError, NodePhase};
use crate::engine::reconcile::start::{START_LINES, last_start};

/// The time between two checks of a server that is not healthy yet.
const LOOK: Duration = Duration::from_millis(250);

/// The time between two checks of a healthy server. Between two measurements of the work of a slow
/// server, ten times this time passes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The maximum time for which the server must stay healthy with the previous configuration. This
/// time is short, because the previous configuration passed a gate before.
const OLD_SETTLES: Duration = Duration::from_secs(2);

/// The maximum number of lines to read from the log.
const LINES: usize = 200;

/// The deadline of one query to the server.
const DEADLINE: Duration = Duration::from_secs(5);

/// The result of one check of the server.
enum Sign {
    Well,
    /// The server is not healthy yet.
    Not(Failure),
    /// The server failed, and further checks cannot succeed.
    Bad(Failure),
}

impl RolloutExecutor {
    /// Checks that a variant with the name `hardened` passes the security checklist, as far as the
    /// configuration decides. An unknown verdict is no failure.
    async fn promise(&self, desired: &DesiredState) -> Result<(), Failure> {
        if !is_called_hardened(desired) {
            return Ok(());
        }
        let evidence = self.diagnostics.collect_server_audit(desired).await;
        audit::broken_on_server(&evidence).map_or(Ok(()), |broken| {
            Err(Failure { message: broken_message(broken.check, &broken.seen), blame: true })
        })
    }

    /// Waits until the server is healthy, and stays healthy for the declared time. The server has
    /// had the files of `side` since `since`. Returns the last failure if the server is not healthy
    /// in time.
    pub(in crate::engine) async fn gate(
        &self,
        desired: &DesiredState,
        side: Side,
        since: Timestamp,
    ) -> Result<(), Failure> {
        let declared = desired.config.as_ref().map(|config| config.gate.clone());
        let Gate { settle, timeout, canary } = declared.unwrap_or(Gate {
            settle: OLD_SETTLES,
            timeout: Duration::from_mins(2),
            canary: None,
        });
        let settle = if side == Side::Old { settle.min(OLD_SETTLES) } else { settle };
        let began = Instant::now();
        let mut well: Option<Instant> = None;
        let mut work: Option<Work> = None;
        let mut limit = timeout;
        loop {
            let last = match self.sign(desired, side, since).await {
                Sign::Bad(failure) => return Err(failure),
                Sign::Well => {
                    let held = well.get_or_insert_with(Instant::now).elapsed();
                    if held >= settle {
                        break;
                    }
                    sleep(LOOK_AGAIN.min(settle.saturating_sub(held))).await;
                    continue;
                }
                Sign::Not(failure) => failure,
            };
            well = None;
            if began.elapsed() >= limit {
                // Wait longer while the VM works, up to the declared start deadline: a rollback
                // must not interrupt a slow start that makes progress.
                let now = self.runtime.usage().await.ok().flatten().and_then(|usage| usage.work);
                let works = match (work, now) {
                    (_, None) => false,
                    (None, Some(_)) => true,
                    (Some(before), Some(now)) => now.since(&before, LOOK_AGAIN * 10),
                };
                if !works || began.elapsed() >= desired.server.probe.start_deadline {
                    return Err(last);
                }
                work = now;
                limit += LOOK_AGAIN * 10;
            }
            sleep(LOOK).await;
        }
        if side == Side::Old {
            return Ok(());
        }
        self.promise(desired).await?;
        match canary {
            Some(jid) => self.canary(desired, &jid).await,
            None => Ok(()),
        }
    }

    async fn sign(&self, desired: &DesiredState, side: Side, since: Timestamp) -> Sign {
        let log = self.runtime.log(since, LINES).await.unwrap_or_default();
        match self.runtime.inspect().await {
            Ok(ProcessState::Running { health }) if health.as_deref() == Some(PAUSED) => {
                return Sign::Not(environment("it is paused"));
            }
            Ok(ProcessState::Running { .. }) => {}
            Ok(ProcessState::Stopped { exit_code, oom_killed }) => {
                // Read the log since the last start, because the engine may have restarted the
                // server after `since`.
                let start = last_start(&*self.runtime).await.unwrap_or(since);
                let log = self.runtime.log(since.max(start), START_LINES).await;
                let log = log.unwrap_or_default();
                let ending = Ending { exit_code, oom_killed, log, ..Ending::default() };
                let cause = Cause::of(&ending, EndedWhile::Starting);
                if cause.reason == EndReason::EpmdUnreachable && self.runtime.start().await.is_ok()
                {
                    return Sign::Not(environment(&cause.to_string()));
                }
                return Sign::Bad(Failure { message: cause.to_string(), blame: cause.config });
            }
            Ok(ProcessState::Absent | ProcessState::Created) => {
                return Sign::Bad(environment("it does not exist"));
            }
            Err(error) => return Sign::Not(environment(&format!("failed to {error}"))),
        }
        if let Some(failure) = first_failure(&entries(&log)) {
            return Sign::Bad(failure);
        }
        if side == Side::Old {
            // Check only that the server has started: the previous configuration does not have to
            // serve the hosts and listeners of the new desired state.
            return match self.server.is_started().await {
                Ok(true) => Sign::Well,
                Ok(false) => Sign::Not(environment("it has not started")),
                Err(error) => Sign::Not(environment(&format!("failed to {error}"))),
            };
        }
        match self.well(desired, since).await {
            Ok(Ok(())) => Sign::Well,
            Ok(Err(failure)) => failure,
            // Blame the configuration: the server runs but does not respond, and no other cause is
            // known.
            Err(error) => Sign::Not(Failure { message: format!("failed to {error}"), blame: true }),
        }
    }

    /// Checks that ejabberd runs and serves the declared hosts, that the modules that the operator
    /// needs are loaded, that every listener is bound, and that the listeners for clients respond
    /// as configured.
    async fn well(
        &self,
        desired: &DesiredState,
        since: Timestamp,
    ) -> Result<Result<(), Sign>, ControlError> {
        let not = |message: String| Ok(Err(Sign::Not(Failure { message, blame: true })));
        let server = self.server.clone().with_deadline(DEADLINE);
        match server.phase().await? {
            NodePhase::Running => {}
            NodePhase::Stopped => {
                return match self.cause_of_stop(since).await {
                    Some(failure) => Ok(Err(Sign::Bad(failure))),
                    None => not(STOPPED.to_owned()),
                };
            }
            NodePhase::Starting | NodePhase::Stopping => {
                return not("it has not started".to_owned());
            }
        }
        let hosts = server.hosts().await?;
        if let Some(missing) =
            desired.all_hosts().find(|host| !hosts.iter().any(|served| served == host.as_str()))
        {
            return Ok(Err(Sign::Bad(Failure {
                message: format!("it does not serve the declared host {missing}"),
                blame: true,
            })));
        }
        // Check the modules and not their commands: up to ejabberd 24.12, the commands of a removed
        // module exist until the next restart.
        let needed = [
            ("mod_admin_extra", desired.users.is_some()),
            ("mod_muc_admin", desired.rooms.is_some()),
        ];
        for (module, _) in needed.into_iter().filter(|(_, needed)| *needed) {
            if !server.has_module(&desired.host, module).await? {
                return Ok(Err(Sign::Bad(Failure {
                    message: format!(
                        "{module} is not loaded; without it the operator would lock itself out"
                    ),
                    blame: true,
                })));
            }
        }
        let listeners = match server.listeners().await {
            Err(ControlError::Unsupported { .. }) => return Ok(Ok(())),
            listeners => listeners?,
        };
        // If the operator cannot read the sockets, skip this check. The next check still proves
        // that the listeners for clients respond.
        if let Ok(inside) = self.probe.sockets_inside().await
            && let Some(why) = misplaced(&listeners, &inside)
        {
            return not(why);
        }
        // Open a stream only at listeners for clients, because an HTTP port does not speak XMPP.
        // The other listeners must only be bound.
        for listener in listeners.iter().filter(|listener| listener.is_c2s()) {
            if let Err(why) = self.answers(desired, listener).await? {
                return not(why);
            }
        }
        Ok(Ok(()))
    }

    async fn answers(
        &self,
        desired: &DesiredState,
        listener: &Listener,
    ) -> Result<Result<(), String>, ControlError> {
        let to = listener.endpoint();
        let at = to.at;
        let response = match self.server.open_stream(to, &desired.host, DEADLINE).await {
            Ok(response) => response,
            // The `ejabberdctl` channel cannot connect to a port. The operator has already checked
            // the socket of the port.
            Err(ControlError::Unsupported { .. }) => return Ok(Ok(())),
            Err(ControlError::Refused { message, .. }) => {
                return Ok(Err(format!("{} does not respond at {at}: {message}", listener.module)));
            }
            Err(error) => return Err(error),
        };
        Ok(if !response.contains("<stream:stream") {
            Err(format!("{at} does not speak XMPP"))
        } else if listener.encryption == Encryption::Starttls
            && !response.contains("urn:ietf:params:xml:ns:xmpp-tls")
        {
            Err(format!(
                "{at} does not offer STARTTLS, although its file declares it; check its certificate"
            ))
        } else {
            Ok(())
        })
    }
}

/// Returns a message about the first listener without a socket at its port, or with a socket at an
/// address that no listener configures; `None` if every listener is bound as configured.
fn misplaced(listeners: &[Listener], inside: &Inside) -> Option<String> {
    listeners.iter().find_map(|listener| {
        let at = listener.at;
        let mut there = inside
            .tcp
            .iter()
            .filter(|socket| socket.at.port() == at.port() && socket.user == inside.user)
            .peekable();
        if there.peek().is_none() {
            return Some(format!("{} is not bound at {at}", listener.module));
        }
        let declared: Vec<_> = listeners.iter().map(|other| other.at).collect();
        let wider = there.find(|socket| {
            // A socket for every IPv6 address may also serve every IPv4 address.
            let both_everywhere = socket.at.ip().is_unspecified() && at.ip().is_unspecified();
            !declared.contains(&socket.at) && !both_everywhere
        })?;
        Some(format!("{} is bound at {}, not at {at}", listener.module, wider.at))
    })
}

fn environment(message: &str) -> Failure {
    Failure { message: message.to_owned(), blame: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::checks::audit;

    #[test]
    fn a_missing_listener_or_a_listener_at_a_wider_address_fails_the_gate() {
        let socket = |at: &str, user| audit::Socket { at: at.parse().unwrap(), user };
        let listener = |at: &str| Listener {
            at: at.parse().unwrap(),
            module: "ejabberd_c2s".to_owned(),
            encryption: Encryption::Starttls,
            proxied: false,
        };
        let inside = |tcp| Inside { user: 7, tcp, udp: Vec::new() };
        let local = [listener("127.0.0.1:5222")];
        let right = inside(vec![socket("127.0.0.1:5222", 7), socket("0.0.0.0:5222", 8)]);
        assert_eq!(misplaced(&local, &right), None);
        let missing = misplaced(&local, &inside(vec![socket("127.0.0.1:5222", 8)])).unwrap();
        assert!(missing.contains("not bound at 127.0.0.1:5222"), "{missing}");
        let wider = misplaced(&local, &inside(vec![socket("0.0.0.0:5222", 7)])).unwrap();
        assert!(wider.contains("bound at 0.0.0.0:5222, not at 127.0.0.1:5222"), "{wider}");
        let every = inside(vec![socket("[::]:5222", 7)]);
        assert_eq!(misplaced(&[listener("0.0.0.0:5222")], &every), None);
    }
}
