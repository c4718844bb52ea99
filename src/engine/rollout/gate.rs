//! The health gate: what a server has to prove after its configuration changed. The
//! canary logs in at the end; [`super::failure_log`] reads what the server logs meanwhile.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::check::{HARDENED, broken_message};
use super::execute::RolloutExecutor;
use super::failure_log::{STOPPED, judged, tells_of_failure};
use crate::domain::checks::audit;
use crate::domain::checks::audit::Inside;
use crate::domain::observed::{PAUSED, ProcessState, Work};
use crate::domain::rollout::{Failure, Side};
use crate::domain::spec::{DesiredState, Gate};
use crate::domain::supervision::{Cause, EPMD_UNREACHABLE, EndedWhile, Ending, entries};
use crate::ejabberd::client::{Encryption, Listener};
use crate::ejabberd::{ControlError, NodePhase};
use crate::engine::reconcile::start::{START_LINES, last_start};

/// How often it is looked at while it comes up, and while it proves itself.
const LOOK: Duration = Duration::from_millis(250);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The configuration before had proved itself already.
const OLD_SETTLES: Duration = Duration::from_secs(2);

/// So many of its latest lines are read.
const LINES: usize = 200;

/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// What one look found.
enum Sign {
    Well,
    /// Not yet.
    Not(Failure),
    /// It will not get better.
    Bad(Failure),
}

/// The items that a configuration alone can break.
const PROMISED: [&str; 6] = [
    "loopback_inside",
    "api_commands",
    "web_handlers",
    "starttls_file",
    "starttls_wire",
    "rooms_members_only",
];

impl RolloutExecutor {
    /// Of a configuration that is called hardened, what of it is not.
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

    /// Waits until the server is well with the files that it has had since
    /// `since`, and stays so for the declared time.
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
                // A slow start is not answered with a restart while it works.
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
                return Sign::Not(environment("somebody paused it"));
            }
            Ok(ProcessState::Running { .. }) => {}
            Ok(ProcessState::Stopped { exit_code, oom_killed }) => {
                // The engine may have started it once more.
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
                return Sign::Bad(environment("it is gone"));
            }
            Err(error) => return Sign::Not(environment(&format!("failed to {error}"))),
        }
        if let Some(entry) = entries(&log).iter().find(|entry| tells_of_failure(entry)) {
            return Sign::Bad(judged(entry));
        }
        if side == Side::Old {
            // It is judged by what it was: it need not serve what is declared now.
            return match self.server.is_started().await {
                Ok(true) => Sign::Well,
                Ok(false) => Sign::Not(environment("it has not started")),
                Err(error) => Sign::Not(environment(&format!("failed to {error}"))),
            };
        }
        match self.well(desired, since).await {
            Ok(Ok(())) => Sign::Well,
            Ok(Err(failure)) => failure,
            // It runs and does not answer: nobody else is known to be to blame.
            Err(error) => Sign::Not(Failure { message: format!("failed to {error}"), blame: true }),
        }
    }

    /// The API answers, what the operator needs is there, every listener
    /// answers, and clients are offered what the file says.
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
        // Up to 24.12 a module that was taken out leaves its commands behind
        // until the next restart: asking for them is not enough.
        let needed = [
            ("mod_admin_extra", desired.users.is_some()),
            ("mod_muc_admin", desired.rooms.is_some()),
        ];
        for (module, _) in needed.into_iter().filter(|(_, needed)| *needed) {
            if !server.has_module(&desired.host, module).await? {
                return Ok(Err(Sign::Bad(Failure {
                    message: format!("without {module} the operator would lock itself out"),
                    blame: true,
                })));
            }
        }
        let listeners = match server.listeners().await {
            Err(ControlError::Unsupported { .. }) => return Ok(Ok(())),
            listeners => listeners?,
        };
        // Where that cannot be read, the listeners still have to answer.
        if let Ok(inside) = self.probe.sockets_inside().await
            && let Some(why) = misplaced(&listeners, &inside)
        {
            return not(why);
        }
        // For other listeners it is enough that they are bound: an HTTP port does
        // not speak XMPP.
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
        let said = match self.server.open_stream(to, &desired.host, DEADLINE).await {
            Ok(said) => said,
            // Only a session connects to a port; that the port is bound is known.
            Err(ControlError::Unsupported { .. }) => return Ok(Ok(())),
            Err(ControlError::Refused { message, .. }) => {
                return Ok(Err(format!("{} does not answer at {at}: {message}", listener.module)));
            }
            Err(error) => return Err(error),
        };
        Ok(if !said.contains("<stream:stream") {
            Err(format!("{at} does not speak XMPP"))
        } else if listener.encryption == Encryption::Starttls
            && !said.contains("urn:ietf:params:xml:ns:xmpp-tls")
        {
            Err(format!(
                "{at} does not offer STARTTLS, though its file says so; is its certificate right?"
            ))
        } else {
            Ok(())
        })
    }
}

/// A listener that is not where the configuration in force says, or wider.
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
            // A socket for every IPv6 address may serve every IPv4 one as well.
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
    fn a_listener_that_is_missing_or_wider_is_noticed() {
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
