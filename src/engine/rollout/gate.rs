//! The health gate: the checks that a server must pass after its configuration changed. The
//! canary logs in at the end; [`super::failure_log`] reads the log meanwhile.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::check::{HARDENED, broken_message};
use super::execute::RolloutExecutor;
use super::failure_log::{STOPPED, judged, reports_failure};
use crate::domain::checks::audit;
use crate::domain::checks::audit::Inside;
use crate::domain::observed::{PAUSED, ProcessState, Work};
use crate::domain::rollout::{Failure, Side};
use crate::domain::spec::{DesiredState, Gate};
use crate::domain::supervision::{Cause, EPMD_UNREACHABLE, EndedWhile, Ending, entries};
use crate::ejabberd::client::{Encryption, Listener};
use crate::ejabberd::{ControlError, NodePhase};
use crate::engine::reconcile::start::{START_LINES, last_start};

/// The time between two checks of the server.
const LOOK: Duration = Duration::from_millis(250);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The time for which the previous configuration must stay healthy. The previous configuration
/// passed a gate before.
const OLD_SETTLES: Duration = Duration::from_secs(2);

/// The maximum number of lines of the log to read.
const LINES: usize = 200;

/// The deadline of one query.
const DEADLINE: Duration = Duration::from_secs(5);

/// The result of one check.
enum Sign {
    Well,
    /// The server is not healthy yet.
    Not(Failure),
    /// The server failed, and waiting does not help.
    Bad(Failure),
}

/// The items of the checklist that depend on the configuration alone.
const PROMISED: [&str; 6] = [
    "loopback_inside",
    "api_commands",
    "web_handlers",
    "starttls_file",
    "starttls_wire",
    "rooms_members_only",
];

impl RolloutExecutor {
    /// Checks that a variant with the name `hardened` passes these items.
    async fn promise(&self, desired: &DesiredState) -> Result<(), Failure> {
        if desired.config.as_ref().is_none_or(|config| config.variant != HARDENED) {
            return Ok(());
        }
        let findings = audit::check(&self.diagnostics.collect_audit(desired).await);
        let broken = findings.iter().find(|finding| {
            PROMISED.contains(&finding.check) && finding.verdict.passed() == Some(false)
        });
        broken.map_or(Ok(()), |finding| {
            Err(Failure { message: broken_message(finding.check, &finding.seen), blame: true })
        })
    }

    /// Waits until the server is healthy with the files that it has had since `since`, and stays
    /// healthy for the declared time.
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
                // A slow start that makes progress must not be interrupted by a rollback.
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
                // The engine may have restarted the server in between.
                let start = last_start(&*self.runtime).await.unwrap_or(since);
                let log = self.runtime.log(since.max(start), START_LINES).await;
                let log = log.unwrap_or_default();
                let ending = Ending { exit_code, oom_killed, log, ..Ending::default() };
                let cause = Cause::of(&ending, EndedWhile::Starting);
                if cause.reason == EPMD_UNREACHABLE && self.runtime.start().await.is_ok() {
                    return Sign::Not(environment(&cause.to_string()));
                }
                return Sign::Bad(Failure { message: cause.to_string(), blame: cause.config });
            }
            Ok(ProcessState::Absent | ProcessState::Created) => {
                return Sign::Bad(environment("it does not exist"));
            }
            Err(error) => return Sign::Not(environment(&format!("failed to {error}"))),
        }
        if let Some(entry) = entries(&log).iter().find(|entry| reports_failure(entry)) {
            return Sign::Bad(judged(entry));
        }
        if side == Side::Old {
            // The previous configuration need not serve what the new desired state declares.
            return match self.server.is_started().await {
                Ok(true) => Sign::Well,
                Ok(false) => Sign::Not(environment("it has not started")),
                Err(error) => Sign::Not(environment(&format!("failed to {error}"))),
            };
        }
        match self.well(desired, since).await {
            Ok(Ok(())) => Sign::Well,
            Ok(Err(failure)) => failure,
            // The server runs without a response, and no cause outside of the configuration is
            // known.
            Err(error) => Sign::Not(Failure { message: format!("failed to {error}"), blame: true }),
        }
    }

    /// Checks that the API responds, that the commands for the operator exist, that every listener
    /// responds, and that clients are offered what the file declares.
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
        if let Some(missing) = std::iter::once(&desired.host)
            .chain(&desired.hosts)
            .find(|host| !hosts.iter().any(|served| served == host.as_str()))
        {
            return Ok(Err(Sign::Bad(Failure {
                message: format!("it does not serve the declared host {missing}"),
                blame: true,
            })));
        }
        // Up to 24.12 a removed module leaves its commands behind until the next restart, so the
        // commands do not prove that the module is loaded.
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
        // If the sockets cannot be read, the listeners must still respond.
        if let Ok(inside) = self.probe.sockets_inside().await
            && let Some(why) = misplaced(&listeners, &inside)
        {
            return not(why);
        }
        // Other listeners must only be bound, because an HTTP port does not speak XMPP.
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
            // Only a session can connect to a port. The socket of the port was checked already.
            Err(ControlError::Unsupported { .. }) => return Ok(Ok(())),
            Err(ControlError::Refused { message, .. }) => {
                return Ok(Err(format!("{} does not answer at {at}: {message}", listener.module)));
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

/// The first listener that is not bound at its configured address, or at a wider one.
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
